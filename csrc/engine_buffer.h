// The two buffers that a connection may hold for a while: an incomplete request,
// and what the socket did not take. Both are pool blocks with a header in front.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base_memory.h"
#include "http_chunked.h"
#include "http_head.h"

namespace kourier::engine {

// How far the request has come that is being received.
struct request_progress {
  uint32_t head_size = 0;  // 0: the head is not complete
  http::body_framing framing = http::body_framing::none;
  bool continue_wanted = false;  // 100 Continue is to be sent before the body is waited for
  uint8_t method_id = 0;
  uint64_t content_length = 0;
  uint64_t body_size = 0;  // decoded so far, with chunked framing, and what has come of the trailer section
  http::chunked_decoder decoder;

  // Of body_size: content.
  uint64_t content_size() const { return body_size - decoder.trailer_size(); }
};

// When bytes must have come, or have been taken, so that a peer below the least
// rate is found: the deadline moves on with every byte, up to a bound, so that a
// burst buys patience but not for ever.
struct rate_deadline {
  static constexpr uint64_t kCreditMaxMs = 30000;

  uint64_t deadline_us = 0;  // 0: not started

  bool started() const { return deadline_us != 0; }
  void start(uint64_t now_ms, uint32_t grace_ms) { deadline_us = (now_ms + grace_ms) * 1000; }
  // `rate` is bytes/s and not 0.
  void credit(uint64_t now_ms, uint64_t size, uint32_t rate) {
    const uint64_t bound_us = (now_ms + kCreditMaxMs) * 1000;
    // A size beyond the bound's worth needs no multiplication, which might overflow.
    if (size >= uint64_t{rate} * kCreditMaxMs / 1000) {
      deadline_us = bound_us;
      return;
    }
    deadline_us += size * 1000000 / rate;
    if (deadline_us > bound_us) deadline_us = bound_us;
  }
  uint64_t ms() const { return deadline_us / 1000; }
};

// An incomplete request from its first byte on, and whatever came behind it.
struct input_buffer {
  size_t block_size;    // of the pool block, this header included
  size_t size;          // bytes of data() in use
  uint64_t started_ms;  // when the first byte of the request came
  rate_deadline rate;   // of the body
  http::head_scanner scanner;
  request_progress progress;

  // Of a link's request whose body is open: progress.content_length is what is still to come with
  // body_framing::length. With body_framing::chunked, progress.body_size counts the bytes of content from `begin` on
  // that are decoded already, and data() begins with what has come of the trailer section.
  bool body_open;
  kr_status body_status;  // what kr_link_read answers from now on, unless KR_OK
  bool body_ended;
  size_t begin;  // of what was not read yet

  char *data() { return reinterpret_cast<char *>(this + 1); }
  size_t room() const { return block_size - sizeof(input_buffer) - size; }
};

// Bytes on their way to a peer that reads slowly.
struct output_buffer {
  size_t block_size;
  size_t begin;  // offset of the first byte to send
  size_t end;    // offset behind the last one
  uint64_t started_ms;
  rate_deadline rate;
  uint64_t rate_check_ms;  // when the rate is looked at next
  uint64_t accepted_size;  // bytes that the socket has taken since the rate was last looked at
  int32_t unsent_last;     // bytes in the socket's queue at that time

  char *data() { return reinterpret_cast<char *>(this + 1); }
  size_t size() const { return end - begin; }
};

// An input buffer with room for `size` bytes and none in use; null: no memory.
input_buffer *open_input(base::block_pool *pool, size_t size, uint64_t now_ms);
// Makes room for `room` more bytes. False: no memory, and nothing has changed.
[[nodiscard]] bool reserve_input(base::block_pool *pool, input_buffer **input, size_t room);
void close_input(base::block_pool *pool, input_buffer **input);

// Appends to *output, which may be null. False: no memory, and nothing has changed.
[[nodiscard]] bool append_output(base::block_pool *pool, output_buffer **output, const char *data, size_t size,
                                 uint64_t now_ms);
void close_output(base::block_pool *pool, output_buffer **output);

}  // namespace kourier::engine
