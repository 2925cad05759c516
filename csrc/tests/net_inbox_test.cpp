#include "../net_inbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace kourier::net {
namespace {

int some_fd() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(Inbox, HandsSocketsOverInOrderAndWakes) {
  inbox box;
  ASSERT_EQ(KR_OK, box.open());
  const int a = some_fd();
  const int b = some_fd();
  struct pollfd wait = {box.wake_fd(), POLLIN, 0};
  EXPECT_EQ(0, ::poll(&wait, 1, 0));
  EXPECT_TRUE(box.push({a, 1}));
  EXPECT_TRUE(box.push({b, 2}));
  EXPECT_EQ(1, ::poll(&wait, 1, 0));
  accepted_socket sockets[4];
  EXPECT_EQ(1u, box.take(sockets, 1));
  EXPECT_EQ(a, sockets[0].fd);
  EXPECT_EQ(1, sockets[0].origin);
  EXPECT_EQ(1, ::poll(&wait, 1, 0)) << "what is left wakes again";
  EXPECT_EQ(1u, box.take(sockets, 4));
  EXPECT_EQ(b, sockets[0].fd);
  EXPECT_EQ(2, sockets[0].origin);
  EXPECT_EQ(0, ::poll(&wait, 1, 0));
  ::close(a);
  ::close(b);
}

TEST(Inbox, RefusesWhenFullAndClosesWhatNobodyTook) {
  const int first = some_fd();
  {
    inbox box;
    ASSERT_EQ(KR_OK, box.open());
    EXPECT_TRUE(box.push({first, 0}));
    for (size_t i = 1; i < inbox::kCapacity; ++i) EXPECT_TRUE(box.push({::dup(first), 0}));
    EXPECT_FALSE(box.push({first, 0}));
  }
  EXPECT_EQ(-1, ::fcntl(first, F_GETFD));
}

TEST(Inbox, LosesNothingBetweenThreads) {
  inbox box;
  ASSERT_EQ(KR_OK, box.open());
  constexpr int kThreads = 3;
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&box, t] {
      // Numbers stand in for descriptors: nothing here is closed.
      for (int i = 0; i < kEach;) {
        if (box.push({t * kEach + i, 0})) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<int> seen(kThreads * kEach);
  int count = 0;
  accepted_socket sockets[64];
  while (count < kThreads * kEach) {
    struct pollfd wait = {box.wake_fd(), POLLIN, 0};
    ASSERT_EQ(1, ::poll(&wait, 1, 10000));
    const size_t taken = box.take(sockets, 64);
    for (size_t i = 0; i < taken; ++i) ++seen[static_cast<size_t>(sockets[i].fd)];
    count += static_cast<int>(taken);
  }
  for (std::thread &thread : threads) thread.join();
  for (const int times : seen) ASSERT_EQ(1, times);
}

}  // namespace
}  // namespace kourier::net
