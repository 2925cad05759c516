//go:build !kourier_cmake

#include "net_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

namespace kourier::net {

namespace {

// ::ffff:0:0/96, RFC 4291 §2.5.5.2.
constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

kr_status get_peer_address(int fd, peer_address *out) {
  struct sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<struct sockaddr *>(&storage), &size) != 0) return KR_ERR_CLOSED;
  *out = peer_address{};
  if (storage.ss_family == AF_INET) {
    struct sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof(v4));
    std::memcpy(out->ip, kMapped, sizeof(kMapped));
    std::memcpy(out->ip + sizeof(kMapped), &v4.sin_addr, 4);
    out->port = ntohs(v4.sin_port);
    out->family = 4;
  } else if (storage.ss_family == AF_INET6) {
    struct sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof(v6));
    std::memcpy(out->ip, &v6.sin6_addr, 16);
    out->scope = v6.sin6_scope_id;
    out->port = ntohs(v6.sin6_port);
    out->family = 6;
  }
  return KR_OK;
}

// The address in the upper half, then the port, then the family. Peers of IPv4 are mapped addresses on a socket of
// IPv6.
uint64_t peer_address::pack() const {
  if (family == 0 || scope != 0 || std::memcmp(ip, kMapped, sizeof(kMapped)) != 0) return 0;
  uint32_t v4;
  std::memcpy(&v4, ip + sizeof(kMapped), sizeof(v4));
  return uint64_t{v4} << 32 | uint64_t{port} << 16 | family;
}

bool peer_address::unpack(uint64_t packed) {
  if (packed == 0) return false;
  const uint32_t v4 = static_cast<uint32_t>(packed >> 32);
  std::memcpy(ip, kMapped, sizeof(kMapped));
  std::memcpy(ip + sizeof(kMapped), &v4, sizeof(v4));
  scope = 0;
  port = static_cast<uint16_t>(packed >> 16);
  family = static_cast<uint8_t>(packed);
  return true;
}

bool is_tcp(int fd) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && (domain == AF_INET || domain == AF_INET6);
}

void bound_unsent(int fd) { ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentMax, sizeof(kUnsentMax)); }

void set_tcp_options(int fd) {
  const int on = 1;
  const int seconds = 15;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

}  // namespace kourier::net
