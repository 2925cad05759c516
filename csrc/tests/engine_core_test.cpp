#include "../engine_core.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
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

void exchange(int fd) {
  static constexpr char kRequest[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_EQ(static_cast<ssize_t>(sizeof(kRequest) - 1), ::send(fd, kRequest, sizeof(kRequest) - 1, MSG_NOSIGNAL));
  constexpr size_t kAnswerSize = 40;
  char answer[kAnswerSize];
  ASSERT_EQ(static_cast<ssize_t>(kAnswerSize), ::recv(fd, answer, kAnswerSize, MSG_WAITALL)) << std::strerror(errno);
}

TEST(Core, StartsAndStopsWithoutLeavingDescriptors) {
  kr_config config = default_config();
  config.workers = 2;
  const size_t before = open_descriptors();
  for (int i = 0; i < 200; ++i) {
    core c(&net::kKernel);
    ASSERT_EQ(KR_OK, c.start(config, nullptr, 0, answer_ok, nullptr));
    struct sockaddr_in address;
    ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER));
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
  ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER));
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

TEST(Core, DrainRefusesNewListenersAndWaitEndsByInterrupt) {
  core c(&net::kKernel);
  ASSERT_EQ(KR_OK, c.start(default_config(), nullptr, 0, answer_ok, nullptr));
  struct sockaddr_in address;
  ASSERT_EQ(KR_OK, c.listen(listen_on_loopback(&address), KR_ANY_WORKER));
  const int fd = dial(address);
  ASSERT_EQ(6, ::send(fd, "GET / ", 6, MSG_NOSIGNAL));
  kr_worker_stats stats = {};
  while (stats.bytes_in != 6) ASSERT_EQ(KR_OK, c.stats(0, &stats));
  ASSERT_EQ(KR_OK, c.drain());
  EXPECT_EQ(KR_ERR_CLOSED, c.listen(::socket(AF_INET, SOCK_STREAM, 0), KR_ANY_WORKER));
  EXPECT_EQ(KR_ERR_BLOCKED, c.wait(1)) << "a request is under way";
  std::thread interrupter([&c] { c.interrupt(); });
  EXPECT_EQ(KR_OK, c.wait(10000));
  interrupter.join();
  ::close(fd);
}

}  // namespace
}  // namespace kourier::engine
