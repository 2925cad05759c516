#include "net_system.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "net_socket.h"

namespace kourier::net {
namespace {

bool is_writable(int fd) {
  struct pollfd wanted = {fd, POLLOUT, 0};
  return ::poll(&wanted, 1, 0) > 0;
}

// Whether there is room exactly if the socket is writable. An acknowledgement may come between the two looks, once.
bool agrees(int fd) {
  for (int i = 0; i < 3; ++i) {
    const bool has_room = kKernel.send_room(fd) > 0;
    if (has_room == is_writable(fd)) return true;
  }
  return false;
}

// Both ends of a connection over the loopback.
void connect_ends(int ends[2]) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in bound = {};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(bound);
  ASSERT_EQ(0, ::bind(listener, reinterpret_cast<struct sockaddr *>(&bound), size));
  ASSERT_EQ(0, ::listen(listener, 1));
  ASSERT_EQ(0, ::getsockname(listener, reinterpret_cast<struct sockaddr *>(&bound), &size));
  ends[0] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(0, ::connect(ends[0], reinterpret_cast<struct sockaddr *>(&bound), size));
  ends[1] = ::accept(listener, nullptr, nullptr);
  ASSERT_GE(ends[1], 0);
  ::close(listener);
}

// Who finds no room waits until the socket is writable, and must find some then.
void check_room(const int *ends) {
  std::vector<char> data(8192, 'x');
  int steps_without = 0;
  int room_before = kKernel.send_room(ends[0]);
  EXPECT_GT(room_before, 0);
  while (::send(ends[0], data.data(), data.size(), MSG_DONTWAIT) > 0) {
    ASSERT_TRUE(agrees(ends[0]));
    steps_without += kKernel.send_room(ends[0]) == 0;
  }
  EXPECT_GT(steps_without, 0);
  EXPECT_EQ(0, kKernel.send_room(ends[0]));
  while (::recv(ends[1], data.data(), data.size(), MSG_DONTWAIT) > 0) {
    ASSERT_TRUE(agrees(ends[0]));
  }
  EXPECT_GT(kKernel.send_room(ends[0]), 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(SendRoom, IsThereWhereTheSocketIsWritable) {
  int ends[2];
  ASSERT_NO_FATAL_FAILURE(connect_ends(ends));
  bound_unsent(ends[0]);
  check_room(ends);
}

TEST(SendRoom, IsThereWhereAUnixSocketIsWritable) {
  int ends[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  check_room(ends);
}

TEST(SendRoom, IsUnknownOfWhatIsNoSocket) { EXPECT_LT(kKernel.send_room(STDIN_FILENO + 1000), 0); }

}  // namespace
}  // namespace kourier::net
