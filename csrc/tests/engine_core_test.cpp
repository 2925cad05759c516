#include "../engine_core.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "worker_fixture.h"

namespace kourier::engine {
namespace {

void answer_ok(void *, kr_batch *batch) {
  static constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  constexpr uint32_t kSize = sizeof(kOk) - 1;
  for (uint32_t i = 0; i < batch->count; ++i) {
    kr_request &r = batch->requests[i];
    if (r.answer_flags != 0) continue;
    std::memcpy(batch->out + batch->out_size, kOk, kSize);
    r.answer_offset = batch->out_size;
    r.answer_size = kSize;
    r.answer_flags = KR_ANSWER_DONE;
    r.answer_code = 200;
    batch->out_size += kSize;
  }
}

size_t open_descriptors() {
  size_t count = 0;
  DIR *folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

int listen_on_loopback(struct sockaddr_in *address_out) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(0, ::bind(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)));
  EXPECT_EQ(0, ::listen(fd, 512));
  socklen_t size = sizeof(address);
  EXPECT_EQ(0, ::getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &size));
  *address_out = address;
  return fd;
}

int dial(const struct sockaddr_in &address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(0, ::connect(fd, reinterpret_cast<const struct sockaddr *>(&address), sizeof(address)));
  return fd;
}

// Returns the last byte of the answer.
char exchange(int fd) {
  static constexpr char kRequest[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(static_cast<ssize_t>(sizeof(kRequest) - 1), ::send(fd, kRequest, sizeof(kRequest) - 1, MSG_NOSIGNAL));
  constexpr size_t kAnswerSize = 40;
  char answer[kAnswerSize] = {};
  EXPECT_EQ(static_cast<ssize_t>(kAnswerSize), ::recv(fd, answer, kAnswerSize, MSG_WAITALL)) << std::strerror(errno);
  return answer[kAnswerSize - 1];
}

TEST(Core, StartsAndStopsWithoutLeavingDescriptors) {
  kr_config config = default_config();
  config.workers = 2;
  const size_t before = open_descriptors();
  for (int i = 0; i < 200; ++i) {
    core c(&net::kKernel);
    ASSERT_EQ(KR_OK, c.start(config, nullptr, 0, answer_ok, nullptr));
    struct sockaddr_in address;
    ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER, 0));
    const int fd = dial(address);
    if (i % 2 == 0) exchange(fd);
    if (i % 3 == 0) {
      ASSERT_EQ(KR_OK, c.drain());
      ASSERT_EQ(KR_OK, c.wait(10000));
    }
    ::close(fd);
  }
  EXPECT_EQ(before, open_descriptors());
}

TEST(Core, RefusesAConfigurationOutOfRange) {
  const auto start = [](auto change) {
    kr_config config = default_config();
    change(&config);
    core c(&net::kKernel);
    return c.start(config, nullptr, 0, answer_ok, nullptr);
  };
  EXPECT_EQ(KR_OK, start([](kr_config *) {}));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->workers = 0; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->workers = 1025; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->conns_max = 0; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->on_full = 3; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->head_size_max = 0; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->field_count_max = 65536; }));
  EXPECT_EQ(KR_ERR_INVALID, start([](kr_config *c) { c->linger_timeout_ms = 0; }));
}

// Workers that share a listening socket end up with about as many connections each.
TEST(Core, SpreadsConnectionsOverTheWorkers) {
  kr_config config = default_config();
  config.workers = 4;
  core c(&net::kKernel);
  ASSERT_EQ(KR_OK, c.start(config, nullptr, 0, answer_ok, nullptr));
  struct sockaddr_in address;
  ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER, 0));
  std::vector<int> fds;
  for (int i = 0; i < 256; ++i) fds.push_back(dial(address));
  for (const int fd : fds) exchange(fd);
  for (uint32_t i = 0; i < 4; ++i) {
    kr_worker_stats stats;
    ASSERT_EQ(KR_OK, c.stats(i, &stats));
    EXPECT_GE(stats.conns, 52u);
    EXPECT_LE(stats.conns, 77u);
    EXPECT_EQ(stats.conns, stats.requests);
  }
  for (const int fd : fds) ::close(fd);
}

// Also of those that one worker hands to another.
TEST(Core, KnowsWhichListenerAConnectionIsFrom) {
  kr_config config = default_config();
  config.workers = 4;
  core c(&net::kKernel);
  const auto tell_origin = [](void *ctx, kr_batch *batch) {
    answer_ok(ctx, batch);
    for (uint32_t i = 0; i < batch->count; ++i) {
      const kr_request &r = batch->requests[i];
      char *body_end = batch->out + r.answer_offset + r.answer_size;
      body_end[-1] = static_cast<char>(static_cast<core *>(ctx)->worker_at(batch->worker)->link_origin(r.connection));
    }
  };
  ASSERT_EQ(KR_OK, c.start(config, nullptr, 0, tell_origin, &c));
  constexpr uint8_t kOrigins[] = {0, 1, 255, 1};
  struct sockaddr_in addresses[std::size(kOrigins)];
  for (size_t i = 0; i < std::size(kOrigins); ++i) {
    ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&addresses[i]), KR_ANY_WORKER, kOrigins[i]));
  }
  std::vector<int> fds;
  for (size_t i = 0; i < 128; ++i) {
    fds.push_back(dial(addresses[i % std::size(kOrigins)]));
    ASSERT_EQ(kOrigins[i % std::size(kOrigins)], static_cast<uint8_t>(exchange(fds.back())));
  }
  for (uint32_t i = 0; i < 4; ++i) {
    kr_worker_stats stats;
    ASSERT_EQ(KR_OK, c.stats(i, &stats));
    EXPECT_NE(0u, stats.requests) << "of worker " << i;
  }
  for (const int fd : fds) ::close(fd);
}

TEST(Core, DrainRefusesNewListenersAndWaitEndsByInterrupt) {
  core c(&net::kKernel);
  ASSERT_EQ(KR_OK, c.start(default_config(), nullptr, 0, answer_ok, nullptr));
  struct sockaddr_in address;
  ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER, 0));
  const int fd = dial(address);
  ASSERT_EQ(6, ::send(fd, "GET / ", 6, MSG_NOSIGNAL));
  kr_worker_stats stats = {};
  while (stats.bytes_in != 6) ASSERT_EQ(KR_OK, c.stats(0, &stats));
  ASSERT_EQ(KR_OK, c.drain());
  EXPECT_EQ(KR_ERR_CLOSED, c.listen(::socket(AF_INET, SOCK_STREAM, 0), KR_ANY_WORKER, 0));
  EXPECT_EQ(KR_ERR_BLOCKED, c.wait(1)) << "a request is under way";
  std::thread interrupter([&c] { c.interrupt(); });
  EXPECT_EQ(KR_OK, c.wait(10000));
  interrupter.join();
  ::close(fd);
}

// A receiver that takes everything over and has a pool of threads read, answer and release.
class pool {
 public:
  explicit pool(int threads, bool says_no = false) : says_no_(says_no) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~pool() {
    end();
    EXPECT_TRUE(links_.empty());
  }
  static void on_batch(void *ctx, kr_batch *batch) { static_cast<pool *>(ctx)->take(batch); }

  core *owner = nullptr;

  // The callers of links fail from now on, and nobody is told of anything any more.
  void stopped() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  // Joins the threads when all links are released.
  void end() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    for (std::thread &t : threads_) t.join();
    threads_.clear();
  }
  int answered() const { return answered_.load(); }

 private:
  struct link {
    uint64_t id;
    uint32_t worker;
    uint32_t count;  // of requests
    bool body_open;
    uint64_t size;  // of the body of the last one, if it came with it
    uint32_t told;
  };

  void take(kr_batch *batch) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (uint32_t i = 0; i < batch->notice_count; ++i) {
      const kr_notice &n = batch->notices[i];
      for (link *l : active_) {
        if (l->id == n.connection && l->worker == batch->worker) l->told |= n.kinds;
      }
      for (link &l : links_) {
        if (l.id == n.connection && l.worker == batch->worker) l.told |= n.kinds;
      }
    }
    for (uint32_t i = 0; i < batch->count;) {
      kr_request &first = batch->requests[i];
      uint32_t end = i;
      while (end < batch->count && batch->requests[end].connection == first.connection) ++end;
      if (first.answer_flags == 0) {
        const kr_request &last = batch->requests[end - 1];
        links_.push_back(
            {first.connection, batch->worker, end - i, (last.flags & KR_REQUEST_BODY_OPEN) != 0, last.body_size, 0});
        first.answer_flags = KR_ANSWER_LATER;
      }
      i = end;
    }
    changed_.notify_all();
  }

  // False: no longer worth waiting for.
  bool wait(link *l, uint32_t kind) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || (l->told & (kind | KR_NOTICE_GONE)) != 0; });
    // A peer that has gone is told of once, and each try fails by itself.
    l->told &= ~kind;
    return !stopped_;
  }

  bool read(link *l, engine::worker *w, uint64_t *size_out) {
    char data[700];
    uint16_t code = 0;
    for (;;) {
      size_t size = 0;
      const kr_status status = w->link_read(l->id, data, sizeof(data), &size, &code);
      if (status == KR_OK && size == 0) return true;
      if (status == KR_OK) {
        for (size_t i = 0; i < size; ++i) EXPECT_EQ('b', data[i]);
        *size_out += size;
      } else if (status != KR_ERR_BLOCKED || !wait(l, KR_NOTICE_READABLE)) {
        return false;
      }
    }
  }

  bool write(link *l, engine::worker *w, const std::string &text) {
    for (size_t at = 0;;) {
      size_t sent = 0;
      const kr_status status = w->link_write(l->id, nullptr, 0, text.data() + at, text.size() - at, false, &sent);
      at += sent;
      if (status == KR_OK) return true;
      if (status != KR_ERR_BLOCKED || !wait(l, KR_NOTICE_WRITABLE)) return false;
    }
  }

  void serve(link *l) {
    engine::worker *w = owner->worker_at(l->worker);
    uint64_t size = l->size;
    if (says_no_ || (l->body_open && !read(l, w, &size))) return w->link_release(l->id, KR_RELEASE_ABORT);
    std::string text;
    for (uint32_t i = 0; i < l->count; ++i) {
      const std::string body(i + 1 == l->count ? size : 0, 'a');
      text += "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    if (!write(l, w, text)) return w->link_release(l->id, KR_RELEASE_ABORT);
    answered_.fetch_add(static_cast<int>(l->count));
    w->link_release(l->id, KR_RELEASE_KEEP);
  }

  void work() {
    for (;;) {
      link l;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return ended_ || !links_.empty(); });
        if (links_.empty()) return;
        l = links_.front();
        links_.pop_front();
        active_.push_back(&l);
      }
      // It is not to be found any more once its address may be another's.
      const uint64_t id = l.id;
      const uint32_t worker = l.worker;
      serve(&l);
      const std::lock_guard<std::mutex> lock(mutex_);
      std::erase_if(active_, [&](const link *a) { return a == &l && a->id == id && a->worker == worker; });
    }
  }

  const bool says_no_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<link> links_;
  std::vector<link *> active_;
  bool stopped_ = false;
  bool ended_ = false;
  std::atomic<int> answered_{0};
  std::vector<std::thread> threads_;
};

// Sends random requests and checks their answers, now and then going away in between. Ends when the server is gone.
class customer {
 public:
  customer(const struct sockaddr_in &address, unsigned seed, bool faithful)
      : address_(address), random_(seed), faithful_(faithful) {}

  // Whether all went well; with a server that does not stop, it must.
  bool run(int requests) {
    int fd = -1;
    for (int done = 0; done < requests;) {
      if (fd < 0) {
        fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        // Half of them make the server wait for them to read.
        const int room = 4096;
        if (pick(2) == 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        if (::connect(fd, reinterpret_cast<const struct sockaddr *>(&address_), sizeof(address_)) != 0) {
          ::close(fd);
          return false;
        }
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        in_.clear();
      }
      const int pipelined = static_cast<int>(pick(4)) == 0 ? 1 + static_cast<int>(pick(5)) : 0;
      std::string out;
      for (int i = 0; i < pipelined; ++i) out += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
      const size_t size = add_last(&out);
      const bool leaves = !faithful_ && pick(20) == 0;
      const size_t cut = pick(3) == 0 ? pick(out.size()) : 0;
      bool ok = send_all(fd, out.substr(0, cut)) && (leaves || send_all(fd, out.substr(cut)));
      if (leaves) {
        ::close(fd);
        fd = -1;
        continue;
      }
      for (int i = 0; ok && i <= pipelined; ++i) ok = receive(fd, i == pipelined ? size : 0);
      if (!ok) {
        ::close(fd);
        return false;
      }
      done += pipelined + 1;
    }
    ::close(fd);
    return true;
  }

 private:
  size_t pick(size_t below) { return random_() % below; }

  // The last of a row of requests; the size of its body.
  size_t add_last(std::string *out) {
    const size_t kind = pick(4);
    if (kind == 0) {
      *out += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
      return 0;
    }
    const size_t size = pick(50) == 0 ? pick(3000000) : pick(8) == 0 ? pick(100000) : pick(500);
    if (kind < 3) {
      *out +=
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'b');
      return size;
    }
    *out += "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t left = size; left != 0;) {
      const size_t chunk = std::min(left, 1 + pick(5000));
      char line[32];
      std::snprintf(line, sizeof(line), "%zx\r\n", chunk);
      *out += line + std::string(chunk, 'b') + "\r\n";
      left -= chunk;
    }
    *out += "0\r\n\r\n";
    return size;
  }

  static bool send_all(int fd, std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // One answer with so many octets in its body.
  bool receive(int fd, size_t size) {
    const std::string expected =
        "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'a');
    char buffer[16384];
    while (in_.size() < expected.size()) {
      const ssize_t result = ::recv(fd, buffer, sizeof(buffer), 0);
      if (result <= 0) return false;
      in_.append(buffer, static_cast<size_t>(result));
    }
    EXPECT_EQ(0, in_.compare(0, expected.size(), expected));
    in_.erase(0, expected.size());
    return true;
  }

  const struct sockaddr_in address_;
  std::minstd_rand random_;
  const bool faithful_;
  std::string in_;
};

kr_config link_config() {
  kr_config config = default_config();
  config.workers = 2;
  config.body_collect_max = 1000;
  config.body_size_max = 1 << 24;
  return config;
}

// Each client gets its answers, in order, however the threads that answer, the clients that go, and the bodies that
// come in pieces meet.
TEST(Core, HandsConnectionsOverToThreads) {
  pool threads(4);
  core c(&net::kKernel);
  threads.owner = &c;
  ASSERT_EQ(KR_OK, c.start(link_config(), nullptr, 0, pool::on_batch, &threads));
  struct sockaddr_in address;
  ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER, 0));
  constexpr int kClients = 6;
  constexpr int kRequests = 800;
  std::vector<std::thread> clients;
  for (unsigned i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] { EXPECT_TRUE(customer(address, i + 1, i % 2 == 0).run(kRequests)); });
  }
  for (std::thread &t : clients) t.join();
  EXPECT_GE(threads.answered(), kClients * kRequests);
  ASSERT_EQ(KR_OK, c.drain());
  ASSERT_EQ(KR_OK, c.wait(10000)) << "all links have been given back";
  c.stop();
  threads.stopped();
  threads.end();
}

// Links outlive kr_stop, and the descriptors do not outlive the links.
TEST(Core, StopsWhileConnectionsAreHandedOver) {
  const size_t before = open_descriptors();
  for (unsigned round = 0; round < 20; ++round) {
    pool threads(3, round % 5 == 4);
    core c(&net::kKernel);
    threads.owner = &c;
    ASSERT_EQ(KR_OK, c.start(link_config(), nullptr, 0, pool::on_batch, &threads));
    struct sockaddr_in address;
    ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER, 0));
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < 4; ++i) {
      clients.emplace_back([&, i] { customer(address, round * 10 + i + 1, false).run(1000000); });
    }
    kr_worker_stats a = {}, b = {};
    const auto seen = [&] {
      EXPECT_EQ(KR_OK, c.stats(0, &a));
      EXPECT_EQ(KR_OK, c.stats(1, &b));
      return a.requests + b.requests;
    };
    while (round % 5 != 4 && seen() < 20 + round * 10) std::this_thread::yield();
    if (round % 3 == 0) c.close_idle();
    c.stop();
    threads.stopped();
    for (std::thread &t : clients) t.join();
    threads.end();
  }
  EXPECT_EQ(before, open_descriptors());
}

}  // namespace
}  // namespace kourier::engine
