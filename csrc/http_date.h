// The Date field line, RFC 9110 §6.6.1, made at most once a second.
#pragma once

#include <cstdint>

namespace kourier::http {

// A whole field line with its CRLF: "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".
struct date_line {
  static constexpr uint32_t kSize = 37;

  // Makes the line for a second since 1970, unless it is that of the last call.
  // Seconds before 1970 or after the year 9999 are clamped.
  void update(int64_t unix_seconds);

  char text[kSize + 1] = {};

 private:
  int64_t seconds_ = -1;
};

}  // namespace kourier::http
