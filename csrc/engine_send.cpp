//go:build !kourier_cmake

// From batch to socket: one send a connection and turn, a backlog for what the
// socket does not take, and the state that a connection is left in.

#include <sys/socket.h>

#include <cerrno>

#include "base_assert.h"
#include "engine_worker.h"

namespace kourier::engine {

// Ranges of answers of one connection, neighbours merged, on their way to deliver().
struct worker::gather {
  static constexpr size_t kPartsMax = 64;

  gather(worker *w, connection *c) : owner(w), conn(c) {}

  worker *const owner;
  connection *const conn;
  size_t count = 0;
  struct iovec parts[kPartsMax];

  void add(const char *data, size_t size) {
    if (size == 0) return;
    if (count != 0) {
      struct iovec &last = parts[count - 1];
      if (static_cast<const char *>(last.iov_base) + last.iov_len == data) {
        last.iov_len += size;
        return;
      }
      if (count == kPartsMax) flush();
    }
    parts[count++] = {const_cast<char *>(data), size};
  }
  void flush() {
    if (count != 0) owner->deliver(conn, parts, count);
    count = 0;
  }
};

// Sends, or keeps what the socket does not take. A failure marks the connection dead.
void worker::deliver(connection *c, const struct iovec *parts, size_t count) {
  if ((c->flags & kDead) != 0) return;
  size_t sent = 0;
  if (c->output == nullptr) {
    ssize_t result = kernel_->send_parts(c->fd, parts, count, 0);
    counters_.syscalls.add(1);
    if (result < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS && errno != ENOMEM) {
        c->flags |= kDead;
        return;
      }
      result = 0;
    }
    sent = static_cast<size_t>(result);
    counters_.bytes_out.add(sent);
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t size = parts[i].iov_len;
    if (sent >= size) {
      sent -= size;
      continue;
    }
    const char *rest = static_cast<const char *>(parts[i].iov_base) + sent;
    if (!append_output(&pool_, &c->output, rest, size - sent, now_ms_)) {
      count_reason(c, KR_REASON_NO_MEMORY);
      c->flags |= kDead;
      return;
    }
    sent = 0;
  }
}

// Sends the answers of a share that are there, up to the record `end`, and then `extra`.
void worker::send_share(share *s, uint32_t end, const char *extra, size_t extra_size) {
  gather parts(this, s->conn);
  while (s->sent < end && !s->closing) {
    const kr_request &request = batch_.requests[s->sent];
    if ((request.answer_flags & (KR_ANSWER_DONE | KR_ANSWER_CLOSE | KR_ANSWER_ABORT)) == 0) break;
    const char *source = request.answer_source == kAnswerInOut ? batch_.out : batch_.core_answers;
    parts.add(source + request.answer_offset, request.answer_size);
    const uint32_t answer_class = request.answer_code / 100;
    if (answer_class < 6) counters_.responses[answer_class].add(1);
    ++s->sent;
    const bool keep_alive = (request.flags & (KR_REQUEST_KEEP_ALIVE | KR_REQUEST_BODY_OPEN)) == KR_REQUEST_KEEP_ALIVE;
    if (!keep_alive || (request.answer_flags & (KR_ANSWER_CLOSE | KR_ANSWER_ABORT)) != 0) s->closing = true;
    if ((request.answer_flags & KR_ANSWER_ABORT) != 0) {
      parts.flush();
      s->conn->flags |= kDead;
      // Where the end of the connection is the end of the body, only RST tells that it is not whole.
      if ((request.flags & KR_REQUEST_HTTP10) != 0) s->conn->flags |= kReset;
    }
  }
  if (extra_size != 0) parts.add(extra, extra_size);
  parts.flush();
}

kr_status worker::write(uint32_t index, const char *data, size_t size) {
  KR_ASSERT(index < batch_.requests_used);
  // What stands in `out` for connections before this one is complete.
  while (index >= batch_.shares[share_cursor_].first + batch_.shares[share_cursor_].count) {
    share *before = &batch_.shares[share_cursor_++];
    send_share(before, before->first + before->count, nullptr, 0);
  }
  share *s = &batch_.shares[share_cursor_];
  send_share(s, index, nullptr, 0);
  kr_request *request = &batch_.requests[index];
  if (s->sent == index && !s->closing) {
    gather parts(this, s->conn);
    parts.add(batch_.out + request->answer_offset, request->answer_size);
    parts.add(data, size);
    parts.flush();
  }
  request->answer_offset = 0;
  request->answer_size = 0;
  view_.out_size = 0;
  if ((s->conn->flags & kDead) != 0 || s->closing) return KR_ERR_CLOSED;
  return s->conn->output != nullptr ? KR_ERR_BLOCKED : KR_OK;
}

// Sends what is left of a share and lets go of what its requests lay in.
void worker::finish_share(share *s) {
  connection *c = s->conn;
  const uint32_t end = s->first + s->count;
  send_share(s, end, nullptr, 0);
  if (s->sent < end && !s->closing) {
    if ((batch_.requests[s->sent].answer_flags & KR_ANSWER_LATER) != 0) {
      close_input(&pool_, &s->retired);
      return begin_link(c, batch_.requests[s->sent]);
    }
    hold_back(s);
  }
  close_input(&pool_, &s->retired);
  if (s->closing) {
    c->flags |= kCloseAfter;
    close_input(&pool_, &c->input);
  }
  settle(c);
}

// The peer is not reading: what the receiver has left out is asked again later,
// so its bytes go in front of what the connection keeps.
void worker::hold_back(share *s) {
  connection *c = s->conn;
  if (c->output == nullptr) {
    // Nobody would ask again: the receiver left out what it had to answer.
    c->flags |= kDead;
    return;
  }
  const char *from = batch_.requests[s->sent].base;
  const size_t size = s->consumed - static_cast<size_t>(from - s->data);
  const size_t behind = c->input != nullptr ? c->input->size : 0;
  input_buffer *held = open_input(&pool_, size + behind, now_ms_);
  if (held == nullptr) {
    count_reason(c, KR_REASON_NO_MEMORY);
    c->flags |= kDead;
    return;
  }
  __builtin_memcpy(held->data(), from, size);
  if (behind != 0) __builtin_memcpy(held->data() + size, c->input->data(), behind);
  held->size = size + behind;
  close_input(&pool_, &c->input);
  c->input = held;
  // They will be counted when they are taken again, but for a refusal, which is counted once.
  for (uint32_t i = s->sent; i < s->first + s->count; ++i) {
    const uint8_t source = batch_.requests[i].answer_source;
    if (source != kRefusal && source != kInterim) counters_.requests.subtract(1);
  }
}

void worker::on_writable(connection *c) {
  output_buffer *output = c->output;
  const ssize_t result = kernel_->send(c->fd, output->data() + output->begin, output->size(), MSG_NOSIGNAL);
  counters_.syscalls.add(1);
  if (result < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;
    if (errno == ENOBUFS || errno == ENOMEM) return starve(c);
    return close(c);
  }
  const size_t sent = static_cast<size_t>(result);
  counters_.bytes_out.add(sent);
  output->begin += sent;
  output->accepted_size += sent;
  if (output->size() != 0) return;
  close_output(&pool_, &c->output);
  if (c->input != nullptr && (c->flags & kCloseAfter) == 0) {
    // The peer could not be heard before.
    c->input->started_ms = now_ms_;
    c->input->rate = rate_deadline{};
    parse(c, c->input->data(), c->input->size, c->input);
  } else {
    settle(c);
  }
}

// Decides what a connection waits for, and until when.
void worker::settle(connection *c) {
  c->flags &= static_cast<uint16_t>(~kInBatch);
  if ((c->flags & kDead) != 0) return close(c);
  if (c->output != nullptr) {
    set_phase(c, phase::write);
    poll(c, EPOLLOUT);
  } else if ((c->flags & kCloseAfter) != 0) {
    return linger(c);
  } else {
    if (c->input == nullptr) {
      // The answer has not said that it is the last: the peer may have sent more by now.
      if (drained_ && !has_unread(c)) return linger(c);
      set_phase(c, phase::idle);
    } else {
      set_phase(c, c->input->progress.head_size == 0 ? phase::head : phase::body);
    }
    // A socket that can be written to reports itself at once, and so has its input parsed on.
    poll(c, (c->flags & kUnparsed) != 0 ? kPollRead | EPOLLOUT : kPollRead);
  }
  start_rate(c);
  arm(c);
}

void worker::poll(connection *c, uint16_t events) {
  if (c->polled == events) return;
  struct epoll_event event = {};
  event.events = events;
  event.data.u64 = c->id();
  counters_.syscalls.add(1);
  const bool known = (c->flags & kUnpolled) == 0;
  if (kernel_->epoll_ctl(epoll_fd_, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) != 0) return;
  c->flags &= static_cast<uint16_t>(~kUnpolled);
  c->polled = events;
}

// Nothing is reported any more, not even that the peer has gone.
void worker::unpoll(connection *c) {
  if ((c->flags & kUnpolled) != 0) return;
  counters_.syscalls.add(1);
  kernel_->epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, c->fd, nullptr);
  c->flags |= kUnpolled;
  c->polled = 0;
}

void worker::set_phase(connection *c, phase p) {
  if (c->phase == p) return;
  const bool was_idle = c->phase == phase::idle;
  if (was_idle) counters_.conns_idle.subtract(1);
  if (p == phase::idle) counters_.conns_idle.add(1);
  c->phase = p;
  // One that closes without having been sent anything has never been active.
  if (config_.notify_states == 0 || p == phase::linger) return;
  if (was_idle) notify(c, KR_NOTICE_ACTIVE);
  if (p == phase::idle) notify(c, KR_NOTICE_IDLE);
}

// The rate of a body, or of an answer being read, is measured from when the peer
// was first waited for.
void worker::start_rate(connection *c) {
  if (c->phase == phase::body && !c->input->rate.started()) c->input->rate.start(now_ms_, config_.rate_grace_ms);
  if (c->phase == phase::write && !c->output->rate.started()) {
    c->output->rate.start(now_ms_, config_.rate_grace_ms);
    c->output->unsent_last = kernel_->unsent_size(c->fd);
    c->output->rate_check_ms = now_ms_ + kRateCheckMs;
  }
}

}  // namespace kourier::engine
