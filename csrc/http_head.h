// The head of a request: request line and field lines, RFC 9112 §2-§5, checked
// and tabulated. No I/O, no allocation, no state: the caller's bytes in, offsets out.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kourier.h"

namespace kourier::http {

enum class verdict : uint8_t {
  done,  // complete and correct
  more,  // correct so far, incomplete
  bad,   // refused; status and reason say why
};

enum class body_framing : uint8_t { none, length, chunked };

struct head_limits {
  uint32_t head_size_max;    // 431 beyond it; leading empty lines count
  uint32_t target_size_max;  // 414 beyond it
  uint32_t field_count_max;  // 431 beyond it
};

struct slice {
  uint32_t offset;
  uint32_t size;
};

// What parse_head finds out beside the record of the request.
struct head_facts {
  uint64_t content_length;  // with body_framing::length
  uint32_t size;            // of the whole head: leading empty lines to the final empty line
  uint16_t status;          // with verdict::bad: the status code to answer with
  uint8_t reason;           // with verdict::bad: KR_REASON_*
  uint8_t method_id;        // KR_METHOD_*; with verdict::bad as far as it was read: a refusal of HEAD has no body
  body_framing framing;
  bool expects_continue;  // RFC 9110 §10.1.1; never set for HTTP/1.0 or without a body
};

// Returns true when data begins with a head that read_head_scalar would call done,
// with *request_out, *facts_out and `fields` filled the same. False says nothing: ask
// read_head_scalar. So no kernel ever decides which error came first.
using head_reader = bool (*)(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                             kr_request *request_out, head_facts *facts_out);

// The reader of this machine's kernel, which is chosen at the first call.
extern std::atomic<head_reader> active_reader;

// Of what active_reader has left.
verdict read_head_otherwise(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                            kr_request *request_out, head_facts *facts_out);

// Decides everything, one octet after the other. Its verdict about a head is the
// same however much of what follows is there: for each prefix of a head that it
// refuses, it answers `more` or the same refusal.
verdict read_head_scalar(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                         kr_request *request_out, head_facts *facts_out);

// Reads one head from data[0, size). `fields` has room for limits.field_count_max
// entries. Never reads past data + size. Starts anew at each call: a caller whose
// head arrives in many pieces asks head_scanner first. Inline, because keeping six
// arguments for the second call takes a tenth of the time of a short head, and the
// caller has them anyway.
//
// After verdict::done *request_out is the record of a request without a body that
// nobody has answered; all but `connection`, which is left to the caller. After the
// other verdicts what it holds means nothing; of *facts_out status, reason and
// method_id hold after verdict::bad.
inline verdict parse_head(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                          kr_request *request_out, head_facts *facts_out) {
  const head_reader reader = active_reader.load(std::memory_order_relaxed);
  if (reader(data, size, limits, fields, request_out, facts_out)) return verdict::done;
  return read_head_otherwise(data, size, limits, fields, request_out, facts_out);
}

// Finds out, in O(bytes) over all calls, when a growing buffer is worth a call
// of parse_head: the head is complete, or a byte came that can stand in no head,
// or the request line is complete (so that a bad one is refused at once), or a
// limit is exceeded. For heads that come in pieces.
//
// parse_head decides; the scanner only says when to ask. What it promises: if
// parse_head would answer done or bad for the bytes seen so far because of a line
// ending or a control byte, the scanner has said true at or before that byte.
struct head_scanner {
  uint32_t scanned = 0;       // bytes seen
  uint32_t line_start = 0;    // offset of the line that is being received
  uint32_t target_start = 0;  // offset behind the first SP of the request line; 0 before it
  bool request_line_seen = false;

  // Bytes [0, size) are there; those before `scanned` were seen before.
  // True: call parse_head.
  bool advance(const char *data, size_t size, const head_limits &limits);

 private:
  bool end_line(const char *data);
};

}  // namespace kourier::http
