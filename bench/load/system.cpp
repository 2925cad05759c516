#include "system.h"

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace load {
namespace {

constexpr in_addr_t kFirstSource = 0x7f010001;  // 127.1.0.1

int set_option(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

sockaddr_in socket_address(in_addr address, uint16_t port) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  result.sin_addr = address;
  result.sin_port = htons(port);
  return result;
}

bool bind_and_connect(int fd, in_addr source, in_addr server, uint16_t port, int receive_buffer_size) {
  // The port is chosen when connecting, and then need only be free for this pair of addresses.
  if (set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) != 0) return false;
  if (set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0) return false;
  if (receive_buffer_size != 0 && set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer_size) != 0) return false;
  const sockaddr_in local = socket_address(source, 0);
  if (bind(fd, reinterpret_cast<const sockaddr *>(&local), sizeof local) != 0) return false;
  const sockaddr_in remote = socket_address(server, port);
  return connect(fd, reinterpret_cast<const sockaddr *>(&remote), sizeof remote) == 0 || errno == EINPROGRESS;
}

}  // namespace

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

int begin_connect(in_addr server, uint16_t port, uint32_t index, uint32_t address_count, int receive_buffer_size) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const in_addr source = {htonl(kFirstSource + index % address_count)};
  if (bind_and_connect(fd, source, server, port, receive_buffer_size)) return fd;
  const int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

void close_hard(int fd) {
  const linger reset = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
}

void lift_file_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace load
