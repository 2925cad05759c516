// uri-host [ ":" port ], as in Host, in the absolute form and after CONNECT:
// RFC 9110 §7.2, RFC 3986 §3.2.2-§3.2.3.
#pragma once

#include <cstddef>

namespace kourier::http {

// What of a port has to be there.
enum class port_rule {
  optional,  // none, or a colon and *DIGIT
  required,  // a colon and 1*DIGIT: the authority form, RFC 9112 §3.2.3
};

// True when data[0, size) is a host that is not empty, and a port not above 65535.
// Stricter than RFC 3986 in names (see is_host_char): no empty label, though one
// trailing dot may end it. No userinfo: RFC 9110 §4.2.4 calls it an error.
bool is_authority(const char *data, size_t size, port_rule rule);

// IPv6address or IPvFuture of RFC 3986 §3.2.2: what stands between the brackets.
bool is_ip_literal(const char *data, size_t size);

// True when data[0, size) is *DIGIT and not above 65535.
bool is_port(const char *data, size_t size);

}  // namespace kourier::http
