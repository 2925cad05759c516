// The answers that the core gives by itself: refusals, 100 Continue, and the
// heads of static answers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http_date.h"
#include "kourier.h"

namespace kourier::http {

// No answer that write_refusal makes is longer.
inline constexpr size_t kRefusalSizeMax = 512;

// Writes a whole refusal: status line, Date, Connection: close, a short text
// that names the reason (left out for HEAD), RFC 9110 §15.5. Returns its size.
size_t write_refusal(char *out, uint16_t code, uint8_t reason, bool to_head, const date_line &date);

// RFC 9110 §15.2.1.
inline constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

// The size that write_static may need.
size_t static_size_max(const kr_static &answer);

// Writes a static answer to one request. `flags` are the request's KR_REQUEST_*.
size_t write_static(char *out, const kr_static &answer, uint8_t flags, bool to_head, const date_line &date);

}  // namespace kourier::http
