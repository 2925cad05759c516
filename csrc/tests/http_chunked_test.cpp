#include "http_chunked.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "guarded_buffer.h"

namespace kourier::test {
namespace {

using http::chunked_decoder;
using http::verdict;

constexpr uint64_t kBodyMax = 1 << 20;

struct decoded {
  verdict outcome = verdict::more;
  uint16_t status = 0;
  uint8_t reason = 0;
  size_t consumed = 0;
  std::string body;
  std::string trailer;
};

// Feeds `text` in pieces of `first` octets, then `step` octets each, in place and up to the wall.
decoded decode(std::string_view text, size_t first, size_t step, uint64_t body_max) {
  static guarded_buffer buffer(1 << 18);
  decoded result;
  chunked_decoder decoder;
  size_t at = 0;
  size_t size = first;
  while (result.outcome == verdict::more && at <= text.size()) {
    const std::string_view piece = buffer.put(text.substr(at, size));
    char *data = const_cast<char *>(piece.data());
    size_t written = 0;
    size_t consumed = 0;
    result.outcome = decoder.decode(data, data, piece.size(), body_max, &written, &consumed);
    const size_t trailer_size = decoder.trailer_size() - result.trailer.size();
    result.body.append(data, written - trailer_size);
    result.trailer.append(data + written - trailer_size, trailer_size);
    result.consumed += consumed;
    at += size;
    size = step;
    if (step == 0 || at >= text.size()) break;
  }
  result.status = decoder.status();
  result.reason = decoder.reason();
  return result;
}

decoded check(std::string_view text, uint64_t body_max = kBodyMax) {
  const decoded whole = decode(text, text.size(), 0, body_max);
  const auto same = [&](const decoded &part) {
    EXPECT_EQ(part.outcome, whole.outcome) << text.substr(0, 100);
    EXPECT_EQ(part.status, whole.status) << text.substr(0, 100);
    EXPECT_EQ(part.consumed, whole.consumed) << text.substr(0, 100);
    EXPECT_EQ(part.body, whole.body) << text.substr(0, 100);
    EXPECT_EQ(part.trailer, whole.trailer) << text.substr(0, 100);
  };
  same(decode(text, 1, 1, body_max));
  if (text.size() > 2000) return whole;
  for (size_t cut = 1; cut < text.size(); ++cut) same(decode(text, cut, text.size() - cut, body_max));
  return whole;
}

void expect_body(std::string_view text, std::string_view body, std::string_view trailer = "") {
  const decoded result = check(std::string(text) + "next");
  EXPECT_EQ(result.outcome, verdict::done) << text.substr(0, 100);
  EXPECT_EQ(result.body, body);
  EXPECT_EQ(result.trailer, std::string(trailer) + "\r\n");
  EXPECT_EQ(result.consumed, text.size());
}

void expect_bad(std::string_view text, uint16_t status = 400, uint8_t reason = KR_REASON_BAD_CHUNK) {
  const decoded result = check(text);
  EXPECT_EQ(result.outcome, verdict::bad) << text.substr(0, 100);
  EXPECT_EQ(result.status, status) << text.substr(0, 100);
  EXPECT_EQ(result.reason, reason) << text.substr(0, 100);
}

// RFC 9112 §7.1.
TEST(HttpChunked, Decodes) {
  expect_body("0\r\n\r\n", "");
  expect_body("5\r\nhello\r\n0\r\n\r\n", "hello");
  expect_body("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world");
  expect_body("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
  expect_body("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n");
  expect_body("2710\r\n" + std::string(10000, 'y') + "\r\n0\r\n\r\n", std::string(10000, 'y'));
}

TEST(HttpChunked, WaitsForTheRest) {
  const std::string text = "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(decode(std::string_view(text).substr(0, size), size, 0, kBodyMax).outcome, verdict::more) << size;
  }
}

TEST(HttpChunked, SizeIsHexDigitsOnly) {
  for (const char *size :
       {"", " ", "+5", "-5", "0x5", "5 ", " 5", "5\t", "zz", "0_5", "5\xa0", "\xef\xbc\x95", ";a=b", "5h"}) {
    expect_bad(std::string(size) + "\r\nhello\r\n0\r\n\r\n");
  }
}

// A chunk size of 15 hex digits is the longest accepted; zeros before it are bounded.
TEST(HttpChunked, SizeIsBounded) {
  const decoded large = check("fffffffffffffff\r\n", UINT64_MAX);
  EXPECT_EQ(large.outcome, verdict::more);
  expect_bad("1000000000000000\r\n");
  expect_bad("7fffffffffffffff\r\n");
  expect_bad("10000000000000000\r\n");
  expect_body(std::string(31, '0') + "1\r\nx\r\n" + std::string(32, '0') + "\r\n\r\n", "x");
  expect_bad(std::string(32, '0') + "1\r\nx\r\n0\r\n\r\n");
  expect_bad(std::string(1000, '0') + "5\r\nhello\r\n0\r\n\r\n");
}

TEST(HttpChunked, LinesEndWithCrLf) {
  for (const char *text :
       {"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello!!\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n\r\n", "5\rX\r\nhello\r\n0\r\n\r\n"}) {
    expect_bad(text);
  }
  expect_bad("0\r\n\n", 400, KR_REASON_BAD_TRAILER);
  expect_bad("0\r\n\rX", 400, KR_REASON_BAD_TRAILER);
}

// RFC 9112 §7.1.1, RFC 9110 §5.6.4.
TEST(HttpChunked, Extensions) {
  for (const char *extension :
       {";a", ";a=b", " ;a=b", "; a=b", ";a =b", ";a= b", " \t; \ta \t= \tb", ";a=b;c;d=e", ";0=5", ";a=\"\"",
        ";a=\"b c;d=e,f\"", ";a=\"b\\\"c\\\\\"", ";a=\"\xe9\t\"", ";a=\"b\" ; c"}) {
    expect_body("5" + std::string(extension) + "\r\nhello\r\n0" + extension + "\r\n\r\n", "hello");
  }
  for (const char *extension :
       {";",     ";a=",    ";a=b;",       "; ",  ";=b",   ";a=b@c",   ";a=\"b",      ";a=\"b\rc\"",   ";a=\"b\nc\"",
        ";a\rb", ";a=b c", ";a b",        ";a ", ";a=b ", ";a=\"\"x", ";a=\"\\\r\"", ";a=\"\\\x7f\"", ";a=\x80",
        " a",    ";a\n",   ";a=\"\x01\"", ";;a"}) {
    expect_bad("5" + std::string(extension) + "\r\nhello\r\n0\r\n\r\n");
  }
}

TEST(HttpChunked, ExtensionsAreBounded) {
  expect_body("1;" + std::string(1023, 'a') + "\r\nx\r\n0\r\n\r\n", "x");
  expect_bad("1;" + std::string(1024, 'a') + "\r\nx\r\n0\r\n\r\n");
  std::string flood;
  for (int i = 0; i < 20; ++i) flood += "1;" + std::string(1000, 'a') + "\r\nx\r\n";
  expect_bad(flood);
}

// RFC 9112 §7.1.2, RFC 9110 §6.5.1.
TEST(HttpChunked, Trailers) {
  for (const char *trailer : {"X: v\r\n", "X:\r\n", "X:v\r\nY: \xe9\r\n", "Content-Typ: v\r\n", "ETag: \"x\"\r\n"}) {
    expect_body("5\r\nhello\r\n0\r\n" + std::string(trailer) + "\r\n", "hello", trailer);
    expect_body("0;a=b\r\n" + std::string(trailer) + "\r\n", "", trailer);
  }
  for (const char *trailer : {": v", "X", "X : v", " X: v", "X Y: v", "X: a\x01", "X\rY: v", "X: a\rb", "X: a\nb",
                              "X\xe9: v", "Content-Length: 5", "transfer-encoding: chunked", "HOST: a", "Trailer: x",
                              "Content-Type: text/x", "Authorization: x", "Connection: close", "GET / HTTP/1.1"}) {
    expect_bad("0\r\n" + std::string(trailer) + "\r\n\r\n", 400, KR_REASON_BAD_TRAILER);
  }
}

TEST(HttpChunked, TrailersAreBounded) {
  std::string trailer;
  for (int i = 0; i < 128; ++i) trailer += "X: v\r\n";
  expect_body("0\r\n" + trailer + "\r\n", "", trailer);
  expect_bad("0\r\n" + trailer + "X: v\r\n\r\n", 431, KR_REASON_BAD_TRAILER);
  const std::string longest = "X: " + std::string(chunked_decoder::kTrailerSizeMax - 7, 'v') + "\r\n";
  expect_body("0\r\n" + longest + "\r\n", "", longest);
  expect_bad("0\r\nX" + longest + "\r\n", 431, KR_REASON_BAD_TRAILER);
}

TEST(HttpChunked, BodySizeLimit) {
  EXPECT_EQ(check("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 10).outcome, verdict::done);
  const decoded result = check("5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n", 10);
  EXPECT_EQ(result.outcome, verdict::bad);
  EXPECT_EQ(result.status, 413);
  EXPECT_EQ(result.reason, KR_REASON_BODY_TOO_LARGE);
  EXPECT_EQ(result.body, "hello");
}

// What is over stays over.
TEST(HttpChunked, NothingIsTakenBehindTheEnd) {
  chunked_decoder decoder;
  std::string text = "0\r\n\r\n5\r\nhello";
  size_t written = 0;
  size_t consumed = 0;
  EXPECT_EQ(decoder.decode(text.data(), text.data(), text.size(), kBodyMax, &written, &consumed), verdict::done);
  EXPECT_EQ(consumed, 5U);
  EXPECT_EQ(decoder.decode(text.data(), text.data(), text.size(), kBodyMax, &written, &consumed), verdict::done);
  EXPECT_EQ(consumed, 0U);
}

}  // namespace
}  // namespace kourier::test
