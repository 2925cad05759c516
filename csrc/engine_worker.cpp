//go:build !kourier_cmake

#include "engine_worker.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base_assert.h"

namespace kourier::engine {

namespace {

// How long the release of a link may go unnoticed that wakes nobody: the idle timeout begins when it is noticed.
constexpr uint32_t kLinkCheckMaxMs = 500;
constexpr uint32_t kLinkCheckMinMs = 16;
// How long a worker waits by itself that has the receiver wait: so long others may wait for what it holds.
constexpr int kOwnWaitMs = 1;
constexpr size_t kWheelsSize = 2 * net::timer_wheel::kSlotCount * sizeof(net::timer_entry *);

// What epoll hands back for an event: the id of a connection, or one of these in the
// place of its slot. Not its address: it may have gone between epoll_wait and the look
// at its event, and the slot to somebody else, or to the system.
constexpr uint32_t kListenerTag = 0xffffffff;  // with the listener's index in the place of the generation
constexpr uint32_t kWakeTag = 0xfffffffe;

}  // namespace

worker::worker(shared *common, uint32_t index, const net::system *kernel)
    : common_(common),
      index_(index),
      kernel_(kernel),
      config_(common->config),
      limits_{config_.head_size_max, config_.target_size_max, config_.field_count_max},
      wheel_slots_(static_cast<net::timer_entry **>(pages_.map(kWheelsSize))),
      wheel_(wheel_slots_, kernel->now_ms()),
      idle_wheel_(wheel_slots_ + net::timer_wheel::kSlotCount, kernel->now_ms()),
      now_ms_(kernel->now_ms()) {}

worker::~worker() {
  connections_.each([this](connection *c) {
    batch_.notices_used = 0;  // there is nobody to tell
    close(c);
  });
  if (wheel_slots_ != nullptr) pages_.unmap(wheel_slots_, kWheelsSize);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

kr_status worker::open() {
  if (wheel_slots_ == nullptr || !connections_.open(config_.conns_max + batch::kSharesMax) ||
      !batch_.open(config_.field_count_max)) {
    return KR_ERR_MEMORY;
  }
  epoll_fd_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) return KR_ERR_SYSTEM;
  view_.wait_fd = epoll_fd_;
  struct epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  if (kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, common_->peers[index_].inbox.wake_fd(), &event) != 0) {
    return KR_ERR_SYSTEM;
  }
  view_.owner = this;
  view_.worker = index_;
  view_.out = batch_.out;
  view_.out_capacity = batch::kOutSize;
  view_.requests = batch_.requests;
  view_.notices = batch_.notices;
  view_.date = date_.text;
  view_.date_size = http::date_line::kSize;
  return KR_OK;
}

kr_status worker::poll_listener(uint32_t index) {
  struct epoll_event event = {};
  // A connection wakes one of the workers that share the socket, not all.
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.u64 = uint64_t{index} << 32 | kListenerTag;
  if (kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, common_->listeners[index].fd, &event) != 0 && errno != EEXIST) {
    return KR_ERR_SYSTEM;
  }
  return KR_OK;
}

void worker::run() {
  while (!common_->stopping.load(std::memory_order_acquire)) turn(-1);  // acquire: pairs with kr_interrupt
}

int worker::link_check_ms() const {
  if (config_.idle_timeout_ms == 0) return kLinkCheckMaxMs;
  return static_cast<int>(std::clamp(config_.idle_timeout_ms / 4, kLinkCheckMinMs, kLinkCheckMaxMs));
}

int worker::wait_ms(int timeout_ms_max) const {
  int wait = wheel_.wait_ms(now_ms_);
  const int idle_wait = idle_wheel_.wait_ms(now_ms_);
  if (idle_wait >= 0) wait = wait < 0 ? idle_wait : std::min(wait, idle_wait);
  if (accept_again_ms_ != 0) {
    const int until = accept_again_ms_ > now_ms_ ? static_cast<int>(accept_again_ms_ - now_ms_) : 0;
    wait = wait < 0 ? until : std::min(wait, until);
  }
  if (link_count_ != 0) wait = wait < 0 ? link_check_ms() : std::min(wait, link_check_ms());
  if (timeout_ms_max >= 0) wait = wait < 0 ? timeout_ms_max : std::min(wait, timeout_ms_max);
  return wait;
}

// As epoll_wait, but the receiver does most of the waiting if it is to.
int worker::wait(struct epoll_event *events, int timeout_ms) {
  if (config_.receiver_waits == 0 || timeout_ms == 0) {
    return kernel_->epoll_wait(epoll_fd_, events, kEventsMax, timeout_ms);
  }
  // While no handler waits for anything, the next request is waited for here at first.
  const int count = kernel_->epoll_wait(epoll_fd_, events, kEventsMax, link_count_ == 0 ? kOwnWaitMs : 0);
  if (count != 0) return count;
  view_.count = 0;
  view_.notice_count = 0;
  view_.wait_ms = KR_WAIT_FOREVER;
  if (timeout_ms >= 0) view_.wait_ms = static_cast<uint32_t>(timeout_ms);
  common_->on_batch(common_->ctx, &view_);
  view_.wait_ms = 0;
  counters_.syscalls.add(1);
  return kernel_->epoll_wait(epoll_fd_, events, kEventsMax, 0);
}

void worker::turn(int timeout_ms_max) {
  struct epoll_event events[kEventsMax];
  take_mail();
  asleep_.store(true);
  // What was mailed before this look wakes nobody, what is mailed after it does.
  const bool idle = batch_.empty() && batch_.notices_used == 0 && mailbox_.load() == kNoMail;
  const int count = wait(events, idle ? wait_ms(timeout_ms_max) : 0);
  asleep_.store(false, std::memory_order_relaxed);
  now_ms_ = kernel_->now_ms();
  date_.update(kernel_->unix_seconds());
  counters_.turns.add(1);

  take_mail();
  for (int i = 0; i < count; ++i) on_event(events[i]);
  dispatch();
  batch_.arena_used = 0;

  // From here on no connection is in the batch, so that any of them may be closed.
  expire();
  if (any_listener_ready_) {
    any_listener_ready_ = false;
    for (uint64_t &word : ready_listeners_) {
      for (; word != 0; word &= word - 1) {
        accept_all(static_cast<uint32_t>((&word - ready_listeners_) * 64 + __builtin_ctzll(word)));
      }
    }
  }
  if (woken_) take_inbox();
  // The receiver asks for the addresses of what was opened, as long as it is open.
  if (config_.notify_conns != 0) dispatch();
  if (accept_again_ms_ != 0 && now_ms_ >= accept_again_ms_) resume_accepting();
  const uint32_t idle_closes = common_->idle_closes.load(std::memory_order_relaxed);
  if (idle_closes != idle_closes_) {
    idle_closes_ = idle_closes;
    take_mail();  // those that were released before the call are idle too
    dispatch();
    close_idle();
  }
  if (!drained_ && common_->draining.load(std::memory_order_acquire)) begin_drain();  // acquire: pairs with kr_drain
}

void worker::on_event(const struct epoll_event &event) {
  const uint32_t tag = static_cast<uint32_t>(event.data.u64);
  if (tag == kWakeTag) {
    woken_ = true;
    return;
  }
  if (tag == kListenerTag) {
    const uint32_t index = static_cast<uint32_t>(event.data.u64 >> 32);
    ready_listeners_[index / 64] |= uint64_t{1} << index % 64;
    any_listener_ready_ = true;
    return;
  }
  connection *c = connections_.find(event.data.u64);
  if (c == nullptr) return;  // closed since
  if (c->phase == phase::link) return on_link_event(c, event.events);
  if ((c->flags & kInBatch) != 0) return;  // it will be reported again
  if ((c->flags & kStarved) != 0) {
    // It is not polled, but its end is told all the same.
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) close(c);
    return;
  }
  if (c->output != nullptr) {
    on_writable(c);
  } else if ((c->flags & kUnparsed) != 0) {
    parse(c, c->input->data(), c->input->size, c->input);
  } else {
    on_readable(c);
  }
}

void worker::dispatch() {
  if (batch_.empty() && batch_.notices_used == 0) return;
  share_cursor_ = 0;
  if (hands_over() || config_.notify_states != 0) {
    // What is taken over may take its time, and is not idle meanwhile.
    for (uint32_t i = 0; i < batch_.share_count; ++i) set_phase(batch_.shares[i].conn, phase::write);
  }
  if (batch_.unanswered != 0 || batch_.notices_used != 0) {
    view_.count = batch_.requests_used;
    view_.notice_count = batch_.notices_used;
    batch_.notices_used = 0;
    view_.out_size = 0;
    view_.now_ms = static_cast<uint32_t>(now_ms_);
    counters_.batches.add(1);
    common_->on_batch(common_->ctx, &view_);
    KR_ASSERT(view_.out_size <= view_.out_capacity);
  }
  for (uint32_t i = 0; i < batch_.share_count; ++i) finish_share(&batch_.shares[i]);
  batch_.clear();
}

kr_status worker::peer(uint64_t connection_id, uint8_t address_out[16], uint32_t *scope_out, uint16_t *port_out,
                       uint8_t *family_out) {
  const connection *c = connections_.find(connection_id);
  if (c == nullptr) return KR_ERR_CLOSED;
  std::atomic<uint64_t> *known = connections_.peer_of(c);
  net::peer_address address;
  if (!address.unpack(known->load(std::memory_order_relaxed))) {
    const kr_status status = net::get_peer_address(c->fd, &address);
    if (status != KR_OK) return status;
    known->store(address.pack(), std::memory_order_relaxed);
  }
  std::memcpy(address_out, address.ip, sizeof(address.ip));
  *scope_out = address.scope;
  *port_out = address.port;
  *family_out = address.family;
  return KR_OK;
}

}  // namespace kourier::engine
