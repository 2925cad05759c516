// One worker turned by hand, over socket pairs and a clock that the test sets.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../engine_shared.h"
#include "../engine_worker.h"
#include "../net_system.h"

namespace kourier::engine {

// What the faked system calls do. Static, because the table holds plain functions.
struct fake_kernel {
  static inline uint64_t now_ms = 1000;
  static inline size_t send_size_max = SIZE_MAX;  // of one call
  static inline int recv_errno = 0;               // of the next recv calls, while not 0
  static inline int accept_errno = 0;             // of the next accept calls, while not 0
  static inline int accept_errno_after = 0;       // so many of them go well before
  static inline int accept_calls = 0;
  static inline int recv_calls = 0;
  static inline int send_calls = 0;
  static inline int epoll_events = 0;     // that were reported
  static inline int epoll_ctl_calls = 0;  // and what it cost to choose them
  static inline int unsent = -1;
  static inline int room = -1;  // -1: as the kernel says

  static void reset() {
    now_ms = 1000;
    send_size_max = SIZE_MAX;
    recv_errno = accept_errno = accept_errno_after = accept_calls = recv_calls = send_calls = 0;
    epoll_events = epoll_ctl_calls = 0;
    unsent = -1;
    room = -1;
  }

  static ssize_t recv(int fd, void *data, size_t size, int flags) {
    ++recv_calls;
    if (recv_errno != 0) {
      errno = recv_errno;
      return -1;
    }
    return ::recv(fd, data, size, flags);
  }
  static ssize_t send(int fd, const void *data, size_t size, int flags) {
    ++send_calls;
    if (send_size_max == 0) {
      errno = EAGAIN;
      return -1;
    }
    return ::send(fd, data, size < send_size_max ? size : send_size_max, flags);
  }
  static ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (send_size_max == SIZE_MAX) {
      ++send_calls;
      return ::sendmsg(fd, message, flags);
    }
    for (size_t i = 0; i < message->msg_iovlen; ++i) {
      if (message->msg_iov[i].iov_len != 0)
        return send(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, flags);
    }
    return 0;
  }
  static int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
    ++accept_calls;
    if (accept_errno != 0 && accept_errno_after-- <= 0) {
      errno = accept_errno;
      return -1;
    }
    return ::accept4(fd, address, size, flags);
  }
  static int epoll_wait(int epoll_fd, struct epoll_event *events, int capacity, int timeout_ms) {
    const int count = ::epoll_wait(epoll_fd, events, capacity, timeout_ms);
    if (count > 0) epoll_events += count;
    return count;
  }
  static int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
    ++epoll_ctl_calls;
    return ::epoll_ctl(epoll_fd, operation, fd, event);
  }
  static uint64_t now() { return now_ms; }
  static int64_t wall() { return 784111777; }  // Sun, 06 Nov 1994 08:49:37 GMT
  static int unsent_size(int fd) { return unsent >= 0 ? unsent : net::kKernel.unsent_size(fd); }

  static int send_room(int fd) { return room != -1 ? room : net::kKernel.send_room(fd); }

  static net::system table() {
    net::system s = net::kKernel;
    s.recv = recv;
    s.send = send;
    s.sendmsg = sendmsg;
    s.accept4 = accept4;
    s.epoll_wait = epoll_wait;
    s.epoll_ctl = epoll_ctl;
    s.now_ms = now;
    s.unix_seconds = wall;
    s.unsent_size = unsent_size;
    s.send_room = send_room;
    return s;
  }
};

inline kr_config default_config() {
  kr_config c = {};
  c.workers = 1;
  c.conns_max = 10000;
  c.head_timeout_ms = 30000;
  c.idle_timeout_ms = 120000;
  c.linger_timeout_ms = 500;
  c.rate_grace_ms = 5000;
  c.body_rate_min = 240;
  c.drain_rate_min = 240;
  c.head_size_max = 32768;
  c.target_size_max = 8192;
  c.field_count_max = 128;
  c.body_size_max = 1 << 20;
  c.body_collect_max = UINT64_MAX;
  return c;
}

// The other end of a connection.
class client {
 public:
  explicit client(int fd) : fd_(fd) {}
  client(client &&other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  client(const client &) = delete;
  client &operator=(const client &) = delete;
  ~client() { close(); }

  void send(std::string_view data) {
    ASSERT_EQ(static_cast<ssize_t>(data.size()), ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL));
  }
  // What has come until now. Sets closed() when the end has.
  std::string read() {
    std::string all;
    char buffer[65536];
    for (;;) {
      const ssize_t size = ::recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (size > 0) {
        all.append(buffer, static_cast<size_t>(size));
        continue;
      }
      if (size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) closed_ = true;
      return all;
    }
  }
  bool closed() {
    read();
    return closed_;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  bool closed_ = false;
};

class WorkerTest : public ::testing::Test {
 protected:
  // Answers one request. By default "200" with the path and the body as the body.
  using handler = std::function<void(kr_batch *, uint32_t index)>;

  void start(const kr_config &config, std::vector<kr_static> statics = {}) {
    fake_kernel::reset();
    kernel_ = fake_kernel::table();
    common_.config = config;
    common_.on_batch = on_batch;
    common_.ctx = this;
    common_.peers = new peer_worker[1];
    ASSERT_EQ(KR_OK, common_.static_answers.open(statics.data(), static_cast<uint32_t>(statics.size())));
    ASSERT_EQ(KR_OK, common_.peers[0].inbox.open());
    worker_ = std::make_unique<worker>(&common_, 0, &kernel_);
    ASSERT_EQ(KR_OK, worker_->open());
    handler_ = [](kr_batch *b, uint32_t i) { answer(b, i, body_of(b->requests[i])); };
  }
  void SetUp() override { start(default_config()); }
  void restart(const kr_config &config, std::vector<kr_static> statics = {}) {
    TearDown();
    start(config, statics);
  }
  void TearDown() override {
    worker_.reset();
    delete[] common_.peers;
    common_.peers = nullptr;
    common_.conns = 0;
    common_.draining = false;
    common_.stopping = false;
    common_.drained_count = 0;
    notices_.clear();
    waits_.clear();
    common_.static_answers.~statics();
    new (&common_.static_answers) statics;
  }

  client connect(int send_buffer_size = 0) {
    int fds[2];
    EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    if (send_buffer_size != 0) {
      ::setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_buffer_size, sizeof(send_buffer_size));
    }
    common_.conns.fetch_add(1);
    common_.peers[0].conns.fetch_add(1);
    EXPECT_TRUE(common_.peers[0].inbox.push({fds[0], 0}));
    turn();
    return client(fds[1]);
  }

  // Turns until nothing is left to do.
  void turn() {
    for (int i = 0; i < 4; ++i) worker_->turn(0);
  }
  void pass(uint64_t ms) {
    fake_kernel::now_ms += ms;
    turn();
  }
  uint64_t reason(uint32_t r) { return worker_->stats().reasons[r].get(); }
  uint64_t conns() { return worker_->stats().conns.get(); }

  static std::string body_of(const kr_request &r) {
    return std::string(r.base + r.path_offset, r.path_size) + content_of(r);
  }
  // The body of a request that came whole, and the field lines behind it.
  static std::string content_of(const kr_request &r) {
    std::string text(r.body, r.body_size);
    if ((r.flags & (KR_REQUEST_CHUNKED | KR_REQUEST_BODY_OPEN)) != KR_REQUEST_CHUNKED) return text;
    const char *line = r.body + r.body_size;
    while (*line != '\r') {
      while (*line != '\n') text += *line++;
      text += *line++;
    }
    EXPECT_EQ('\n', line[1]);
    return text;
  }
  static std::string answer_text(const std::string &body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static void answer(kr_batch *b, uint32_t i, const std::string &body, uint8_t flags = KR_ANSWER_DONE) {
    const std::string text = answer_text(body);
    ASSERT_LE(text.size(), b->out_capacity - b->out_size);
    kr_request &r = b->requests[i];
    std::memcpy(b->out + b->out_size, text.data(), text.size());
    r.answer_offset = b->out_size;
    r.answer_size = static_cast<uint32_t>(text.size());
    r.answer_flags = flags;
    r.answer_code = 200;
    b->out_size += r.answer_size;
  }

  handler handler_;
  // What the handler left out because its connection is blocked or closed.
  std::vector<uint64_t> stopped_;
  int batches_ = 0;
  std::vector<kr_notice> notices_;
  std::vector<uint32_t> waits_;  // kr_batch.wait_ms of each call for a wait
  std::function<void(const kr_batch *)> on_wait_;
  std::unique_ptr<worker> worker_;
  shared common_;
  net::system kernel_;

 private:
  static void on_batch(void *ctx, kr_batch *batch) {
    auto *self = static_cast<WorkerTest *>(ctx);
    if (batch->wait_ms != 0) {
      EXPECT_EQ(0u, batch->count + batch->notice_count);
      self->waits_.push_back(batch->wait_ms);
      if (self->on_wait_) self->on_wait_(batch);
      return;
    }
    ++self->batches_;
    self->stopped_.clear();
    self->notices_.insert(self->notices_.end(), batch->notices, batch->notices + batch->notice_count);
    for (uint32_t i = 0; i < batch->count; ++i) {
      kr_request &r = batch->requests[i];
      if (r.answer_flags != 0) continue;
      bool stopped = false;
      for (const uint64_t s : self->stopped_) stopped |= s == r.connection;
      if (stopped) continue;
      self->handler_(batch, i);
      if ((r.answer_flags & (KR_ANSWER_CLOSE | KR_ANSWER_LATER)) != 0) self->stopped_.push_back(r.connection);
    }
  }
};

}  // namespace kourier::engine
