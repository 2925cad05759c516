// What is asked of a socket, and set on it, beside moving bytes: its peer's address and its options.
#pragma once

#include <cstdint>

#include "kourier.h"

namespace kourier::net {

// As kr_peer says. KR_ERR_CLOSED when the socket has no peer any more.
kr_status peer_address(int fd, uint8_t address_out[16], uint32_t *scope_out, uint16_t *port_out, uint8_t *family_out);

// Whether a stream socket is one of TCP, Multipath TCP included; else it is a Unix socket.
bool is_tcp(int fd);

// Sets on an accepted socket what Go's net sets: no Nagle delay, and keep-alive probes
// after 15 seconds. A listening socket would hand most of it down, but not one of
// Multipath TCP, and not to connections that came before it was set there.
void set_tcp_options(int fd);

}  // namespace kourier::net
