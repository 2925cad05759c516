// The fast reader of a head, over any kernel. One pass turns blocks of 64 octets
// into bit masks and the masks into a list of offsets, in turn the end of a line and
// the end of a name; a second pass over the list makes the table of fields. A head that
// ends in its first block needs no list: its masks stay in registers. It decides nothing
// that is wrong: at the first oddity it returns false, and read_head_scalar finds out
// what it was.
//
// Included by each http_head_<isa>_<goarch>.cpp inside its target region, so that
// everything here is compiled for that instruction set and inlines into one
// function. Everything foreign is included before the region. A kernel K offers:
//
//   K{}                             costs nothing and is made where it is used: operands that
//                                   had to live from one use to the next would be spilled
//   K::block                        64 octets in registers
//   K::kSizeMin                     the shortest input that load_short reads
//   block k.load(p)                 p[0, 64)
//   block k.load_short(p, n)        p[0, n), kSizeMin <= n < 64; what stands behind means nothing
//   line_masks k.lines(block)
//   target_masks k.targets(block)
//   bool k.host(p, n, room, &masks) of p[0, n), n > 0; p[0, room) may be read, room >= n + 4.
//                                   False when n is none of its sizes
//   uint32_t K::lowest(mask)        the number of the lowest bit; for 0, any number
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

struct target_masks {
  uint64_t odd;       // '%', or no octet of a target
  uint64_t question;  // '?'
};

struct host_masks {
  uint64_t name;  // octets of a host name
  uint64_t dot;
};

constexpr uint32_t kBlock = 64;
// A head with more ends of names and lines is left to the scalar reader, and so is one
// whose offsets do not fit the list.
constexpr uint32_t kEndsMax = 512;
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
KR_INLINE uint32_t lowest_set(uint64_t mask) { return static_cast<uint32_t>(__builtin_ctzll(mask)); }

// 64 for 0.
KR_INLINE uint32_t lowest_or_block(uint64_t mask) { return mask == 0 ? kBlock : lowest_set(mask); }

// Bits [0, count), count < 64.
KR_INLINE uint64_t bits_below(uint32_t count) { return (1ULL << count) - 1; }

KR_INLINE line_masks shifted(line_masks m, uint32_t by) { return {m.token >> by, m.control >> by}; }
KR_INLINE target_masks shifted(target_masks m, uint32_t by) { return {m.odd >> by, m.question >> by}; }

// Bit by bit, four at a time: few blocks have more, and a branch on every bit would
// be guessed wrong too often. Lowest gives the number of the lowest bit, for 0 any.
template <class Lowest>
KR_INLINE void flatten_bits(uint16_t *list, uint64_t mask, uint32_t base, Lowest lowest) {
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

struct block_ends {
  uint64_t names;  // the first octet behind each name
  uint64_t ends;   // the first octet of each line end
  uint64_t empty;  // the lowest bit: the first line that does not begin with a tchar; 0 when there is none
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
KR_INLINE block_ends find_ends(const line_masks &m, block_carry *carry) {
  const uint64_t ends = m.control & ~(m.control << 1 | carry->control >> 63);
  const uint64_t starts = ends << 2 | carry->ends >> 62;
  uint64_t sum = 0;
  carry->name = __builtin_add_overflow(m.token, starts | carry->name, &sum) ? 1 : 0;
  carry->control = m.control;
  carry->ends = ends;
  return {sum & ~m.token, ends, starts & ~m.token};
}

KR_INLINE bool is_crlf(const char *data, uint64_t at) { return load<uint16_t>(data + at) == 0x0a0d; }

KR_INLINE uint8_t octet(const char *data, uint64_t at) { return static_cast<uint8_t>(data[at]); }

// Eight octets, of which the last `count` are digits: their values, the others 0. False: they are no digits.
KR_INLINE bool load_digits(const char *end, uint32_t count, uint64_t *digits_out) {
  const uint32_t foreign = 64 - 8 * count;
  *digits_out = (load<uint64_t>(end - 8) ^ 0x3030303030303030ULL) >> foreign << foreign;
  return ((*digits_out | (*digits_out + 0x7676767676767676ULL)) & 0x8080808080808080ULL) == 0;
}

// Pairs, then fours, then all: the first digit stands in the lowest octet.
KR_INLINE uint64_t value_of(uint64_t digits) {
  digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ffULL;
  digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffffULL;
  return (digits & 0xffffffff) * 10000 + (digits >> 32);
}

// A port of 1 to 5 digits that end at `end`; end[-8, 0) may be read.
KR_INLINE bool is_short_port(const char *end, uint32_t size) {
  uint64_t digits;
  return load_digits(end, size, &digits) && (size < 5 || value_of(digits) <= 65535);
}

// A host that is a plain name with or without a port. False says nothing.
template <class K>
KR_INLINE bool is_plain_host(const char *host, uint32_t size, uint32_t room) {
  host_masks m;
  if (!K{}.host(host, size, room, &m)) return false;
  const uint32_t name_size = lowest_set(~m.name | 1ULL << size);
  const uint64_t empty_labels = m.dot & (m.dot << 1 | 1) & bits_below(name_size);
  if (name_size == 0 || empty_labels != 0) return false;
  if (name_size == size) return true;
  const uint32_t port_size = size - name_size - 1;
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

// What the fields with a name that matters have said so far.
struct walked_fields {
  slice host;
  uint64_t content_length;
  bool has_length;
  bool rare;  // something that finish_rare has to judge
};

// A field whose name may be one of the six that matter, and its trimmed value.
template <class K>
KR_INLINE bool read_known(const char *data, uint32_t size, const char *name, uint32_t name_size, slice value,
                          walked_fields *seen) {
  if (name_size == 4 && (load<uint32_t>(name) | 0x20202020) == 0x74736f68) {  // "host"
    if (seen->host.size != 0 || value.size == 0) return false;
    seen->host = value;
    return KR_LIKELY(is_plain_host<K>(data + value.offset, value.size, size - value.offset)) ||
           is_authority(data + value.offset, value.size, port_rule::optional);
  }
  if (is_keep_alive(name, name_size, data + value.offset, value.size)) return true;
  uint64_t digits;
  if (is_content_length(name, name_size) && !seen->has_length && value.size - 1 < 8 &&
      load_digits(data + value.offset + value.size, value.size, &digits)) {
    seen->has_length = true;
    seen->content_length = value_of(digits);
    return true;
  }
  seen->rare = true;
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

//   start        name end            line end
//   A c c e p t  :  SP  t e x t / *  CR  LF
//
// Fills `field` with a field line, and takes in what it says if that matters. Two octets
// behind `end` are there, and more. Offsets of 64 bits, because they address.
template <class K>
KR_INLINE bool read_field(const char *data, uint32_t size, uint64_t start, uint64_t name_end, uint64_t end,
                          kr_field *field, walked_fields *seen) {
  if (!is_crlf(data, end)) return false;
  const auto name_size = static_cast<uint32_t>(name_end - start);
  store(&field->name_offset, static_cast<uint32_t>(start));
  store(&field->name_size, name_size);
  store(&field->value_offset, static_cast<uint32_t>(name_end + 2));
  store(&field->value_size, static_cast<uint32_t>(end - name_end - 2));
  if (!KR_LIKELY(load<uint16_t>(data + name_end) == 0x203a && octet(data, name_end + 2) > ' ' &&  // ": "
                 octet(data, end - 1) > ' ') &&
      !trim_value(data, static_cast<uint32_t>(name_end), static_cast<uint32_t>(end), field)) {
    return false;
  }
  if (KR_LIKELY(!may_matter(data[start], name_size))) return true;
  return read_known<K>(data, size, data + start, name_size, {field->value_offset, field->value_size}, seen);
}

// The masks of 64 octets from data + at on, or as many as there are.
template <class K>
KR_INLINE target_masks targets_at(const K &k, const char *data, uint32_t at, uint32_t size) {
  if (size - at >= kBlock) return k.targets(k.load(data + at));
  // Read from the end backwards: nothing behind data + size is touched.
  if (size >= kBlock) return shifted(k.targets(k.load(data + size - kBlock)), kBlock - (size - at));
  return shifted(k.targets(k.load_short(data, size)), at);
}

// An origin form, RFC 9112 §3.2.1, that is long or has percent-encodings. *question_out
// is its first '?', or its end. Two octets behind the end are there.
template <class K>
__attribute__((noinline)) bool read_long_origin(const char *data, uint32_t size, uint32_t begin, uint32_t end,
                                                uint32_t *question_out) {
  const K k;
  *question_out = end;
  for (uint32_t at = begin; at < end; at += kBlock) {
    const target_masks m = targets_at(k, data, at, size);
    const uint64_t here = end - at < kBlock ? bits_below(end - at) : ~0ULL;
    if (*question_out == end && (m.question & here) != 0) *question_out = at + lowest_set(m.question);
    for (uint64_t odd = m.odd & here; odd != 0; odd &= odd - 1) {
      // RFC 3986 §2.1. What ends the target is no hex digit.
      const char *octets = data + at + lowest_set(odd);
      if (octets[0] != '%' || !has_class(octets[1], kHex) || !has_class(octets[2], kHex)) return false;
    }
  }
  return true;
}

// The same for any origin form. `first` are the masks of the first block.
template <class K>
KR_INLINE bool read_origin(const char *data, uint32_t size, const target_masks &first, uint32_t begin, uint32_t end,
                           uint32_t *question_out) {
  if (KR_LIKELY(end <= kBlock && begin + lowest_or_block(first.odd >> begin) >= end)) {
    const uint32_t question = begin + lowest_or_block(first.question >> begin);
    *question_out = question < end ? question : end;
    return true;
  }
  return read_long_origin<K>(data, size, begin, end, question_out);
}

// The size of the method that data begins with; 0 when it is no token, or when the
// target behind it begins in another block.
inline uint32_t method_size_of(const char *data, uint32_t limit) {
  uint32_t size = 0;
  while (size < limit && size < kBlock - 2 && has_class(data[size], kTchar)) ++size;
  return size < limit && data[size] == ' ' ? size : 0;
}

// What the request line says beyond the record.
struct line_kind {
  bool http10;
  bool origin;  // the target is of the origin form; else it is still to be judged
  bool rare;    // something that finish_rare has to judge
};

constexpr uint64_t kVersionStart = 0x2e312f5054544820ULL;  // " HTTP/1."
constexpr uint32_t kVersionEnd11 = 0x0a0d312e;             // ".1" CR LF
constexpr uint32_t kVersionEnd10 = 0x0a0d302e;             // ".0" CR LF

// Found from both ends: the method from the left, the version from the right. What
// lies between has no SP, because SP is no octet of a target. Fills the record as if
// no field said anything.
//
// Every member is written once and nothing is kept for later: what would have to live
// on through the loop over the fields goes to memory now instead of being spilled then.
template <class K>
KR_INLINE bool read_request_line(const char *data, uint32_t size, const target_masks &first, uint64_t end,
                                 uint32_t target_size_max, kr_request *request, line_kind *kind_out) {
  if (end < 14) return false;  // "GET / HTTP/1.1"
  const auto target_end = static_cast<uint32_t>(end - 9);
  if (load<uint64_t>(data + target_end) != kVersionStart) return false;
  const auto version_end = load<uint32_t>(data + end - 2);
  kind_out->http10 = false;
  if (!KR_LIKELY(version_end == kVersionEnd11)) {
    if (version_end != kVersionEnd10) return false;
    kind_out->http10 = true;
  }
  uint32_t method_size = 3;
  uint8_t method_id = KR_METHOD_GET;
  const auto first_octets = load<uint32_t>(data);
  if (!KR_LIKELY(first_octets == 0x20544547)) {          // "GET "
    if (first_octets == 0x54534f50 && data[4] == ' ') {  // "POST "
      method_size = 4;
      method_id = KR_METHOD_POST;
    } else {
      method_size = method_size_of(data, target_end);
      if (method_size == 0) return false;
      method_id = method_id_of(data, method_size);
    }
  }
  const uint32_t target = method_size + 1;
  if (target >= target_end || target_end - target > target_size_max) return false;
  uint32_t question = target_end;
  kind_out->origin = data[target] == '/' && method_id != KR_METHOD_CONNECT;
  if (KR_LIKELY(kind_out->origin) && !read_origin<K>(data, size, first, target, target_end, &question)) return false;
  const bool has_query = question != target_end;
  const uint32_t query = question + (has_query ? 1 : 0);
  store(&request->method_offset, 0U);
  store(&request->method_size, method_size);
  store(&request->target_offset, target);
  store(&request->target_size, target_end - target);
  store(&request->path_offset, target);
  store(&request->path_size, question - target);
  store(&request->query_offset, query);
  store(&request->query_size, target_end - query);
  kind_out->rare = kind_out->http10 || !kind_out->origin || method_id == KR_METHOD_TRACE;
  request->method = method_id;
  request->flags = static_cast<uint8_t>(KR_REQUEST_KEEP_ALIVE | (has_query ? KR_REQUEST_HAS_QUERY : 0));
  return true;
}

// The rest of a head that is more than a plain one: HTTP/1.0, another form of target,
// a field that read_known leaves to add_field. The table is full by now.
__attribute__((noinline)) inline bool finish_rare(const char *data, const kr_field *fields, line_kind kind,
                                                  kr_request *request, head_facts *head) {
  target_parts parts{};
  if (kind.origin) {
    parts.form = target_form::origin;
    parts.has_query = (request->flags & KR_REQUEST_HAS_QUERY) != 0;
    parts.path = {request->path_offset, request->path_size};
    parts.query = {request->query_offset, request->query_size};
  } else if (!split_target(data, {request->target_offset, request->target_size}, request->method, &parts)) {
    return false;
  }
  request->flags = kind.http10 ? KR_REQUEST_HTTP10 : 0;
  head->framing = body_framing::none;
  head->content_length = 0;
  field_facts facts{};
  refusal why;
  for (uint32_t i = 0; i < request->field_count; ++i) {
    const kr_field &field = fields[i];
    const char *name = data + field.name_offset;
    if (!may_matter(*name, field.name_size)) continue;
    const field_id id = identify_field(name, field.name_size);
    if (!add_field(id, data, {field.value_offset, field.value_size}, &facts, &why)) return false;
  }
  return finish_head(facts, parts, request, head, &why);
}

// What is left to say when all fields have been read.
KR_INLINE bool finish_walk(const char *data, const kr_field *fields, line_kind kind, const walked_fields &seen,
                           kr_request *request, head_facts *head) {
  if (!KR_LIKELY(!seen.rare && seen.host.size != 0)) return finish_rare(data, fields, kind, request, head);
  store(&request->host_offset, seen.host.offset);
  store(&request->host_size, seen.host.size);
  head->framing = seen.has_length ? body_framing::length : body_framing::none;
  head->content_length = seen.content_length;
  return true;
}

// Fills what depends on neither request line nor fields.
KR_INLINE void begin_record(const char *data, const kr_field *fields, uint64_t head_size, uint32_t field_count,
                            kr_request *request, head_facts *head) {
  request->base = data;
  request->fields = fields;
  request->body = data + head_size;
  request->body_size = 0;
  request->field_count = static_cast<uint16_t>(field_count);
  request->answer_flags = 0;
  request->answer_source = 0;
  request->answer_code = 0;
  request->answer_offset = 0;
  request->answer_size = 0;
  head->size = static_cast<uint32_t>(head_size);
  head->method_id = request->method;
  head->expects_continue = false;
}

// A head that ends in its first block. Below the empty line there is a name for each
// line but the first, because every other line begins with a tchar.
template <class K>
KR_INLINE bool walk_short(const typename K::block &block, const block_ends &found, const char *data, uint32_t size,
                          const head_limits &limits, kr_field *fields, kr_request *request, head_facts *head) {
  const uint64_t end = lowest_set(found.empty);
  uint64_t ends = found.ends & (found.empty - 1) & ~found.empty;
  uint64_t names = found.names;
  const auto count = static_cast<uint32_t>(__builtin_popcountll(ends)) - 1;
  if (end + 2 > size || !is_crlf(data, end) || count > limits.field_count_max) return false;
  line_kind kind;
  uint64_t start = K::lowest(ends);
  if (!read_request_line<K>(data, size, K{}.targets(block), start, limits.target_size_max, request, &kind))
    return false;
  begin_record(data, fields, end + 2, count, request, head);
  walked_fields seen{};
  seen.rare = kind.rare;
  start += 2;
  for (kr_field *field = fields; (ends &= ends - 1) != 0; ++field, names &= names - 1) {
    const uint64_t line_end = K::lowest(ends);
    if (!read_field<K>(data, size, start, K::lowest(names), line_end, field, &seen)) return false;
    start = line_end + 2;
  }
  return finish_walk(data, fields, kind, seen, request, head);
}

// A head of several blocks, of which the first is done.
template <class K>
__attribute__((noinline)) bool walk_long(const char *data, uint32_t size, const head_limits &limits, kr_field *fields,
                                         kr_request *request, head_facts *head) {
  // Blocks to masks, masks to the list: line end, name end, line end, and so on.
  const K k;
  const typename K::block first_block = k.load(data);
  block_carry carry;
  block_ends found = find_ends(k.lines(first_block), &carry);
  uint16_t list[kEndsMax + kBlock + kFlattenSpare];
  uint16_t *list_end = list;
  uint64_t at = 0;
  do {
    list_end = k.flatten(list_end, found.names | found.ends, at);
    at += kBlock;
    if (list_end > list + kEndsMax) return false;
    if (KR_LIKELY(at + kBlock <= size)) {
      found = find_ends(k.lines(k.load(data + at)), &carry);
    } else if (at < size) {
      // Read from the end backwards: nothing behind data + size is touched.
      const auto shift = static_cast<uint32_t>(at + kBlock - size);
      found = find_ends(shifted(k.lines(k.load(data + size - kBlock)), shift), &carry);
    } else {
      return false;
    }
  } while (found.empty == 0);
  const uint64_t end = at + lowest_set(found.empty);
  list_end = k.flatten(list_end, (found.names | found.ends) & (found.empty - 1) & ~found.empty, at);
  const auto list_size = static_cast<uint32_t>(list_end - list);
  const uint32_t count = list_size / 2;
  if (end + 2 > size || !is_crlf(data, end) || list_size % 2 == 0 || count > limits.field_count_max) return false;

  // The list to the record and its fields. Its entries lie before `end`, so two octets
  // behind each of them are there.
  line_kind kind;
  if (!read_request_line<K>(data, size, K{}.targets(first_block), list[0], limits.target_size_max, request, &kind)) {
    return false;
  }
  begin_record(data, fields, end + 2, count, request, head);
  walked_fields seen{};
  seen.rare = kind.rare;
  uint64_t start = uint64_t{list[0]} + 2;
  kr_field *field = fields;
  for (const uint16_t *entry = list + 1; entry != list_end; entry += 2, ++field) {
    if (!read_field<K>(data, size, start, entry[0], entry[1], field, &seen)) return false;
    start = uint64_t{entry[1]} + 2;
  }
  return finish_walk(data, fields, kind, seen, request, head);
}

template <class K>
KR_INLINE bool walk_head(const K &k, const char *data, size_t data_size, const head_limits &limits, kr_field *fields,
                         kr_request *request, head_facts *head) {
  // No octet beyond head_size_max is looked at.
  auto size = static_cast<uint32_t>(data_size < limits.head_size_max ? data_size : limits.head_size_max);
  if (size > kListedMax) size = kListedMax;
  if (size < K::kSizeMin) return false;
  const typename K::block block = size >= kBlock ? k.load(data) : k.load_short(data, size);
  block_carry carry;
  const block_ends found = find_ends(k.lines(block), &carry);
  if (found.empty == 0) return size > kBlock && walk_long<K>(data, size, limits, fields, request, head);
  return walk_short<K>(block, found, data, size, limits, fields, request, head);
}

}  // namespace
}  // namespace kourier::http
