//go:build !kourier_cmake

// How connections come, how long they may wait, and how they go.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base_assert.h"
#include "engine_worker.h"
#include "http_answer.h"

namespace kourier::engine {

namespace {

constexpr int kAcceptMax = 256;             // of one listener in one turn
constexpr uint64_t kAcceptPauseMs = 50;     // after the system, or the limit, had no room
constexpr uint64_t kStarvedPauseMs = 50;    // before recv is tried again after ENOMEM
constexpr int kOldestIdleBudget = 256;      // timers looked at to find the connection idle for longest
constexpr int kExpireMax = 512;             // deadlines of one wheel in one turn; the rest waits for the next
constexpr uint32_t kHandOverSlack = 1;      // a worker this far above the least loaded hands new ones over
constexpr size_t kDiscardMax = 256 * 1024;  // bytes read and dropped in one turn of a lingering connection

}  // namespace

// ------------------------------------------------------------------- accepting

void worker::accept_all(uint32_t listener_index) {
  if (drained_ || accept_again_ms_ != 0) return;
  const listener &from = common_->listeners[listener_index];
  const int listen_fd = from.fd;
  for (int i = 0; i < kAcceptMax; ++i) {
    if (config_.on_full == KR_ON_FULL_PAUSE_ACCEPT &&
        common_->conns.load(std::memory_order_relaxed) >= config_.conns_max) {
      return pause_accepting();
    }
    const int fd = kernel_->accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    counters_.syscalls.add(1);
    if (fd >= 0) {
      if (from.tcp) net::set_tcp_options(fd);
      accepted({fd, from.origin});
      flush_notices();
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The kernel looks for a descriptor before it looks for a connection.
      if (!kernel_->is_readable(listen_fd)) return;
      // No descriptor for the connection that waits: an idle one makes room, or we wait.
      counters_.accept_retries.add(1);
      if (make_place()) continue;
      return pause_accepting();
    }
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO || errno == EPERM) continue;
    return;
  }
}

void worker::accepted(net::accepted_socket socket) {
  counters_.accepted.add(1);
  if (common_->conns.fetch_add(1, std::memory_order_relaxed) >= config_.conns_max && !make_place()) {
    common_->conns.fetch_sub(1, std::memory_order_relaxed);
    counters_.refused.add(1);
    kernel_->close(socket.fd);
    return;
  }
  uint32_t target = index_;
  if (config_.workers > 1) {
    uint32_t least = common_->peers[index_].conns.load(std::memory_order_relaxed);
    const uint32_t own = least;
    for (uint32_t i = 0; i < config_.workers; ++i) {
      const uint32_t conns = common_->peers[i].conns.load(std::memory_order_relaxed);
      if (conns < least) {
        least = conns;
        target = i;
      }
    }
    if (own < least + kHandOverSlack + least / 16) target = index_;
  }
  common_->peers[target].conns.fetch_add(1, std::memory_order_relaxed);
  if (target != index_) {
    if (common_->peers[target].inbox.push(socket)) return;
    common_->peers[target].conns.fetch_sub(1, std::memory_order_relaxed);
    common_->peers[index_].conns.fetch_add(1, std::memory_order_relaxed);
  }
  adopt(socket);
}

// Makes a connection of a socket that is counted already.
void worker::adopt(net::accepted_socket socket) {
  connection *c = connections_.take();
  if (c != nullptr) {
    if (config_.notify_conns != 0) notify(c, KR_NOTICE_OPENED);
    c->fd = socket.fd;
    c->origin = socket.origin;
    c->polled = kPollRead;
    c->phase = phase::idle;
    counters_.conns.add(1);
    counters_.conns_idle.add(1);
    struct epoll_event event = {};
    event.events = kPollRead;
    event.data.u64 = c->id();
    counters_.syscalls.add(1);
    if (kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, c->fd, &event) != 0 || (drained_ && !has_unread(c)))
      return close(c);
    return arm(c);
  }
  kernel_->close(socket.fd);
  counters_.reasons[KR_REASON_NO_MEMORY].add(1);
  common_->peers[index_].conns.fetch_sub(1, std::memory_order_relaxed);
  common_->conns.fetch_sub(1, std::memory_order_relaxed);
}

void worker::take_inbox() {
  woken_ = false;
  net::accepted_socket sockets[256];
  const size_t count = common_->peers[index_].inbox.take(sockets, std::size(sockets));
  for (size_t i = 0; i < count; ++i) adopt(sockets[i]);
  flush_notices();
  uint64_t ids[256];
  const size_t closes = common_->peers[index_].inbox.take_closes(ids, std::size(ids));
  for (size_t i = 0; i < closes; ++i) {
    connection *c = connections_.find(ids[i]);
    if (c == nullptr) continue;
    if (c->phase != phase::link) {
      close(c);
    } else if ((c->asks.load() & kAskDetach) == 0) {
      kernel_->shutdown(c->fd, SHUT_RDWR);
    }
  }
  flush_notices();
}

bool worker::make_place() { return config_.on_full == KR_ON_FULL_CLOSE_OLDEST_IDLE && close_oldest_idle(); }

// Whether the peer has sent something that has not been received yet.
bool worker::has_unread(const connection *c) const {
  char byte;
  return kernel_->recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool worker::close_oldest_idle() {
  for (int attempt = 0; attempt < kOldestIdleBudget; ++attempt) {
    auto *oldest = static_cast<connection *>(
        idle_wheel_.earliest([](const net::timer_entry *) { return true; }, kOldestIdleBudget));
    if (oldest == nullptr) return false;
    if (oldest->phase == phase::link) {
      idle_wheel_.disarm(oldest);  // taken over since, and armed again at its release
      continue;
    }
    if (has_unread(oldest)) {
      arm(oldest);  // its request has come: not idle any more
      continue;
    }
    counters_.shed.add(1);
    close(oldest);
    return true;
  }
  return false;
}

void worker::pause_accepting() {
  accept_again_ms_ = now_ms_ + kAcceptPauseMs;
  const uint32_t count = common_->listener_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, common_->listeners[i].fd, nullptr);
  }
}

void worker::resume_accepting() {
  accept_again_ms_ = 0;
  if (drained_) return;
  const uint32_t count = common_->listener_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t only = common_->listeners[i].worker.load(std::memory_order_relaxed);
    if (only != KR_ANY_WORKER && only != index_) continue;
    if (poll_listener(i) != KR_OK) accept_again_ms_ = now_ms_ + kAcceptPauseMs;
  }
}

void worker::begin_drain() {
  drained_ = true;
  accept_again_ms_ = 0;
  const uint32_t count = common_->listener_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, common_->listeners[i].fd, nullptr);
  }
  close_idle();
  const std::lock_guard<std::mutex> lock(common_->mutex);
  ++common_->drained_count;
  common_->changed.notify_all();
}

void worker::close_idle() {
  connections_.each([this](connection *c) {
    // A request that has arrived is answered, although nobody has looked at it yet.
    if (c->phase == phase::idle && !has_unread(c)) close(c);
    flush_notices();
  });
}

// ------------------------------------------------------------------- deadlines

// Sets the deadline of the connection's phase.
void worker::arm(connection *c) {
  constexpr uint64_t kNever = net::timer_wheel::kHorizonMs;
  uint64_t due = now_ms_ + kNever;
  const auto by = [&due](uint64_t start_ms, uint32_t timeout_ms) {
    if (timeout_ms != 0) due = std::min(due, start_ms + timeout_ms);
  };
  if ((c->flags & kStarved) != 0) {
    due = now_ms_ + kStarvedPauseMs;
  } else if (c->phase == phase::idle) {
    by(now_ms_, config_.idle_timeout_ms);
  } else if (c->phase == phase::linger) {
    by(now_ms_, config_.linger_timeout_ms);
  } else if (c->phase == phase::write) {
    by(c->output->started_ms, config_.write_timeout_ms);
    if (config_.drain_rate_min != 0) due = std::min(due, c->output->rate_check_ms);
  } else {
    by(c->input->started_ms, config_.request_timeout_ms);
    if (c->phase == phase::head) by(c->input->started_ms, config_.head_timeout_ms);
    if (c->phase == phase::body && config_.body_rate_min != 0) due = std::min(due, c->input->rate.ms());
  }
  // An idle connection stands in a wheel of its own, where the oldest is found without looking at the others.
  KR_ASSERT(c->phase != phase::link);
  const bool to_idle = c->phase == phase::idle && (c->flags & kStarved) == 0;
  if (to_idle != ((c->flags & kInIdleWheel) != 0)) {
    wheel_of(c)->disarm(c);
    c->flags ^= kInIdleWheel;
  }
  wheel_of(c)->arm(c, due);
}

net::timer_wheel *worker::wheel_of(const connection *c) {
  return (c->flags & kInIdleWheel) != 0 ? &idle_wheel_ : &wheel_;
}

void worker::expire() {
  for (net::timer_wheel *wheel : {&wheel_, &idle_wheel_}) {
    for (int i = 0; i < kExpireMax; ++i) {
      net::timer_entry *entry = wheel->take_expired(now_ms_);
      if (entry == nullptr) break;
      on_deadline(static_cast<connection *>(entry));
      flush_notices();
    }
  }
}

void worker::on_deadline(connection *c) {
  const auto passed = [this](uint64_t start_ms, uint32_t timeout_ms) {
    return timeout_ms != 0 && now_ms_ >= start_ms + timeout_ms;
  };
  if ((c->flags & kStarved) != 0) {
    c->flags &= static_cast<uint16_t>(~kStarved);
    return settle(c);
  }
  switch (c->phase) {
    case phase::idle:
      if (config_.idle_timeout_ms == 0) return arm(c);
      count_reason(c, KR_REASON_IDLE_TIMEOUT);
      return close(c);
    case phase::head:
      if (passed(c->input->started_ms, config_.head_timeout_ms) ||
          passed(c->input->started_ms, config_.request_timeout_ms)) {
        return refuse_late(c, KR_REASON_HEAD_TIMEOUT);
      }
      return arm(c);
    case phase::body:
      if (passed(c->input->started_ms, config_.request_timeout_ms)) return refuse_late(c, KR_REASON_BODY_TIMEOUT);
      if (config_.body_rate_min != 0 && now_ms_ >= c->input->rate.ms()) return refuse_late(c, KR_REASON_BODY_TOO_SLOW);
      return arm(c);
    case phase::write:
      if (passed(c->output->started_ms, config_.write_timeout_ms)) {
        count_reason(c, KR_REASON_WRITE_TIMEOUT);
        c->flags |= kReset;
        return close(c);
      }
      if (config_.drain_rate_min != 0) return check_drain_rate(c);
      return arm(c);
    case phase::linger:
      return close(c);
    case phase::link:
      return;  // from before it was taken over
  }
}

// What the peer has taken shows in the socket's queue, not in the readiness of
// the socket: that comes only when a third of a large buffer is free again.
void worker::check_drain_rate(connection *c) {
  output_buffer *output = c->output;
  const int unsent = kernel_->unsent_size(c->fd);
  if (unsent >= 0 && output->unsent_last >= 0) {
    const int64_t drained = static_cast<int64_t>(output->accepted_size) + output->unsent_last - unsent;
    if (drained > 0) output->rate.credit(now_ms_, static_cast<uint64_t>(drained), config_.drain_rate_min);
  }
  output->accepted_size = 0;
  output->unsent_last = unsent;
  output->rate_check_ms = now_ms_ + kRateCheckMs;
  if (now_ms_ < output->rate.ms()) return arm(c);
  count_reason(c, KR_REASON_DRAIN_TOO_SLOW);
  c->flags |= kReset;
  close(c);
}

// 408 to a request that did not come in time, RFC 9110 §15.5.9.
void worker::refuse_late(connection *c, uint8_t reason) {
  count_reason(c, reason, 408);
  char answer[http::kRefusalSizeMax];
  const size_t size = http::write_refusal(answer, 408, reason, c->input->progress.method_id == KR_METHOD_HEAD, date_);
  counters_.responses[4].add(1);
  close_input(&pool_, &c->input);
  c->flags |= kCloseAfter;
  const struct iovec part = {answer, size};
  deliver(c, &part, 1);
  settle(c);
}

// --------------------------------------------------------------------- the end

// The last answer is sent: FIN, and read on for a while, so that what the peer
// still sends does not make the kernel answer with RST, which could take the
// answer out of the peer's hands (RFC 9112 §9.6).
void worker::linger(connection *c) {
  close_input(&pool_, &c->input);
  c->flags &= static_cast<uint16_t>(~kUnparsed);
  counters_.syscalls.add(1);
  if (kernel_->shutdown(c->fd, SHUT_WR) != 0) return close(c);
  set_phase(c, phase::linger);
  poll(c, kPollRead);
  arm(c);
}

// Reads and drops what comes after the last answer.
void worker::discard(connection *c) {
  if (batch_.arena_room() < batch::kReceiveMin) {
    dispatch();
    batch_.arena_used = 0;
  }
  for (size_t total = 0; total < kDiscardMax;) {
    const size_t room = batch_.arena_room();
    const ssize_t result = kernel_->recv(c->fd, batch_.arena + batch_.arena_used, room, 0);
    counters_.syscalls.add(1);
    if (result <= 0) {
      if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
      return close(c);
    }
    counters_.bytes_in.add(static_cast<uint64_t>(result));
    if (static_cast<size_t>(result) < room) return;
    total += static_cast<size_t>(result);
  }
}

void worker::close(connection *c) {
  KR_ASSERT((c->flags & kInBatch) == 0);
  wheel_of(c)->disarm(c);
  close_input(&pool_, &c->input);
  close_output(&pool_, &c->output);
  if (c->phase == phase::idle) counters_.conns_idle.subtract(1);
  counters_.conns.subtract(1);
  counters_.syscalls.add(1);
  if ((c->flags & kReset) != 0) kernel_->reset_on_close(c->fd);
  if (config_.notify_conns != 0 && c->phase != phase::link) notify(c, KR_NOTICE_CLOSED);
  // A child between fork and exec holds the socket too: close alone would leave it
  // in epoll, which would report it for ever.
  counters_.syscalls.add(1);
  kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, c->fd, nullptr);
  kernel_->close(c->fd);
  connections_.give(c);
  common_->peers[index_].conns.fetch_sub(1, std::memory_order_relaxed);
  const bool last = common_->conns.fetch_sub(1, std::memory_order_acq_rel) == 1;
  if (last && common_->draining.load(std::memory_order_acquire)) {
    const std::lock_guard<std::mutex> lock(common_->mutex);
    common_->changed.notify_all();
  }
}

}  // namespace kourier::engine
