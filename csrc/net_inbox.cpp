//go:build !kourier_cmake

#include "net_inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace kourier::net {

inbox::~inbox() {
  for (size_t i = 0; i < count_; ++i) ::close(sockets_[i].fd);
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

kr_status inbox::open() {
  wake_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return wake_fd_ < 0 ? KR_ERR_SYSTEM : KR_OK;
}

bool inbox::push(accepted_socket socket) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == kCapacity) return false;
    sockets_[count_++] = socket;
    if (count_ > 1) return true;  // the first one has woken the worker already
  }
  wake();
  return true;
}

bool inbox::push_close(uint64_t id) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (close_count_ == kCapacity) return false;
    closes_[close_count_++] = id;
  }
  wake();
  return true;
}

size_t inbox::take_closes(uint64_t *ids, size_t capacity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t taken = std::min(capacity, close_count_);
  close_count_ -= taken;
  std::memcpy(ids, closes_ + close_count_, taken * sizeof(uint64_t));
  if (close_count_ != 0) wake();
  return taken;
}

void inbox::wake() {
  const uint64_t one = 1;
  // A full counter (EAGAIN) is as good as a written one.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

size_t inbox::take(accepted_socket *sockets, size_t capacity) {
  uint64_t count;
  [[maybe_unused]] const ssize_t size = ::read(wake_fd_, &count, sizeof(count));
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t taken = std::min(capacity, count_);
  std::memcpy(sockets, sockets_, taken * sizeof(accepted_socket));
  std::memmove(sockets_, sockets_ + taken, (count_ - taken) * sizeof(accepted_socket));
  count_ -= taken;
  if (count_ != 0) wake();
  return taken;
}

}  // namespace kourier::net
