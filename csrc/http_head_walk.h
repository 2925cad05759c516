// The fast reader of a head, over any kernel. One pass turns blocks of 64 octets
// into bit masks and the masks into a list of offsets, in turn the start of a line and
// the end of its name; a second pass over the list makes the table of fields. A head that
// ends in its first block needs no list: its masks stay in registers. It decides nothing
// that is wrong: at the first oddity it returns false, and read_head_scalar finds out
// what it was.
//
// Included by each http_head_<isa>_<goarch>.cpp inside its target region, so that
// everything here is compiled for that instruction set. What usual heads need inlines
// into two functions; what they do not need stays out of them, because it would take
// their registers. Everything foreign is included before the region. A kernel K offers:
//
//   K{}                             costs nothing and is made where it is used: operands that
//                                   had to live from one use to the next would be spilled
//   K::block                        64 octets in registers
//   K::kSizeMin                     the shortest input that load_short reads
//   block k.load(p)                 p[0, 64)
//   block k.load_short(p, n)        p[0, n), kSizeMin <= n < 64; what stands behind means nothing
//   line_masks k.lines(block)
//   bool k.target(p, n, room, &masks)   of p[0, n), n <= kPieceMax; p[0, room) may be read,
//   bool k.host(p, n, room, &masks)     n + 4 <= room. False says nothing: n or room is none
//                                   that it takes
//   uint64_t K::lowest(mask)        the number of the lowest bit; for 0, any number
//   uint16_t *k.flatten(list, mask, base)   writes base + i for each bit i, in order, and
//                                   perhaps up to kFlattenSpare entries more; returns the end
#pragma once

#include <type_traits>

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_target.h"

namespace kourier::http {
namespace {

// Bit i stands for octet i of the block.
struct line_masks {
  uint64_t token;    // tchar; may lack some, whose heads are left to the scalar reader
  uint64_t control;  // CR, LF, and what must not be there; may hold what is merely rare
};

// Bit i stands for octet i of n octets.
struct piece_masks {
  uint64_t odd;     // '%', or no octet of a target; no octet of a host name. Bit n is set
  uint64_t sought;  // '?'; '.'
};

constexpr uint32_t kBlock = 64;
constexpr uint64_t kPieceMax = 63;
constexpr uint64_t kPiece = 32;  // of a long target
// A head with more starts of lines and ends of names is left to the scalar reader, and
// so is one whose offsets do not fit the list.
constexpr uint32_t kMarksMax = 512;
constexpr uint32_t kListedMax = 0xffff;
constexpr uint32_t kFlattenSpare = 16;

#define KR_INLINE inline __attribute__((always_inline))
#define KR_LIKELY(condition) __builtin_expect(!!(condition), 1)

// A store that stays by itself: g++ would gather neighbours in a vector register
// first, which takes longer than storing them one by one.
template <class T>
KR_INLINE void store(T *to, std::type_identity_t<T> value) {
  *const_cast<volatile T *>(to) = value;
}

// `mask` is not 0.
KR_INLINE uint64_t lowest_set(uint64_t mask) { return static_cast<uint64_t>(__builtin_ctzll(mask)); }

// Bits [0, count), count < 64.
KR_INLINE uint64_t bits_below(uint64_t count) { return (1ULL << count) - 1; }

KR_INLINE line_masks shifted(line_masks m, uint32_t by) { return {m.token >> by, m.control >> by}; }

// Bit by bit, four at a time: few blocks have more, and a branch on every bit would
// be guessed wrong too often. Lowest gives the number of the lowest bit, for 0 any.
template <class Lowest>
KR_INLINE void flatten_bits(uint16_t *list, uint64_t mask, uint64_t base, Lowest lowest) {
  for (;; list += 4) {
    for (uint32_t i = 0; i < 4; ++i) {
      store(list + i, static_cast<uint16_t>(base + lowest(mask)));
      mask &= mask - 1;
    }
    if (KR_LIKELY(mask == 0)) return;
  }
}

// What passes from one block to the next.
struct block_carry {
  uint64_t control = 0;  // the masks of the block before
  uint64_t ends = 0;
  uint64_t name = 0;  // 1: a name reaches to its end
};

struct block_marks {
  uint64_t names;   // the first octet behind each name
  uint64_t starts;  // the first octet of each line but the first
  uint64_t empty;   // the lowest bit: the first line that does not begin with a tchar; 0 when there is none
};

//  octets    H o s t :   a CR LF X : CR LF CR LF     A line ends where controls begin, and
//  control                 1  1        1  1  1  1    the next starts two octets on: that CR
//  ends                    1           1             LF stands there is looked at later, line
//  starts    1                   1           1       by line. The addition carries a start
//  token     1 1 1 1     1       1                   through the name; it comes out at the
//  names             1             1         1       first octet that is no tchar. A line
//  empty                                     1       that has no name is the empty line.
//
// Whatever else the controls are, one of these lines does not end with CR LF, or has
// a name that does not end with a colon.
KR_INLINE block_marks find_marks(const line_masks &m, block_carry *carry) {
  const uint64_t ends = m.control & ~(m.control * 2 + (carry->control >> 63));
  const uint64_t starts = ends * 4 + (carry->ends >> 62);
  const uint64_t sum = m.token + carry->name + starts;
  carry->control = m.control;
  carry->ends = ends;
  carry->name = (m.token & ~sum) >> 63;  // what the addition carries out
  return {sum & ~m.token, starts, starts & ~m.token};
}

KR_INLINE bool is_crlf(const char *data, uint64_t at) { return load<uint16_t>(data + at) == 0x0a0d; }

KR_INLINE uint8_t octet(const char *data, uint64_t at) { return static_cast<uint8_t>(data[at]); }

// The values of the `count` digits that stand before `end`, from the lowest octet on;
// the octets above are 0. False: they are no digits. end[-8, 0) may be read.
KR_INLINE bool load_digits(const char *end, uint64_t count, uint64_t *digits_out) {
  *digits_out = (load<uint64_t>(end - 8) ^ 0x3030303030303030ULL) >> (64 - 8 * count);
  return ((*digits_out | (*digits_out + 0x7676767676767676ULL)) & 0x8080808080808080ULL) == 0;
}

// Pairs, then fours, then all.
KR_INLINE uint64_t value_of(uint64_t digits, uint64_t count) {
  digits <<= 64 - 8 * count;
  digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ffULL;
  digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffffULL;
  return (digits & 0xffffffff) * 10000 + (digits >> 32);
}

// A port of 1 to 5 digits that end at `end`; end[-8, 0) may be read.
KR_INLINE bool is_short_port(const char *end, uint64_t size) {
  uint64_t digits;
  return load_digits(end, size, &digits) && (size < 5 || value_of(digits, size) <= 65535);
}

// A host that is a plain name with or without a port. False says nothing.
template <class K>
KR_INLINE bool is_plain_host(const char *host, uint64_t size, uint64_t room) {
  piece_masks m;
  if (size > kPieceMax || !K{}.host(host, size, room, &m)) return false;
  const uint64_t name_size = K::lowest(m.odd);
  // A dot is not the first octet, none follows another, and none is the last: that would be good, but is rare.
  const uint64_t dots_or_end = (m.sought & bits_below(name_size)) | 1ULL << name_size;
  if ((dots_or_end & (m.sought * 2 + 1)) != 0) return false;
  if (name_size == size) return true;
  const uint64_t port_size = size - name_size - 1;
  return host[name_size] == ':' && port_size - 1 < 5 && is_short_port(host + size, port_size);
}

constexpr uint64_t kLower8 = 0x2020202020202020ULL;

// "Connection: keep-alive". In HTTP/1.1 it says nothing that does not hold anyway.
KR_INLINE bool is_keep_alive(const char *name, uint32_t name_size, const char *value, uint32_t value_size) {
  return name_size == 10 && (load<uint64_t>(name) | kLower8) == 0x697463656e6e6f63ULL &&    // "connecti"
         (load<uint16_t>(name + 8) | 0x2020) == 0x6e6f &&                                   // "on"
         value_size == 10 && (load<uint64_t>(value) | kLower8) == 0x696c612d7065656bULL &&  // "keep-ali"
         (load<uint16_t>(value + 8) | 0x2020) == 0x6576;                                    // "ve"
}

// "Content-Length".
KR_INLINE bool is_content_length(const char *name, uint32_t name_size) {
  return name_size == 14 && (load<uint64_t>(name) | kLower8) == 0x2d746e65746e6f63ULL &&  // "content-"
         (load<uint64_t>(name + 6) | kLower8) == 0x6874676e656c2d74ULL;                   // "t-length"
}

// A field whose name may be one of the seven that matter, and its trimmed value. What it
// says goes into the record; *rare_out: finish_rare has to judge.
template <class K>
KR_INLINE bool read_known(const char *data, uint64_t size, const char *name, uint32_t name_size, slice value,
                          kr_request *request, head_facts *head, bool *rare_out) {
  if (name_size == 4 && (load<uint32_t>(name) | 0x20202020) == 0x74736f68) {  // "host"
    if (request->host_size != 0) return false;
    store(&request->host_offset, value.offset);
    store(&request->host_size, value.size);
    return KR_LIKELY(is_plain_host<K>(data + value.offset, value.size, size - value.offset)) ||
           is_authority(data + value.offset, value.size, port_rule::optional);
  }
  if (is_keep_alive(name, name_size, data + value.offset, value.size)) return true;
  uint64_t digits;
  if (is_content_length(name, name_size) && head->framing == body_framing::none && value.size - 1 < 8 &&
      load_digits(data + value.offset + value.size, value.size, &digits)) {
    head->framing = body_framing::length;
    head->content_length = value_of(digits, value.size);
    return true;
  }
  *rare_out = true;
  return true;
}

// A value that is not one SP and then visible octets: RFC 9110 §5.5, OWS. False when
// no colon stands before it.
__attribute__((noinline)) inline bool trim_value(const char *data, uint32_t name_end, uint32_t end, kr_field *field) {
  if (data[name_end] != ':') return false;
  uint32_t begin = name_end + 1;
  while (begin < end && is_blank(static_cast<uint8_t>(data[begin]))) ++begin;
  while (end > begin && is_blank(static_cast<uint8_t>(data[end - 1]))) --end;
  field->value_offset = begin;
  field->value_size = end - begin;
  return true;
}

// An origin form, RFC 9112 §3.2.1, that is long or has percent-encodings. *question_out
// is its first '?', or its end. Two octets behind the end are there.
template <class K>
KR_INLINE bool read_long_origin(const char *data, uint64_t size, uint64_t begin, uint64_t end, uint64_t *question_out) {
  *question_out = end;
  for (uint64_t at = begin; at < end; at += kPiece) {
    const uint64_t piece = end - at < kPiece ? end - at : kPiece;
    piece_masks m;
    if (!K{}.target(data + at, piece, size - at, &m)) return false;
    const uint64_t question = m.sought & bits_below(piece);
    if (*question_out == end && question != 0) *question_out = at + lowest_set(question);
    for (uint64_t odd = m.odd & bits_below(piece); odd != 0; odd &= odd - 1) {
      // RFC 3986 §2.1. What ends the target is no hex digit.
      const char *octets = data + at + lowest_set(odd);
      if (octets[0] != '%' || !has_class(octets[1], kHex) || !has_class(octets[2], kHex)) return false;
    }
  }
  return true;
}

// The size of the method that data begins with; 0 when it is no token.
inline uint64_t method_size_of(const char *data, uint64_t limit) {
  uint64_t size = 0;
  while (size < limit && has_class(data[size], kTchar)) ++size;
  return size < limit && data[size] == ' ' ? size : 0;
}

constexpr uint64_t kVersionStart = 0x2e312f5054544820ULL;  // " HTTP/1."
constexpr uint32_t kVersionEnd11 = 0x0a0d312e;             // ".1" CR LF
constexpr uint32_t kVersionEnd10 = 0x0a0d302e;             // ".0" CR LF
constexpr uint64_t kLineSizeMin = 14;                      // "GET / HTTP/1.1"
constexpr uint64_t kVersionSize = 9;                       // " HTTP/1.1"

// Each of these writes as soon as it can what the request line says: what lives on
// would be spilled.
KR_INLINE void fill_method(uint8_t method_id, uint32_t method_size, kr_request *request, head_facts *head) {
  head->method_id = method_id;
  request->method = method_id;
  store(&request->method_offset, 0U);
  store(&request->method_size, method_size);
}

// `question` is the offset of the first '?', or of the target's end.
KR_INLINE void fill_target(uint64_t target, uint64_t target_end, uint64_t question, kr_request *request) {
  const uint64_t has_query = question != target_end ? 1 : 0;
  request->flags = static_cast<uint8_t>(KR_REQUEST_KEEP_ALIVE + has_query * KR_REQUEST_HAS_QUERY);
  const uint64_t query = question + has_query;
  store(&request->query_offset, static_cast<uint32_t>(query));
  store(&request->query_size, static_cast<uint32_t>(target_end - query));
  store(&request->path_offset, static_cast<uint32_t>(target));
  store(&request->path_size, static_cast<uint32_t>(question - target));
  store(&request->target_offset, static_cast<uint32_t>(target));
  store(&request->target_size, static_cast<uint32_t>(target_end - target));
}

// "GET" or "POST", an origin form of one piece, HTTP/1.1. `end` is the offset of the
// CR LF. False says nothing.
template <class K>
KR_INLINE bool read_plain_line(const char *data, uint64_t size, uint64_t end, uint32_t target_size_max,
                               kr_request *request, head_facts *head) {
  const uint64_t target_end = end - kVersionSize;
  if (load<uint64_t>(data + target_end) != kVersionStart) return false;
  if (load<uint32_t>(data + end - 2) != kVersionEnd11) return false;
  uint64_t target = 4;
  const auto first_octets = load<uint32_t>(data);
  if (KR_LIKELY(first_octets == 0x20544547)) {  // "GET "
    fill_method(KR_METHOD_GET, 3, request, head);
  } else {
    if (first_octets != 0x54534f50 || data[4] != ' ') return false;  // "POST "
    fill_method(KR_METHOD_POST, 4, request, head);
    target = 5;
  }
  const uint64_t target_size = target_end - target;
  piece_masks m;
  if (data[target] != '/' || target_size > target_size_max || target_size > kPieceMax ||
      !K{}.target(data + target, target_size, size - target, &m) || K::lowest(m.odd) != target_size) {
    return false;
  }
  fill_target(target, target_end, target + K::lowest(m.odd | m.sought), request);
  return true;
}

enum class line_kind : uint8_t {
  bad,
  plain,
  rare,  // finish_rare has to judge
};

KR_INLINE bool is_origin(const char *data, const kr_request &request) {
  return data[request.target_offset] == '/' && request.method != KR_METHOD_CONNECT;
}

// Any request line. Found from both ends: the method from the left, the version from
// the right. What lies between has no SP, because SP is no octet of a target.
template <class K>
__attribute__((noinline)) line_kind read_other_line(const char *data, uint64_t size, uint64_t end,
                                                    uint32_t target_size_max, kr_request *request, head_facts *head) {
  const uint64_t target_end = end - kVersionSize;
  if (load<uint64_t>(data + target_end) != kVersionStart) return line_kind::bad;
  const auto version_end = load<uint32_t>(data + end - 2);
  if (version_end != kVersionEnd11 && version_end != kVersionEnd10) return line_kind::bad;
  const uint64_t method_size = method_size_of(data, target_end);
  if (method_size == 0) return line_kind::bad;
  const uint64_t target = method_size + 1;
  if (target >= target_end || target_end - target > target_size_max) return line_kind::bad;
  const uint8_t method_id = method_id_of(data, method_size);
  fill_method(method_id, static_cast<uint32_t>(method_size), request, head);
  fill_target(target, target_end, target_end, request);
  if (!is_origin(data, *request)) return line_kind::rare;
  uint64_t question = 0;
  if (!read_long_origin<K>(data, size, target, target_end, &question)) return line_kind::bad;
  fill_target(target, target_end, question, request);
  return version_end == kVersionEnd10 || method_id == KR_METHOD_TRACE ? line_kind::rare : line_kind::plain;
}

// The rest of a head that is more than a plain one: HTTP/1.0, another form of target,
// a field that read_known leaves to add_field. The table is full by now.
__attribute__((noinline)) inline bool finish_rare(const char *data, kr_request *request, head_facts *head) {
  target_parts parts{};
  if (is_origin(data, *request)) {
    parts.form = target_form::origin;
    parts.has_query = (request->flags & KR_REQUEST_HAS_QUERY) != 0;
    parts.path = {request->path_offset, request->path_size};
    parts.query = {request->query_offset, request->query_size};
  } else if (!split_target(data, {request->target_offset, request->target_size}, request->method, &parts)) {
    return false;
  }
  const bool http10 = data[request->target_offset + request->target_size + kVersionSize - 1] == '0';
  request->flags = http10 ? KR_REQUEST_HTTP10 : 0;
  head->framing = body_framing::none;
  head->content_length = 0;
  field_facts facts{};
  refusal why;
  for (uint32_t i = 0; i < request->field_count; ++i) {
    const kr_field &field = request->fields[i];
    const char *name = data + field.name_offset;
    if (!may_matter(*name, field.name_size)) continue;
    const field_id id = identify_field(name, field.name_size);
    if (!add_field(id, data, {field.value_offset, field.value_size}, &facts, &why)) return false;
  }
  return finish_head(facts, parts, request, head, &why);
}

// Fills what does not depend on the request line, as if no field said anything.
KR_INLINE void begin_record(const char *data, const kr_field *fields, uint64_t head_size, uint32_t field_count,
                            kr_request *request, head_facts *head) {
  request->base = data;
  request->fields = fields;
  request->body = data + head_size;
  request->body_size = 0;
  request->host_offset = 0;
  request->host_size = 0;
  request->field_count = static_cast<uint16_t>(field_count);
  request->answer_flags = 0;
  request->answer_source = 0;
  request->answer_code = 0;
  request->answer_offset = 0;
  request->answer_size = 0;
  head->content_length = 0;
  head->size = static_cast<uint32_t>(head_size);
  head->framing = body_framing::none;
  head->expects_continue = false;
}

//   start        name end            line end   start
//   A c c e p t  :  SP  t e x t / *  CR  LF
//
// Fills `field` with the field line before `next`, and takes in what it says if that
// matters. Two octets behind `next` are there. Offsets of 64 bits, because they address.
template <class K>
KR_INLINE bool read_field(const char *data, uint64_t size, uint64_t start, uint64_t name_end, uint64_t next,
                          kr_field *field, kr_request *request, head_facts *head, bool *rare_out) {
  if (!is_crlf(data, next - 2)) return false;
  const auto name_size = static_cast<uint32_t>(name_end - start);
  slice value = {static_cast<uint32_t>(name_end + 2), static_cast<uint32_t>(next - name_end - 4)};
  store(&field->name_offset, static_cast<uint32_t>(start));
  store(&field->name_size, name_size);
  store(&field->value_offset, value.offset);
  store(&field->value_size, value.size);
  if (!KR_LIKELY(load<uint16_t>(data + name_end) == 0x203a && octet(data, name_end + 2) > ' ' &&  // ": "
                 octet(data, next - 3) > ' ')) {
    if (!trim_value(data, static_cast<uint32_t>(name_end), static_cast<uint32_t>(next - 2), field)) return false;
    value = {field->value_offset, field->value_size};
  }
  if (KR_LIKELY(!may_matter(data[start], name_size))) return true;
  return read_known<K>(data, size, data + start, name_size, value, request, head, rare_out);
}

// The request line. `end` is the offset of its CR LF.
template <class K>
KR_INLINE bool read_line(const char *data, uint64_t size, uint64_t end, uint32_t target_size_max, kr_request *request,
                         head_facts *head, bool *rare_out) {
  if (end < kLineSizeMin) return false;
  if (KR_LIKELY(read_plain_line<K>(data, size, end, target_size_max, request, head))) return true;
  const line_kind kind = read_other_line<K>(data, size, end, target_size_max, request, head);
  *rare_out = kind == line_kind::rare;
  return kind != line_kind::bad;
}

KR_INLINE bool finish_walk(const char *data, bool rare, kr_request *request, head_facts *head) {
  return KR_LIKELY(!rare && request->host_size != 0) || finish_rare(data, request, head);
}

// A head that ends in its first block. Below the empty line there is a name for each
// line but the first, because every other line begins with a tchar.
template <class K>
KR_INLINE bool walk_short(const block_marks &found, const char *data, uint64_t size, const head_limits &limits,
                          kr_field *fields, kr_request *request, head_facts *head) {
  const uint64_t end = K::lowest(found.empty);
  uint64_t starts = found.starts & (found.empty ^ (found.empty - 1));
  uint64_t names = found.names;
  const auto count = static_cast<uint32_t>(__builtin_popcountll(starts)) - 1;
  if (end + 2 > size || !is_crlf(data, end) || count > limits.field_count_max) return false;
  begin_record(data, fields, end + 2, count, request, head);
  bool rare = false;
  uint64_t start = K::lowest(starts);
  if (!read_line<K>(data, size, start - 2, limits.target_size_max, request, head, &rare)) {
    return false;
  }
  for (kr_field *field = fields; (starts &= starts - 1) != 0; ++field, names &= names - 1) {
    const uint64_t next = K::lowest(starts);
    if (!read_field<K>(data, size, start, K::lowest(names), next, field, request, head, &rare)) return false;
    start = next;
  }
  return finish_walk(data, rare, request, head);
}

// g++ would widen it once for each use.
KR_INLINE uint64_t offset_at(const uint16_t *entry) {
  uint64_t offset = *entry;
  __asm__("" : "+r"(offset));
  return offset;
}

// A head of several blocks.
template <class K>
__attribute__((noinline)) bool walk_long(const char *data, uint64_t size, const head_limits &limits, kr_field *fields,
                                         kr_request *request, head_facts *head) {
  if (size > kListedMax) size = kListedMax;

  // Blocks to masks, masks to the list: start of a line, end of its name, and so on.
  const K k;
  block_carry carry;
  block_marks found = find_marks(k.lines(k.load(data)), &carry);
  uint16_t list[kMarksMax + kBlock + kFlattenSpare];
  uint16_t *list_end = list;
  const uint64_t last = size - kBlock;
  uint64_t at = 0;
  do {
    // None in a block that lies inside one value.
    const uint64_t marks = found.names | found.starts;
    if (marks != 0) list_end = k.flatten(list_end, marks, at);
    at += kBlock;
    if (list_end > list + kMarksMax) return false;
    if (KR_LIKELY(at <= last)) {
      found = find_marks(k.lines(k.load(data + at)), &carry);
    } else if (at < size) {
      // Read from the end backwards: nothing behind data + size is touched.
      const auto shift = static_cast<uint32_t>(at - last);
      found = find_marks(shifted(k.lines(k.load(data + last)), shift), &carry);
    } else {
      return false;
    }
  } while (found.empty == 0);
  // The start of the empty line is the last entry. Two octets behind it are there, so
  // they are behind every other one.
  list_end = k.flatten(list_end, (found.names | found.starts) & (found.empty ^ (found.empty - 1)), at);
  const uint64_t end = at + lowest_set(found.empty);
  const auto list_size = static_cast<uint32_t>(list_end - list);
  const uint32_t count = list_size / 2;
  if (end + 2 > size || !is_crlf(data, end) || list_size % 2 == 0 || count > limits.field_count_max) return false;
  begin_record(data, fields, end + 2, count, request, head);
  bool rare = false;
  uint64_t start = list[0];
  if (!read_line<K>(data, size, start - 2, limits.target_size_max, request, head, &rare)) {
    return false;
  }
  kr_field *field = fields;
  for (const uint16_t *entry = list + 1; entry != list_end; entry += 2, ++field) {
    const uint64_t next = offset_at(entry + 1);
    if (!read_field<K>(data, size, start, offset_at(entry), next, field, request, head, &rare)) return false;
    start = next;
  }
  return finish_walk(data, rare, request, head);
}

template <class K>
KR_INLINE bool walk_head(const K &k, const char *data, size_t data_size, const head_limits &limits, kr_field *fields,
                         kr_request *request, head_facts *head) {
  // No octet beyond head_size_max is looked at.
  const uint64_t size = data_size < limits.head_size_max ? data_size : limits.head_size_max;
  if (size < K::kSizeMin) return false;
  const typename K::block block = size >= kBlock ? k.load(data) : k.load_short(data, static_cast<uint32_t>(size));
  block_carry carry;
  const block_marks found = find_marks(k.lines(block), &carry);
  if (found.empty == 0) return size > kBlock && walk_long<K>(data, size, limits, fields, request, head);
  return walk_short<K>(found, data, size, limits, fields, request, head);
}

}  // namespace
}  // namespace kourier::http
