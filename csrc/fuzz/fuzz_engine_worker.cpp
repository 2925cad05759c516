// A worker answers a stream of bytes in the same way however the network cuts it.
//
// The first byte of the input seeds the cuts, the rest is what the client sends:
// once whole, once in pieces, once to a server whose socket takes little at a time,
// so that requests are held back. The answers must be equal, but for 100 Continue,
// which is for clients that wait. An empty line is sent behind the input: a head that
// stays incomplete may be refused for its first octets, or wait for its line to end.

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "../engine_worker.h"

namespace {

using namespace kourier;  // NOLINT(google-build-using-namespace): the program is this file

constexpr size_t kInputMax = 16 * 1024;

// What a socket takes of one send, and whether each answer goes out by itself.
size_t send_size_max = SIZE_MAX;

ssize_t short_send(int fd, const void *data, size_t size, int flags) {
  return ::send(fd, data, size < send_size_max ? size : send_size_max, flags);
}

ssize_t short_sendmsg(int fd, const struct msghdr *message, int flags) {
  for (size_t i = 0; i < message->msg_iovlen; ++i) {
    if (message->msg_iov[i].iov_len != 0)
      return short_send(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, flags);
  }
  return 0;
}

int64_t fixed_wall() { return 784111777; }
uint64_t fixed_clock() { return 1000; }

// Answers with what the core has made of the request.
void answer(void *, kr_batch *batch) {
  uint64_t blocked = UINT64_MAX;
  for (uint32_t i = 0; i < batch->count; ++i) {
    kr_request &r = batch->requests[i];
    if (r.answer_flags != 0 || r.connection == blocked) continue;
    std::string body;
    for (uint32_t k = 0; k < r.field_count; ++k) {
      body.append(r.base + r.fields[k].name_offset, r.fields[k].name_size).append("=");
      body.append(r.base + r.fields[k].value_offset, r.fields[k].value_size).append(";");
    }
    body.append(r.base + r.target_offset, r.target_size).append(r.body, r.body_size);
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    if (send_size_max != SIZE_MAX || text.size() > batch->out_capacity - batch->out_size) {
      const kr_status status = static_cast<engine::callback_batch *>(batch)->owner->write(i, text.data(), text.size());
      if (status == KR_ERR_BLOCKED) blocked = r.connection;
    } else {
      std::memcpy(batch->out + batch->out_size, text.data(), text.size());
      r.answer_offset = batch->out_size;
      r.answer_size = static_cast<uint32_t>(text.size());
      batch->out_size += r.answer_size;
    }
    r.answer_flags = KR_ANSWER_DONE;
    r.answer_code = 200;
  }
}

struct server {
  server() {
    kernel = net::kKernel;
    kernel.unix_seconds = fixed_wall;
    kernel.now_ms = fixed_clock;
    kernel.send = short_send;
    kernel.sendmsg = short_sendmsg;
    kr_config &c = common.config;
    c.workers = 1;
    c.conns_max = 16;
    c.linger_timeout_ms = 500;
    c.head_size_max = 4096;
    c.target_size_max = 1024;
    c.field_count_max = 32;
    c.body_size_max = 4096;
    c.body_collect_max = UINT64_MAX;
    common.on_batch = answer;
    common.peers = new engine::peer_worker[1];
    if (common.static_answers.open(nullptr, 0) != KR_OK || common.peers[0].inbox.open() != KR_OK) __builtin_trap();
    worker = new engine::worker(&common, 0, &kernel);
    if (worker->open() != KR_OK) __builtin_trap();
  }

  // Sends the pieces that next_size cuts, and returns all that was answered.
  template <typename NextSize>
  std::string answers(const char *data, size_t size, NextSize next_size) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) __builtin_trap();
    common.conns.fetch_add(1);
    common.peers[0].conns.fetch_add(1);
    if (!common.peers[0].inbox.push(fds[0])) __builtin_trap();
    worker->turn(0);
    std::string all;
    while (size != 0) {
      size_t piece = next_size();
      if (piece > size) piece = size;
      const ssize_t sent = ::send(fds[1], data, piece, MSG_NOSIGNAL);
      if (sent < 0) break;
      data += sent;
      size -= static_cast<size_t>(sent);
      worker->turn(0);
      worker->turn(0);
      read(fds[1], &all);
    }
    ::shutdown(fds[1], SHUT_WR);
    for (int quiet = 0; quiet < 8; ++quiet) {
      const size_t before = all.size();
      worker->turn(0);
      read(fds[1], &all);
      if (all.size() != before) quiet = 0;
    }
    ::close(fds[1]);
    worker->turn(0);
    if (worker->stats().conns.get() != 0) __builtin_trap();
    return all;
  }

  static void read(int fd, std::string *all) {
    char buffer[16384];
    for (ssize_t size; (size = ::recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0;) {
      all->append(buffer, static_cast<size_t>(size));
    }
  }

  net::system kernel;
  engine::shared common;
  engine::worker *worker;
};

std::string without_continue(std::string text) {
  static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
  for (size_t at = text.find(kContinue); at != std::string::npos; at = text.find(kContinue, at)) {
    text.erase(at, sizeof(kContinue) - 1);
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size < 2 || size > kInputMax) return 0;
  static server *const s = new server;
  const std::string sent = std::string(reinterpret_cast<const char *>(input) + 1, size - 1) + "\r\n\r\n";
  const std::string whole = s->answers(sent.data(), sent.size(), [] { return 2 * kInputMax; });
  uint32_t state = input[0] | 1u << 16;
  const size_t piece_max = input[0] % 4 == 0 ? 1 : input[0] % 4 == 1 ? 7 : 200;
  const std::string split = s->answers(sent.data(), sent.size(), [&] {
    state = state * 1664525 + 1013904223;
    return 1 + (state >> 16) % piece_max;
  });
  if (without_continue(whole) != without_continue(split)) __builtin_trap();
  send_size_max = 1 + input[0] * 4;
  const std::string slow = s->answers(sent.data(), sent.size(), [] { return 2 * kInputMax; });
  send_size_max = SIZE_MAX;
  if (without_continue(whole) != without_continue(slow)) __builtin_trap();
  return 0;
}
