// The character classes of RFC 9110 §5.6.2, RFC 9112 §3-§5 and RFC 3986 §2-§3.
// The predicates are the definition: every lookup table, also those of the SIMD
// kernels, is computed from them by the compiler.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kourier::http {

constexpr bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_hex(uint8_t c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

constexpr bool is_one_of(uint8_t c, const char *set) {
  for (; *set != 0; ++set) {
    if (c == static_cast<uint8_t>(*set)) return true;
  }
  return false;
}

// RFC 9110 §5.6.2.
constexpr bool is_tchar(uint8_t c) { return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~"); }

// Octets that no part of a head may hold, but for the CR LF that ends a line:
// RFC 9110 §5.5 allows HTAB, SP, VCHAR and obs-text in a field value.
constexpr bool is_control(uint8_t c) { return (c < 0x20 && c != '\t') || c == 0x7f; }

constexpr bool is_sub_delim(uint8_t c) { return is_one_of(c, "!$&'()*+,;="); }
constexpr bool is_unreserved(uint8_t c) { return is_alpha(c) || is_digit(c) || is_one_of(c, "-._~"); }

// What may stand in a path or in a query, RFC 3986 §3.3 and §3.4. '%' has to be
// followed by two hex digits, which no single octet can show; '?' ends the path.
constexpr bool is_target_char(uint8_t c) { return is_unreserved(c) || is_sub_delim(c) || is_one_of(c, ":@/?%"); }

// What may stand there whatever follows.
constexpr bool is_plain_target_char(uint8_t c) { return is_target_char(c) && c != '%'; }

// What may stand in a host name. RFC 3986 §3.2.2 lets a reg-name hold sub-delims,
// '~' and percent-encodings too; no name that resolves has one, and each of them
// reads differently to some server behind us, so they are refused.
constexpr bool is_host_char(uint8_t c) { return is_alpha(c) || is_digit(c) || is_one_of(c, "-._"); }

constexpr bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

enum : uint8_t {
  kTchar = 1,
  kControl = 2,
  kTarget = 4,
  kHost = 8,
  kHex = 16,
  kQuoted = 32,  // qdtext, RFC 9110 §5.6.4
  kPlainTarget = 64,
};

constexpr std::array<uint8_t, 256> make_char_classes() {
  std::array<uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    const auto byte = static_cast<uint8_t>(c);
    classes[c] = static_cast<uint8_t>((is_tchar(byte) ? kTchar : 0) | (is_control(byte) ? kControl : 0) |
                                      (is_target_char(byte) ? kTarget : 0) | (is_host_char(byte) ? kHost : 0) |
                                      (is_hex(byte) ? kHex : 0) |
                                      (!is_control(byte) && byte != '"' && byte != '\\' ? kQuoted : 0) |
                                      (is_plain_target_char(byte) ? kPlainTarget : 0));
  }
  return classes;
}

inline constexpr std::array<uint8_t, 256> kCharClasses = make_char_classes();

inline bool has_class(char c, uint8_t classes) { return (kCharClasses[static_cast<uint8_t>(c)] & classes) != 0; }

constexpr uint8_t hex_value(uint8_t c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10); }

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// `lower` is in lower case; compares all of it. Exact: '[' is not '{'.
inline bool equals_ignoring_case(const char *data, size_t size, const char *lower, size_t lower_size) {
  if (size != lower_size) return false;
  for (size_t i = 0; i < size; ++i) {
    if (to_lower(data[i]) != lower[i]) return false;
  }
  return true;
}

template <size_t N>
bool equals_ignoring_case(const char *data, size_t size, const char (&lower)[N]) {
  return equals_ignoring_case(data, size, lower, N - 1);
}

// Calls visit(element, size) for each non-empty element of a list, RFC 9110 §5.6.1,
// trimmed of OWS; stops when it returns false. Knows no quoted strings: none of
// the lists read here may hold one, and a half of one is no valid element.
template <class Visit>
bool for_each_element(const char *data, size_t size, Visit visit) {
  size_t at = 0;
  while (at <= size) {
    size_t end = at;
    while (end < size && data[end] != ',') ++end;
    size_t first = at;
    size_t last = end;
    while (first < last && is_blank(static_cast<uint8_t>(data[first]))) ++first;
    while (last > first && is_blank(static_cast<uint8_t>(data[last - 1]))) --last;
    if (last > first && !visit(data + first, last - first)) return false;
    at = end + 1;
  }
  return true;
}

template <class T>
T load(const char *data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

}  // namespace kourier::http
