// The batch that a turn fills: requests of many connections, the bytes they
// point into, and the room for the answers. Data only; the worker acts on it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base_memory.h"
#include "engine_buffer.h"
#include "engine_connection.h"
#include "engine_statics.h"
#include "kourier.h"

namespace kourier::engine {

// Values of kr_request.answer_source: where answer_offset counts from.
enum : uint8_t {
  kAnswerInOut = 0,   // kr_batch.out, written by the receiver
  kAnswerInCore = 1,  // batch::core_answers, written by the core; so with the two below
  kRefusal = 2,       // no request: why it was none
  kInterim = 3,       // no request: 100 Continue
};

// One connection's requests in the batch: records [first, first + count).
struct share {
  connection *conn;
  const char *data;       // where the first request begins
  input_buffer *retired;  // owned: what the requests lie in, unless they lie in the arena
  size_t consumed;        // bytes of data that the requests take
  uint32_t first;
  uint32_t count;
  uint32_t sent;  // the records before it have been sent; it itself may be in part
  bool closing;   // an answer said that the connection closes after it
};

// Sizes are chosen so that what one turn touches stays in a core's L2 cache.
struct batch {
  static constexpr size_t kArenaSize = 256 * 1024;
  static constexpr size_t kReceiveMax = 64 * 1024;  // of one connection in one turn
  static constexpr size_t kReceiveMin = 16 * 1024;  // less room than this in the arena: dispatch first
  static constexpr uint32_t kRequestsMax = 512;
  static constexpr uint32_t kSharesMax = 512;
  static constexpr uint32_t kFieldsMax = 4096;  // and room for one request with as many as the limit allows
  static constexpr uint32_t kOutSize = 256 * 1024;
  static constexpr uint32_t kCoreAnswersSize = 256 * 1024;
  // Notices are handed over when kNoticesFlush have gathered, or with the next batch. In between come at
  // most those of the connections of one batch, two each behind it and one before the next, and those of
  // one epoll_wait, or two each of one inbox.
  static constexpr uint32_t kNoticesFlush = 512;
  static constexpr uint32_t kNoticesMax = kNoticesFlush + 5 * kSharesMax;
  static constexpr uint32_t kCoreAnswerMax = statics::kSizeMax + 1024;  // no answer of the core's own is longer

  explicit batch(base::page_source *pages) : pages_(pages) {}
  ~batch();
  batch(const batch &) = delete;
  batch &operator=(const batch &) = delete;

  [[nodiscard]] bool open(uint32_t field_count_max);

  bool empty() const { return share_count == 0; }
  // Room for one more request, and for one more share.
  bool has_room() const {
    return requests_used < kRequestsMax && fields_used <= kFieldsMax && share_count < kSharesMax;
  }
  size_t arena_room() const { return kArenaSize - arena_used; }
  kr_field *fields_tail() { return fields + fields_used; }
  char *core_answers_tail(size_t size) {
    return kCoreAnswersSize - core_answers_used < size ? nullptr : core_answers + core_answers_used;
  }

  // Forgets requests, fields and answers. What lies in the arena stays.
  void clear();

  char *arena = nullptr;  // received bytes of connections that hold no buffer
  size_t arena_used = 0;
  kr_request *requests = nullptr;
  uint32_t requests_used = 0;
  uint32_t unanswered = 0;  // of them, for the receiver
  kr_field *fields = nullptr;
  uint32_t fields_used = 0;
  const kr_request *repeatable = nullptr;  // the last record, unless it has a body or the core has answered it
  share *shares = nullptr;
  uint32_t share_count = 0;
  char *out = nullptr;
  char *core_answers = nullptr;
  uint32_t core_answers_used = 0;
  kr_notice *notices = nullptr;
  uint32_t notices_used = 0;

 private:
  base::page_source *pages_;
  char *block_ = nullptr;
  size_t block_size_ = 0;
};

}  // namespace kourier::engine
