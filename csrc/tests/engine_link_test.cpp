// Links: a receiver that takes connections over, with one worker turned by hand.
#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <deque>

#include "worker_fixture.h"

namespace kourier::engine {
namespace {

std::string get(const std::string &path, const std::string &fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

std::string post(const std::string &path, const std::string &body, const std::string &fields = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string post_chunked(const std::string &path, const std::string &framed, const std::string &fields = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n" + framed;
}

// Where a request is that has come up to the first `size` octets of its body.
size_t in_body(const std::string &request, size_t size) { return request.find("\r\n\r\n") + 4 + size; }
std::string first_part(const std::string &request, size_t size) { return request.substr(0, in_body(request, size)); }
std::string rest_after(const std::string &request, size_t size) { return request.substr(in_body(request, size)); }

class LinkTest : public WorkerTest {
 protected:
  struct asked {
    std::string path;
    std::string body;
    uint8_t flags;
  };
  // A connection that was taken over.
  struct link {
    uint64_t id;
    std::vector<asked> requests;
    bool waits = false;   // for KR_NOTICE_READABLE
    bool failed = false;  // the body has an error
  };

  static kr_config link_config() {
    kr_config c = default_config();
    c.body_collect_max = 0;
    return c;
  }
  void SetUp() override { begin(link_config()); }
  void begin(const kr_config &config, std::vector<kr_static> statics = {}) {
    if (worker_ != nullptr) {
      links_.clear();
      TearDown();
    }
    start(config, std::move(statics));
    handler_ = [this](kr_batch *b, uint32_t i) { take_over(b, i); };
  }

  // What a receiver does that hands requests[i] to another thread.
  void take_over(kr_batch *b, uint32_t i) {
    kr_request *r = b->requests;
    const uint64_t id = r[i].connection;
    if (i > 0 && r[i - 1].connection == id && worker_->write(i, nullptr, 0) != KR_OK) return stopped_.push_back(id);
    link l{id, {}};
    for (uint32_t k = i; k < b->count && r[k].connection == id; ++k) {
      EXPECT_EQ(0, r[k].answer_flags) << "what the core answers is not taken over";
      l.requests.push_back({std::string(r[k].base + r[k].path_offset, r[k].path_size), content_of(r[k]), r[k].flags});
    }
    r[i].answer_flags = KR_ANSWER_LATER;
    links_.push_back(std::move(l));
  }

  // The only link, taken out of links_.
  link taken() {
    EXPECT_EQ(1u, links_.size());
    if (links_.empty()) return {0, {{"", "", 0}}};
    link l = std::move(links_.front());
    links_.pop_front();
    return l;
  }

  kr_status write(uint64_t id, const std::string &text, size_t *size_out = nullptr) {
    size_t size = 0;
    const size_t cut = text.size() / 3;
    const kr_status status =
        worker_->link_write(id, text.data(), cut, text.data() + cut, text.size() - cut, false, &size);
    if (size_out != nullptr) *size_out = size;
    return status;
  }
  // Appends to *body until nothing comes: KR_OK at the end of the body.
  kr_status read(uint64_t id, size_t capacity, std::string *body, uint16_t *code_out) {
    std::vector<char> data(capacity);
    for (;;) {
      size_t size = 0;
      const kr_status status = worker_->link_read(id, data.data(), capacity, &size, code_out);
      if (status != KR_OK || size == 0) return status;
      EXPECT_LE(size, capacity);
      body->append(data.data(), size);
    }
  }
  std::string trailer_of(uint64_t id) {
    size_t size = 0;
    if (worker_->link_trailer(id, nullptr, 0, &size) == KR_OK) return "";
    std::string lines(size, 0);
    EXPECT_EQ(KR_ERR_INVALID, worker_->link_trailer(id, lines.data(), size - 1, &size));
    EXPECT_EQ(std::string(size, 0), lines);
    EXPECT_EQ(KR_OK, worker_->link_trailer(id, lines.data(), size, &size));
    EXPECT_EQ(size, lines.size());
    return lines;
  }
  void answer_and_release(const link &l, uint32_t how = KR_RELEASE_KEEP) {
    std::string text;
    for (const asked &r : l.requests) text += answer_text(r.path + r.body);
    EXPECT_EQ(KR_OK, write(l.id, text));
    worker_->link_release(l.id, how);
  }
  // The kinds of what the receiver was told of a connection since it was last asked.
  uint32_t told(uint64_t id) {
    uint32_t kinds = 0;
    for (const kr_notice &n : notices_) {
      if (n.connection == id) kinds |= n.kinds;
    }
    std::erase_if(notices_, [id](const kr_notice &n) { return n.connection == id; });
    return kinds;
  }
  // Goes on with all links as far as they go.
  void serve(size_t capacity) {
    for (std::deque<link> all = std::move(links_); !all.empty(); all.pop_front()) {
      link l = std::move(all.front());
      asked *last = &l.requests.back();
      if (l.waits && told(l.id) == 0) {
        links_.push_back(std::move(l));
        continue;
      }
      if ((last->flags & KR_REQUEST_BODY_OPEN) != 0) {
        uint16_t code = 0;
        const kr_status status = read(l.id, capacity, &last->body, &code);
        if (status == KR_ERR_BLOCKED) {
          l.waits = true;
          links_.push_back(std::move(l));
          continue;
        }
        if (status == KR_ERR_REFUSED) {
          EXPECT_EQ(KR_OK, write(l.id, "HTTP/1.1 " + std::to_string(code) + "\r\n\r\n"));
          worker_->link_release(l.id, KR_RELEASE_CLOSE);
          continue;
        }
        if (status != KR_OK) {
          worker_->link_release(l.id, KR_RELEASE_ABORT);
          continue;
        }
        last->body += trailer_of(l.id);
      }
      answer_and_release(l, (last->flags & KR_REQUEST_KEEP_ALIVE) != 0 ? KR_RELEASE_KEEP : KR_RELEASE_CLOSE);
    }
  }
  void serve_all(size_t capacity = 1000) {
    for (int i = 0; i < 3; ++i) {
      worker_->turn(0);
      serve(capacity);
    }
    worker_->turn(0);
  }
  // Nothing happens, and the worker does not notice it over and over.
  void expect_rest() {
    const int events = fake_kernel::epoll_events;
    for (int i = 0; i < 20; ++i) worker_->turn(0);
    EXPECT_LE(fake_kernel::epoll_events - events, 1);
  }
  uint64_t idle() { return worker_->stats().conns_idle.get(); }

  std::deque<link> links_;
};

// ------------------------------------------------------------------ and back

TEST_F(LinkTest, KnowsWhenItsRequestHasBegun) {
  client c = connect();
  c.send("POST / HTTP/1.1\r\nHost: a\r\n");
  turn();
  pass(700);
  c.send("Content-Length: 3\r\n\r\n");
  turn();
  const link l = taken();
  EXPECT_EQ(700u, worker_->link_age_ms(l.id));
  pass(200);
  EXPECT_EQ(900u, worker_->link_age_ms(l.id));
  c.send("abc" + first_part(post("/", "abc"), 1));
  std::string body;
  uint16_t code = 0;
  EXPECT_EQ(KR_OK, read(l.id, 10, &body, &code));
  worker_->link_release(l.id, KR_RELEASE_KEEP);
  turn();
  EXPECT_EQ(0u, worker_->link_age_ms(taken().id)) << "the next one begins anew";
}

TEST_F(LinkTest, GivesAConnectionBackForTheNextRequest) {
  client c = connect();
  for (const char *path : {"/1", "/2", "/3"}) {
    c.send(get(path));
    turn();
    EXPECT_EQ("", c.read());
    EXPECT_EQ(0u, idle());
    const link l = taken();
    ASSERT_EQ(1u, l.requests.size());
    EXPECT_EQ(path, l.requests[0].path);
    answer_and_release(l);
    EXPECT_EQ(answer_text(path), c.read()) << "the worker has no part in it";
    turn();
    EXPECT_EQ(1u, idle());
  }
  EXPECT_FALSE(c.closed());
  EXPECT_EQ(3u, worker_->stats().requests.get());
}

// A release and the next request are seen in one turn, and cost epoll nothing.
TEST_F(LinkTest, TakesTheMailBeforeTheEvents) {
  client c = connect();
  c.send(get("/"));
  turn();
  const int before = fake_kernel::epoll_ctl_calls;
  for (int i = 0; i < 10; ++i) {
    answer_and_release(taken());
    c.send(get("/"));
    worker_->turn(0);
  }
  EXPECT_EQ(before, fake_kernel::epoll_ctl_calls);
  answer_and_release(taken());
}

TEST_F(LinkTest, ClosesAfterTheAnswer) {
  client c = connect();
  c.send(get("/1") + "rest");
  turn();
  answer_and_release(taken(), KR_RELEASE_CLOSE);
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  EXPECT_TRUE(c.closed());
  c.close();
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(LinkTest, AbortsAtOnce) {
  client c = connect();
  c.send(get("/1"));
  turn();
  const link l = taken();
  EXPECT_EQ(KR_OK, write(l.id, "HTTP/1.1 200 OK\r\n"));
  worker_->link_release(l.id, KR_RELEASE_ABORT);
  turn();
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(0u, conns());
}

TEST_F(LinkTest, AReleasedIdFindsNothing) {
  client c = connect();
  c.send(get("/1"));
  turn();
  const link l = taken();
  EXPECT_GE(worker_->link_fd(l.id), 0);
  worker_->link_release(l.id, KR_RELEASE_ABORT);
  turn();
  size_t size = 1;
  uint16_t code = 0;
  char data[1];
  int64_t offset = 0;
  int fd = -1;
  EXPECT_EQ(KR_ERR_CLOSED, write(l.id, "x"));
  EXPECT_EQ(KR_ERR_CLOSED, worker_->link_read(l.id, data, 1, &size, &code));
  EXPECT_EQ(KR_ERR_CLOSED, worker_->link_trailer(l.id, data, 1, &size));
  EXPECT_EQ(KR_ERR_CLOSED, worker_->link_send_file(l.id, 0, &offset, 1));
  EXPECT_EQ(KR_ERR_CLOSED, worker_->link_detach(l.id, data, 1, &size, &fd));
  EXPECT_EQ(-1, worker_->link_fd(l.id));
  worker_->link_release(l.id, KR_RELEASE_KEEP);
  turn();
}

// -------------------------------------------------------------- what follows

TEST_F(LinkTest, TakesPipelinedRequestsAlong) {
  client c = connect();
  c.send(get("/1") + get("/2") + get("/3") + get("/4").substr(0, 9));
  turn();
  const link l = taken();
  ASSERT_EQ(3u, l.requests.size());
  answer_and_release(l);
  turn();
  EXPECT_EQ(answer_text("/1") + answer_text("/2") + answer_text("/3"), c.read());
  c.send(get("/4").substr(9));
  turn();
  answer_and_release(taken());
  EXPECT_EQ(answer_text("/4"), c.read());
}

TEST_F(LinkTest, SendsAnEarlierAnswerBeforeItTakesOver) {
  handler_ = [this](kr_batch *b, uint32_t i) {
    const std::string body = body_of(b->requests[i]);
    if (body == "/taken") return take_over(b, i);
    answer(b, i, body);
  };
  client c = connect();
  client other = connect();
  other.send(get("/other"));
  c.send(get("/1") + get("/2") + get("/taken") + get("/3"));
  turn();
  EXPECT_EQ(answer_text("/1") + answer_text("/2"), c.read());
  EXPECT_EQ(answer_text("/other"), other.read());
  const link l = taken();
  ASSERT_EQ(2u, l.requests.size());
  answer_and_release(l);
  EXPECT_EQ(answer_text("/taken") + answer_text("/3"), c.read());
}

// The peer does not read the answer before: the request is not taken over, but asked again, and its link hears of
// its peer as any other.
TEST_F(LinkTest, TakesOverWhatWasHeldBack) {
  handler_ = [this](kr_batch *b, uint32_t i) {
    const std::string body = body_of(b->requests[i]);
    if (body == "/taken") return take_over(b, i);
    answer(b, i, body);
  };
  client c = connect();
  fake_kernel::send_size_max = 0;
  c.send(get("/1") + first_part(post("/taken", "abc"), 1));
  turn();
  EXPECT_TRUE(links_.empty());
  fake_kernel::send_size_max = SIZE_MAX;
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  link l = taken();
  ASSERT_EQ(KR_REQUEST_BODY_OPEN, l.requests[0].flags & KR_REQUEST_BODY_OPEN);
  uint16_t code = 0;
  std::string body;
  ASSERT_EQ(KR_ERR_BLOCKED, read(l.id, 10, &body, &code));
  c.send(rest_after(post("/taken", "abc"), 1));
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_READABLE), told(l.id));
  EXPECT_EQ(KR_OK, read(l.id, 10, &body, &code));
  EXPECT_EQ("abc", body);
  c.close();
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_GONE), told(l.id));
  worker_->link_release(l.id, KR_RELEASE_CLOSE);
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(LinkTest, AnswersMoreRequestsThanABatchHolds) {
  for (const uint32_t taken_each : {1u, 2u, 700u}) {
    uint32_t seen = 0;
    handler_ = [&, this](kr_batch *b, uint32_t i) {
      if (seen++ % taken_each == 0) return take_over(b, i);
      answer(b, i, body_of(b->requests[i]));
    };
    client c = connect();
    std::string requests, answers;
    for (uint32_t i = 0; i < batch::kRequestsMax * 2 + 50; ++i) {
      requests += get("/" + std::to_string(i));
      answers += answer_text("/" + std::to_string(i));
    }
    c.send(requests);
    std::string read;
    for (int i = 0; i < 20; ++i) {
      serve_all();
      read += c.read();
    }
    EXPECT_EQ(answers, read);
    EXPECT_EQ(1u, idle());
    c.close();
    turn();
  }
}

// Equal heads, which are not parsed again, fill the batch by another way.
TEST_F(LinkTest, AnswersMoreEqualRequestsThanABatchHolds) {
  client c = connect();
  std::string requests, answers;
  for (uint32_t i = 0; i < batch::kRequestsMax + 3; ++i) {
    requests += get("/same");
    answers += answer_text("/same");
  }
  c.send(requests);
  serve_all();
  serve_all();
  EXPECT_EQ(answers, c.read());
}

TEST_F(LinkTest, AnswersWhatTheCoreAnswersBehindALink) {
  static const kr_static kHello = {
      "/hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "hello", 6, 36, 5, 200, KR_METHOD_OTHER, 0};
  begin(link_config(), {kHello});
  const std::string too_large = "POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n";
  client c = connect();
  c.send(get("/1") + get("/hello") + get("/2") + post("/hello", "abc") + post("/3", "def") + "NO REQUEST\r\n\r\n");
  for (int i = 0; i < 8; ++i) serve_all();
  std::string all = c.read();
  const auto at = [&all](const std::string &text, size_t from = 0) { return all.find(text, from); };
  EXPECT_EQ(0u, at(answer_text("/1")));
  const size_t hello = at("hello");
  EXPECT_LT(hello, at(answer_text("/2")));
  EXPECT_LT(at(answer_text("/2")), at("hello", hello + 1));
  EXPECT_LT(at("hello", hello + 1), at(answer_text("/3def")));
  EXPECT_LT(at(answer_text("/3def")), at("HTTP/1.1 400"));
  EXPECT_TRUE(c.closed());
  client large = connect();
  large.send(get("/1") + too_large + "abc");
  for (int i = 0; i < 4; ++i) serve_all();
  all = large.read();
  EXPECT_EQ(0u, at(answer_text("/1")));
  EXPECT_LT(at(answer_text("/1")), at("HTTP/1.1 413"));
  EXPECT_TRUE(large.closed());
  // An open body that the core does not wait for.
  client open = connect();
  open.send(get("/1") + first_part(post("/hello", "abc"), 2));
  for (int i = 0; i < 4; ++i) serve_all();
  all = open.read();
  EXPECT_EQ(0u, at(answer_text("/1")));
  EXPECT_NE(std::string::npos, at("hello"));
  EXPECT_TRUE(open.closed());
}

// ------------------------------------------------------------------- bodies

TEST_F(LinkTest, AnswersTheSameAtEverySplitAndCapacity) {
  const std::string chunks = "3\r\nabc\r\n2;x=y\r\nde\r\n8\r\n01234567\r\n0\r\nT: v\r\nUv:\r\n\r\n";
  const std::string requests = get("/1") + post("/2", "hello") + post_chunked("/3", chunks) + get("/4") +
                               post_chunked("/5", "0\r\n\r\n") + post("/6", "") + post("/7", "0123456789") + get("/8");
  const std::string expected = answer_text("/1") + answer_text("/2hello") +
                               answer_text("/3abcde01234567T: v\r\nUv:\r\n") + answer_text("/4") + answer_text("/5") +
                               answer_text("/6") + answer_text("/70123456789") + answer_text("/8");
  for (const uint64_t collect : {0, 3, 6, 100}) {
    kr_config config = link_config();
    config.body_collect_max = collect;
    begin(config);
    for (const size_t capacity : {1, 2, 3, 7, 100}) {
      for (size_t cut = 1; cut < requests.size(); ++cut) {
        client c = connect();
        c.send(requests.substr(0, cut));
        serve_all(capacity);
        c.send(requests.substr(cut));
        for (int i = 0; i < 4; ++i) serve_all(capacity);
        ASSERT_EQ(expected, c.read()) << collect << " " << capacity << " " << cut;
        ASSERT_TRUE(links_.empty());
      }
    }
  }
}

TEST_F(LinkTest, ReadsABodyThatComesByteByByte) {
  const std::string requests = post_chunked("/1", "3\r\nabc\r\n0\r\n\r\n") + post("/2", "xyz") + get("/3");
  for (const uint64_t collect : {0, 2}) {
    kr_config config = link_config();
    config.body_collect_max = collect;
    begin(config);
    client c = connect();
    for (const char octet : requests) {
      c.send(std::string(1, octet));
      serve_all(2);
    }
    EXPECT_EQ(answer_text("/1abc") + answer_text("/2xyz") + answer_text("/3"), c.read());
  }
}

TEST_F(LinkTest, ReadsALargeBody) {
  std::string body;
  while (body.size() < 150000) body += std::to_string(body.size());
  kr_config config = link_config();
  config.body_collect_max = 1000;
  begin(config);
  char head[32];
  std::snprintf(head, sizeof(head), "%zx\r\n", body.size());
  for (const std::string &request : {post("/b", body), post_chunked("/b", head + body + "\r\n0\r\n\r\n")}) {
    client c = connect();
    std::string read;
    for (size_t at = 0; at < request.size(); at += 30000) {
      c.send(request.substr(at, 30000));
      serve_all(4096);
      read += c.read();
    }
    c.send(get("/next"));
    for (int i = 0; i < 3; ++i) serve_all(4096);
    read += c.read();
    EXPECT_TRUE(answer_text("/b" + body) + answer_text("/next") == read) << read.size();
  }
}

// The longest section leaves room to receive the rest of it, however little of it comes at a time.
TEST_F(LinkTest, KeepsATrailerSectionUntilTheEndOfTheLink) {
  const std::string line = "T: v\r\n";
  const std::string long_line = "Long: " + std::string(8192 - 10 - 20 * line.size(), 'x') + "\r\n";
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += line;
  lines += long_line;
  for (const size_t piece : {7, 1000, 10000}) {
    for (const size_t capacity : {1, 100, 16384}) {
      client c = connect();
      c.send(post_chunked("/1", "3\r\nabc\r\n"));
      turn();
      const link l = taken();
      std::string body;
      uint16_t code = 0;
      const std::string rest = "0\r\n" + lines + "\r\n";
      for (size_t at = 0; at < rest.size(); at += piece) {
        EXPECT_EQ(KR_ERR_BLOCKED, read(l.id, capacity, &body, &code));
        EXPECT_EQ("", trailer_of(l.id)) << "there is none before the end";
        c.send(rest.substr(at, piece));
        worker_->turn(0);
      }
      ASSERT_EQ(KR_OK, read(l.id, capacity, &body, &code)) << piece << " " << capacity;
      EXPECT_EQ("abc", body);
      for (int i = 0; i < 2; ++i) EXPECT_EQ(lines, trailer_of(l.id));
      worker_->link_release(l.id, KR_RELEASE_KEEP);
      c.send(get("/2"));
      serve_all();
      EXPECT_EQ(answer_text("/2"), c.read());
    }
  }
}

TEST_F(LinkTest, HasNoTrailerWithoutAChunkedBody) {
  for (const std::string &request : {get("/1"), post("/2", "abc"), post_chunked("/3", "0\r\n\r\n")}) {
    client c = connect();
    c.send(request);
    turn();
    const link l = taken();
    std::string body;
    uint16_t code = 0;
    EXPECT_EQ(KR_OK, read(l.id, 10, &body, &code));
    size_t size = 1;
    EXPECT_EQ(KR_OK, worker_->link_trailer(l.id, nullptr, 0, &size));
    EXPECT_EQ(0u, size);
    answer_and_release(l);
    turn();
  }
}

TEST_F(LinkTest, ReadsPastTheEndOfABodyGiveNothing) {
  client c = connect();
  c.send(first_part(post("/1", "abc"), 1));
  turn();
  c.send("bc" + get("/2"));
  const link l = taken();
  std::string body;
  uint16_t code = 0;
  while (read(l.id, 1, &body, &code) == KR_ERR_BLOCKED) turn();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(KR_OK, read(l.id, 100, &body, &code));
  EXPECT_EQ(3u, body.size());
  answer_and_release(l);
  turn();
  answer_and_release(taken());
}

TEST_F(LinkTest, TellsThatABodyWasCutShort) {
  const std::string full = post("/", "0123456789");
  const std::string chunked = post_chunked("/", "a\r\n0123456789\r\n0\r\n\r\n");
  for (const std::string &request : {full.substr(0, full.size() - 4), chunked.substr(0, chunked.size() - 1)}) {
    client c = connect();
    c.send(request);
    turn();
    c.close();
    turn();
    const link l = taken();
    EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_GONE), told(l.id));
    std::string body;
    uint16_t code = 0;
    EXPECT_EQ(KR_ERR_CLOSED, read(l.id, 3, &body, &code));
    EXPECT_EQ(KR_ERR_CLOSED, read(l.id, 3, &body, &code));
    EXPECT_EQ(std::string("0123456789").substr(0, body.size()), body);
    EXPECT_GE(body.size(), 6u);
    worker_->link_release(l.id, KR_RELEASE_ABORT);
    turn();
    EXPECT_EQ(0u, conns());
  }
}

TEST_F(LinkTest, RefusesABrokenBody) {
  kr_config config = link_config();
  config.body_size_max = 10;
  begin(config);
  struct broken {
    std::string rest;
    uint16_t code;
    uint32_t reason;
  };
  for (const broken &b :
       {broken{"x\r\n", 400, KR_REASON_BAD_CHUNK}, broken{"0\r\nX: v\r\nY\r\n\r\n", 400, KR_REASON_BAD_TRAILER},
        broken{"b\r\n01234567890\r\n", 413, KR_REASON_BODY_TOO_LARGE}}) {
    for (const bool at_once : {true, false}) {
      client c = connect();
      const uint64_t before = reason(b.reason);
      c.send(post_chunked("/", "2\r\nab\r\n"));
      turn();
      const link l = taken();
      std::string body;
      uint16_t code = 0;
      if (!at_once) {
        EXPECT_EQ(KR_ERR_BLOCKED, read(l.id, 100, &body, &code));
      }
      c.send(b.rest);
      turn();
      for (int i = 0; i < 3; ++i) {
        code = 0;
        EXPECT_EQ(KR_ERR_REFUSED, read(l.id, 100, &body, &code));
        EXPECT_EQ(b.code, code);
      }
      worker_->link_release(l.id, KR_RELEASE_KEEP);
      turn();
      EXPECT_TRUE(c.closed()) << "also if it was to be kept: where the next request begins is not known";
      EXPECT_EQ(before + 1, reason(b.reason));
    }
  }
  client c = connect();
  c.send(first_part(post("/", "01234567890"), 3));
  turn();
  EXPECT_EQ(0u, c.read().find("HTTP/1.1 413"));
}

TEST_F(LinkTest, ClosesWhenABodyWasNotRead) {
  client c = connect();
  c.send(first_part(post("/1", "abcdef"), 2));
  turn();
  answer_and_release(taken());
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  EXPECT_TRUE(c.closed());
}

TEST_F(LinkTest, SaysThatTheClientWaitsForContinue) {
  const std::string expect = "Expect: 100-continue\r\n";
  kr_config config = link_config();
  config.body_collect_max = 1000;
  begin(config);
  const auto flags_of = [this](client *c, const std::string &text) {
    c->send(text);
    turn();
    EXPECT_EQ("", c->read()) << "the receiver asks for the body";
    const link l = taken();
    worker_->link_release(l.id, KR_RELEASE_ABORT);
    turn();
    return l.requests.back().flags & (KR_REQUEST_BODY_OPEN | KR_REQUEST_CONTINUE);
  };
  const std::string length = post("/", "abc", expect);
  const std::string head = length.substr(0, length.size() - 3);
  client a = connect(), b = connect(), c = connect(), d = connect(), e = connect();
  EXPECT_EQ(KR_REQUEST_BODY_OPEN | KR_REQUEST_CONTINUE, flags_of(&a, head));
  EXPECT_EQ(KR_REQUEST_BODY_OPEN | KR_REQUEST_CONTINUE, flags_of(&b, get("/") + head));
  EXPECT_EQ(KR_REQUEST_BODY_OPEN | KR_REQUEST_CONTINUE, flags_of(&c, post_chunked("/", "", expect)));
  EXPECT_EQ(0, flags_of(&d, length));
  config.body_collect_max = 0;
  begin(config);
  client f = connect(), g = connect();
  EXPECT_EQ(KR_REQUEST_BODY_OPEN, flags_of(&f, head + "a"));
  EXPECT_EQ(KR_REQUEST_BODY_OPEN, flags_of(&g, post_chunked("/", "3\r", expect)));
}

// What was answered at once although its body is open closes.
TEST_F(LinkTest, ClosesWhenAnOpenBodyIsAnsweredAtOnce) {
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, "now"); };
  client c = connect();
  c.send(get("/1") + first_part(post("/2", "abc"), 2));
  turn();
  EXPECT_EQ(answer_text("now") + answer_text("now"), c.read());
  EXPECT_TRUE(c.closed());
}

// An open body that has to wait for the peer to read comes again as it was.
TEST_F(LinkTest, HoldsAnOpenBodyBack) {
  std::vector<std::string> seen;
  bool blocked = true;
  handler_ = [&, this](kr_batch *b, uint32_t i) {
    if (b->requests[i].path_size == 2 && !blocked) return take_over(b, i);
    const kr_status status = worker_->write(i, "x", 1);
    b->requests[i].answer_flags = KR_ANSWER_DONE;
    b->requests[i].answer_code = 200;
    if (status == KR_ERR_BLOCKED) stopped_.push_back(b->requests[i].connection);
    blocked = false;
  };
  fake_kernel::send_size_max = 0;
  client c = connect();
  c.send(get("/1") + first_part(post("/2", "abcdef"), 4));
  turn();
  EXPECT_TRUE(links_.empty());
  fake_kernel::send_size_max = SIZE_MAX;
  turn();
  EXPECT_EQ("x", c.read());
  c.send(rest_after(post("/2", "abcdef"), 4));
  serve_all();
  EXPECT_EQ(answer_text("/2abcdef"), c.read());
}

// -------------------------------------------------------------- what it is told

TEST_F(LinkTest, TellsThatABlockedWriteCanGoOn) {
  client c = connect(4096);
  c.send(get("/"));
  turn();
  const link l = taken();
  const std::string text(1 << 20, 'x');
  size_t sent = 0;
  ASSERT_EQ(KR_ERR_BLOCKED, write(l.id, text, &sent));
  turn();
  expect_rest();
  EXPECT_EQ(0u, told(l.id));
  std::string all;
  while (sent < text.size()) {
    all += c.read();
    turn();
    ASSERT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
    expect_rest();
    size_t more = 0;
    const kr_status status =
        worker_->link_write(l.id, nullptr, 0, text.data() + sent, text.size() - sent, false, &more);
    sent += more;
    ASSERT_EQ(sent == text.size() ? KR_OK : KR_ERR_BLOCKED, status);
  }
  worker_->link_release(l.id, KR_RELEASE_KEEP);
  turn();
  all += c.read();
  EXPECT_EQ(text, all);
  c.send(get("/2"));
  serve_all();
  EXPECT_EQ(answer_text("/2"), c.read());
}

// Who finds no room is told when the socket is writable, and not before.
TEST_F(LinkTest, TellsWhenThereIsRoom) {
  client c = connect(4096);
  c.send(get("/"));
  turn();
  const link l = taken();
  size_t room = 0;
  fake_kernel::room = 1000;
  EXPECT_EQ(KR_OK, worker_->link_room(l.id, &room));
  EXPECT_EQ(1000u, room);
  fake_kernel::room = -2;
  EXPECT_EQ(KR_OK, worker_->link_room(l.id, &room));
  EXPECT_EQ(SIZE_MAX, room) << "nobody knows";
  turn();
  EXPECT_EQ(0u, told(l.id));
  const std::string text(1 << 20, 'x');
  ASSERT_EQ(KR_ERR_BLOCKED, write(l.id, text));
  std::string received = c.read();
  turn();
  ASSERT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
  ASSERT_EQ(KR_ERR_BLOCKED, write(l.id, text));
  fake_kernel::room = 0;
  EXPECT_EQ(KR_ERR_BLOCKED, worker_->link_room(l.id, &room));
  EXPECT_EQ(0u, room);
  turn();
  expect_rest();
  EXPECT_EQ(0u, told(l.id));
  received += c.read();
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
  worker_->link_release(l.id, KR_RELEASE_ABORT);
  turn();
  EXPECT_EQ(KR_ERR_CLOSED, worker_->link_room(l.id, &room));
}

// Head and body leave as one stream however little the socket takes.
TEST_F(LinkTest, WritesInPiecesOfAnySize) {
  for (const size_t size : {1, 2, 3, 5, 100}) {
    client c = connect();
    c.send(get("/"));
    turn();
    fake_kernel::send_size_max = size;
    answer_and_release(taken());
    fake_kernel::send_size_max = SIZE_MAX;
    EXPECT_EQ(answer_text("/"), c.read());
  }
}

TEST_F(LinkTest, TellsOnceThatThePeerHasGone) {
  const std::string bodies[] = {get("/"), get("/") + get("/2"), get("/") + "GET /half", first_part(post("/", "abc"), 1),
                                post_chunked("/", "5\r\nab")};
  for (const std::string &request : bodies) {
    for (const bool more : {false, true}) {
      for (const bool half : {false, true}) {
        client c = connect();
        c.send(request);
        turn();
        if (more) c.send("more that nobody reads");
        turn();
        if (half) {
          ::shutdown(c.fd(), SHUT_WR);
        } else {
          c.close();
        }
        const size_t before = notices_.size();
        turn();
        expect_rest();
        const link l = taken();
        ASSERT_EQ(before + 1, notices_.size());
        EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_GONE), told(l.id));
        EXPECT_EQ(half ? KR_OK : KR_ERR_CLOSED, write(l.id, "answer"));
        expect_rest();
        EXPECT_EQ(half ? "answer" : "", c.read());
        worker_->link_release(l.id, KR_RELEASE_CLOSE);
        turn();
        c.close();
        turn();
        EXPECT_EQ(0u, conns());
      }
    }
  }
}

// A peer that has closed its half may still be slow to read.
TEST_F(LinkTest, TellsAHalfClosedPeersBlockedWrite) {
  client c = connect(4096);
  c.send(get("/"));
  ::shutdown(c.fd(), SHUT_WR);
  turn();
  const link l = taken();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_GONE), told(l.id));
  const std::string text(1 << 18, 'x');
  ASSERT_EQ(KR_ERR_BLOCKED, write(l.id, text));
  turn();
  expect_rest();
  EXPECT_EQ(0u, told(l.id));
  c.read();
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
  ASSERT_EQ(KR_ERR_BLOCKED, write(l.id, text));
  c.close();
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
  expect_rest();
  EXPECT_EQ(KR_ERR_CLOSED, write(l.id, text));
  worker_->link_release(l.id, KR_RELEASE_ABORT);
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(LinkTest, IsNotDisturbedByWhatItDoesNotRead) {
  client c = connect();
  c.send(get("/1"));
  turn();
  c.send(get("/2") + get("/3"));
  turn();
  expect_rest();
  EXPECT_TRUE(notices_.empty());
  answer_and_release(taken());
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  answer_and_release(taken());
  turn();
  EXPECT_EQ(answer_text("/2") + answer_text("/3"), c.read());
}

// What came while nobody asked is told when somebody does.
TEST_F(LinkTest, TellsOfABodyThatWasMuted) {
  client c = connect();
  c.send(first_part(post("/1", "0123456789"), 4));
  turn();
  c.send("abc");
  turn();
  expect_rest();
  link l = taken();
  std::string body;
  uint16_t code = 0;
  ASSERT_EQ(KR_ERR_BLOCKED, read(l.id, 100, &body, &code));
  turn();
  EXPECT_EQ(0u, told(l.id));
  c.send("d");
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_READABLE), told(l.id));
  worker_->link_release(l.id, KR_RELEASE_ABORT);
}

TEST_F(LinkTest, TellsOfConnectionsThatComeAndGo) {
  kr_config config = link_config();
  config.notify_conns = 1;
  begin(config);
  client c = connect();
  c.send(get("/1"));
  turn();
  ASSERT_EQ(1u, notices_.size());
  const link l = taken();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_OPENED), told(l.id));
  answer_and_release(l);
  turn();
  EXPECT_TRUE(notices_.empty());
  c.close();
  turn();
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_CLOSED), told(l.id));
  // One that comes too late is told of in full.
  common_.draining = true;
  turn();
  client late = connect();
  turn();
  ASSERT_EQ(2u, notices_.size());
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_OPENED), notices_[0].kinds);
  EXPECT_EQ(static_cast<uint32_t>(KR_NOTICE_CLOSED), notices_[1].kinds);
}

TEST_F(LinkTest, TellsOfMoreConnectionsThanTheNoticesHold) {
  kr_config config = link_config();
  config.notify_conns = 1;
  begin(config);
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, "", KR_ANSWER_DONE | KR_ANSWER_ABORT); };
  constexpr size_t kCount = batch::kNoticesMax + 500;
  std::vector<client> clients;
  for (size_t i = 0; i < kCount; ++i) clients.push_back(connect());
  for (size_t i = 0; i < kCount; ++i) {
    if (i % 2 == 0) clients[i].send(get("/"));
  }
  for (size_t i = 1; i < kCount; i += 2) clients[i].close();
  for (int i = 0; i < 10; ++i) turn();
  EXPECT_EQ(0u, conns());
  EXPECT_EQ(2 * kCount, notices_.size());
}

TEST_F(LinkTest, TellsWhenConnectionsBecomeActiveAndIdle) {
  const std::vector<kr_static> statics = {
      {"/static", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "", 7, 36, 0, 200, 0, 0}};
  kr_config config = link_config();
  config.notify_conns = config.notify_states = 1;
  begin(config, statics);
  const handler take = handler_;
  const handler at_once = [](kr_batch *b, uint32_t i) { answer(b, i, ""); };
  // What was told since the last call, in order.
  const auto kinds = [this] {
    std::vector<uint32_t> all;
    for (const kr_notice &n : notices_) all.push_back(n.kinds);
    notices_.clear();
    return all;
  };
  using list = std::vector<uint32_t>;
  const uint32_t opened = KR_NOTICE_OPENED, active = KR_NOTICE_ACTIVE, idle = KR_NOTICE_IDLE, closed = KR_NOTICE_CLOSED;

  client c = connect();
  EXPECT_EQ(list{opened}, kinds());
  c.send(get("/static") + get("/static"));
  turn();
  EXPECT_EQ((list{active, idle}), kinds()) << "what the core answers itself";
  handler_ = at_once;
  c.send(get("/"));
  turn();
  EXPECT_EQ((list{active, idle}), kinds()) << "what is answered at once";
  c.send("G");
  turn();
  EXPECT_EQ(list{active}, kinds()) << "the first byte";
  c.send(get("/").substr(1));
  turn();
  EXPECT_EQ(list{idle}, kinds());

  handler_ = take;
  c.send(get("/"));
  turn();
  EXPECT_EQ(list{active}, kinds()) << "what is taken over";
  const link l = taken();
  handler_ = at_once;
  c.send(get("/"));
  turn();
  EXPECT_EQ(list{}, kinds()) << "the link has not asked";
  answer_and_release(l);
  turn();
  EXPECT_EQ((list{idle, active, idle}), kinds()) << "and what came meanwhile";

  c.send("malformed");
  c.send(" \r\n\r\n");
  turn();
  EXPECT_EQ(list{active}, kinds()) << "what is refused";
  c.close();
  turn();
  EXPECT_EQ(list{closed}, kinds());

  client late = connect();
  late.send("GET");
  turn();
  EXPECT_EQ((list{opened, active}), kinds());
  pass(config.head_timeout_ms + 100);
  EXPECT_EQ(list{}, kinds()) << "408";
  late.close();
  turn();
  EXPECT_EQ(list{closed}, kinds());

  client drained = connect();
  common_.draining = true;
  turn();
  EXPECT_EQ((list{opened, closed}), kinds()) << "without a request";
}

// --------------------------------------------------------- detach and send_file

TEST_F(LinkTest, DetachesWithWhatWasNotRead) {
  kr_config config = link_config();
  config.notify_conns = 1;
  begin(config);
  client c = connect();
  c.send(get("/ws", "Connection: upgrade\r\nUpgrade: x\r\n") + "\x01\x02 bytes");
  turn();
  const link l = taken();
  notices_.clear();
  char data[16];
  size_t size = 0;
  int fd = -1;
  EXPECT_EQ(KR_ERR_INVALID, worker_->link_detach(l.id, data, 7, &size, &fd));
  EXPECT_EQ(8u, size);
  ASSERT_EQ(KR_OK, worker_->link_detach(l.id, data, sizeof(data), &size, &fd));
  EXPECT_EQ("\x01\x02 bytes", std::string(data, size));
  turn();
  EXPECT_EQ(0u, conns());
  EXPECT_EQ(0u, common_.conns.load());
  EXPECT_EQ(0u, told(l.id)) << "it has not closed";
  c.send("in");
  ASSERT_EQ(2, ::recv(fd, data, sizeof(data), 0));
  ASSERT_EQ(3, ::send(fd, "out", 3, MSG_NOSIGNAL));
  EXPECT_EQ("out", c.read());
  expect_rest();
  EXPECT_FALSE(c.closed());
  ::close(fd);
  EXPECT_TRUE(c.closed());
}

TEST_F(LinkTest, SendsAFile) {
  std::string text;
  while (text.size() < 300000) text += std::to_string(text.size());
  char name[] = "/tmp/kourier_link_XXXXXX";
  const int file = ::mkstemp(name);
  ASSERT_GE(file, 0);
  ::unlink(name);
  ASSERT_EQ(static_cast<ssize_t>(text.size()), ::write(file, text.data(), text.size()));
  client c = connect(4096);
  c.send(get("/"));
  turn();
  const link l = taken();
  int64_t offset = 10;
  const int64_t end = 290000;
  std::string all;
  int blocked = 0;
  for (;;) {
    const kr_status status = worker_->link_send_file(l.id, file, &offset, static_cast<size_t>(end - offset));
    if (status == KR_OK) break;
    ASSERT_EQ(KR_ERR_BLOCKED, status);
    ++blocked;
    turn();
    EXPECT_EQ(0u, told(l.id));
    all += c.read();
    turn();
    ASSERT_EQ(static_cast<uint32_t>(KR_NOTICE_WRITABLE), told(l.id));
  }
  EXPECT_GT(blocked, 0);
  EXPECT_EQ(end, offset);
  all += c.read();
  EXPECT_TRUE(text.substr(10, static_cast<size_t>(end) - 10) == all);
  offset = static_cast<int64_t>(text.size()) - 5;
  EXPECT_EQ(KR_ERR_INVALID, worker_->link_send_file(l.id, file, &offset, 10)) << "it ends before";
  EXPECT_EQ(static_cast<int64_t>(text.size()), offset);
  int pipe_fds[2];
  ASSERT_EQ(0, ::pipe(pipe_fds));
  EXPECT_EQ(KR_ERR_INVALID, worker_->link_send_file(l.id, pipe_fds[0], &offset, 10));
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
  ::close(file);
  worker_->link_release(l.id, KR_RELEASE_CLOSE);
}

// ------------------------------------------------------------- deadlines, limits

TEST_F(LinkTest, HasNoDeadlineUntilItIsReleased) {
  client c = connect();
  client idler = connect();
  pass(60000);
  c.send(get("/"));
  turn();
  const link l = taken();
  pass(70000);
  EXPECT_EQ(1u, conns()) << "the other one was idle for too long";
  EXPECT_TRUE(idler.closed());
  pass(1000000);
  EXPECT_EQ(0u, told(l.id));
  answer_and_release(l);
  turn();
  EXPECT_EQ(answer_text("/"), c.read());
  pass(119000);
  EXPECT_FALSE(c.closed());
  pass(1100);
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(2u, reason(KR_REASON_IDLE_TIMEOUT));
}

// The rest of a head that came with the request before has its time from the release on.
TEST_F(LinkTest, MeasuresAHeadFromTheReleaseOn) {
  client c = connect();
  c.send(get("/1") + "GET /2");
  turn();
  pass(100000);
  answer_and_release(taken());
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  pass(29000);
  EXPECT_FALSE(c.closed());
  pass(1100);
  EXPECT_EQ(0u, c.read().find("HTTP/1.1 408"));
}

TEST_F(LinkTest, IsNotClosedToMakeRoom) {
  kr_config config = link_config();
  config.conns_max = 2;
  begin(config);
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ASSERT_EQ(0, ::bind(fd, reinterpret_cast<struct sockaddr *>(&address), size));
  ASSERT_EQ(0, ::listen(fd, 16));
  ASSERT_EQ(0, ::getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &size));
  common_.listeners[0].fd = fd;
  common_.listener_count = 1;
  ASSERT_EQ(KR_OK, worker_->poll_listener(0));
  const auto dial = [&] {
    client c(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(0, ::connect(c.fd(), reinterpret_cast<struct sockaddr *>(&address), sizeof(address)));
    turn();
    return c;
  };
  client first = dial();
  pass(100);
  client second = dial();
  first.send(get("/1"));
  turn();
  pass(100);
  client third = dial();
  EXPECT_TRUE(second.closed());
  EXPECT_FALSE(first.closed());
  EXPECT_EQ(1u, worker_->stats().shed.get());
  third.send(get("/3"));
  turn();
  client fourth = dial();
  EXPECT_TRUE(fourth.closed()) << "nobody is idle";
  EXPECT_EQ(1u, worker_->stats().refused.get());
  ASSERT_EQ(2u, links_.size());
  answer_and_release(links_.front());
  links_.pop_front();
  turn();
  EXPECT_EQ(answer_text("/1"), first.read());
  pass(100);
  client fifth = dial();
  EXPECT_TRUE(first.closed()) << "idle again";
  answer_and_release(taken());
  EXPECT_EQ(answer_text("/3"), third.read());
  common_.listener_count = 0;
  ::close(fd);
}

TEST_F(LinkTest, CloseIdleLeavesLinks) {
  client c = connect();
  client idler = connect();
  c.send(get("/"));
  turn();
  common_.idle_closes.fetch_add(1);
  turn();
  EXPECT_TRUE(idler.closed());
  answer_and_release(taken());
  turn();
  EXPECT_EQ(answer_text("/"), c.read());
  EXPECT_FALSE(c.closed());
  common_.idle_closes.fetch_add(1);
  turn();
  EXPECT_TRUE(c.closed());
}

TEST_F(LinkTest, ADrainWaitsForLinks) {
  client c = connect();
  client pipeliner = connect();
  c.send(get("/1"));
  pipeliner.send(get("/2"));
  turn();
  pipeliner.send(get("/3"));
  turn();
  common_.draining = true;
  turn();
  EXPECT_EQ(2u, common_.conns.load());
  serve_all();
  EXPECT_EQ(answer_text("/1"), c.read());
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(answer_text("/2") + answer_text("/3"), pipeliner.read());
  EXPECT_TRUE(pipeliner.closed());
  c.close();
  pipeliner.close();
  turn();
  EXPECT_EQ(0u, common_.conns.load());
}

TEST_F(LinkTest, EndLeavesLinksToTheirOwners) {
  client c = connect();
  client released = connect();
  client idler = connect();
  c.send(get("/1"));
  released.send(get("/2"));
  turn();
  ASSERT_EQ(2u, links_.size());
  const link first = links_[0];
  answer_and_release(links_[1]);
  links_.clear();
  const int fd = worker_->link_fd(first.id);
  common_.stopping = true;
  worker_->end();
  EXPECT_TRUE(idler.closed());
  EXPECT_EQ(answer_text("/2"), released.read());
  EXPECT_TRUE(released.closed());
  EXPECT_TRUE(c.closed());
  EXPECT_NE(-1, ::fcntl(fd, F_GETFD)) << "its descriptor is nobody else's yet";
  EXPECT_EQ(KR_ERR_CLOSED, write(first.id, "x"));
  worker_->link_release(first.id, KR_RELEASE_KEEP);
}

// A link that goes by mail while epoll has something to say of it, with all others of its slab.
TEST_F(LinkTest, EventsOfAClosedConnectionAreNobodys) {
  constexpr uint32_t kCount = connection_table::kSlabSlots * 2;
  std::vector<client> clients;
  for (uint32_t i = 0; i < kCount; ++i) clients.push_back(connect());
  for (client &c : clients) c.send(get("/"));
  for (int i = 0; i < 10; ++i) turn();
  ASSERT_EQ(kCount, links_.size());
  static std::function<void()> before_return;
  static auto wait = [](int epoll_fd, struct epoll_event *events, int capacity, int timeout_ms) {
    const int count = fake_kernel::epoll_wait(epoll_fd, events, capacity, timeout_ms);
    if (count > 0 && before_return) std::exchange(before_return, nullptr)();
    return count;
  };
  kernel_.epoll_wait = wait;
  for (client &c : clients) c.send(get("/"));
  before_return = [this] {
    for (const link &l : links_) worker_->link_release(l.id, KR_RELEASE_ABORT);
    links_.clear();
  };
  for (int i = 0; i < 10; ++i) turn();
  EXPECT_EQ(0u, conns());
  EXPECT_TRUE(links_.empty());
}

}  // namespace
}  // namespace kourier::engine
