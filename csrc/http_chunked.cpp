//go:build !kourier_cmake

// The chunked coding as a state machine over octets, RFC 9112 §7.1; chunk data,
// which is nearly everything, moves in blocks.
//
//   chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//   last-chunk     = 1*"0" [ chunk-ext ] CRLF
//   chunk-ext      = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
//   trailer        = *( field-line CRLF ) CRLF
//
// Where the RFC lets a recipient be lenient it stays strict: a line ends with CR LF
// only, and no blank stands where the grammar has none. What a lenient reader takes
// for an extension or a line end is how a second request gets past a first reader.
#include "http_chunked.h"

#include <algorithm>

#include "http_chars.h"

namespace kourier::http {

enum class chunked_decoder::state : uint8_t {
  size_start,       // the first digit has to come
  size_digit,       // more digits, or what may follow a size
  extension_blank,  // BWS; only ';' may end it
  name_start,       // behind ';'
  name,
  name_blank,   // behind the name: BWS; only '=' or ';' may end it
  value_start,  // behind '='
  value_token,
  value_quoted,
  value_escape,  // behind '\' in a quoted-string
  value_end,     // behind the closing quote
  size_lf,
  data,
  data_cr,
  data_lf,
  trailer_start,  // a field line or the empty line
  trailer_name,
  trailer_value,
  trailer_lf,
  end_lf,
  done,
  bad,
};

namespace {

constexpr uint16_t kSizeDigitsMax = 32;          // leading zeros included
constexpr uint64_t kSizeMax = (1ULL << 60) - 1;  // 15 digits that count; no sum of two overflows
constexpr uint16_t kExtensionLineMax = 1024;
// Extension octets in all: this many for nothing, and one more for each octet of
// content. Else a body of one octet chunks is a cheap way to keep a core busy.
constexpr uint64_t kExtensionTotalFree = 8192;

constexpr uint64_t kHashStart = 0xcbf29ce484222325;

constexpr uint64_t hash_octet(uint64_t hash, char c) {
  return (hash ^ static_cast<uint8_t>(to_lower(c))) * 0x100000001b3;
}

constexpr uint64_t hash_name(const char *name) {
  uint64_t hash = kHashStart;
  for (; *name != 0; ++name) hash = hash_octet(hash, *name);
  return hash;
}

// RFC 9110 §6.5.1: fields that frame, route, authenticate, condition or describe a
// message are no good behind it. Compared by hash, because a name may come in
// pieces; a foreign name with an equal 64-bit hash is refused, which is harmless.
constexpr uint64_t kForbiddenTrailers[] = {
    hash_name("transfer-encoding"),
    hash_name("content-length"),
    hash_name("host"),
    hash_name("trailer"),
    hash_name("connection"),
    hash_name("keep-alive"),
    hash_name("proxy-connection"),
    hash_name("upgrade"),
    hash_name("te"),
    hash_name("expect"),
    hash_name("max-forwards"),
    hash_name("cache-control"),
    hash_name("pragma"),
    hash_name("range"),
    hash_name("if-match"),
    hash_name("if-none-match"),
    hash_name("if-modified-since"),
    hash_name("if-unmodified-since"),
    hash_name("if-range"),
    hash_name("authorization"),
    hash_name("proxy-authorization"),
    hash_name("cookie"),
    hash_name("content-encoding"),
    hash_name("content-type"),
    hash_name("content-range"),
};

}  // namespace

void chunked_decoder::refuse(uint16_t status, uint8_t reason) {
  status_ = status;
  reason_ = reason;
  state_ = state::bad;
}

void chunked_decoder::step_size(uint8_t octet) {
  if (is_hex(octet)) {
    chunk_remaining_ = chunk_remaining_ << 4 | hex_value(octet);
    state_ = state::size_digit;
    if (++line_size_ > kSizeDigitsMax || chunk_remaining_ > kSizeMax) refuse(400, KR_REASON_BAD_CHUNK);
    return;
  }
  if (state_ == state::size_start) return refuse(400, KR_REASON_BAD_CHUNK);
  if (octet == '\r') {
    state_ = state::size_lf;
    return;
  }
  line_size_ = 0;
  state_ = state::extension_blank;
  step_extension(octet);
}

void chunked_decoder::count_extension_octet() {
  ++line_size_;
  ++extension_total_;
  if (line_size_ > kExtensionLineMax || extension_total_ > kExtensionTotalFree + announced_) {
    refuse(400, KR_REASON_BAD_CHUNK);
  }
}

// Sets the state behind `octet`, or refuses it.
void chunked_decoder::step_extension(uint8_t octet) {
  const bool token = (kCharClasses[octet] & kTchar) != 0;
  const bool quoted_any = !is_control(octet);
  state next = state::bad;
  switch (state_) {
    case state::extension_blank:
      next = is_blank(octet) ? state_ : octet == ';' ? state::name_start : state::bad;
      break;
    case state::name_start:
      next = is_blank(octet) ? state_ : token ? state::name : state::bad;
      break;
    case state::name:
      next = token             ? state_
             : is_blank(octet) ? state::name_blank
             : octet == '='    ? state::value_start
             : octet == ';'    ? state::name_start
             : octet == '\r'   ? state::size_lf
                               : state::bad;
      break;
    case state::name_blank:
      next = is_blank(octet) ? state_ : octet == '=' ? state::value_start : octet == ';' ? state::name_start : next;
      break;
    case state::value_start:
      next = is_blank(octet) ? state_ : octet == '"' ? state::value_quoted : token ? state::value_token : next;
      break;
    case state::value_quoted:
      next = octet == '"' ? state::value_end : octet == '\\' ? state::value_escape : quoted_any ? state_ : next;
      break;
    case state::value_escape:
      next = quoted_any ? state::value_quoted : next;
      break;
    case state::value_token:
      if (token) {
        next = state_;
        break;
      }
      [[fallthrough]];
    case state::value_end:
      next = is_blank(octet) ? state::extension_blank
             : octet == ';'  ? state::name_start
             : octet == '\r' ? state::size_lf
                             : state::bad;
      break;
    default:
      break;
  }
  if (next == state::bad) return refuse(400, KR_REASON_BAD_CHUNK);
  state_ = next;
  if (next != state::size_lf) count_extension_octet();
}

void chunked_decoder::end_size_line(uint64_t body_size_max) {
  line_size_ = 0;
  if (chunk_remaining_ == 0) {
    state_ = state::trailer_start;
    return;
  }
  if (announced_ > body_size_max || chunk_remaining_ > body_size_max - announced_)
    return refuse(413, KR_REASON_BODY_TOO_LARGE);
  announced_ += chunk_remaining_;
  state_ = state::data;
}

void chunked_decoder::begin_trailer_name(uint8_t octet) {
  if ((kCharClasses[octet] & kTchar) == 0) return refuse(400, KR_REASON_BAD_TRAILER);
  if (trailer_count_ == kTrailerCountMax) return refuse(431, KR_REASON_BAD_TRAILER);
  ++trailer_count_;
  name_hash_ = hash_octet(kHashStart, static_cast<char>(octet));
  state_ = state::trailer_name;
}

void chunked_decoder::end_trailer_name() {
  for (const uint64_t forbidden : kForbiddenTrailers) {
    if (name_hash_ == forbidden) return refuse(400, KR_REASON_BAD_TRAILER);
  }
  state_ = state::trailer_value;
}

void chunked_decoder::step_trailer(uint8_t octet) {
  if (++trailer_size_ > kTrailerSizeMax) return refuse(431, KR_REASON_BAD_TRAILER);
  switch (state_) {
    case state::trailer_start:
      if (octet == '\r') {
        state_ = state::end_lf;
        return;
      }
      return begin_trailer_name(octet);
    case state::trailer_name:
      if (octet == ':') return end_trailer_name();
      if ((kCharClasses[octet] & kTchar) == 0) return refuse(400, KR_REASON_BAD_TRAILER);
      name_hash_ = hash_octet(name_hash_, static_cast<char>(octet));
      return;
    case state::trailer_value:
      if (octet == '\r') {
        state_ = state::trailer_lf;
      } else if (is_control(octet)) {
        refuse(400, KR_REASON_BAD_TRAILER);
      }
      return;
    default:
      if (octet != '\n') return refuse(400, KR_REASON_BAD_TRAILER);
      state_ = state_ == state::end_lf ? state::done : state::trailer_start;
  }
}

void chunked_decoder::step(uint8_t octet, uint64_t body_size_max) {
  switch (state_) {
    case state::size_start:
    case state::size_digit:
      return step_size(octet);
    case state::size_lf:
      if (octet != '\n') return refuse(400, KR_REASON_BAD_CHUNK);
      return end_size_line(body_size_max);
    case state::data_cr:
      if (octet != '\r') return refuse(400, KR_REASON_BAD_CHUNK);
      state_ = state::data_lf;
      return;
    case state::data_lf:
      if (octet != '\n') return refuse(400, KR_REASON_BAD_CHUNK);
      state_ = state::size_start;
      return;
    case state::trailer_start:
    case state::trailer_name:
    case state::trailer_value:
    case state::trailer_lf:
    case state::end_lf:
      return step_trailer(octet);
    default:
      return step_extension(octet);
  }
}

verdict chunked_decoder::decode(char *out, const char *in, size_t size, uint64_t body_size_max, size_t *written_out,
                                size_t *consumed_out) {
  size_t at = 0;
  size_t written = 0;
  while (at < size && state_ != state::done && state_ != state::bad) {
    if (state_ != state::data) {
      const char octet = in[at++];
      const uint16_t trailer_before = trailer_size_;
      step(static_cast<uint8_t>(octet), body_size_max);
      if (trailer_size_ != trailer_before) out[written++] = octet;
      continue;
    }
    const auto block = static_cast<size_t>(std::min<uint64_t>(chunk_remaining_, size - at));
    if (out + written != in + at) std::memmove(out + written, in + at, block);
    written += block;
    at += block;
    chunk_remaining_ -= block;
    if (chunk_remaining_ == 0) state_ = state::data_cr;
  }
  *written_out = written;
  *consumed_out = at;
  if (state_ == state::done) return verdict::done;
  return state_ == state::bad ? verdict::bad : verdict::more;
}

}  // namespace kourier::http
