#include "attack.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "system.h"

namespace load {
namespace {

constexpr std::string_view kHead = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ";
constexpr int kReceiveBufferSize = 4096;
constexpr size_t kReadSize = 256;
constexpr int kTurnsAtOnce = 64;

bool would_block() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

attack::attack(const options &opt)
    : opt_(opt),
      download_("GET /download?size=" + std::to_string(opt.body_size) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
      interval_ns_(opt.slow_interval_ms * (kSecond / 1000) /
                   (opt.slow_head_count + opt.slow_reader_count + uint64_t{1})),
      attackers_(opt.slow_head_count + size_t{opt.slow_reader_count}),
      next_ns_(attackers_.empty() ? UINT64_MAX : now_ns()) {}

attack::~attack() {
  for (const attacker &each : attackers_) {
    if (each.fd >= 0) close_hard(each.fd);
  }
}

void attack::act(uint64_t now) {
  for (int turn = 0; turn < kTurnsAtOnce && next_ns_ <= now; ++turn) {
    take_turn(next_index_);
    next_index_ = (next_index_ + 1) % attackers_.size();
    next_ns_ += interval_ns_;
  }
}

uint32_t attack::standing_count() const {
  uint32_t count = 0;
  for (const attacker &each : attackers_) count += each.fd >= 0 && each.sent_size > 0;
  return count;
}

void attack::take_turn(size_t index) {
  attacker &each = attackers_[index];
  const bool slow_head = index < opt_.slow_head_count;
  if (each.fd < 0) {
    each.fd = begin_connect(opt_.address, opt_.port, static_cast<uint32_t>(index), opt_.address_count,
                            slow_head ? 0 : kReceiveBufferSize);
    each.sent_size = 0;
    if (each.fd < 0) ++connect_error_count_;
    return;  // by the next turn it is connected
  }
  if (send_next(&each, slow_head) && receive_some(each)) return;
  ++closed_count_;
  close_hard(each.fd);
  each.fd = -1;
}

// Returns whether the connection lives.
bool attack::send_next(attacker *each, bool slow_head) {
  std::string_view rest;
  if (slow_head) {
    rest = each->sent_size < kHead.size() ? kHead.substr(each->sent_size, 1) : "a";
  } else {
    rest = std::string_view(download_).substr(each->sent_size);
    if (rest.empty()) return true;
  }
  const ssize_t sent = send(each->fd, rest.data(), rest.size(), MSG_NOSIGNAL);
  if (sent < 0) return would_block();
  each->sent_size += static_cast<uint32_t>(sent);
  return true;
}

// Returns whether the connection lives.
bool attack::receive_some(const attacker &each) {
  char part[kReadSize];
  const ssize_t received = recv(each.fd, part, sizeof part, 0);
  if (received < 0) return would_block();
  received_size_ += static_cast<uint64_t>(received);
  return received > 0;
}

}  // namespace load
