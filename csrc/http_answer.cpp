//go:build !kourier_cmake

#include "http_answer.h"

#include <cstring>
#include <string_view>

#include "base_assert.h"

namespace kourier::http {

namespace {

std::string_view phrase(uint16_t code) {
  switch (code) {
    case 400:
      return "400 Bad Request";
    case 408:
      return "408 Request Timeout";
    case 413:
      return "413 Content Too Large";
    case 414:
      return "414 URI Too Long";
    case 417:
      return "417 Expectation Failed";
    case 431:
      return "431 Request Header Fields Too Large";
    case 501:
      return "501 Not Implemented";
    case 505:
      return "505 HTTP Version Not Supported";
    default:
      return "400 Bad Request";
  }
}

// What follows the phrase in the text, for the person who debugs the client.
std::string_view explanation(uint16_t code, uint8_t reason) {
  switch (reason) {
    case KR_REASON_BAD_REQUEST_LINE:
      return ": malformed request line";
    case KR_REASON_BAD_METHOD:
      return ": malformed method";
    case KR_REASON_BAD_TARGET:
      return ": malformed request target";
    case KR_REASON_BAD_FIELD:
      return ": malformed header field";
    case KR_REASON_BAD_HOST:
      return ": missing, repeated or malformed Host";
    case KR_REASON_BAD_CONTENT_LENGTH:
      return ": invalid Content-Length";
    case KR_REASON_BAD_TRANSFER_ENCODING:
      return code == 501 ? ": unsupported transfer encoding"
                         : ": malformed Transfer-Encoding, or one beside Content-Length or of HTTP/1.0";
    case KR_REASON_BAD_CHUNK:
      return ": malformed chunked body";
    case KR_REASON_BAD_TRAILER:
      return ": malformed trailer field";
    case KR_REASON_TOO_MANY_FIELDS:
      return ": too many header fields";
    case KR_REASON_BODY_TOO_SLOW:
      return ": body arrives too slowly";
    default:
      return "";
  }
}

struct writer {
  char *at;

  void put(std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  void put_number(size_t value) {
    char digits[20];
    size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (count != 0) *at++ = digits[--count];
  }
};

}  // namespace

size_t write_refusal(char *out, uint16_t code, uint8_t reason, bool to_head, const date_line &date) {
  const std::string_view title = phrase(code);
  const std::string_view why = explanation(code, reason);
  writer w{out};
  w.put("HTTP/1.1 ");
  w.put(title);
  w.put("\r\n");
  w.put({date.text, date_line::kSize});
  w.put("Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  w.put_number(title.size() + why.size() + 1);
  w.put("\r\n\r\n");
  if (!to_head) {
    w.put(title);
    w.put(why);
    w.put("\n");
  }
  const size_t size = static_cast<size_t>(w.at - out);
  KR_ASSERT(size <= kRefusalSizeMax);
  return size;
}

size_t static_size_max(const kr_static &answer) {
  return size_t{answer.head_size} + answer.body_size + date_line::kSize + sizeof("Connection: keep-alive\r\n\r\n");
}

size_t write_static(char *out, const kr_static &answer, uint8_t flags, bool to_head, const date_line &date) {
  writer w{out};
  w.put({answer.head, answer.head_size});
  w.put({date.text, date_line::kSize});
  if ((flags & KR_REQUEST_KEEP_ALIVE) == 0) {
    w.put("Connection: close\r\n");
  } else if ((flags & KR_REQUEST_HTTP10) != 0) {
    w.put("Connection: keep-alive\r\n");
  }
  w.put("\r\n");
  if (!to_head) w.put({answer.body, answer.body_size});
  return static_cast<size_t>(w.at - out);
}

}  // namespace kourier::http
