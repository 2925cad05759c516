// What other threads hand to a worker: accepted sockets, connections to close, and
// the wish to be looked at. Off the request path; a mutex and an eventfd are enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>

#include "kourier.h"

namespace kourier::net {

struct accepted_socket {
  int fd;
  uint8_t origin;  // of the listener, for who has set that up
};

class inbox {
 public:
  static constexpr size_t kCapacity = 1024;

  inbox() = default;
  ~inbox();
  inbox(const inbox &) = delete;
  inbox &operator=(const inbox &) = delete;

  [[nodiscard]] kr_status open();
  int wake_fd() const { return wake_fd_; }

  // Hands a socket over; the receiver owns it then. False: full, and the caller keeps it. Any thread.
  bool push(accepted_socket socket);
  // Asks for a connection to be closed. False: full. Any thread.
  bool push_close(uint64_t id);
  // Wakes the worker out of epoll_wait. Any thread.
  void wake();

  // Takes at most `capacity` sockets, and the wake-up that came with them. Worker.
  size_t take(accepted_socket *sockets, size_t capacity);
  // Takes at most `capacity` connections to close. Worker, after take().
  size_t take_closes(uint64_t *ids, size_t capacity);

 private:
  std::mutex mutex_;
  int wake_fd_ = -1;
  size_t count_ = 0;
  size_t close_count_ = 0;
  accepted_socket sockets_[kCapacity];
  uint64_t closes_[kCapacity];
};

}  // namespace kourier::net
