//go:build !kourier_cmake

#include "net_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

namespace kourier::net {

kr_status peer_address(int fd, uint8_t address_out[16], uint32_t *scope_out, uint16_t *port_out, uint8_t *family_out) {
  struct sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<struct sockaddr *>(&storage), &size) != 0) return KR_ERR_CLOSED;
  *scope_out = 0;
  *port_out = 0;
  *family_out = 0;
  if (storage.ss_family == AF_INET) {
    struct sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof(v4));
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::memcpy(address_out, kMapped, sizeof(kMapped));
    std::memcpy(address_out + sizeof(kMapped), &v4.sin_addr, 4);
    *port_out = ntohs(v4.sin_port);
    *family_out = 4;
  } else if (storage.ss_family == AF_INET6) {
    struct sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof(v6));
    std::memcpy(address_out, &v6.sin6_addr, 16);
    *scope_out = v6.sin6_scope_id;
    *port_out = ntohs(v6.sin6_port);
    *family_out = 6;
  }
  return KR_OK;
}

bool is_tcp(int fd) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && (domain == AF_INET || domain == AF_INET6);
}

void set_tcp_options(int fd) {
  const int on = 1;
  const int seconds = 15;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

}  // namespace kourier::net
