#include "net_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace kourier::net {
namespace {

// The peer's address of a connection made to the loopback, and back out of 8 bytes.
void check_loopback(int family, uint8_t family_expected, bool packs) {
  const int listener = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_storage bound = {};
  bound.ss_family = static_cast<sa_family_t>(family);
  socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  if (family == AF_INET6) reinterpret_cast<struct sockaddr_in6 *>(&bound)->sin6_addr = in6addr_loopback;
  if (family == AF_INET) reinterpret_cast<struct sockaddr_in *>(&bound)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<struct sockaddr *>(&bound), size) != 0) {
    ::close(listener);
    GTEST_SKIP() << "no such family here";
  }
  ASSERT_EQ(0, ::listen(listener, 1));
  ASSERT_EQ(0, ::getsockname(listener, reinterpret_cast<struct sockaddr *>(&bound), &size));
  const int client = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(0, ::connect(client, reinterpret_cast<struct sockaddr *>(&bound), size));

  peer_address address;
  ASSERT_EQ(KR_OK, get_peer_address(client, &address));
  EXPECT_EQ(family_expected, address.family);
  EXPECT_EQ(ntohs(reinterpret_cast<struct sockaddr_in *>(&bound)->sin_port), address.port);
  peer_address again;
  again.scope = 7;
  EXPECT_EQ(packs, again.unpack(address.pack()));
  if (packs) {
    EXPECT_EQ(0, std::memcmp(address.ip, again.ip, sizeof(address.ip)));
    EXPECT_EQ(address.port, again.port);
    EXPECT_EQ(address.family, again.family);
    EXPECT_EQ(0u, again.scope);
  }
  ::close(client);
  ::close(listener);
}

TEST(PeerAddress, OfIPv4TakesEightBytes) { check_loopback(AF_INET, 4, true); }

TEST(PeerAddress, OfIPv6TakesMore) { check_loopback(AF_INET6, 6, false); }

TEST(PeerAddress, MappedIsPackedWithItsFamily) {
  peer_address address;
  address.family = 6;
  address.port = 65535;
  address.ip[10] = address.ip[11] = 0xff;
  address.ip[12] = 255;
  address.ip[15] = 1;
  peer_address again;
  ASSERT_TRUE(again.unpack(address.pack()));
  EXPECT_EQ(6, again.family);
  EXPECT_EQ(65535, again.port);
  EXPECT_EQ(0, std::memcmp(address.ip, again.ip, sizeof(address.ip)));
  address.ip[0] = 1;
  EXPECT_EQ(0u, address.pack());
}

TEST(PeerAddress, OfAUnixSocketIsNone) {
  int ends[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  peer_address address;
  EXPECT_EQ(KR_OK, get_peer_address(ends[0], &address));
  EXPECT_EQ(0, address.family);
  EXPECT_EQ(0u, address.pack());
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(KR_ERR_CLOSED, get_peer_address(ends[0], &address));
}

}  // namespace
}  // namespace kourier::net
