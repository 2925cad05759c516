#ifndef KOURIER_BENCH_ANSWER_H
#define KOURIER_BENCH_ANSWER_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace load {

// What the answer to a request must be. Its status must be 200 and it must have a Content-Length.
struct expectation {
  std::string_view body;   // the body's octets, where they are known
  uint64_t body_size = 0;  // the body's size, where only that is known (body is empty then)
};

enum class verdict : uint8_t {
  more,       // all bytes are used, the answer goes on
  whole,      // the answer ends where `used` says
  malformed,  // it is no HTTP/1.1 answer with a Content-Length
  status,     // it is one, but not 200
  body        // its body is not the one expected
};

// How far an answer has been read. It holds none of its bytes, so that an answer that comes in pieces costs a
// connection no buffer. All zeros before the first byte; `read_answer` leaves it so after the last.
struct answer_state {
  uint64_t body_left;  // Content-Length, and in the body what is still to come of it
  uint16_t status;
  uint8_t matched;  // bytes of the version, digits of the status, or bytes of the name Content-Length that were seen
  uint8_t step;     // one of those in answer.cpp
  bool has_length;
};

// Reads what has come of an answer. Sets *used_out to the bytes that belong to it, unless the verdict is a fault, after
// which neither the state nor the connection is of further use.
[[nodiscard]] verdict read_answer(std::string_view bytes, const expectation &expected, answer_state *state,
                                  size_t *used_out);

}  // namespace load

#endif
