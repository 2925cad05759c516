// What is asked of a socket, and set on it, beside moving bytes: its peer's address and its options.
#pragma once

#include <cstdint>

#include "kourier.h"

namespace kourier::net {

// What kr_peer returns.
struct peer_address {
  uint8_t ip[16] = {};
  uint32_t scope = 0;
  uint16_t port = 0;
  uint8_t family = 0;

  // An address of IPv4 in 8 bytes; 0 for any other. unpack returns whether there is one.
  uint64_t pack() const;
  bool unpack(uint64_t packed);
};

// KR_ERR_CLOSED when the socket has no peer any more.
kr_status get_peer_address(int fd, peer_address *out);

// Whether a stream socket is one of TCP, Multipath TCP included; else it is a Unix socket.
bool is_tcp(int fd);

// How much the kernel takes of a large answer before it has sent it, in bytes: else a socket whose peer does not read
// may hold megabytes. What is on its way to a peer that reads does not count.
inline constexpr int kUnsentMax = 256 << 10;

// Sets kUnsentMax, on a socket of TCP.
void bound_unsent(int fd);

// Sets on an accepted socket what Go's net sets: no Nagle delay, and keep-alive probes
// after 15 seconds. A listening socket would hand most of it down, but not one of
// Multipath TCP, and not to connections that came before it was set there.
void set_tcp_options(int fd);

}  // namespace kourier::net
