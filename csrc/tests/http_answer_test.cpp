#include "../http_answer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "../http_date.h"

namespace kourier::http {
namespace {

TEST(DateLine, WritesTheExampleOfTheRFC) {
  date_line date;
  date.update(784111777);  // RFC 9110 §5.6.7
  EXPECT_STREQ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", date.text);
}

TEST(DateLine, AgreesWithTheCLibrary) {
  date_line date;
  for (int64_t second = 0; second < 253402300799; second += 86400 * 13 + 3607) {
    date.update(second);
    const time_t time = second;
    struct tm parts;
    ::gmtime_r(&time, &parts);
    char expected[64];
    ::strftime(expected, sizeof(expected), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    ASSERT_STREQ(expected, date.text);
  }
}

TEST(DateLine, ClampsWhatHasNoForm) {
  date_line date;
  date.update(-5);
  EXPECT_STREQ("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", date.text);
  date.update(INT64_MAX);
  EXPECT_STREQ("Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n", date.text);
}

// Every refusal is a whole answer whose Content-Length is that of its body.
TEST(Refusal, IsWellFramedForEachCodeAndReason) {
  date_line date;
  date.update(784111777);
  for (const uint16_t code : {400, 408, 413, 414, 417, 431, 501, 505}) {
    for (uint8_t reason = 0; reason < KR_REASON_COUNT; ++reason) {
      char out[kRefusalSizeMax];
      const std::string text(out, write_refusal(out, code, reason, false, date));
      EXPECT_EQ(0u, text.find("HTTP/1.1 " + std::to_string(code) + " "));
      EXPECT_NE(std::string::npos, text.find("\r\nConnection: close\r\n"));
      EXPECT_NE(std::string::npos, text.find(date.text));
      const size_t end = text.find("\r\n\r\n");
      ASSERT_NE(std::string::npos, end);
      const size_t length = text.find("Content-Length: ") + 16;
      EXPECT_EQ(text.size() - end - 4, std::stoul(text.substr(length)));
      const std::string head(out, write_refusal(out, code, reason, true, date));
      EXPECT_EQ(text.substr(0, end + 4), head);
    }
  }
}

TEST(Refusal, TellsAnUnknownTransferCodingFromAWrongOne) {
  date_line date;
  date.update(784111777);
  const auto body = [&date](uint16_t code) {
    char out[kRefusalSizeMax];
    const std::string text(out, write_refusal(out, code, KR_REASON_BAD_TRANSFER_ENCODING, false, date));
    return text.substr(text.find("\r\n\r\n") + 4);
  };
  EXPECT_EQ("501 Not Implemented: unsupported transfer encoding\n", body(501));
  EXPECT_EQ("400 Bad Request: malformed Transfer-Encoding, or one beside Content-Length or of HTTP/1.0\n", body(400));
}

TEST(StaticAnswer, TellsWhetherTheConnectionPersists) {
  date_line date;
  date.update(784111777);
  const kr_static ok = {"/", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "ok", 1, 36, 2, 200, KR_METHOD_GET, 0};
  const std::string head = std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n") + date.text;
  char out[512];
  const auto text = [&](uint8_t flags, bool to_head) {
    const size_t size = write_static(out, ok, flags, to_head, date);
    EXPECT_LE(size, static_size_max(ok));
    return std::string(out, size);
  };
  EXPECT_EQ(head + "\r\nok", text(KR_REQUEST_KEEP_ALIVE, false));
  EXPECT_EQ(head + "\r\n", text(KR_REQUEST_KEEP_ALIVE, true));
  EXPECT_EQ(head + "Connection: close\r\n\r\nok", text(0, false));
  EXPECT_EQ(head + "Connection: keep-alive\r\n\r\nok", text(KR_REQUEST_KEEP_ALIVE | KR_REQUEST_HTTP10, false));
}

}  // namespace
}  // namespace kourier::http
