// Every octet in every place of a head, at the offsets where blocks of 16, 32 and 64
// begin and end, against the character classes of the RFCs written out again here.
#include "http_head_check.h"

namespace kourier::test {
namespace {

bool is_alnum(unsigned c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool in(unsigned c, std::string_view set) { return c != 0 && c < 0x80 && set.find(static_cast<char>(c)) != set.npos; }

// RFC 9110 §5.6.2.
bool is_token_octet(unsigned c) { return is_alnum(c) || in(c, "!#$%&'*+-.^_`|~"); }
// RFC 3986 §3.3, without '%', which needs two more octets.
bool is_path_octet(unsigned c) { return is_alnum(c) || in(c, "-._~!$&'()*+,;=:@/"); }
// RFC 9110 §5.5.
bool is_value_octet(unsigned c) { return c == '\t' || (c >= 0x20 && c != 0x7f); }

constexpr size_t kOffsets[] = {0, 1, 7, 14, 15, 16, 17, 30, 31, 32, 33, 47, 48, 62, 63, 64, 65, 127, 128, 129};

// `make` puts an octet at an offset of the place under test.
template <class Make, class Allowed>
void check_octets(Make make, Allowed allowed) {
  for (const size_t offset : kOffsets) {
    for (unsigned c = 0; c < 256; ++c) {
      const std::string text = make(offset, static_cast<char>(c));
      const parsed p = parse(text);
      ASSERT_EQ(p.verdict == http::verdict::done, allowed(c)) << "octet " << c << " at " << offset;
      check_kernels(text);
    }
  }
}

std::string filled(size_t offset, char octet) { return std::string(offset, 'a') + octet + "a"; }

TEST(HttpHeadOctets, Method) {
  check_octets([](size_t at, char c) { return "A" + filled(at, c) + " / HTTP/1.1\r\nHost: a\r\n\r\n"; },
               is_token_octet);
}

TEST(HttpHeadOctets, Path) {
  check_octets([](size_t at, char c) { return "GET /" + filled(at, c) + " HTTP/1.1\r\nHost: a\r\n\r\n"; },
               [](unsigned c) { return is_path_octet(c) || c == '?'; });
}

TEST(HttpHeadOctets, Query) {
  check_octets([](size_t at, char c) { return "GET /?" + filled(at, c) + " HTTP/1.1\r\nHost: a\r\n\r\n"; },
               [](unsigned c) { return is_path_octet(c) || c == '?'; });
}

TEST(HttpHeadOctets, FieldName) {
  check_octets([](size_t at, char c) { return "GET / HTTP/1.1\r\nHost: a\r\nX" + filled(at, c) + ": v\r\n\r\n"; },
               [](unsigned c) { return is_token_octet(c) || c == ':'; });
}

TEST(HttpHeadOctets, FieldValue) {
  check_octets([](size_t at, char c) { return "GET / HTTP/1.1\r\nHost: a\r\nX: " + filled(at, c) + "\r\n\r\n"; },
               is_value_octet);
}

TEST(HttpHeadOctets, FieldValueOfOneOctet) {
  for (unsigned c = 0; c < 256; ++c) {
    for (const char *format : {"X:", "X: "}) {
      const std::string text =
          std::string("GET / HTTP/1.1\r\nHost: a\r\n") + format + static_cast<char>(c) + "\r\n\r\n";
      ASSERT_EQ(parse(text).verdict == http::verdict::done, is_value_octet(c)) << c;
      check_kernels(text);
    }
  }
}

TEST(HttpHeadOctets, Host) {
  for (const size_t offset : {0, 1, 14, 15, 16, 17, 30, 31, 32, 33, 60, 61, 62, 63, 64}) {
    for (unsigned c = 0; c < 256; ++c) {
      const std::string host = "h" + std::string(offset, 'a') + static_cast<char>(c) + "a";
      const std::string text = "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
      ASSERT_EQ(parse(text).verdict == http::verdict::done, is_alnum(c) || in(c, "-._")) << c << " at " << offset;
      check_kernels(text);
    }
  }
}

// RFC 3986 §2.1: all pairs of octets behind '%', in path and query.
TEST(HttpHeadOctets, PercentPairs) {
  const auto is_hex = [](unsigned c) { return is_alnum(c) && (c | 0x20) <= 'f'; };
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string pair = {'%', static_cast<char>(first), static_cast<char>(second)};
      const std::string text =
          std::string("GET /") + (second % 2 == 0 ? "?" : "") + pair + "x HTTP/1.1\r\nHost: a\r\n\r\n";
      ASSERT_EQ(parse(text).verdict == http::verdict::done, is_hex(first) && is_hex(second)) << first << " " << second;
      check_kernels(text);
    }
  }
}

// A '%' and its digits on both sides of a block's end.
TEST(HttpHeadOctets, PercentAcrossBlocks) {
  for (size_t size = 0; size < 200; ++size) {
    const std::string pad = "GET /" + std::string(size, 'p');
    const std::string rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
    EXPECT_EQ(check(pad + "%2F" + rest).verdict, http::verdict::done);
    for (const char *bad : {"%", "%2", "%2g", "%g2", "%%20"}) {
      EXPECT_EQ(check(pad + bad + rest).verdict, http::verdict::bad) << size << bad;
    }
  }
}

// Every octet in the place of every octet of a whole head.
TEST(HttpHeadOctets, KernelsAgreeOnEveryReplacement) {
  const std::string good =
      "GET /path/to?query=%41 HTTP/1.1\r\nHost: www.example.com:8080\r\nAccept: text/html\r\nX:\r\n"
      "Connection: keep-alive\r\nCookie: a=b; c=d\r\n\r\n";
  for (size_t at = 0; at < good.size(); ++at) {
    for (unsigned c = 0; c < 256; ++c) {
      std::string text = good;
      text[at] = static_cast<char>(c);
      check_kernels(text);
      if (HasFatalFailure()) FAIL() << "octet " << c << " at " << at;
    }
  }
}

}  // namespace
}  // namespace kourier::test
