//go:build !kourier_cmake

// From socket to batch: receive once a readiness, cut what came into requests,
// keep what is incomplete.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base_assert.h"
#include "engine_worker.h"
#include "http_answer.h"

namespace kourier::engine {

namespace {

static_assert(kAnswerInOut == 0, "parse_head zeroes answer_source");

// An input buffer is grown when less than this is free, so that a request that
// comes in many pieces is not received in ever smaller ones.
constexpr size_t kInputRoomMin = 256;
// A body whose rest is at least this long gets as much room at once, and at most that.
constexpr size_t kBodyRoomMax = 64 * 1024;
// What a slow start may not cost: a new buffer has room for this much beyond what it holds.
constexpr size_t kInputRoomFirst = 128;
// A chunked body is received into a buffer of this size when a link reads it, in which the trailer section stays.
constexpr size_t kChunkedRoom = http::chunked_decoder::kTrailerSizeMax + 4 * 1024;

constexpr std::string_view kPrefaceHead = "PRI * HTTP/2.0\r\n\r\n";

bool begins_preface(const char *data, size_t size) {
  return kPrefaceHead.substr(0, size) == std::string_view(data, size).substr(0, kPrefaceHead.size());
}

// For sizes from 16 on, which every head has. Short and seldom long: not worth a call of memcmp.
bool is_equal(const char *a, const char *b, size_t size) {
  const auto differ = [a, b](size_t at) {
    uint64_t x[2];
    uint64_t y[2];
    __builtin_memcpy(x, a + at, 16);
    __builtin_memcpy(y, b + at, 16);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0;
  };
  for (size_t at = 0; at + 16 < size; at += 16) {
    if (differ(at)) return false;
  }
  return !differ(size - 16);
}

}  // namespace

// What was received from one connection and is being cut into requests. While it
// exists it owns `source`, and the connection's own input is null.
struct worker::intake {
  connection *conn;
  input_buffer *source;  // where data lies; null: in the arena
  char *data;            // from the request that is looked at on
  size_t size;
  request_progress progress;  // of that request
  uint64_t body_size;         // of a complete body, decoded
  uint64_t body_taken;        // of a complete body, as it was received
  share *current;             // this connection's share of the batch; null: none yet
  bool scanned;               // the head at `data` is worth parsing
  bool put_off;               // what is left is for another batch
  bool waits;                 // requests of it wait for the receiver, which may take the connection over
  input_buffer *open_body;    // owned: of the request that is being taken, whose body has not come whole; else null
};

void worker::on_readable(connection *c) {
  if (c->phase == phase::linger) {
    discard(c);
  } else if (c->input == nullptr) {
    receive_into_arena(c);
  } else {
    receive_into_input(c);
  }
}

void worker::receive_into_arena(connection *c) {
  if (batch_.arena_room() < batch::kReceiveMin) {
    dispatch();
    batch_.arena_used = 0;
  }
  char *at = batch_.arena + batch_.arena_used;
  const size_t room = batch_.arena_room() < batch::kReceiveMax ? batch_.arena_room() : batch::kReceiveMax;
  const ssize_t result = kernel_->recv(c->fd, at, room, 0);
  counters_.syscalls.add(1);
  if (result <= 0) return receive_failed(c, result, errno);
  const size_t size = static_cast<size_t>(result);
  KR_ASSERT(size <= room);
  counters_.bytes_in.add(size);
  // Each connection's bytes start on a cache line of their own.
  const size_t used = (size + 63) & ~size_t{63};
  batch_.arena_used += used < batch_.arena_room() ? used : batch_.arena_room();
  parse(c, at, size, nullptr);
}

void worker::receive_into_input(connection *c) {
  size_t wanted = kInputRoomMin;
  const request_progress &progress = c->input->progress;
  if (progress.head_size != 0 && progress.framing == http::body_framing::length) {
    const uint64_t rest = progress.head_size + progress.content_length - c->input->size;
    wanted = rest < kBodyRoomMax ? static_cast<size_t>(rest) : kBodyRoomMax;
  }
  if (!reserve_input(&pool_, &c->input, wanted)) {
    count_reason(c, KR_REASON_NO_MEMORY);
    return close(c);
  }
  input_buffer *input = c->input;
  const ssize_t result =
      kernel_->recv(c->fd, input->data() + input->size, std::min(input->room(), batch::kReceiveMax), 0);
  counters_.syscalls.add(1);
  if (result <= 0) return receive_failed(c, result, errno);
  const size_t size = static_cast<size_t>(result);
  KR_ASSERT(size <= input->room());
  counters_.bytes_in.add(size);
  input->size += size;
  if (c->phase == phase::body && config_.body_rate_min != 0) {
    input->rate.credit(now_ms_, size, config_.body_rate_min);
  }
  parse(c, input->data(), input->size, input);
}

// The kernel is short of memory: the connection is looked at again a little later.
void worker::starve(connection *c) {
  c->flags |= kStarved;
  poll(c, 0);
  arm(c);
}

void worker::receive_failed(connection *c, ssize_t result, int error) {
  if (result < 0) {
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return;
    if (error == ENOMEM || error == ENOBUFS) {
      return starve(c);
    }
  }
  // The peer has closed: between requests, which is how a connection ends, or
  // within one, which then has no answer (RFC 9112 §8).
  close(c);
}

void worker::parse(connection *c, char *data, size_t size, input_buffer *source) {
  intake in = {};
  in.conn = c;
  in.source = source;
  in.data = data;
  in.size = size;
  in.scanned = source == nullptr;
  c->flags &= static_cast<uint16_t>(~kUnparsed);
  if (source != nullptr) {
    in.progress = source->progress;
    c->input = nullptr;
  }
  take_requests(&in);
  keep_rest(&in);
  if (in.put_off && c->input != nullptr) c->flags |= kUnparsed;
  if (in.current == nullptr) settle(c);
}

// Puts requests into the batch until none is complete.
void worker::take_requests(intake *in) {
  while (in->size != 0) {
    if (in->progress.head_size == 0) take_repeats(in);
    if (in->size == 0) return;
    if (!batch_.has_room() || batch_.core_answers_tail(batch::kCoreAnswerMax) == nullptr) {
      if (in->current != nullptr) {
        in->put_off = true;
        return;
      }
      dispatch();
    }
    // The request's place in the batch; it counts once it is complete.
    kr_request *request = &batch_.requests[batch_.requests_used];
    bool described = false;
    if (in->progress.head_size == 0) {
      if (!take_head(in, request)) return;
      described = true;
    }
    const http::body_framing framing = in->progress.framing;
    if (framing == http::body_framing::chunked && in->current != nullptr) {
      // Decoding overwrites the bytes that the connection would have to keep if
      // an earlier answer of this batch blocked it. So that one is given first.
      in->put_off = true;
      return;
    }
    in->body_size = 0;
    in->body_taken = 0;
    if (framing != http::body_framing::none && !take_body(in)) return;
    if (!described) describe_again(in, request);
    request->body_size = in->body_size;
    add_request(in, request);
    if ((request->flags & KR_REQUEST_PREFACE) != 0) in->put_off = true;
    if (in->put_off || in->conn->input != nullptr) return;  // later, or not before an open body was read
  }
}

// What a head means depends on its octets alone: those that equal the last one of the
// batch are not parsed again. Clients that pipeline, poll or check for health repeat
// themselves. Only for requests without a body that are the receiver's to answer.
void worker::take_repeats(intake *in) {
  const kr_request *first = batch_.repeatable;
  if (first == nullptr || (first->flags & KR_REQUEST_KEEP_ALIVE) == 0) return;
  const auto size = static_cast<size_t>(first->body - first->base);
  if (!batch_.has_room()) return;
  const uint32_t room = batch::kRequestsMax - batch_.requests_used;
  kr_request *records = &batch_.requests[batch_.requests_used];
  uint32_t count = 0;
  for (; count < room && in->size >= size && is_equal(in->data, first->base, size); ++count) {
    records[count] = *first;
    records[count].base = in->data;
    records[count].body = in->data + size;
    records[count].connection = in->conn->id();
    in->data += size;
    in->size -= size;
  }
  if (count == 0) return;
  share *s = share_of(in, in->data - count * size);
  s->count += count;
  s->consumed += count * size;
  batch_.requests_used += count;
  in->scanned = true;
  in->waits = hands_over();
  batch_.unanswered += count;
  counters_.requests.add(count);
}

// True: the head at in->data is complete, and `request` describes it.
bool worker::take_head(intake *in, kr_request *request) {
  if (!in->scanned) {
    // In pieces: parse only when that can tell something new.
    if (!in->source->scanner.advance(in->data, in->size, limits_)) return false;
    in->scanned = true;
  }
  http::head_facts head;
  const http::verdict verdict = http::parse_head(in->data, in->size, limits_, batch_.fields_tail(), request, &head);
  if (verdict == http::verdict::more) return false;
  if (verdict == http::verdict::bad) {
    if (config_.preface != 0 && begins_preface(in->data, in->size)) return take_preface(in, request);
    add_refusal(in, head.status, head.reason, head.method_id);
    return false;
  }
  in->progress.head_size = head.size;
  in->progress.framing = head.framing;
  in->progress.continue_wanted = head.expects_continue;
  in->progress.method_id = head.method_id;
  in->progress.content_length = head.content_length;
  in->progress.body_size = 0;
  if (head.framing == http::body_framing::chunked) in->progress.decoder = http::chunked_decoder{};
  if (head.framing == http::body_framing::length && head.content_length > config_.body_size_max) {
    add_refusal(in, 413, KR_REASON_BODY_TOO_LARGE, head.method_id);
    return false;
  }
  return true;
}

// HTTP/2 with prior knowledge: what follows is the receiver's to read.
bool worker::take_preface(intake *in, kr_request *request) {
  if (in->size < kPrefaceHead.size()) return false;
  *request = kr_request{};
  request->base = in->data;
  request->fields = batch_.fields_tail();
  request->body = in->data + kPrefaceHead.size();
  request->method_size = 3;
  request->target_offset = request->path_offset = 4;
  request->target_size = request->path_size = 1;
  request->flags = KR_REQUEST_KEEP_ALIVE | KR_REQUEST_PREFACE;
  in->progress = request_progress{};
  in->progress.head_size = static_cast<uint32_t>(kPrefaceHead.size());
  return true;
}

// The head was found to be whole before the body was, and its table was not kept.
void worker::describe_again(intake *in, kr_request *request) {
  http::head_facts head;
  [[maybe_unused]] const http::verdict verdict =
      http::parse_head(in->data, in->progress.head_size, limits_, batch_.fields_tail(), request, &head);
  KR_ASSERT(verdict == http::verdict::done);
}

// True: the body is complete, and in->body_size and in->body_taken say how long it is,
// or it is the receiver's to read, and in->open_body is where it goes on.
bool worker::take_body(intake *in) {
  request_progress &progress = in->progress;
  const size_t received = in->size - progress.head_size;
  bool complete = false;
  if (progress.framing == http::body_framing::length) {
    complete = received >= progress.content_length;
    in->body_size = progress.content_length;
    in->body_taken = progress.content_length;
  } else {
    char *raw = in->data + progress.head_size + progress.body_size;
    size_t written = 0;
    size_t consumed = 0;
    const http::verdict verdict =
        progress.decoder.decode(raw, raw, received - progress.body_size, config_.body_size_max, &written, &consumed);
    if (verdict == http::verdict::bad) {
      add_refusal(in, progress.decoder.status(), progress.decoder.reason(), progress.method_id);
      return false;
    }
    complete = verdict == http::verdict::done;
    in->body_taken = progress.body_size + consumed;
    progress.body_size += written;
    in->body_size = progress.content_size();
    // The framing is gone; what comes next is received behind the decoded bytes.
    if (!complete) in->size = progress.head_size + progress.body_size;
  }
  // A client that has begun to send the body does not wait (RFC 9110 §10.1.1).
  if (received != 0) progress.continue_wanted = false;
  if (!complete && leaves_body_open(progress)) return open_body(in);
  if (!complete && progress.continue_wanted) {
    KR_ASSERT(!in->waits);  // a receiver that may take it over waits itself
    add_continue(in);
    progress.continue_wanted = false;
  }
  return complete;
}

// Whether a request whose body is incomplete goes to the receiver as it is.
bool worker::leaves_body_open(const request_progress &progress) const {
  if (!hands_over()) return false;
  if (progress.continue_wanted) return true;
  const bool by_length = progress.framing == http::body_framing::length;
  return (by_length ? progress.content_length : progress.content_size() + 1) > config_.body_collect_max;
}

// Makes a buffer of what has come of the body.
bool worker::open_body(intake *in) {
  const bool chunked = in->progress.framing == http::body_framing::chunked;
  const size_t size = in->size - in->progress.head_size;
  input_buffer *input = open_input(&pool_, size + (chunked ? kChunkedRoom : 0), now_ms_);
  if (input == nullptr) {
    count_reason(in->conn, KR_REASON_NO_MEMORY);
    in->conn->flags |= kDead;
    in->size = 0;
    return false;
  }
  const char *body = in->data + in->progress.head_size;
  const size_t trailer_size = chunked ? in->progress.decoder.trailer_size() : 0;
  std::memcpy(input->data(), body + size - trailer_size, trailer_size);
  std::memcpy(input->data() + trailer_size, body, size - trailer_size);
  input->size = size;
  input->begin = trailer_size;
  input->progress = in->progress;
  input->progress.body_size -= trailer_size;
  if (in->source != nullptr && in->data == in->source->data()) input->started_ms = in->source->started_ms;
  input->body_open = true;
  in->open_body = input;
  in->body_size = 0;
  in->body_taken = 0;
  return true;
}

// The connection's share of the batch; its first request begins at `data`.
share *worker::share_of(intake *in, const char *data) {
  if (in->current == nullptr) {
    in->current = &batch_.shares[batch_.share_count++];
    *in->current = share{in->conn, data, nullptr, 0, batch_.requests_used, 0, batch_.requests_used, false};
    in->conn->flags |= kInBatch;
  }
  return in->current;
}

kr_request *worker::add_record(intake *in) {
  ++share_of(in, in->data)->count;
  return &batch_.requests[batch_.requests_used++];
}

// Takes the request at in->data, described in its place, into the batch.
void worker::add_request(intake *in, kr_request *record) {
  connection *c = in->conn;
  const kr_static *answer = nullptr;
  if (!common_->static_answers.empty()) {
    // "GET http://a" asks for "/", RFC 9112 §3.2.1.
    const bool root =
        record->path_size == 0 && record->method != KR_METHOD_OPTIONS && record->method != KR_METHOD_CONNECT;
    answer = common_->static_answers.find(record->method, root ? "/" : record->base + record->path_offset,
                                          root ? 1 : record->path_size);
    if (answer != nullptr && in->waits) {
      close_input(&pool_, &in->open_body);
      in->put_off = true;
      return;
    }
  }
  [[maybe_unused]] const kr_request *added = add_record(in);
  KR_ASSERT(added == record);
  record->connection = c->id();
  if (drained_) record->flags &= static_cast<uint8_t>(~KR_REQUEST_KEEP_ALIVE);
  batch_.fields_used += record->field_count;
  counters_.requests.add(1);

  if (in->open_body != nullptr) {
    record->flags |= KR_REQUEST_BODY_OPEN;
    if (in->progress.continue_wanted) record->flags |= KR_REQUEST_CONTINUE;
    c->input = in->open_body;
    in->size = in->progress.head_size;  // the rest is there
  }
  if (answer != nullptr) {
    if (in->open_body != nullptr) record->flags &= static_cast<uint8_t>(~KR_REQUEST_KEEP_ALIVE);
    char *out = batch_.core_answers_tail(http::static_size_max(*answer));
    record->answer_flags = KR_ANSWER_DONE;
    record->answer_source = kAnswerInCore;
    record->answer_code = answer->code;
    record->answer_offset = batch_.core_answers_used;
    record->answer_size =
        static_cast<uint32_t>(http::write_static(out, *answer, record->flags, record->method == KR_METHOD_HEAD, date_));
    batch_.core_answers_used += record->answer_size;
  } else {
    ++batch_.unanswered;
    in->waits = hands_over();
  }

  const bool plain = answer == nullptr && (record->flags & KR_REQUEST_PREFACE) == 0 &&
                     in->progress.framing == http::body_framing::none;
  batch_.repeatable = plain ? record : nullptr;
  const size_t taken = in->progress.head_size + in->body_taken;
  in->current->consumed += taken;
  in->data += taken;
  in->size -= taken;
  in->progress.head_size = 0;
  in->scanned = true;
  // What follows a request that ends the connection is not looked at (RFC 9112 §9.6), but who takes the
  // connection over has it.
  if ((record->flags & KR_REQUEST_KEEP_ALIVE) == 0) {
    if (in->waits && c->input == nullptr) {
      in->put_off = true;
    } else {
      in->size = 0;
    }
  }
}

// What the core answers must not come before what the receiver has yet to answer, nor
// be lost if it takes the connection over: then it has to wait for another batch.
void worker::add_refusal(intake *in, uint16_t code, uint8_t reason, uint8_t method_id) {
  if (in->waits) {
    in->progress = request_progress{};  // what is wrong with it is found out by looking at its head again
    in->put_off = true;
    return;
  }
  if ((in->conn->flags & kToldRefusal) == 0) {
    in->conn->flags |= kToldRefusal;
    count_reason(in->conn, reason, code, in->data, in->size);
  }
  kr_request *record = add_record(in);
  *record = kr_request{};
  record->base = in->data;
  record->answer_flags = KR_ANSWER_DONE | KR_ANSWER_CLOSE;
  record->answer_source = kRefusal;
  record->answer_code = code;
  record->answer_offset = batch_.core_answers_used;
  record->answer_size = static_cast<uint32_t>(http::write_refusal(batch_.core_answers + batch_.core_answers_used, code,
                                                                  reason, method_id == KR_METHOD_HEAD, date_));
  batch_.core_answers_used += record->answer_size;
  // When requests before it are held back, so is what is refused: it will be refused again.
  in->current->consumed += in->size;
  in->size = 0;
}

void worker::add_continue(intake *in) {
  constexpr uint32_t kSize = sizeof(http::kContinue) - 1;
  kr_request *record = add_record(in);
  *record = kr_request{};
  record->base = in->data;
  record->flags = KR_REQUEST_KEEP_ALIVE;
  record->answer_flags = KR_ANSWER_DONE;
  record->answer_source = kInterim;
  record->answer_code = 100;
  record->answer_offset = batch_.core_answers_used;
  record->answer_size = kSize;
  std::memcpy(batch_.core_answers + batch_.core_answers_used, http::kContinue, kSize);
  batch_.core_answers_used += kSize;
}

// Gives what is left over a place to stay, and the source its end.
void worker::keep_rest(intake *in) {
  connection *c = in->conn;
  const bool untouched = in->source != nullptr && in->data == in->source->data() && in->size != 0;
  if (untouched) {
    in->source->size = in->size;
    in->source->progress = in->progress;
    c->input = in->source;
    return;
  }
  if (in->size != 0) {
    c->input = open_input(&pool_, in->size + kInputRoomFirst, now_ms_);
    if (c->input == nullptr) {
      count_reason(c, KR_REASON_NO_MEMORY);
      c->flags |= kDead;
    } else {
      std::memcpy(c->input->data(), in->data, in->size);
      c->input->size = in->size;
      c->input->progress = in->progress;
    }
  }
  if (in->current != nullptr) {
    in->current->retired = in->source;
  } else {
    close_input(&pool_, &in->source);
  }
}

}  // namespace kourier::engine
