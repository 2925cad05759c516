// The address of a socket's peer.
#pragma once

#include <cstdint>

#include "kourier.h"

namespace kourier::net {

// As kr_peer says. KR_ERR_CLOSED when the socket has no peer any more.
kr_status peer_address(int fd, uint8_t address_out[16], uint32_t *scope_out, uint16_t *port_out, uint8_t *family_out);

}  // namespace kourier::net
