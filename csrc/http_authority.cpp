//go:build !kourier_cmake

#include "http_authority.h"

#include "http_chars.h"

namespace kourier::http {

bool is_port(const char *data, size_t size) {
  uint32_t port = 0;
  for (size_t i = 0; i < size; ++i) {
    const auto c = static_cast<uint8_t>(data[i]);
    if (!is_digit(c)) return false;
    port = port * 10 + (c - '0');
    if (port > 65535) return false;
  }
  return true;
}

namespace {

// IPv4address = four dec-octets: 0-255 without leading zeros.
bool is_ipv4(const char *data, size_t size) {
  size_t at = 0;
  for (int octet = 0; octet < 4; ++octet) {
    if (octet > 0 && (at == size || data[at++] != '.')) return false;
    const size_t start = at;
    uint32_t value = 0;
    while (at < size && at - start < 3 && is_digit(static_cast<uint8_t>(data[at]))) {
      value = value * 10 + static_cast<uint32_t>(data[at++] - '0');
    }
    if (at == start || value > 255) return false;
    if (at - start > 1 && data[start] == '0') return false;
  }
  return at == size;
}

// Eight groups of one to four hex digits, or fewer and one "::" in the place of
// at least one; the last two groups may be written as an IPv4 address.
bool is_ipv6(const char *data, size_t size) {
  size_t at = 0;
  int groups = 0;
  bool elided = false;
  if (size >= 2 && data[0] == ':' && data[1] == ':') {
    elided = true;
    at = 2;
    if (at == size) return true;
  }
  for (;;) {
    const size_t start = at;
    while (at < size && at - start < 4 && has_class(data[at], kHex)) ++at;
    if (at == start) return false;
    if (at < size && data[at] == '.') {
      if (!is_ipv4(data + start, size - start)) return false;
      groups += 2;
      break;
    }
    ++groups;
    if (at == size) break;
    if (data[at++] != ':') return false;
    if (at < size && data[at] == ':') {
      if (elided) return false;
      elided = true;
      if (++at == size) break;
    }
    if (groups > 8) return false;
  }
  return elided ? groups <= 7 : groups == 8;
}

// IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
bool is_ipvfuture(const char *data, size_t size) {
  if (size < 4 || (data[0] != 'v' && data[0] != 'V')) return false;
  size_t at = 1;
  while (at < size && has_class(data[at], kHex)) ++at;
  if (at == 1 || at == size || data[at] != '.') return false;
  const size_t start = ++at;
  for (; at < size; ++at) {
    const auto c = static_cast<uint8_t>(data[at]);
    if (!is_unreserved(c) && !is_sub_delim(c) && c != ':') return false;
  }
  return at > start;
}

// The size of the host name that data begins with; 0 when it begins with none.
size_t host_name_size(const char *data, size_t size) {
  size_t at = 0;
  bool label_empty = true;
  for (; at < size && has_class(data[at], kHost); ++at) {
    if (data[at] == '.' && label_empty) return 0;
    label_empty = data[at] == '.';
  }
  return at;
}

// The size of the IP-literal that data begins with, brackets included; 0 when it is none.
size_t ip_literal_size(const char *data, size_t size) {
  const void *close = std::memchr(data, ']', size);
  if (close == nullptr) return 0;
  const auto end = static_cast<size_t>(static_cast<const char *>(close) - data);
  return is_ip_literal(data + 1, end - 1) ? end + 1 : 0;
}

}  // namespace

bool is_ip_literal(const char *data, size_t size) { return is_ipv6(data, size) || is_ipvfuture(data, size); }

bool is_authority(const char *data, size_t size, port_rule rule) {
  if (size == 0) return false;
  const size_t host_size = data[0] == '[' ? ip_literal_size(data, size) : host_name_size(data, size);
  if (host_size == 0) return false;
  if (host_size == size) return rule == port_rule::optional;
  if (data[host_size] != ':') return false;
  const size_t port_size = size - host_size - 1;
  if (port_size == 0) return rule == port_rule::optional;
  return is_port(data + host_size + 1, port_size);
}

}  // namespace kourier::http
