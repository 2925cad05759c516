// The system calls of the loop, in one table, so that a test can stand in for
// the kernel: fail an accept, cut a send short, stop the clock.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace kourier::net {

// Each entry behaves as the call of its name, errno included.
struct system {
  ssize_t (*recv)(int fd, void *data, size_t size, int flags);
  ssize_t (*send)(int fd, const void *data, size_t size, int flags);
  ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
  int (*accept4)(int fd, struct sockaddr *address, socklen_t *address_size, int flags);
  int (*epoll_wait)(int epoll_fd, struct epoll_event *events, int capacity, int timeout_ms);
  int (*epoll_ctl)(int epoll_fd, int operation, int fd, struct epoll_event *event);
  int (*shutdown)(int fd, int how);
  int (*close)(int fd);
  void (*reset_on_close)(int fd);  // SO_LINGER: close sends RST, and drops what the kernel still holds to send
  int (*unsent_size)(int fd);      // bytes not yet acknowledged by the peer, SIOCOUTQ; negative: unknown
  int (*send_room)(int fd);        // bytes that it takes now, about; 0: it is not writable; negative: unknown
  bool (*is_readable)(int fd);     // without waiting; of a listening socket: a connection waits to be accepted
  uint64_t (*now_ms)();            // monotonic
  int64_t (*unix_seconds)();       // wall clock

  // Sends the parts by one call: as sendmsg with MSG_NOSIGNAL, and cheaper where there is but one.
  ssize_t send_parts(int fd, const struct iovec *parts, size_t count, int flags) const;
};

// The kernel itself.
extern const system kKernel;

}  // namespace kourier::net
