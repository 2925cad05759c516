#include "answer.h"

#include <cstring>

namespace load {
namespace {

//   version ─► status ─► reason ─┐            ┌──────── any other name ─────────┐
//                                ▼            │                                 ▼
//                               line ─► name ─┴─ Content-Length ─► length ─► skipped ─► line
//                                │
//                                └─ empty ─► last_lf ─► body ─► whole
enum step : uint8_t { kVersion, kStatus, kSkipped, kLine, kName, kLength, kLastLf, kBody };

constexpr std::string_view kVersionText = "HTTP/1.1 ";
constexpr std::string_view kLengthName = "content-length:";
constexpr uint64_t kBodySizeMax = uint64_t{1} << 40;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

uint64_t size_of(const expectation &expected) {
  return expected.body.empty() ? expected.body_size : expected.body.size();
}

// One byte of the head. Returns whether it may stand there.
bool head_byte(char c, answer_state *state) {
  switch (state->step) {
    case kVersion:
      if (c != kVersionText[state->matched]) return false;
      if (++state->matched == kVersionText.size()) {
        state->matched = 0;
        state->step = kStatus;
      }
      return true;
    case kStatus:
      if (!is_digit(c)) return false;
      state->status = static_cast<uint16_t>(state->status * 10 + (c - '0'));
      if (++state->matched == 3) state->step = kSkipped;
      return true;
    case kSkipped:
      if (c == '\n') state->step = kLine;
      return true;
    case kLine:
      state->matched = 0;
      if (c == '\r') {
        state->step = kLastLf;
        return true;
      }
      [[fallthrough]];
    case kName:
      if (c == '\n') return false;
      if (lower(c) != kLengthName[state->matched]) {
        state->step = kSkipped;
        return true;
      }
      state->step = ++state->matched == kLengthName.size() ? kLength : kName;
      return !(state->step == kLength && state->has_length);
    case kLength:
      if (is_digit(c)) {
        state->has_length = true;
        state->body_left = state->body_left * 10 + static_cast<uint64_t>(c - '0');
        return state->body_left <= kBodySizeMax;
      }
      if (c == '\r') state->step = kSkipped;
      return c == '\r' || (c == ' ' && !state->has_length);
    default:  // kLastLf
      state->step = kBody;
      return c == '\n' && state->has_length;
  }
}

// What has come of the body, which goes on at bytes[0].
bool body_matches(std::string_view bytes, const expectation &expected, const answer_state &state) {
  if (expected.body.empty()) return true;
  const size_t at = expected.body.size() - state.body_left;
  return std::memcmp(bytes.data(), expected.body.data() + at, bytes.size()) == 0;
}

}  // namespace

verdict read_answer(std::string_view bytes, const expectation &expected, answer_state *state, size_t *used_out) {
  size_t at = 0;
  while (at < bytes.size() && state->step != kBody) {
    if (state->step == kSkipped) {  // most bytes of a head are of no interest
      const void *end = std::memchr(bytes.data() + at, '\n', bytes.size() - at);
      at = end == nullptr ? bytes.size() : static_cast<size_t>(static_cast<const char *>(end) - bytes.data());
      if (at == bytes.size()) break;
    }
    if (!head_byte(bytes[at++], state)) return verdict::malformed;
    if (state->step != kBody) continue;
    if (state->status != 200) return verdict::status;
    if (state->body_left != size_of(expected)) return verdict::body;
  }
  if (state->step == kBody) {
    const size_t left = bytes.size() - at;
    const size_t part = left < state->body_left ? left : static_cast<size_t>(state->body_left);
    if (!body_matches(bytes.substr(at, part), expected, *state)) return verdict::body;
    at += part;
    state->body_left -= part;
    if (state->body_left == 0) {
      *state = {};
      *used_out = at;
      return verdict::whole;
    }
  }
  *used_out = at;
  return verdict::more;
}

}  // namespace load
