#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>

#include "worker_fixture.h"

namespace kourier::engine {
namespace {

constexpr char kDate[] = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

std::string get(const std::string &path, const std::string &fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

TEST_F(WorkerTest, AnswersARequestWithOneReceiveAndOneSend) {
  client c = connect();
  const int before = fake_kernel::recv_calls;
  c.send(get("/a"));
  turn();
  EXPECT_EQ(answer_text("/a"), c.read());
  EXPECT_EQ(1, fake_kernel::recv_calls - before);
  EXPECT_EQ(1, fake_kernel::send_calls);
  EXPECT_FALSE(c.closed());
}

TEST_F(WorkerTest, AnswersPipelinedRequestsInOrderWithOneSend) {
  client c = connect();
  std::string requests, answers;
  for (int i = 0; i < 200; ++i) {
    requests += get("/" + std::to_string(i));
    answers += answer_text("/" + std::to_string(i));
  }
  c.send(requests);
  turn();
  EXPECT_EQ(answers, c.read());
  EXPECT_EQ(1, fake_kernel::send_calls);
  EXPECT_EQ(1, batches_);
}

TEST_F(WorkerTest, AnswersMoreRequestsThanABatchHolds) {
  client c = connect();
  std::string requests, answers;
  for (uint32_t i = 0; i < batch::kRequestsMax * 3; ++i) {
    requests += get("/" + std::to_string(i));
    answers += answer_text("/" + std::to_string(i));
  }
  c.send(requests);
  turn();
  EXPECT_EQ(answers, c.read());
}

// Heads that equal the one before them are not parsed; nothing of that shows.
TEST_F(WorkerTest, AnswersRepeatedRequestsLikeOthers) {
  const std::string same = get("/same", "X: y\r\n");
  const std::string almost = get("/same", "X: z\r\n");
  const std::string body = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
  std::string requests, expected;
  const auto add = [&](const std::string &request, const std::string &answer) {
    requests += request;
    expected += answer;
  };
  handler_ = [](kr_batch *b, uint32_t i) {
    const kr_request &r = b->requests[i];
    EXPECT_EQ(2u, r.field_count);
    const kr_field &last = r.fields[1];
    answer(b, i, body_of(r) + std::string(r.base + last.value_offset, last.value_size));
  };
  for (uint32_t i = 0; i < batch::kRequestsMax + 10; ++i) add(same, answer_text("/samey"));
  add(almost, answer_text("/samez"));
  add(same, answer_text("/samey"));
  add(body + "ab", answer_text("/pab2"));
  add(body + "cd", answer_text("/pcd2"));
  for (int i = 0; i < 3; ++i) add(same, answer_text("/samey"));
  client first = connect();
  client second = connect();
  client third = connect();
  first.send(requests);
  second.send(same + same.substr(0, 20));
  const std::string closing = get("/same", "Connection: close\r\n");
  third.send(closing + closing);
  turn();
  EXPECT_EQ(expected, first.read());
  EXPECT_EQ(answer_text("/samey"), second.read());
  second.send(same.substr(20) + same);
  turn();
  EXPECT_EQ(answer_text("/samey") + answer_text("/samey"), second.read());
  EXPECT_EQ(answer_text("/sameclose"), third.read()) << "nothing is looked at behind the last request";
  EXPECT_EQ(batch::kRequestsMax + 21u, worker_->stats().requests.get());
}

// What the batch had no room for is forgotten with the last answer, however the peer ends.
TEST_F(WorkerTest, ForgetsWhatItPutOffWhenTheConnectionCloses) {
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, body_of(b->requests[i]), KR_ANSWER_DONE | KR_ANSWER_CLOSE); };
  client c = connect();
  c.send(get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
  turn();
  EXPECT_EQ(answer_text("/1"), c.read());
  c.send("more");
  turn();
  c.close();
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(WorkerTest, CollectsTheRequestsOfAllConnectionsInOneBatch) {
  std::vector<client> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(connect());
  for (int i = 0; i < 50; ++i) clients[static_cast<size_t>(i)].send(get("/" + std::to_string(i)));
  turn();
  EXPECT_EQ(1, batches_);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(answer_text("/" + std::to_string(i)), clients[static_cast<size_t>(i)].read());
  }
}

// However the network cuts a request, it is answered once and in the same way.
TEST_F(WorkerTest, AnswersTheSameAtEverySplit) {
  const std::string requests[] = {
      get("/a", "X: y\r\n"),
      "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n",
      get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + get("/3") +
          "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nyz" + get("/5"),
      "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
  };
  for (const std::string &request : requests) {
    client whole = connect();
    whole.send(request);
    turn();
    const std::string expected = whole.read();
    EXPECT_FALSE(expected.empty());
    const bool closed = whole.closed();
    for (size_t cut = 1; cut < request.size(); ++cut) {
      client c = connect();
      c.send(request.substr(0, cut));
      turn();
      c.send(request.substr(cut));
      turn();
      EXPECT_EQ(expected, c.read()) << request << " cut at " << cut;
      EXPECT_EQ(closed, c.closed());
    }
  }
}

TEST_F(WorkerTest, AnswersRequestsThatArriveByteByByte) {
  client c = connect();
  const std::string request = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (int round = 0; round < 2; ++round) {
    for (const char byte : request) {
      c.send({&byte, 1});
      turn();
    }
    EXPECT_EQ(answer_text("/cabc"), c.read());
  }
}

TEST_F(WorkerTest, AnIdleConnectionHoldsNoBuffer) {
  std::vector<client> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(connect());
  const uint64_t before = worker_->mapped_size();
  for (client &c : clients) {
    c.send("GET / HT");
    turn();
    c.send("TP/1.1\r\nHost: a\r\n\r\n");
    turn();
    EXPECT_EQ(answer_text("/"), c.read());
  }
  // One spare span of the smallest class may stay.
  EXPECT_LE(worker_->mapped_size(), before + 128 * 1024);
  EXPECT_EQ(100u, worker_->stats().conns_idle.get());
}

TEST_F(WorkerTest, RefusesAndClosesAfterTheAnswersBefore) {
  client c = connect();
  c.send(get("/a") + "GET / HTTP/1.1\r\nHost : a\r\n\r\n" + get("/b"));
  turn();
  const std::string text = c.read();
  EXPECT_EQ(0u, text.find(answer_text("/a") + "HTTP/1.1 400 Bad Request\r\n" + kDate + "Connection: close\r\n"));
  EXPECT_EQ(std::string::npos, text.find("/b"));
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(1u, conns()) << "the connection lingers, so that no RST takes the answer away";
  pass(1000);
  EXPECT_EQ(0u, conns());
}

TEST_F(WorkerTest, RefusesAHeadRequestWithoutABody) {
  client c = connect();
  c.send("HEAD / HTTP/1.1\r\n\r\n");
  turn();
  const std::string text = c.read();
  EXPECT_EQ(text.size(), text.find("\r\n\r\n") + 4);
}

TEST_F(WorkerTest, ReadsOnAfterTheLastAnswerUntilThePeerCloses) {
  client c = connect();
  c.send(get("/a", "Connection: close\r\n"));
  turn();
  EXPECT_EQ(answer_text("/a"), c.read());
  EXPECT_TRUE(c.closed());
  c.send("more that nobody asked for");
  turn();
  EXPECT_EQ(1u, conns());
  c.close();
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(WorkerTest, DropsWhatFollowsAnAnswerThatCloses) {
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, body_of(b->requests[i]), KR_ANSWER_DONE | KR_ANSWER_CLOSE); };
  client c = connect();
  c.send(get("/a") + get("/b"));
  turn();
  EXPECT_EQ(answer_text("/a"), c.read());
  EXPECT_TRUE(c.closed());
}

TEST_F(WorkerTest, SaysContinueWhenTheBodyIsWaitedFor) {
  client c = connect();
  c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  turn();
  EXPECT_EQ("HTTP/1.1 100 Continue\r\n\r\n", c.read());
  c.send("hi");
  turn();
  EXPECT_EQ(answer_text("/hi"), c.read());
}

TEST_F(WorkerTest, DoesNotSayContinueToABodyThatIsTooLarge) {
  client c = connect();
  c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n");
  turn();
  EXPECT_EQ(0u, c.read().find("HTTP/1.1 413 "));
  EXPECT_EQ(1u, reason(KR_REASON_BODY_TOO_LARGE));
}

TEST_F(WorkerTest, ReceivesBodiesUpToTheLimit) {
  client c = connect();
  const std::string body(1 << 20, 'x');
  size_t seen = 0;
  handler_ = [&](kr_batch *b, uint32_t i) {
    seen = b->requests[i].body_size;
    answer(b, i, "ok");
  };
  c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
  for (size_t at = 0; at < body.size(); at += 65536) {
    c.send(std::string_view(body).substr(at, 65536));
    turn();
  }
  EXPECT_EQ(body.size(), seen);
  EXPECT_EQ(answer_text("ok"), c.read());
}

TEST_F(WorkerTest, ClosesIdleConnectionsSilently) {
  client c = connect();
  pass(119000);
  EXPECT_FALSE(c.closed());
  c.send(get("/a"));
  turn();
  c.read();
  pass(119000);
  EXPECT_FALSE(c.closed());
  pass(2000);
  EXPECT_EQ("", c.read());
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(1u, reason(KR_REASON_IDLE_TIMEOUT));
}

TEST_F(WorkerTest, AnswersASlowHead408AfterItsTime) {
  client c = connect();
  c.send("GET / HTTP/1.1\r\n");
  turn();
  for (int i = 0; i < 29; ++i) {
    pass(1000);
    c.send("X: y\r\n");
    turn();
  }
  EXPECT_EQ("", c.read());
  pass(1100);
  EXPECT_EQ(0u, c.read().find("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(1u, reason(KR_REASON_HEAD_TIMEOUT));
}

TEST_F(WorkerTest, BoundsTheWholeRequest) {
  kr_config config = default_config();
  config.request_timeout_ms = 20000;
  restart(config);
  client c = connect();
  c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  turn();
  for (int i = 0; i < 19; ++i) {
    c.send(std::string(1000, 'x'));
    pass(1000);
  }
  EXPECT_EQ("", c.read());
  pass(1100);
  EXPECT_EQ(0u, c.read().find("HTTP/1.1 408 "));
  EXPECT_EQ(1u, reason(KR_REASON_BODY_TIMEOUT));
}

TEST_F(WorkerTest, RefusesABodyBelowTheLeastRate) {
  client slow = connect();
  client fast = connect();
  const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  slow.send(head);
  fast.send(head);
  turn();
  for (int i = 0; i < 60; ++i) {
    pass(1000);
    if (!slow.closed()) slow.send(std::string(100, 'x'));
    fast.send(std::string(250, 'x'));
    turn();
  }
  EXPECT_TRUE(slow.closed());
  EXPECT_FALSE(fast.closed());
  EXPECT_EQ(1u, reason(KR_REASON_BODY_TOO_SLOW));
}

// The next body's rate is measured from its own start, also when it follows at once.
TEST_F(WorkerTest, MeasuresEachBodyByItself) {
  client c = connect();
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
  c.send(post + "12345");
  turn();
  c.send("67890" + post + "abc");
  turn();
  EXPECT_EQ(answer_text("/1234567890"), c.read());
  pass(4000);
  EXPECT_EQ("", c.read());
  c.send("defghij");
  turn();
  EXPECT_EQ(answer_text("/abcdefghij"), c.read());
}

// Likewise the next backlog: its reader has the grace time again.
TEST_F(WorkerTest, MeasuresEachBacklogByItself) {
  kr_config config = default_config();
  config.drain_rate_min = 1;
  restart(config);
  handler_ = [this](kr_batch *b, uint32_t i) {
    answer(b, i, std::string(120000, 'x'));
    stopped_.push_back(b->requests[i].connection);
  };
  client c = connect(4096);
  c.send(get("/a"));
  turn();
  for (int round = 0; round < 5; ++round) {
    size_t size = 0;
    for (int i = 0; i < 1000 && size < 120000; ++i) {
      size += c.read().size();
      worker_->turn(0);
    }
    c.send(get("/a"));
    turn();
    pass(4900);
    ASSERT_EQ(1u, conns());
  }
}

TEST_F(WorkerTest, KeepsWhatTheSocketDoesNotTakeAndHoldsRequestsBack) {
  const std::string big(100000, 'b');
  handler_ = [&](kr_batch *b, uint32_t i) {
    kr_request &r = b->requests[i];
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    std::memcpy(b->out + b->out_size, head.data(), head.size());
    r.answer_offset = b->out_size;
    r.answer_size = static_cast<uint32_t>(head.size());
    b->out_size += r.answer_size;
    const kr_status status = static_cast<callback_batch *>(b)->owner->write(i, big.data(), big.size());
    r.answer_flags = KR_ANSWER_DONE;
    r.answer_code = 200;
    if (status == KR_ERR_BLOCKED) {
      for (uint32_t next = i + 1; next < b->count; ++next) {
        if (b->requests[next].connection == r.connection) stopped_.push_back(r.connection);
      }
    }
  };
  client c = connect(4096);
  client neighbour = connect();
  std::string requests, answers;
  for (int i = 0; i < 20; ++i) {
    requests += get("/" + std::to_string(i));
    answers += "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + big;
  }
  requests += "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
  answers += "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + big;
  c.send(requests + "GET /part");
  turn();
  const uint64_t held = worker_->mapped_size();
  neighbour.send(get("/n"));
  turn();
  EXPECT_FALSE(neighbour.read().empty()) << "a slow reader does not stop the others";
  std::string all;
  for (int i = 0; i < 5000 && all.size() < answers.size(); ++i) {
    all += c.read();
    worker_->turn(0);
    ASSERT_LE(worker_->mapped_size(), held + 1024 * 1024) << "one answer at a time is kept";
  }
  EXPECT_EQ(answers.size(), all.size());
  EXPECT_TRUE(answers == all);
  c.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 500; ++i) {
    all += c.read();
    worker_->turn(0);
  }
  EXPECT_EQ(22u, worker_->stats().requests.get() - 1);
  EXPECT_FALSE(c.closed());
}

TEST_F(WorkerTest, TellsOnceOfARefusalThatIsHeldBack) {
  kr_config config = default_config();
  config.notify_reasons = 1;
  restart(config);
  const std::string big(100000, 'b');
  handler_ = [&](kr_batch *b, uint32_t i) {
    answer(b, i, "");
    if (static_cast<callback_batch *>(b)->owner->write(i, big.data(), big.size()) == KR_ERR_BLOCKED) {
      stopped_.push_back(b->requests[i].connection);
    }
  };
  client c = connect(4096);
  c.send(get("/1") + get("/2") + "GET / HTTP/9.9\r\n\r\n");
  std::string all;
  for (int i = 0; i < 5000 && all.find("505") == std::string::npos; ++i) {
    all += c.read();
    worker_->turn(0);
  }
  EXPECT_EQ(2 * (answer_text("").size() + big.size()), all.find("HTTP/1.1 505"));
  EXPECT_EQ(1u, reason(KR_REASON_BAD_VERSION));
  ASSERT_EQ(1u, notices_.size());
  EXPECT_EQ(505, notices_[0].code);
}

TEST_F(WorkerTest, SendsOnAfterShortSends) {
  fake_kernel::send_size_max = 3;
  client c = connect();
  c.send(get("/a") + get("/b"));
  std::string all;
  for (int i = 0; i < 200; ++i) {
    worker_->turn(0);
    all += c.read();
  }
  EXPECT_EQ(answer_text("/a") + answer_text("/b"), all);
}

TEST_F(WorkerTest, ClosesAReaderBelowTheLeastRate) {
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, std::string(200000, 'x')); };
  client c = connect(4096);
  c.send(get("/a"));
  turn();
  for (int i = 0; i < 4; ++i) pass(5000);
  EXPECT_EQ(0u, conns());
  EXPECT_EQ(1u, reason(KR_REASON_DRAIN_TOO_SLOW));
}

// Progress that shows only in the socket's queue counts.
TEST_F(WorkerTest, KeepsAReaderWhoseSocketQueueShrinks) {
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, std::string(200000, 'x')); };
  client c = connect(4096);
  fake_kernel::unsent = 100000;
  c.send(get("/a"));
  turn();
  for (int i = 0; i < 20; ++i) {
    fake_kernel::unsent -= 2000;
    pass(5000);
  }
  EXPECT_EQ(1u, conns());
}

TEST_F(WorkerTest, BoundsTheTimeOfAWrite) {
  kr_config config = default_config();
  config.write_timeout_ms = 3000;
  config.drain_rate_min = 0;
  restart(config);
  handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, std::string(200000, 'x')); };
  client c = connect(4096);
  c.send(get("/a"));
  turn();
  pass(2900);
  EXPECT_EQ(1u, conns());
  pass(200);
  EXPECT_EQ(0u, conns());
  EXPECT_EQ(1u, reason(KR_REASON_WRITE_TIMEOUT));
}

TEST_F(WorkerTest, TriesAgainWhenRecvIsOutOfMemory) {
  client c = connect();
  fake_kernel::recv_errno = ENOMEM;
  c.send(get("/a"));
  turn();
  const int calls = fake_kernel::recv_calls;
  turn();
  EXPECT_EQ(calls, fake_kernel::recv_calls) << "it does not spin";
  fake_kernel::recv_errno = 0;
  pass(200);
  EXPECT_EQ(answer_text("/a"), c.read());
}

TEST_F(WorkerTest, ClosesWhatHasFailed) {
  client c = connect();
  fake_kernel::recv_errno = ECONNRESET;
  c.send("x");
  turn();
  EXPECT_EQ(0u, conns());
}

TEST_F(WorkerTest, AnswersStaticsInTheirPlaceWithoutTheReceiver) {
  const kr_static health = {"/health", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "ok", 7, 36, 2, 200, KR_METHOD_GET,
                            0};
  const kr_static below = {"/s/", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n", "", 3, 43, 0, 404, KR_METHOD_OTHER,
                           1};
  restart(default_config(), {health, below});
  const std::string ok = std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n") + kDate + "\r\n";
  client c = connect();
  c.send(get("/health"));
  turn();
  EXPECT_EQ(ok + "ok", c.read());
  EXPECT_EQ(0, batches_);
  c.send(get("/a") + get("/health") + get("/b") + "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n" + get("/s/x") +
         "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  turn();
  EXPECT_EQ(answer_text("/a") + ok + "ok" + answer_text("/b") + ok + "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n" +
                kDate + "\r\n" + answer_text("/health"),
            c.read());
}

TEST_F(WorkerTest, HasTheReceiverWaitWhereThereIsNothingToDo) {
  kr_config config = default_config();
  config.receiver_waits = 1;
  restart(config);
  worker_->turn(-1);
  EXPECT_EQ(std::vector<uint32_t>{KR_WAIT_FOREVER}, waits_);
  worker_->turn(70);
  EXPECT_EQ(70u, waits_.back());
  worker_->turn(0);
  EXPECT_EQ(2u, waits_.size());

  client c = connect();
  c.send(get("/a"));
  worker_->turn(70);
  EXPECT_EQ(answer_text("/a"), c.read());
  EXPECT_EQ(2u, waits_.size()) << "there was something to do";

  on_wait_ = [&c](const kr_batch *batch) {
    struct pollfd polled = {batch->wait_fd, POLLIN, 0};
    EXPECT_EQ(0, ::poll(&polled, 1, 0));
    c.send(get("/b"));
    EXPECT_EQ(1, ::poll(&polled, 1, 0));
  };
  worker_->turn(-1);
  EXPECT_EQ(answer_text("/b"), c.read()) << "it came during the wait, and is answered in the same turn";
  EXPECT_EQ(3u, waits_.size());
  EXPECT_NE(KR_WAIT_FOREVER, waits_.back()) << "the connection has a deadline";
}

class AcceptTest : public WorkerTest {
 protected:
  void SetUp() override {}
  void TearDown() override {
    WorkerTest::TearDown();
    ::close(listen_fd_);
  }
  void listen(const kr_config &config) {
    start(config);
    listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(0, ::bind(listen_fd_, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)));
    ASSERT_EQ(0, ::listen(listen_fd_, 100));
    socklen_t size = sizeof(address_);
    ASSERT_EQ(0, ::getsockname(listen_fd_, reinterpret_cast<struct sockaddr *>(&address_), &size));
    common_.listeners[0].fd = listen_fd_;
    common_.listeners[0].worker = KR_ANY_WORKER;
    common_.listener_count.store(1);
    ASSERT_EQ(KR_OK, worker_->poll_listener(0));
  }
  client dial() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(0, ::connect(fd, reinterpret_cast<struct sockaddr *>(&address_), sizeof(address_)));
    turn();
    return client(fd);
  }

  int listen_fd_ = -1;
  struct sockaddr_in address_ = {};
};

TEST_F(AcceptTest, SurvivesWantOfDescriptorsWithoutSpinning) {
  kr_config config = default_config();
  config.on_full = KR_ON_FULL_REFUSE;
  listen(config);
  fake_kernel::accept_errno = EMFILE;
  client c = dial();
  EXPECT_EQ(1, fake_kernel::accept_calls);
  c.send(get("/a"));
  fake_kernel::accept_errno = 0;
  pass(100);
  EXPECT_EQ(answer_text("/a"), c.read());
  EXPECT_EQ(1u, worker_->stats().accept_retries.get());
}

// accept4 fails for want of a descriptor also when there is nothing to accept.
TEST_F(AcceptTest, ShedsNobodyWhenNobodyWaits) {
  listen(default_config());
  client first = dial();
  fake_kernel::accept_errno = EMFILE;
  fake_kernel::accept_errno_after = 1;
  client second = dial();
  EXPECT_FALSE(first.closed());
  EXPECT_FALSE(second.closed());
  EXPECT_EQ(0u, worker_->stats().shed.get() + worker_->stats().accept_retries.get());
  EXPECT_EQ(2u, conns());
}

TEST_F(AcceptTest, ClosesTheConnectionIdleForLongestWhenFull) {
  kr_config config = default_config();
  config.conns_max = 3;
  listen(config);
  std::vector<client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(dial());
    pass(100);
  }
  // The first one is used again: the second is now idle for longest.
  clients[0].send(get("/a"));
  turn();
  EXPECT_EQ(answer_text("/a"), clients[0].read());
  clients.push_back(dial());
  EXPECT_FALSE(clients[0].closed());
  EXPECT_TRUE(clients[1].closed());
  EXPECT_FALSE(clients[2].closed());
  EXPECT_FALSE(clients[3].closed());
  EXPECT_EQ(3u, conns());
  EXPECT_EQ(1u, worker_->stats().shed.get());
}

TEST_F(AcceptTest, DoesNotShedAConnectionWhoseRequestIsUnderWay) {
  kr_config config = default_config();
  config.conns_max = 2;
  listen(config);
  client a = dial();
  client b = dial();
  a.send("GET / HT");
  b.send("GET / HT");
  turn();
  client c = dial();
  EXPECT_TRUE(c.closed());
  EXPECT_FALSE(a.closed());
  EXPECT_EQ(1u, worker_->stats().refused.get());
}

TEST_F(AcceptTest, RefusesWhenFull) {
  kr_config config = default_config();
  config.conns_max = 1;
  config.on_full = KR_ON_FULL_REFUSE;
  listen(config);
  client a = dial();
  client b = dial();
  EXPECT_FALSE(a.closed());
  EXPECT_TRUE(b.closed());
}

TEST_F(AcceptTest, PausesWhenFull) {
  kr_config config = default_config();
  config.conns_max = 1;
  config.on_full = KR_ON_FULL_PAUSE_ACCEPT;
  listen(config);
  client a = dial();
  client b = dial();
  b.send(get("/b"));
  pass(1000);
  EXPECT_EQ("", b.read());
  EXPECT_FALSE(b.closed());
  a.close();
  turn();
  pass(100);
  EXPECT_EQ(answer_text("/b"), b.read());
}

TEST_F(AcceptTest, DrainClosesIdleConnectionsAndAnswersTheRest) {
  listen(default_config());
  client idle = dial();
  client busy = dial();
  busy.send("GET /b HT");
  turn();
  common_.draining.store(true);
  common_.peers[0].inbox.wake();
  turn();
  EXPECT_EQ(1u, common_.drained_count);
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(busy.closed());
  busy.send("TP/1.1\r\nHost: a\r\n\r\n");
  turn();
  EXPECT_EQ(answer_text("/b"), busy.read());
  EXPECT_TRUE(busy.closed());
}

}  // namespace
}  // namespace kourier::engine
