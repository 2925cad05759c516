// The fast reader of a head, over any kernel. One pass turns blocks of 64 octets
// into bit masks and the masks into a list of offsets, in turn the end of a line and
// the end of a name; a second pass over the list makes the table of fields. It decides
// nothing that is wrong: at the first oddity it returns false, and read_head_scalar
// finds out what it was.
//
// Included by each http_head_<isa>_<goarch>.cpp inside its target region, so that
// everything here is compiled for that instruction set and inlines into one
// function. Everything foreign is included before the region. A kernel K offers:
//
//   K::block                        64 octets in registers
//   K::kSizeMin                     the shortest input that load_short reads
//   block k.load(p)                 p[0, 64)
//   block k.load_short(p, n)        p[0, n), kSizeMin <= n < 64; what stands behind means nothing
//   line_masks k.lines(block)
//   target_masks k.targets(block)
//   bool k.host(p, n, room, &masks) of p[0, n), n > 0; p[0, room) may be read, room >= n + 4.
//                                   False when n is none of its sizes
//   uint32_t K::lowest(mask)        the number of the lowest bit; for 0, any number
//   uint32_t *k.flatten(list, mask, base)   writes base + i for each bit i, in order, and
//                                   perhaps up to kFlattenSpare entries more; returns the end
#pragma once

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_target.h"

namespace kourier::http {
namespace {

// Bit i stands for octet i of the block.
struct line_masks {
  uint64_t token;    // tchar
  uint64_t control;  // what ends a value: CR, LF, and what must not be there; never HTAB
};

struct target_masks {
  uint64_t invalid;   // no octet of a target
  uint64_t question;  // '?'
  uint64_t percent;   // '%'
};

struct host_masks {
  uint64_t name;  // octets of a host name
  uint64_t dot;
};

constexpr uint32_t kBlock = 64;
// A head with more ends of names and lines is left to the scalar reader.
constexpr uint32_t kEndsMax = 512;
constexpr uint32_t kFlattenSpare = 16;

#define KR_INLINE inline __attribute__((always_inline))
#define KR_LIKELY(condition) __builtin_expect(!!(condition), 1)

// A store that stays by itself: g++ would gather neighbours in a vector register
// first, which takes longer than storing them one by one.
KR_INLINE void store(uint32_t *to, uint32_t value) { *const_cast<volatile uint32_t *>(to) = value; }

// `mask` is not 0.
KR_INLINE uint32_t lowest_set(uint64_t mask) { return static_cast<uint32_t>(__builtin_ctzll(mask)); }

// Bits [0, count), count < 64.
KR_INLINE uint64_t bits_below(uint32_t count) { return (1ULL << count) - 1; }

KR_INLINE line_masks shifted(line_masks m, uint32_t by) { return {m.token >> by, m.control >> by}; }
KR_INLINE target_masks shifted(target_masks m, uint32_t by) {
  return {m.invalid >> by, m.question >> by, m.percent >> by};
}

// The masks of the block at data + at, which is not the first. A block that the
// input ends in is read from its end backwards: nothing behind data + size is touched.
template <class K>
KR_INLINE target_masks targets_at(const K &k, const char *data, uint32_t at, uint32_t size) {
  if (KR_LIKELY(size - at >= kBlock)) return k.targets(k.load(data + at));
  return shifted(k.targets(k.load(data + size - kBlock)), kBlock - (size - at));
}

// Bit by bit, four at a time: few blocks have more, and a branch on every bit would
// be guessed wrong too often. Lowest gives the number of the lowest bit, for 0 any.
template <class Lowest>
KR_INLINE uint32_t *flatten_bits(uint32_t *list, uint64_t mask, uint32_t base, Lowest lowest) {
  uint32_t *const end = list + __builtin_popcountll(mask);
  for (;; list += 4) {
    for (uint32_t i = 0; i < 4; ++i) {
      store(list + i, base + lowest(mask));
      mask &= mask - 1;
    }
    if (KR_LIKELY(mask == 0)) return end;
  }
}

// What passes from one block to the next.
struct block_carry {
  uint64_t control = 0;  // the masks of the block before
  uint64_t ends = 0;
  uint64_t name = 0;  // 1: a name reaches to its end
};

struct block_ends {
  uint64_t both;   // the first octet behind each name, and the first octet of each line end
  uint64_t empty;  // the lowest bit: the empty line; 0 when there is none
};

//  octets    H o s t :   a CR LF X : CR LF CR LF     A line ends where controls begin, and
//  control                 1  1        1  1  1  1    the next starts two octets on: that CR
//  ends                    1           1             LF stands there is looked at later, line
//  starts    1                   1           1       by line. The addition carries a start
//  token     1 1 1 1     1       1                   through the name; it comes out at the
//  names             1             1         1       first octet that is no tchar. A control
//  empty                                     1       where a line starts is the empty line.
//
// Whatever else the controls are, one of these lines does not end with CR LF, or has
// a name that is empty or does not end with a colon.
KR_INLINE block_ends find_ends(const line_masks &m, block_carry *carry) {
  const uint64_t ends = m.control & ~(m.control << 1 | carry->control >> 63);
  const uint64_t starts = (ends << 2 | carry->ends >> 62) | carry->name;
  uint64_t sum = 0;
  carry->name = __builtin_add_overflow(m.token, starts, &sum) ? 1 : 0;
  carry->control = m.control;
  carry->ends = ends;
  return {(sum & ~m.token) | ends, starts & m.control};
}

KR_INLINE bool is_crlf(const char *data, uint64_t at) { return load<uint16_t>(data + at) == 0x0a0d; }

KR_INLINE uint8_t octet(const char *data, uint64_t at) { return static_cast<uint8_t>(data[at]); }

// A value that is not one SP and then visible octets: RFC 9110 §5.5, OWS.
inline slice trim(const char *data, uint32_t begin, uint32_t end) {
  while (begin < end && is_blank(static_cast<uint8_t>(data[begin]))) ++begin;
  while (end > begin && is_blank(static_cast<uint8_t>(data[end - 1]))) --end;
  return {begin, end - begin};
}

// A port of 1 to 5 digits that end at `end`; end[-8, 0) may be read.
KR_INLINE bool is_short_port(const char *end, uint32_t digits) {
  const uint32_t foreign = 64 - 8 * digits;
  uint64_t value = (load<uint64_t>(end - 8) ^ 0x3030303030303030ULL) >> foreign << foreign;
  if (((value | (value + 0x7676767676767676ULL)) & 0x8080808080808080ULL) != 0) return false;
  if (digits < 5) return true;
  // Pairs, then fours, then all: the first digit stands in the lowest octet.
  value = (value * 10 + (value >> 8)) & 0x00ff00ff00ff00ffULL;
  value = (value * 100 + (value >> 16)) & 0x0000ffff0000ffffULL;
  return (value & 0xffffffff) * 10000 + (value >> 32) <= 65535;
}

// A host that is a plain name with or without a port. False says nothing.
template <class K>
KR_INLINE bool is_plain_host(const K &k, const char *host, uint32_t size, uint32_t room) {
  host_masks m;
  if (!k.host(host, size, room, &m)) return false;
  const uint32_t name_size = lowest_set(~m.name | 1ULL << size);
  const uint64_t empty_labels = m.dot & (m.dot << 1 | 1) & bits_below(name_size);
  if (name_size == 0 || empty_labels != 0) return false;
  if (name_size == size) return true;
  const uint32_t digits = size - name_size - 1;
  return host[name_size] == ':' && digits - 1 < 5 && is_short_port(host + size, digits);
}

constexpr uint64_t kLower8 = 0x2020202020202020ULL;

// "Connection: keep-alive". In HTTP/1.1 it says nothing that does not hold anyway.
KR_INLINE bool is_keep_alive(const char *name, uint32_t name_size, const char *value, uint32_t value_size) {
  return name_size == 10 && (load<uint64_t>(name) | kLower8) == 0x697463656e6e6f63ULL &&    // "connecti"
         (load<uint16_t>(name + 8) | 0x2020) == 0x6e6f &&                                   // "on"
         value_size == 10 && (load<uint64_t>(value) | kLower8) == 0x696c612d7065656bULL &&  // "keep-ali"
         (load<uint16_t>(value + 8) | 0x2020) == 0x6576;                                    // "ve"
}

// A field whose name may be one of the six that matter. *rare_out becomes true for one
// that does, and is neither Host nor is_keep_alive.
template <class K>
KR_INLINE bool read_known(const K &k, const char *data, uint32_t size, const char *name, uint32_t name_size,
                          slice value, slice *host, bool *rare_out) {
  if (name_size == 4 && (load<uint32_t>(name) | 0x20202020) == 0x74736f68) {  // "host"
    if (host->size != 0 || value.size == 0) return false;
    host->offset = value.offset;
    host->size = value.size;
    return is_plain_host(k, data + value.offset, value.size, size - value.offset) ||
           is_authority(data + value.offset, value.size, port_rule::optional);
  }
  if (!is_keep_alive(name, name_size, data + value.offset, value.size)) *rare_out = true;
  return true;
}

// Fills `field` with the field line [start, end), whose name ends at name_end <= end.
// Behind it two octets are there, and more. Offsets of 64 bits, because they address.
template <class K>
KR_INLINE bool read_field(const K &k, const char *data, uint32_t size, uint64_t start, uint64_t name_end, uint64_t end,
                          kr_field *field, slice *host, bool *rare_out) {
  if (name_end == start || !is_crlf(data, end)) return false;
  const auto name_size = static_cast<uint32_t>(name_end - start);
  slice value{static_cast<uint32_t>(name_end + 2), static_cast<uint32_t>(end - name_end - 2)};
  if (!KR_LIKELY(load<uint16_t>(data + name_end) == 0x203a && octet(data, name_end + 2) > ' ' &&  // ": "
                 octet(data, end - 1) > ' ')) {
    if (data[name_end] != ':') return false;
    value = trim(data, static_cast<uint32_t>(name_end + 1), static_cast<uint32_t>(end));
  }
  store(&field->name_offset, static_cast<uint32_t>(start));
  store(&field->name_size, name_size);
  store(&field->value_offset, value.offset);
  store(&field->value_size, value.size);
  return KR_LIKELY(!may_matter(data[start], name_size)) ||
         read_known(k, data, size, data + start, name_size, value, host, rare_out);
}

// Looks through an origin form, RFC 9112 §3.2.1. *question_out is its first '?', or
// its end. `first` are the masks of the first block, where every target begins.
template <class K>
KR_INLINE bool read_origin(const K &k, const char *data, uint32_t size, const target_masks &first, slice target,
                           uint32_t *question_out) {
  const uint32_t begin = target.offset;
  const uint32_t end = begin + target.size;
  uint64_t here = ~bits_below(begin);
  if (end < kBlock) here &= bits_below(end);
  uint64_t invalid = first.invalid & here;
  uint64_t percent = first.percent & here;
  const uint64_t questions = first.question & here;
  uint32_t question = questions != 0 ? lowest_set(questions) : end;
  for (uint32_t at = kBlock; at < end; at += kBlock) {
    const target_masks m = targets_at(k, data, at, size);
    here = end - at < kBlock ? bits_below(end - at) : ~0ULL;
    invalid |= m.invalid & here;
    percent |= m.percent & here;
    if (question == end && (m.question & here) != 0) question = at + lowest_set(m.question & here);
  }
  *question_out = question;
  return invalid == 0 && (percent == 0 || percent_is_sound(data + begin, end - begin));
}

// The size of the method that data begins with; 0 when it is no token, or when the
// target behind it begins in another block.
inline uint32_t method_size_of(const char *data, uint32_t limit) {
  uint32_t size = 0;
  while (size < limit && size < kBlock - 2 && has_class(data[size], kTchar)) ++size;
  return size < limit && data[size] == ' ' ? size : 0;
}

// What the request line says beyond request_head.
struct line_kind {
  bool http10;
  bool origin;  // the target is of the origin form; else it is still to be judged
};

// Found from both ends: the method from the left, the version from the right. What
// lies between has no SP, because SP is no octet of a target. Fills *head as if no
// field said anything.
//
// Every member is written once and nothing is kept for later: what would have to live
// on through the loop over the fields goes to memory now instead of being spilled then.
template <class K>
KR_INLINE bool read_request_line(const K &k, const char *data, uint32_t size, const target_masks &first, uint32_t end,
                                 uint32_t target_size_max, request_head *head, line_kind *kind_out) {
  if (end < 14 || !is_crlf(data, end)) return false;  // "GET / HTTP/1.1"
  const auto version = load<uint64_t>(data + end - 8);
  kind_out->http10 = false;
  if (!KR_LIKELY(version == 0x312e312f50545448ULL)) {    // "HTTP/1.1"
    if (version != 0x302e312f50545448ULL) return false;  // "HTTP/1.0"
    kind_out->http10 = true;
  }
  uint32_t method_size = 3;
  uint8_t method_id = KR_METHOD_GET;
  const auto first_octets = load<uint32_t>(data);
  if (first_octets == 0x54534f50 && data[4] == ' ') {  // "POST "
    method_size = 4;
    method_id = KR_METHOD_POST;
  } else if (first_octets != 0x20544547) {  // "GET "
    method_size = method_size_of(data, end);
    if (method_size == 0) return false;
    method_id = method_id_of(data, method_size);
  }
  const uint32_t target = method_size + 1;
  const uint32_t target_end = end - 9;
  if (target >= target_end || data[target_end] != ' ' || target_end - target > target_size_max) return false;
  uint32_t question = target_end;
  kind_out->origin = data[target] == '/' && method_id != KR_METHOD_CONNECT;
  if (kind_out->origin && !read_origin(k, data, size, first, {target, target_end - target}, &question)) return false;
  const bool has_query = question != target_end;
  const uint32_t query = question + (has_query ? 1 : 0);
  head->method.offset = 0;
  head->method.size = method_size;
  head->target.offset = target;
  head->target.size = target_end - target;
  head->path.offset = target;
  head->path.size = question - target;
  head->query.offset = query;
  head->query.size = target_end - query;
  head->host.offset = 0;
  head->host.size = 0;
  head->content_length = 0;
  head->status = 0;
  head->reason = 0;
  head->method_id = method_id;
  head->flags = static_cast<uint8_t>(KR_REQUEST_KEEP_ALIVE | (has_query ? KR_REQUEST_HAS_QUERY : 0));
  head->framing = body_framing::none;
  head->expects_continue = false;
  return true;
}

// The rest of a head that is more than a plain one: HTTP/1.0, another form of target,
// a field that is_keep_alive and Host leave to add_field. The table is full by now.
__attribute__((noinline)) inline bool finish_rare(const char *data, const kr_field *fields, line_kind kind,
                                                  request_head *head) {
  target_parts parts{};
  if (kind.origin) {
    parts.form = target_form::origin;
    parts.has_query = (head->flags & KR_REQUEST_HAS_QUERY) != 0;
    parts.path = head->path;
    parts.query = head->query;
  } else if (!split_target(data, head->target, head->method_id, &parts)) {
    return false;
  }
  head->flags = kind.http10 ? KR_REQUEST_HTTP10 : 0;
  head_facts facts{};
  refusal why;
  for (uint32_t i = 0; i < head->field_count; ++i) {
    const kr_field &field = fields[i];
    const char *name = data + field.name_offset;
    if (!may_matter(*name, field.name_size)) continue;
    const field_id id = identify_field(name, field.name_size);
    if (!add_field(id, data, {field.value_offset, field.value_size}, &facts, &why)) return false;
  }
  return finish_head(facts, parts, head, &why);
}

template <class K>
KR_INLINE bool walk_head(const K &k, const char *data, size_t data_size, const head_limits &limits, kr_field *fields,
                         request_head *head) {
  // No octet beyond head_size_max is looked at.
  const auto size = static_cast<uint32_t>(data_size < limits.head_size_max ? data_size : limits.head_size_max);
  if (size < K::kSizeMin) return false;
  uint32_t list[kEndsMax + kBlock + kFlattenSpare];

  // Blocks to masks, masks to the list: line end, name end, line end, and so on.
  uint32_t *list_end = list;
  const typename K::block first_block = size >= kBlock ? k.load(data) : k.load_short(data, size);
  const target_masks first = k.targets(first_block);
  line_masks masks = k.lines(first_block);
  block_carry carry;
  block_ends ends;
  uint32_t at = 0;
  for (;;) {
    ends = find_ends(masks, &carry);
    if (ends.empty != 0) break;
    list_end = k.flatten(list_end, ends.both, at);
    at += kBlock;
    if (list_end > list + kEndsMax) return false;
    if (KR_LIKELY(at + kBlock <= size)) {
      masks = k.lines(k.load(data + at));
    } else if (at < size) {
      // Read from the end backwards: nothing behind data + size is touched.
      masks = shifted(k.lines(k.load(data + size - kBlock)), at + kBlock - size);
    } else {
      return false;
    }
  }
  // The last block is waited for, and then the list: bit by bit has the shorter way.
  const uint32_t end = at + lowest_set(ends.empty);
  list_end = flatten_bits(list_end, ends.both & ((ends.empty & (0 - ends.empty)) - 1), at, K::lowest);
  const auto list_size = static_cast<uint32_t>(list_end - list);
  if (end + 2 > size || !is_crlf(data, end) || list_size % 2 == 0) return false;

  // The list to the head and its fields. Its entries lie before `end`, so two octets
  // behind each of them are there.
  if (list_size / 2 > limits.field_count_max) return false;
  line_kind kind;
  if (!read_request_line(k, data, size, first, list[0], limits.target_size_max, head, &kind)) return false;
  head->size = end + 2;
  head->field_count = static_cast<uint16_t>(list_size / 2);
  bool rare = kind.http10 || !kind.origin;
  uint64_t start = list[0] + 2;
  kr_field *field = fields;
  for (const uint32_t *entry = list + 1; entry != list_end; entry += 2, ++field) {
    if (!read_field(k, data, size, start, entry[0], entry[1], field, &head->host, &rare)) return false;
    start = entry[1] + 2;
  }
  // Else the "empty line" was a name that ends with a block and has no colon.
  if (start != end) return false;
  if (KR_LIKELY(!rare && head->host.size != 0)) return true;
  return finish_rare(data, fields, kind, head);
}

}  // namespace
}  // namespace kourier::http
