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

// A socket of TCP is writable, for epoll too, if what it has room for is at least half of what it holds, and what it
// has not sent is less than half of kUnsentMax; a Unix socket if it holds a quarter at most, and that is counted
// elsewhere.
int socket_send_room(int fd) {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof(memory);
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0) return -1;
  const uint32_t capacity = memory[SK_MEMINFO_SNDBUF];
  const uint32_t held = memory[SK_MEMINFO_WMEM_QUEUED];
  if (held == 0 && memory[SK_MEMINFO_WMEM_ALLOC] > capacity / 4) return 0;
  if (held >= capacity || capacity - held < held / 2) return 0;
  const int room = static_cast<int>(capacity - held);
  int not_sent = 0;
  if (::ioctl(fd, SIOCOUTQNSD, &not_sent) != 0) return room;  // it is not of TCP
  return not_sent < kUnsentMax / 2 ? std::min(room, kUnsentMax - not_sent) : 0;
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
