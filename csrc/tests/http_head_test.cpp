// The rules of the request head, one after the other, with their places.
#include "http_head_check.h"

namespace kourier::test {
namespace {

using http::body_framing;

// A request line and Host, then `fields`, then the empty line.
std::string with(std::string_view fields, std::string_view line = "POST / HTTP/1.1") {
  return std::string(line) + "\r\nHost: a.test\r\n" + std::string(fields) + "\r\n";
}

std::string get(std::string_view target) { return with("", "GET " + std::string(target) + " HTTP/1.1"); }

std::string with_host(std::string_view host) { return "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"; }

TEST(HttpHead, TabulatesEverything) {
  const parsed p = expect_done(
      "POST /a/b?c=d&e HTTP/1.1\r\nHost: www.example.com:8080\r\nAccept: */*\r\nX:y\r\nEmpty:\r\n"
      "Padded: \t v w \t \r\nContent-Length: 12\r\n\r\nhello");
  EXPECT_EQ(p.head.size, p.text.size() - 5);
  EXPECT_EQ(p.at(p.head.method), "POST");
  EXPECT_EQ(p.head.method_id, KR_METHOD_POST);
  EXPECT_EQ(p.at(p.head.target), "/a/b?c=d&e");
  EXPECT_EQ(p.at(p.head.path), "/a/b");
  EXPECT_EQ(p.at(p.head.query), "c=d&e");
  EXPECT_EQ(p.at(p.head.host), "www.example.com:8080");
  EXPECT_EQ(p.head.flags, KR_REQUEST_KEEP_ALIVE | KR_REQUEST_HAS_QUERY);
  EXPECT_EQ(p.head.framing, body_framing::length);
  EXPECT_EQ(p.head.content_length, 12U);
  const std::pair<std::string_view, std::string_view> expected[] = {
      {"Host", "www.example.com:8080"}, {"Accept", "*/*"}, {"X", "y"}, {"Empty", ""}, {"Padded", "v w"},
      {"Content-Length", "12"}};
  ASSERT_EQ(p.head.field_count, std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(p.name(i), expected[i].first);
    EXPECT_EQ(p.value(i), expected[i].second);
  }
}

TEST(HttpHead, EndsWhereTheNextRequestBegins) {
  const std::string one = get("/");
  EXPECT_EQ(expect_done(one + one).head.size, one.size());
  EXPECT_EQ(expect_done(one + "\x01\x02\x7f garbage").head.size, one.size());
}

// RFC 9112 §2.2.
TEST(HttpHead, IgnoresAFewEmptyLinesBeforeTheRequestLine) {
  std::string empty;
  for (uint32_t i = 0; i < http::kEmptyLinesMax; ++i) empty += "\r\n";
  const parsed p = expect_done(empty + get("/"));
  EXPECT_EQ(p.at(p.head.method), "GET");
  expect_bad(empty + "\r\n" + get("/"), 400, KR_REASON_BAD_REQUEST_LINE);
  expect_more("\r\n");
  expect_bad("\r" + get("/"), 400, KR_REASON_BAD_REQUEST_LINE);
  expect_bad("\n" + get("/"), 400, KR_REASON_BAD_REQUEST_LINE);
  expect_bad(" " + get("/"), 400, KR_REASON_BAD_METHOD);
}

// RFC 9112 §3: single spaces, nothing else.
TEST(HttpHead, RequestLineHasTwoSpaces) {
  for (const char *line : {"GET  / HTTP/1.1", "GET\t/ HTTP/1.1", "GET / HTTP/1.1 ", "GET /  HTTP/1.1",
                           "GET /\tHTTP/1.1", "GET / a HTTP/1.1", "GET /", "GET", "GET HTTP/1.1", "/ HTTP/1.1",
                           "GET / HTTP/1.1 HTTP/1.1", "GET /\rHTTP/1.1", "GET / http/1.1", "GET/ HTTP/1.1", "", " "}) {
    EXPECT_EQ(check(with("", line)).verdict, http::verdict::bad) << line;
  }
}

// RFC 9110 §9.1: any token, case-sensitive.
TEST(HttpHead, KnowsTheRegisteredMethods) {
  const std::pair<const char *, int> methods[] = {{"GET", KR_METHOD_GET},
                                                  {"HEAD", KR_METHOD_HEAD},
                                                  {"POST", KR_METHOD_POST},
                                                  {"PUT", KR_METHOD_PUT},
                                                  {"DELETE", KR_METHOD_DELETE},
                                                  {"TRACE", KR_METHOD_TRACE},
                                                  {"PATCH", KR_METHOD_PATCH},
                                                  {"get", KR_METHOD_OTHER},
                                                  {"OPTIONS", KR_METHOD_OPTIONS},
                                                  {"GETX", KR_METHOD_OTHER},
                                                  {"G", KR_METHOD_OTHER},
                                                  {"M-SEARCH", KR_METHOD_OTHER},
                                                  {"!#$%&'*+-.^_`|~09aZ", KR_METHOD_OTHER}};
  for (const auto &[name, id] : methods) {
    const parsed p = expect_done(with("", std::string(name) + " / HTTP/1.1"));
    EXPECT_EQ(p.head.method_id, id) << name;
    EXPECT_EQ(p.at(p.head.method), name);
  }
  // One that ends in another block than it begins in.
  expect_done(with("", std::string(61, 'M') + " / HTTP/1.1"));
  expect_done(with("", std::string(62, 'M') + " / HTTP/1.1"));
  expect_done(with("", std::string(63, 'M') + " / HTTP/1.1"));
  expect_done(with("", std::string(200, 'M') + " / HTTP/1.1"));
}

// RFC 9112 §2.3, RFC 9110 §2.5.
TEST(HttpHead, Version) {
  for (const char *minor : {"1", "2", "9"}) {
    EXPECT_EQ(expect_done(with("", std::string("GET / HTTP/1.") + minor)).head.flags, KR_REQUEST_KEEP_ALIVE);
  }
  EXPECT_EQ(expect_done(with("", "GET / HTTP/1.0")).head.flags, KR_REQUEST_HTTP10);
  for (const char *version : {"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"}) {
    expect_bad(with("", std::string("GET / ") + version), 505, KR_REASON_BAD_VERSION);
  }
  for (const char *version : {"HTTP/", "HTTP/1", "HTTP/1.", "HTTP/1.1a", "HTTP/1.10", "HTTP/11.1", "HTTP/1,1",
                              "HTTP/1 .1", "HTTP/+1.1", "HTTP/a.b"}) {
    expect_bad(with("", std::string("GET / ") + version), 400, KR_REASON_BAD_VERSION);
  }
}

// A line that does not have three parts with a blank between two and CR LF behind them.
TEST(HttpHead, PartsOfTheRequestLine) {
  for (const char *line : {"GET", "GET /", "GET / ", "GET / HTTP", "GET / HTTP /1.1", "GET / http/1.1",
                           "GET / XTTP/1.1", "GET /a b HTTP/1.1", "GET /a Hb HTTP/1.1", "GET /  HTTP/1.1",
                           "GET / HTTP/1.1 ", "GET / HTTP/1.1\t", "GET / HTTP/1.1\r"}) {
    expect_bad(with("", line), 400, KR_REASON_BAD_REQUEST_LINE);
  }
  for (const char *line : {"", "GET", "GET /", "GET / ", "GET / HTTP/1.1"}) {
    expect_bad(std::string(line) + "\nHost: a.test\r\n\r\n", 400, KR_REASON_BAD_REQUEST_LINE);
  }
}

// RFC 9112 §3.2.1.
TEST(HttpHead, OriginForm) {
  const std::tuple<const char *, const char *, const char *, bool> targets[] = {
      {"/", "/", "", false},
      {"/a?", "/a", "", true},
      {"/a?b?c/d", "/a", "b?c/d", true},
      {"//a/b", "//a/b", "", false},
      {"/?x=%20", "/", "x=%20", true},
      {"/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~", "", false}};
  for (const auto &[target, path, query, has_query] : targets) {
    const parsed p = expect_done(get(target));
    EXPECT_EQ(p.at(p.head.path), path) << target;
    EXPECT_EQ(p.at(p.head.query), query) << target;
    EXPECT_EQ((p.head.flags & KR_REQUEST_HAS_QUERY) != 0, has_query) << target;
    EXPECT_EQ(p.at(p.head.host), "a.test");
  }
  for (const char *target :
       {"/a#b", "/a[b", "/a]b", "/a{b", "/a|b", "/a^b",  "/a`b", "/a\"b", "/a<b", "/a>b", "/a\\b", "/\xc3\xa9",
        "/%",   "/%4",  "/%4z", "/%z4", "/?%",  "/?%g0", "x",    "./x",   "?q",   "",     "**",    "*"}) {
    expect_bad(get(target), 400, KR_REASON_BAD_TARGET);
  }
}

// Path and query are found wherever the blocks of a kernel end.
TEST(HttpHead, TargetsOfAllSizes) {
  for (size_t size = 0; size < 300; ++size) {
    const std::string path = "/" + std::string(size, 'p');
    parsed p = expect_done(get(path));
    EXPECT_EQ(p.at(p.head.path), path);
    p = expect_done(get(path + "?q"));
    EXPECT_EQ(p.at(p.head.path), path);
    EXPECT_EQ(p.at(p.head.query), "q");
    p = expect_done(get("/?" + path));
    EXPECT_EQ(p.at(p.head.query), path);
  }
}

// RFC 9112 §3.2.2, RFC 9110 §4.2.
TEST(HttpHead, AbsoluteForm) {
  const std::tuple<const char *, const char *, const char *, const char *> targets[] = {
      {"http://b.test/", "b.test", "/", ""},
      {"HTTPS://b.test:443/x?y", "b.test:443", "/x", "y"},
      {"http://b.test", "b.test", "", ""},
      {"http://b.test?x=1", "b.test", "", "x=1"},
      {"http://b.test:/", "b.test:", "/", ""},
      {"http://[::1]:80/p", "[::1]:80", "/p", ""},
      {"http://017700000001/", "017700000001", "/", ""}};
  for (const auto &[target, host, path, query] : targets) {
    const parsed p = expect_done(get(target));
    EXPECT_EQ(p.at(p.head.host), host) << target;
    EXPECT_EQ(p.at(p.head.path), path) << target;
    EXPECT_EQ(p.at(p.head.query), query) << target;
  }
  for (const char *target : {"http:///a", "http://", "http://u@b.test/", "http://b.test:80x/", "http://b.test:65536/",
                             "http://[::1/", "http://::1/", "http://[1::2::]/", "ftp://b.test/", "mailto:u@b.test",
                             "http:b.test", "http:/b.test", "http://b.test/[", "http://b.test/%", "http://b test/"}) {
    EXPECT_EQ(check(get(target)).verdict, http::verdict::bad) << target;
  }
  EXPECT_EQ(expect_done("GET http://b.test/ HTTP/1.1\r\nHost:\r\n\r\n").head.host.size, 6U);
}

// RFC 9112 §3.2.3 and §3.2.4.
TEST(HttpHead, AuthorityAndAsteriskForm) {
  const parsed connect = expect_done(with("", "CONNECT b.test:443 HTTP/1.1"));
  EXPECT_EQ(connect.at(connect.head.host), "b.test:443");
  EXPECT_EQ(connect.head.path.size, 0U);
  for (const char *target : {"b.test", "b.test:", ":443", "b.test:443/", "b.test:http", "::1:443", "/", "*",
                             "http://b.test:80/", "b.test:65536", "u@b.test:1"}) {
    expect_bad(with("", "CONNECT " + std::string(target) + " HTTP/1.1"), 400, KR_REASON_BAD_TARGET);
  }
  expect_bad(get("b.test:443"), 400, KR_REASON_BAD_TARGET);
  const parsed options = expect_done(with("", "OPTIONS * HTTP/1.1"));
  EXPECT_EQ(options.at(options.head.path), "*");
  expect_bad(with("", "OPTIONS *x HTTP/1.1"), 400, KR_REASON_BAD_TARGET);
  EXPECT_EQ(expect_done(with("", "OPTIONS http://a.test HTTP/1.1")).head.path.size, 0U);
}

// RFC 9112 §5.1 and §5.2.
TEST(HttpHead, FieldLines) {
  for (const char *line :
       {"X : v", "X\t: v", " X: v", "\tX: v", ": v", "nocolon", "X", "X Y: v", "X@: v", "X=v", "X: a\rb", "X: a\nb",
        "X: a\x7f"
        "b",
        "X: a\x01", "X: \x0b", "X\x80: v", "\r", "a:b\r", ":"}) {
    EXPECT_EQ(check(with(std::string(line) + "\r\n")).verdict, http::verdict::bad) << testing::PrintToString(line);
  }
  for (const char *line : {"X:", "X: ", "X:\t", "X:v", "X:  v  ", "X:\tv\t", "X: \x80\xff", "x|y`z: v",
                           "!#$%&'*+-.^_~: v", "1: 2", "X: a\tb", "X: :", "X::"}) {
    expect_done(with(std::string(line) + "\r\n"));
  }
  expect_bad(with("X: a\r\n b\r\n"), 400, KR_REASON_BAD_FIELD);
  expect_bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, KR_REASON_BAD_FIELD);
}

// RFC 9112 §2.2: a line ends with CR LF and with nothing else.
TEST(HttpHead, LineEnds) {
  const std::string good = "GET / HTTP/1.1\r\nHost: a.test\r\nX: v\r\n\r\n";
  for (size_t i = 0; i < good.size(); ++i) {
    if (good[i] != '\r' && good[i] != '\n') continue;
    std::string text = good;
    text.erase(i, 1);
    EXPECT_NE(check(text).verdict, http::verdict::done) << i;
    text = good;
    text[i] = '\0';
    EXPECT_NE(check(text).verdict, http::verdict::done) << i;
    if (i + 1 == good.size()) continue;
    text = good;
    text.insert(i, 1, good[i]);
    EXPECT_NE(check(text + "\r\n\r\n").verdict, http::verdict::done) << i;
  }
}

// RFC 9112 §3.2, RFC 9110 §7.2.
TEST(HttpHead, Host) {
  for (const char *host : {"a", "a.test", "a.test.", "a-b_c.test", "127.0.0.1:8080", "a:65535", "a:080", "a:", "[::1]",
                           "[::1]:80", "[1:2:3:4:5:6:7:8]", "[::ffff:1.2.3.4]", "[v1.a:b]", "xn--caf-dma.test",
                           "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz:1"}) {
    const parsed p = expect_done(with_host(host));
    EXPECT_EQ(p.at(p.head.host), host);
  }
  for (const char *host : {"",
                           " ",
                           ".",
                           ".a",
                           "a..b",
                           ":80",
                           "a:b",
                           "a:65536",
                           "a:99999",
                           "a:123456",
                           "a:-1",
                           "a:+1",
                           "a b",
                           "a,b",
                           "u@a",
                           "a/b",
                           "a%41",
                           "a~b",
                           "a!b",
                           "a\tb",
                           "\xc3\xa9",
                           "::1",
                           "[::1",
                           "::1]",
                           "[]",
                           "x[::1]",
                           "[::1]x",
                           "[::1].",
                           "[:::]",
                           "[1::2::3]",
                           "[1:2:3:4:5:6:7:8:9]",
                           "[12345::]",
                           "[::1%25eth0]",
                           "[::256.1.1.1]",
                           "a:8080:1",
                           "a: 80",
                           "a :80"}) {
    expect_bad(with_host(host), 400, KR_REASON_BAD_HOST);
  }
  expect_bad("GET / HTTP/1.1\r\n\r\n", 400, KR_REASON_BAD_HOST);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, KR_REASON_BAD_HOST);
  expect_bad("GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", 400, KR_REASON_BAD_HOST);
  expect_bad("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400, KR_REASON_BAD_HOST);
  expect_bad("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400, KR_REASON_BAD_HOST);
  EXPECT_EQ(expect_done("GET / HTTP/1.0\r\n\r\n").head.host.size, 0U);
}

// Hosts of all sizes, with ports of all sizes, alone at the end of the input and not.
TEST(HttpHead, HostsOfAllSizes) {
  for (size_t size = 1; size < 80; ++size) {
    for (const char *port : {"", ":", ":1", ":80", ":080", ":8080", ":65535", ":00080"}) {
      const std::string host = std::string(size, 'h') + port;
      expect_done(with_host(host));
      expect_done("GET / HTTP/1.1\r\nHost: " + host + "\r\nX: " + std::string(100, 'v') + "\r\n\r\n");
    }
    for (const char *port : {":65536", ":8o80", ":8080x", ":/", "@", ":1:1", ":99999"}) {
      expect_bad(with_host(std::string(size, 'h') + port), 400, KR_REASON_BAD_HOST);
    }
  }
}

// RFC 9110 §8.6, RFC 9112 §6.3.
TEST(HttpHead, ContentLength) {
  EXPECT_EQ(expect_done(with("Content-Length: 0\r\n")).head.framing, body_framing::length);
  EXPECT_EQ(expect_done(with("cONTENT-lENGTH:18446744073709551615\r\n")).head.content_length, UINT64_MAX);
  EXPECT_EQ(expect_done(with("")).head.framing, body_framing::none);
  for (const char *length :
       {"", "-1", "+5", "5, 5", "5,5", "0x5", "5 5", "5h", "a", "\xd9\xa5", "5;", "\"5\"", "1.0"}) {
    expect_bad(with("Content-Length: " + std::string(length) + "\r\n"), 400, KR_REASON_BAD_CONTENT_LENGTH);
  }
  expect_bad(with("Content-Length: 18446744073709551616\r\n"), 413, KR_REASON_BODY_TOO_LARGE);
  expect_bad(with("Content-Length: " + std::string(100, '9') + "\r\n"), 413, KR_REASON_BODY_TOO_LARGE);
  expect_bad(with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, KR_REASON_BAD_CONTENT_LENGTH);
  EXPECT_EQ(expect_done(with("Content-Lengt: 9\r\nXContent-Length: 9\r\n")).head.framing, body_framing::none);
}

// RFC 9112 §6.1, §6.3 and §7, RFC 9110 §5.6.1.
TEST(HttpHead, TransferEncoding) {
  for (const char *fields :
       {"Transfer-Encoding: chunked\r\n", "transfer-encoding:CHUNKED\r\n", "Transfer-Encoding: , ,chunked , ,\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n"}) {
    const parsed p = expect_done(with(fields));
    EXPECT_EQ(p.head.framing, body_framing::chunked);
    EXPECT_NE(p.head.flags & KR_REQUEST_CHUNKED, 0);
  }
  for (const char *fields :
       {"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: 'chunked'\r\n", "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"}) {
    expect_bad(with(fields), 501, KR_REASON_BAD_TRANSFER_ENCODING);
  }
  for (const char *fields :
       {"Transfer-Encoding:\r\n", "Transfer-Encoding: ,\r\n", "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked;a=b\r\n", "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked abc\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"}) {
    expect_bad(with(fields), 400, KR_REASON_BAD_TRANSFER_ENCODING);
  }
  expect_bad(with("Transfer-Encoding: chunked\r\n", "POST / HTTP/1.0"), 400, KR_REASON_BAD_TRANSFER_ENCODING);
}

// RFC 9110 §6.5.1 and §6.6.2.
TEST(HttpHead, Trailer) {
  for (const char *value : {"", ",", "X-A", "X-A, x-b,, ETag ", "Content-Type", "content-length-x", "te"}) {
    expect_done(with("Transfer-Encoding: chunked\r\nTrailer: " + std::string(value) + "\r\n"));
    expect_done(with("TRAILER: " + std::string(value) + "\r\ntransfer-encoding: chunked\r\n"));
  }
  for (const char *value : {"Content-Length", "transfer-encoding", "TRAILER", "X-A, content-LENGTH", ",trailer,"}) {
    const std::string line = "Trailer: " + std::string(value) + "\r\n";
    expect_bad(with("Transfer-Encoding: chunked\r\n" + line), 400, KR_REASON_BAD_TRAILER);
    expect_bad(with(line + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n"), 400, KR_REASON_BAD_TRAILER);
    expect_done(with(line));
    expect_done(with(line + "Content-Length: 1\r\n"));
  }
}

// RFC 9112 §9.3, RFC 9110 §7.6.1 and §7.8.
TEST(HttpHead, Connection) {
  const std::tuple<const char *, const char *, int> cases[] = {
      {"GET / HTTP/1.1", "", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.1", "Connection: keep-alive\r\n", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.1", "Connection: CLOSE\r\n", 0},
      {"GET / HTTP/1.1", "Connection: , close ,\r\n", 0},
      {"GET / HTTP/1.1", "Connection:   foo\t,\tclose\r\n", 0},
      {"GET / HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", 0},
      {"GET / HTTP/1.1", "Connection: close-x, xclose\r\n", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.1", "Proxy-Connection: close\r\n", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: x\r\n", KR_REQUEST_KEEP_ALIVE | KR_REQUEST_UPGRADE},
      {"GET / HTTP/1.1", "Connection: Upgrade\r\n", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.1", "Upgrade: x\r\n", KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.0", "", KR_REQUEST_HTTP10},
      {"GET / HTTP/1.0", "Connection: Keep-Alive\r\n", KR_REQUEST_HTTP10 | KR_REQUEST_KEEP_ALIVE},
      {"GET / HTTP/1.0", "Connection: keep-alive, close\r\n", KR_REQUEST_HTTP10},
      {"GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: x\r\n", KR_REQUEST_HTTP10}};
  for (const auto &[line, fields, flags] : cases)
    EXPECT_EQ(expect_done(with(fields, line)).head.flags, flags) << fields;
}

// RFC 9110 §10.1.1.
TEST(HttpHead, Expect) {
  EXPECT_TRUE(expect_done(with("Content-Length: 1\r\nExpect: 100-Continue\r\n")).head.expects_continue);
  EXPECT_TRUE(expect_done(with("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")).head.expects_continue);
  EXPECT_FALSE(expect_done(with("Content-Length: 0\r\nExpect: 100-continue\r\n")).head.expects_continue);
  EXPECT_FALSE(expect_done(with("Expect: 100-continue\r\n")).head.expects_continue);
  EXPECT_FALSE(expect_done(with("Expect:\r\n")).head.expects_continue);
  EXPECT_FALSE(expect_done(with("Expect: x\r\nContent-Length: 1\r\n", "POST / HTTP/1.0")).head.expects_continue);
  for (const char *value : {"x", "100-continue, x", "100-continue;a=b", "100-continuex", "200-ok"}) {
    expect_bad(with("Expect: " + std::string(value) + "\r\n"), 417, KR_REASON_BAD_EXPECT);
  }
  expect_bad("POST / HTTP/1.1\r\nExpect: x\r\n\r\n", 400, KR_REASON_BAD_HOST);
}

// RFC 9110 §9.3.8.
TEST(HttpHead, TraceHasNoContent) {
  expect_done(with("Content-Length: 0\r\n", "TRACE / HTTP/1.1"));
  expect_bad(with("Content-Length: 1\r\n", "TRACE / HTTP/1.1"), 400, KR_REASON_BAD_METHOD);
  expect_bad(with("Transfer-Encoding: chunked\r\n", "TRACE / HTTP/1.1"), 400, KR_REASON_BAD_METHOD);
}

TEST(HttpHead, IncompleteHeadsWait) {
  const std::string text = with("X: v\r\nY: \r\nContent-Length: 5\r\n");
  for (size_t size = 0; size < text.size(); ++size) expect_more(text.substr(0, size));
}

TEST(HttpHead, HeadSizeLimit) {
  const std::string text = with("X: " + std::string(100, 'v') + "\r\n");
  const auto size = static_cast<uint32_t>(text.size());
  expect_done(text, {size, 100, 10});
  expect_done(text + text, {size, 100, 10});
  expect_bad(text, 431, KR_REASON_HEAD_TOO_LARGE, {size - 1, 100, 10});
  expect_bad(text.substr(0, 50), 431, KR_REASON_HEAD_TOO_LARGE, {50, 100, 10});
  expect_more(text.substr(0, 50), {51, 100, 10});
  expect_bad(std::string(100, 'M'), 501, KR_REASON_BAD_METHOD, {100, 100, 10});
  expect_bad("GET /" + std::string(100, 'p'), 414, KR_REASON_TARGET_TOO_LONG, {100, 200, 10});
}

// The first line end in reading order decides, also when a limit comes later.
TEST(HttpHead, TargetSizeLimit) {
  expect_done(get("/" + std::string(99, 'p')), {1000, 100, 10});
  expect_bad(get("/" + std::string(100, 'p')), 414, KR_REASON_TARGET_TOO_LONG, {1000, 100, 10});
  expect_bad("GET /" + std::string(100, 'p'), 414, KR_REASON_TARGET_TOO_LONG, {1000, 100, 10});
  expect_more("GET /" + std::string(99, 'p'), {1000, 100, 10});
  expect_bad("GET /\x01" + std::string(100, 'p'), 400, KR_REASON_BAD_TARGET, {1000, 100, 10});
}

TEST(HttpHead, FieldCountLimit) {
  std::string fields;
  for (int i = 0; i < 9; ++i) fields += "X: v\r\n";
  expect_done(with(fields), {1000, 100, 10});
  expect_bad(with(fields + "X: v\r\n"), 431, KR_REASON_TOO_MANY_FIELDS, {1000, 100, 10});
  expect_bad(with(fields + "X"), 431, KR_REASON_TOO_MANY_FIELDS, {1000, 100, 10});
}

// More fields than a kernel's list holds, and lines longer than anything else.
TEST(HttpHead, LargeHeads) {
  for (const int count : {200, 254, 255, 256, 257, 300, 3000}) {
    std::string fields;
    for (int i = 1; i < count; ++i) fields += "a:\r\n";
    EXPECT_EQ(expect_done(with(fields), {1 << 20, 100, 4000}).head.field_count, count);
  }
  for (const size_t size : {1000, 1087, 1088, 1089, 5000, 70000}) {
    const parsed p = expect_done(with("X: " + std::string(size, 'v') + "\r\nY: w\r\n"), {1 << 20, 100, 10});
    EXPECT_EQ(p.fields[1].value_size, size);
    expect_done(with(std::string(size, 'n') + ": v\r\n"), {1 << 20, 100, 10});
  }
}

// A field line that lies anywhere in the blocks of a kernel.
TEST(HttpHead, LinesAtAllOffsets) {
  for (size_t shift = 0; shift < 140; ++shift) {
    const std::string pad = "P: " + std::string(shift, 'p') + "\r\n";
    const parsed p = expect_done(with(pad + "Name: value\r\nOther:v\r\n"));
    EXPECT_EQ(p.name(2), "Name");
    EXPECT_EQ(p.value(2), "value");
    for (const char *line : {"nocolon", ": v", "a b: c", " fold", "X: \x01", "X\r: y", "X: a\nY: b", "X:\r"}) {
      EXPECT_EQ(check(with(pad + line + "\r\nZ: z\r\n")).verdict, http::verdict::bad) << shift << line;
      EXPECT_EQ(check(with(pad + line + "\r\n")).verdict, http::verdict::bad) << shift << line;
    }
  }
}

// What is usual, the kernels read themselves: they are not merely never wrong.
TEST(HttpHeadKernels, ReadUsualHeadsThemselves) {
  for (const std::string &text :
       {get("/"), get("/a%20b?c=d"), get("/" + std::string(200, 'p')), with("Content-Length: 5\r\n"),
        with("Accept: */*\r\nConnection: keep-alive\r\nX:  v \r\nY:\r\n"), with("Transfer-Encoding: chunked\r\n"),
        with("Cookie: " + std::string(3000, 'c') + "\r\n"), with("", "GET http://a.test/ HTTP/1.0"),
        with_host("[::1]:80"), with("X: v\r\n") + get("/next")}) {
    for (uint8_t i = 0; i < simd::kIsaCount; ++i) {
      const auto level = static_cast<simd::isa>(i);
      const http::head_reader reader = http::reader_of(level);
      if (reader == nullptr || !simd::is_supported(level)) continue;
      std::vector<kr_field> fields(kLimits.field_count_max);
      kr_request request;
      http::head_facts facts;
      const std::string_view bytes = wall().put(text);
      EXPECT_TRUE(reader(bytes.data(), bytes.size(), kLimits, fields.data(), &request, &facts))
          << simd::name_of(level) << " " << text.substr(0, 100);
    }
  }
}

// The scanner asks once for the request line and then not again until something
// decides: a head that comes octet by octet costs O(n).
TEST(HttpHeadScanner, AsksSeldom) {
  const std::string text = with("X: " + std::string(3000, 'v') + "\r\nY: w\r\n");
  http::head_scanner scanner;
  int asked = 0;
  for (size_t size = 1; size <= text.size(); ++size) asked += scanner.advance(text.data(), size, kLimits) ? 1 : 0;
  EXPECT_EQ(asked, 2);
}

TEST(HttpHeadScanner, AsksForLimitsAndControls) {
  const auto asks = [](std::string_view text, const http::head_limits &limits) {
    http::head_scanner scanner;
    return scanner.advance(text.data(), text.size(), limits);
  };
  EXPECT_FALSE(asks("GET /aaaa", {100, 5, 10}));
  EXPECT_TRUE(asks("GET /aaaaa", {100, 5, 10}));
  EXPECT_TRUE(asks(std::string(100, 'M'), {100, 50, 10}));
  EXPECT_TRUE(asks("GET\x01", {100, 50, 10}));
  EXPECT_TRUE(asks("\n", {100, 50, 10}));
  EXPECT_FALSE(asks("\r", {100, 50, 10}));
  EXPECT_TRUE(asks("\rx", {100, 50, 10}));
}

}  // namespace
}  // namespace kourier::test
