//go:build !kourier_cmake

#include "net_system.h"

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "net_socket.h"

namespace kourier::net {

namespace {

uint64_t monotonic_ms() {
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

int64_t wall_seconds() {
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

void socket_reset_on_close(int fd) {
  const struct linger at_once = {1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

int socket_unsent_size(int fd) {
  int size = 0;
  return ::ioctl(fd, SIOCOUTQ, &size) == 0 ? size : -1;
}

// What a write is worth a try with, in bytes, if the figures say that there is less.
constexpr int kRoomMin = 4096;

// 0 exactly when epoll would not say that the socket is writable.
int socket_send_room(int fd) {
  struct pollfd wanted = {fd, POLLOUT, 0};
  if (::poll(&wanted, 1, 0) == 0) return 0;
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof(memory);
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0) return -1;
  int room = static_cast<int>(memory[SK_MEMINFO_SNDBUF]) - static_cast<int>(memory[SK_MEMINFO_WMEM_QUEUED]);
  int not_sent = 0;
  if (::ioctl(fd, SIOCOUTQNSD, &not_sent) == 0) room = std::min(room, kUnsentMax - not_sent);  // else it is not of TCP
  return std::max(room, kRoomMin);
}

bool socket_is_readable(int fd) {
  struct pollfd wanted = {fd, POLLIN, 0};
  return ::poll(&wanted, 1, 0) > 0;
}

}  // namespace

const system kKernel = {
    ::recv,
    ::send,
    ::sendmsg,
    ::accept4,
    ::epoll_wait,
    ::epoll_ctl,
    ::shutdown,
    ::close,
    socket_reset_on_close,
    socket_unsent_size,
    socket_send_room,
    socket_is_readable,
    monotonic_ms,
    wall_seconds,
};

ssize_t system::send_parts(int fd, const struct iovec *parts, size_t count, int flags) const {
  if (count == 1) return send(fd, parts[0].iov_base, parts[0].iov_len, flags | MSG_NOSIGNAL);
  struct msghdr message = {};
  message.msg_iov = const_cast<struct iovec *>(parts);
  message.msg_iovlen = count;
  return sendmsg(fd, &message, flags | MSG_NOSIGNAL);
}

}  // namespace kourier::net
