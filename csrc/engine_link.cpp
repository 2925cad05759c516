//go:build !kourier_cmake

// Links: connections that the receiver has taken over. The first half of this file
// runs on the threads that have them, the second on the worker.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base_assert.h"
#include "engine_worker.h"

namespace kourier::engine {

namespace {

bool is_blocked(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

// Also for want of memory in the kernel, which passes.
bool is_for_later(int error) { return is_blocked(error) || error == ENOMEM || error == ENOBUFS; }

// Of the errors of sendfile: those of the socket. The others are the file's.
bool is_lost(int error) {
  return error == EPIPE || error == ECONNRESET || error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH ||
         error == ECONNABORTED || error == ENOTCONN;
}

// The kernel copies what it has room for; more than this in one call helps nobody.
constexpr size_t kSendFileMax = 1 << 30;

}  // namespace

// ------------------------------------------------------------ the link's side

connection *worker::link_of(uint64_t id) const {
  // acquire: pairs with core::interrupt
  if (common_->stopping.load(std::memory_order_acquire)) return nullptr;
  return connections_.find(id);
}

// Puts the asks to those that stand, and the connection into the mailbox. After an
// ask of kAskEnd the connection is the worker's.
void worker::ask(connection *c, uint8_t asks) {
  const uint32_t index = c->index;
  if ((c->asks.fetch_or(asks | kAskMailed) & kAskMailed) != 0) return;
  uint32_t top = mailbox_.load(std::memory_order_relaxed);
  do {
    c->next = top;
  } while (!mailbox_.compare_exchange_weak(top, index));
}

void worker::wake_if_asleep() {
  if (asleep_.exchange(false)) common_->peers[index_].inbox.wake();
}

// The worker polls for what is asked for, unless it does so already.
kr_status worker::link_blocked(connection *c, uint8_t asked) {
  if (asked == kAskRead) {
    c->asks.fetch_or(kAskRead);
    if (!c->muted.load()) return KR_ERR_BLOCKED;
  }
  ask(c, asked);
  wake_if_asleep();
  return KR_ERR_BLOCKED;
}

kr_status worker::link_read(uint64_t id, char *data, size_t capacity, size_t *size_out, uint16_t *code_out) {
  *size_out = 0;
  connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  input_buffer *input = c->input;
  if (input == nullptr || !input->body_open || input->body_ended || capacity == 0) return KR_OK;
  if (input->body_status != KR_OK) {
    *code_out = input->progress.decoder.status();
    return input->body_status;
  }
  request_progress &progress = input->progress;
  if (progress.framing == http::body_framing::chunked) {
    if (progress.body_size == 0) return read_chunked(c, data, capacity, size_out, code_out);
    // What was decoded while it was collected.
    *size_out = std::min(capacity, static_cast<size_t>(progress.body_size));
    std::memcpy(data, input->data() + input->begin, *size_out);
    input->begin += *size_out;
    progress.body_size -= *size_out;
    return KR_OK;
  }
  size_t wanted = progress.content_length < capacity ? static_cast<size_t>(progress.content_length) : capacity;
  if (input->begin != input->size) {
    wanted = std::min(wanted, input->size - input->begin);
    std::memcpy(data, input->data() + input->begin, wanted);
    input->begin += wanted;
    *size_out = wanted;
  } else {
    const ssize_t result = kernel_->recv(c->fd, data, wanted, MSG_DONTWAIT);
    if (result < 0 && is_for_later(errno)) return link_blocked(c, kAskRead);
    if (result <= 0) return input->body_status = KR_ERR_CLOSED;
    *size_out = static_cast<size_t>(result);
  }
  progress.content_length -= *size_out;
  input->body_ended = progress.content_length == 0;
  return KR_OK;
}

kr_status worker::read_chunked(connection *c, char *data, size_t capacity, size_t *size_out, uint16_t *code_out) {
  input_buffer *input = c->input;
  http::chunked_decoder &decoder = input->progress.decoder;
  while (*size_out == 0 && !input->body_ended) {
    const size_t trailer_size = decoder.trailer_size();
    if (input->begin == input->size) {
      input->begin = input->size = trailer_size;
      const ssize_t result = kernel_->recv(c->fd, input->data() + trailer_size, input->room(), MSG_DONTWAIT);
      if (result < 0 && is_for_later(errno)) return link_blocked(c, kAskRead);
      if (result <= 0) return input->body_status = KR_ERR_CLOSED;
      input->size += static_cast<size_t>(result);
    }
    size_t written = 0;
    size_t consumed = 0;
    const http::verdict verdict =
        decoder.decode(data, input->data() + input->begin, std::min(capacity, input->size - input->begin),
                       config_.body_size_max, &written, &consumed);
    input->begin += consumed;
    input->body_ended = verdict == http::verdict::done;
    if (verdict == http::verdict::bad) {
      *code_out = decoder.status();
      return input->body_status = KR_ERR_REFUSED;
    }
    // What came of the trailer section goes before `begin`, where as many octets were just taken from.
    const size_t trailer_written = decoder.trailer_size() - trailer_size;
    *size_out = written - trailer_written;
    KR_ASSERT(decoder.trailer_size() <= input->begin);
    std::memcpy(input->data() + trailer_size, data + *size_out, trailer_written);
  }
  return KR_OK;
}

uint64_t worker::link_age_ms(uint64_t id) const {
  const connection *c = link_of(id);
  if (c == nullptr || c->input == nullptr || !c->input->body_open) return 0;
  const uint64_t now_ms = kernel_->now_ms();
  return now_ms > c->input->started_ms ? now_ms - c->input->started_ms : 0;
}

kr_status worker::link_trailer(uint64_t id, char *data, size_t capacity, size_t *size_out) const {
  *size_out = 0;
  const connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  input_buffer *input = c->input;
  if (input == nullptr || !input->body_ended || input->progress.framing != http::body_framing::chunked) return KR_OK;
  constexpr size_t kEmptyLineSize = 2;
  *size_out = input->progress.decoder.trailer_size() - kEmptyLineSize;
  if (*size_out > capacity) return KR_ERR_INVALID;
  if (*size_out != 0) std::memcpy(data, input->data(), *size_out);
  return KR_OK;
}

kr_status worker::link_write(uint64_t id, const char *head, size_t head_size, const char *body, size_t body_size,
                             bool more, size_t *size_out) {
  *size_out = 0;
  connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  while (*size_out < head_size + body_size) {
    struct iovec parts[2];
    size_t count = 0;
    if (*size_out < head_size) parts[count++] = {const_cast<char *>(head) + *size_out, head_size - *size_out};
    const size_t body_sent = *size_out < head_size ? 0 : *size_out - head_size;
    if (body_sent < body_size) parts[count++] = {const_cast<char *>(body) + body_sent, body_size - body_sent};
    const ssize_t result = kernel_->send_parts(c->fd, parts, count, more ? MSG_DONTWAIT | MSG_MORE : MSG_DONTWAIT);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && is_for_later(errno)) return link_blocked(c, kAskWrite);
    if (result < 0) return KR_ERR_CLOSED;
    *size_out += static_cast<size_t>(result);
  }
  return KR_OK;
}

void worker::link_bound_unsent(uint64_t id) {
  const connection *c = link_of(id);
  if (c != nullptr) net::bound_unsent(c->fd);
}

kr_status worker::link_room(uint64_t id, size_t *size_out) {
  *size_out = 0;
  connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  const int room = kernel_->send_room(c->fd);
  if (room == 0) return link_blocked(c, kAskWrite);
  *size_out = room < 0 ? SIZE_MAX : static_cast<size_t>(room);
  return KR_OK;
}

kr_status worker::link_send_file(uint64_t id, int file, int64_t *offset, size_t size) {
  connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  while (size != 0) {
    off_t at = static_cast<off_t>(*offset);
    const ssize_t result = ::sendfile(c->fd, file, &at, std::min(size, kSendFileMax));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && is_blocked(errno)) return link_blocked(c, kAskWrite);
    if (result == 0) return KR_ERR_INVALID;
    if (result < 0) return is_lost(errno) ? KR_ERR_CLOSED : KR_ERR_INVALID;
    *offset = at;
    size -= static_cast<size_t>(result);
  }
  return KR_OK;
}

void worker::link_release(uint64_t id, uint32_t how) {
  connection *c = connections_.find(id);
  if (c == nullptr) return;
  const bool needed = how != KR_RELEASE_KEEP || (c->input != nullptr && c->input->begin != c->input->size);
  constexpr uint8_t kAsks[] = {kAskKeep, kAskClose, kAskAbort, kAskReset};
  ask(c, kAsks[how]);
  // Between requests nobody waits for the worker to know: it will, by its next turn.
  if (needed || muted_count_.load() != 0 || common_->draining.load()) wake_if_asleep();
}

kr_status worker::link_detach(uint64_t id, char *data, size_t capacity, size_t *size_out, int *fd_out) {
  *size_out = 0;
  connection *c = link_of(id);
  if (c == nullptr) return KR_ERR_CLOSED;
  const input_buffer *input = c->input;
  if (input != nullptr) *size_out = input->size - input->begin;
  if (*size_out > capacity) return KR_ERR_INVALID;
  // The worker closes its own descriptor when it has seen to epoll.
  *fd_out = ::fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
  if (*fd_out < 0) return KR_ERR_SYSTEM;
  if (*size_out != 0) std::memcpy(data, c->input->data() + input->begin, *size_out);
  ask(c, kAskDetach);
  wake_if_asleep();
  return KR_OK;
}

int worker::link_fd(uint64_t id) const {
  const connection *c = link_of(id);
  return c == nullptr ? -1 : c->fd;
}

uint8_t worker::link_origin(uint64_t id) const {
  const connection *c = connections_.find(id);
  return c == nullptr ? 0 : c->origin;
}

int32_t worker::link_unsent(uint64_t id) const {
  const connection *c = link_of(id);
  return c == nullptr ? -1 : kernel_->unsent_size(c->fd);
}

// ---------------------------------------------------------- the worker's side

void worker::begin_link(connection *c, const kr_request &request) {
  c->flags &= static_cast<uint16_t>(~kInBatch);
  if ((request.flags & KR_REQUEST_HTTP10) != 0) c->flags |= kHttp10;
  set_phase(c, phase::link);
  ++link_count_;
  KR_ASSERT(c->output == nullptr);
  // It may come from waiting for its peer to read; and a link counts on hearing of bytes and of the end.
  poll(c, kPollRead);
  // Its deadline is left where it stands: it passes without effect, or is moved at the release.
  if ((c->flags & kDead) != 0) kernel_->shutdown(c->fd, SHUT_RDWR);
}

void worker::on_link_event(connection *c, uint32_t events) {
  // Released since the mail was read: it is in the mailbox, or about to be, and its events come again.
  if ((c->asks.load() & kAskEnd) != 0) return;
  uint32_t kinds = 0;
  const bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLOUT) != 0 || gone) {
    if ((c->asks.fetch_and(static_cast<uint8_t>(~kAskWrite)) & kAskWrite) != 0) kinds |= KR_NOTICE_WRITABLE;
    if (!gone) poll(c, static_cast<uint16_t>(c->polled & ~uint32_t{EPOLLOUT}));
  }
  if ((events & EPOLLIN) != 0 || gone) {
    if ((c->asks.fetch_and(static_cast<uint8_t>(~kAskRead)) & kAskRead) != 0) {
      kinds |= KR_NOTICE_READABLE;
    } else if (!gone) {
      // The next request, or a body that nobody reads.
      poll(c, static_cast<uint16_t>(c->polled & ~uint32_t{EPOLLIN}));
      mute(c);
    }
  }
  if (gone) {
    unpoll(c);
    mute(c);
    if ((c->flags & kGone) == 0) kinds |= KR_NOTICE_GONE;
    c->flags |= kGone;
  }
  if (kinds != 0) notify(c, kinds);
  flush_notices();
}

// From now on who wants to read has to say so.
void worker::mute(connection *c) {
  if (!c->muted.exchange(true)) muted_count_.fetch_add(1);
  if ((c->asks.load() & kAskRead) != 0) ask(c, kAskRead);
}

void worker::take_mail() {
  if (mailbox_.load(std::memory_order_relaxed) == kNoMail) return;
  for (uint32_t index = mailbox_.exchange(kNoMail); index != kNoMail;) {
    connection *c = connections_.at(index);
    index = c->next;
    take_asks(c, c->asks.fetch_and(static_cast<uint8_t>(~kAskMailed)));
    flush_notices();
  }
}

void worker::take_asks(connection *c, uint8_t asks) {
  if ((asks & kAskEnd) != 0) return end_link(c, asks);
  if ((asks & kAskWrite) != 0) poll(c, static_cast<uint16_t>(c->polled | EPOLLOUT));
  if ((asks & kAskRead) == 0) return;
  if ((c->flags & kGone) != 0) {
    // The end has come, and what was sent before it: there is nothing to wait for.
    c->asks.fetch_and(static_cast<uint8_t>(~kAskRead));
    return notify(c, KR_NOTICE_READABLE);
  }
  if (c->muted.exchange(false)) muted_count_.fetch_sub(1);
  poll(c, static_cast<uint16_t>(c->polled | kPollRead));
}

void worker::end_link(connection *c, uint8_t asks) {
  KR_ASSERT(c->phase == phase::link);
  --link_count_;
  if (c->muted.exchange(false, std::memory_order_relaxed)) muted_count_.fetch_sub(1);
  c->asks.store(0, std::memory_order_relaxed);
  c->flags &= static_cast<uint16_t>(~kGone);
  if ((asks & kAskDetach) != 0) return close(c);
  input_buffer *input = c->input;
  if (input != nullptr && input->body_status == KR_ERR_REFUSED) count_reason(c, input->progress.decoder.reason());
  if ((asks & (kAskAbort | kAskReset)) != 0) {
    if ((asks & kAskReset) != 0 || (c->flags & kHttp10) != 0) c->flags |= kReset;
    c->flags |= kDead;
  }
  c->flags &= static_cast<uint16_t>(~kHttp10);
  // A body that was not read to its end would be taken for the next request.
  if ((asks & kAskClose) != 0 || (input != nullptr && input->body_open && !input->body_ended)) c->flags |= kCloseAfter;
  set_phase(c, phase::write);  // until settle knows better
  if (input == nullptr || (c->flags & (kDead | kCloseAfter)) != 0) return settle(c);
  set_phase(c, phase::idle);  // until parse has found the next request
  input->started_ms = now_ms_;
  input->rate = rate_deadline{};
  if (input->body_open) {
    const size_t rest = input->size - input->begin;
    std::memmove(input->data(), input->data() + input->begin, rest);
    input->size = rest;
    input->body_open = input->body_ended = false;
    input->begin = 0;
    input->progress = request_progress{};
    input->scanner = http::head_scanner{};
    if (rest == 0) {
      close_input(&pool_, &c->input);
      return settle(c);
    }
  }
  parse(c, input->data(), input->size, input);
}

void worker::notify(const kr_notice &notice) {
  KR_ASSERT(batch_.notices_used < batch::kNoticesMax);
  batch_.notices[batch_.notices_used++] = notice;
}

void worker::count_reason(const connection *c, uint8_t reason, uint16_t code, const char *data, size_t size) {
  counters_.reasons[reason].add(1);
  if (config_.notify_reasons != 0) notify({c->id(), KR_NOTICE_REASON, reason, code, data, size});
}

// Where no connection is being looked at that the receiver might change.
void worker::flush_notices() {
  if (batch_.notices_used < batch::kNoticesFlush) return;
  dispatch();
}

void worker::end() {
  // What another worker has handed over, and nobody will make a connection of.
  net::accepted_socket sockets[64];
  for (size_t count; (count = common_->peers[index_].inbox.take(sockets, std::size(sockets))) != 0;) {
    for (size_t i = 0; i < count; ++i) kernel_->close(sockets[i].fd);
    common_->conns.fetch_sub(static_cast<uint32_t>(count), std::memory_order_relaxed);
  }
  connections_.each([this](connection *c) {
    batch_.notices_used = 0;  // there is nobody to tell
    // Also one that is being released: until it stands in the mailbox, its thread writes to it.
    if (c->phase != phase::link) return close(c);
    // The socket of one that was detached belongs to somebody else too.
    if ((c->asks.load() & kAskDetach) == 0) kernel_->shutdown(c->fd, SHUT_RDWR);
  });
}

}  // namespace kourier::engine
