// A worker answers a stream of bytes in the same way however the network cuts it.
//
// The first byte of the input seeds the cuts, the rest is what the client sends:
// once whole, once in pieces, once to a server whose socket takes little at a time,
// so that requests are held back, and once whole and once in pieces to one that takes
// some of the requests over, and reads their bodies as links. The answers must be equal, but for 100 Continue,
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

// Pseudo-random numbers that the first byte of the input seeds.
uint32_t random_state;
uint32_t random_below(uint32_t n) {
  random_state = random_state * 1664525 + 1013904223;
  return (random_state >> 16) % n;
}

int64_t fixed_wall() { return 784111777; }
uint64_t fixed_clock() { return 1000; }

// What the core has made of a request, but for its body.
std::string described(const kr_request &r) {
  std::string text;
  for (uint32_t k = 0; k < r.field_count; ++k) {
    text.append(r.base + r.fields[k].name_offset, r.fields[k].name_size).append("=");
    text.append(r.base + r.fields[k].value_offset, r.fields[k].value_size).append(";");
  }
  return text.append(r.base + r.target_offset, r.target_size);
}

// The body of a request that came whole, and the field lines behind it.
std::string content_of(const kr_request &r) {
  std::string text(r.body, r.body_size);
  if ((r.flags & (KR_REQUEST_CHUNKED | KR_REQUEST_BODY_OPEN)) != KR_REQUEST_CHUNKED) return text;
  const char *line = r.body + r.body_size;
  while (*line != '\r') {
    while (*line != '\n') text += *line++;
    text += *line++;
  }
  return text;
}

std::string answer_of(const std::string &body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// A connection that was taken over.
struct link {
  uint64_t connection = UINT64_MAX;  // there is none
  std::string answers;               // to the requests before the last one
  std::string body;                  // of the answer to the last one
  bool body_open;
  bool keep_alive;
};

struct receiver {
  bool takes_over = false;
  link taken;
};

// Takes the requests from index on over, which are all of one connection: there are no others.
void take_over(receiver *to, kr_batch *batch, uint32_t index) {
  auto *worker = static_cast<engine::callback_batch *>(batch)->owner;
  const uint64_t connection = batch->requests[index].connection;
  if (index > 0 && worker->write(index, nullptr, 0) != KR_OK) return;
  if (to->taken.connection != UINT64_MAX) __builtin_trap();
  to->taken = link{};
  to->taken.connection = connection;
  for (uint32_t i = index; i < batch->count; ++i) {
    const kr_request &r = batch->requests[i];
    if (r.answer_flags != 0 || r.connection != connection) __builtin_trap();
    if (i != index) to->taken.answers += answer_of(to->taken.body);
    to->taken.body = described(r) + content_of(r);
    to->taken.body_open = (r.flags & KR_REQUEST_BODY_OPEN) != 0;
    to->taken.keep_alive = (r.flags & KR_REQUEST_KEEP_ALIVE) != 0;
  }
  batch->requests[index].answer_flags = KR_ANSWER_LATER;
}

void answer(void *ctx, kr_batch *batch) {
  auto *to = static_cast<receiver *>(ctx);
  uint64_t blocked = UINT64_MAX;
  for (uint32_t i = 0; i < batch->count; ++i) {
    kr_request &r = batch->requests[i];
    if (r.answer_flags != 0 || r.connection == blocked) continue;
    if (to->takes_over && ((r.flags & KR_REQUEST_BODY_OPEN) != 0 || random_below(2) == 0)) {
      take_over(to, batch, i);
      return;
    }
    const std::string text = answer_of(described(r) + content_of(r));
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
  explicit server(uint64_t body_collect_max) {
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
    c.body_collect_max = body_collect_max;
    common.on_batch = answer;
    common.ctx = &to;
    to.takes_over = body_collect_max != UINT64_MAX;
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
    if (!common.peers[0].inbox.push({fds[0], 0})) __builtin_trap();
    turn();
    std::string all;
    refused = 0;
    while (size != 0) {
      size_t piece = next_size();
      if (piece > size) piece = size;
      const ssize_t sent = ::send(fds[1], data, piece, MSG_NOSIGNAL);
      if (sent < 0) break;
      data += sent;
      size -= static_cast<size_t>(sent);
      turn();
      turn();
      read(fds[1], &all);
    }
    ::shutdown(fds[1], SHUT_WR);
    for (int quiet = 0; quiet < 8; ++quiet) {
      const size_t before = all.size();
      turn();
      read(fds[1], &all);
      if (all.size() != before) quiet = 0;
    }
    ::close(fds[1]);
    turn();
    turn();
    if (to.taken.connection != UINT64_MAX) __builtin_trap();
    if (worker->stats().conns.get() != 0) __builtin_trap();
    return all;
  }

  void turn() {
    worker->turn(0);
    if (to.taken.connection != UINT64_MAX) serve(&to.taken);
  }

  // Reads what has come of the body, and answers and releases at its end.
  void serve(link *l) {
    const uint64_t id = l->connection;
    kr_status status = KR_OK;
    uint16_t code = 0;
    while (l->body_open && status == KR_OK) {
      char data[64];
      size_t size = 0;
      status = worker->link_read(id, data, 1 + random_below(sizeof(data)), &size, &code);
      l->body.append(data, size);
      if (status == KR_OK && size == 0) l->body_open = false;
    }
    if (status == KR_OK) l->body += trailer_of(id);
    if (status == KR_ERR_BLOCKED) return;
    l->connection = UINT64_MAX;
    refused = status == KR_ERR_REFUSED ? code : 0;
    write(id, status == KR_OK ? l->answers + answer_of(l->body) : l->answers);
    worker->link_release(id, status == KR_OK && l->keep_alive ? KR_RELEASE_KEEP : KR_RELEASE_CLOSE);
  }

  std::string trailer_of(uint64_t id) {
    size_t size = 0;
    if (worker->link_trailer(id, nullptr, 0, &size) == KR_OK) return "";
    std::string lines(size, 0);
    if (worker->link_trailer(id, lines.data(), size, &size) != KR_OK || size != lines.size()) __builtin_trap();
    return lines;
  }

  void write(uint64_t id, const std::string &text) {
    size_t size = 0;
    const size_t cut = random_below(static_cast<uint32_t>(text.size()) + 1);
    if (worker->link_write(id, text.data(), cut, text.data() + cut, text.size() - cut, false, &size) != KR_OK) {
      __builtin_trap();
    }
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
  receiver to;
  uint16_t refused = 0;  // the status code that a link's body was refused with; it is not answered
};

std::string without_continue(std::string text) {
  static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
  for (size_t at = text.find(kContinue); at != std::string::npos; at = text.find(kContinue, at)) {
    text.erase(at, sizeof(kContinue) - 1);
  }
  return text;
}

// What a server with links has answered, against what one without has.
void compare_links(const server &links, const std::string &whole, const std::string &linked) {
  const std::string expected = without_continue(whole);
  if (links.refused == 0) {
    if (expected != without_continue(linked)) __builtin_trap();
    return;
  }
  // The reason stands in the text of the refusal, and is not the receiver's to know.
  const std::string all = without_continue(linked) + "HTTP/1.1 " + std::to_string(links.refused) + " ";
  if (expected.compare(0, all.size(), all) != 0) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size < 2 || size > kInputMax) return 0;
  static server *const s = new server(UINT64_MAX);
  static server *const links[] = {new server(0), new server(40)};
  const std::string sent = std::string(reinterpret_cast<const char *>(input) + 1, size - 1) + "\r\n\r\n";
  random_state = input[0] | 1u << 16;
  const uint32_t piece_max = input[0] % 4 == 0 ? 1 : input[0] % 4 == 1 ? 7 : 200;
  const auto at_once = [] { return 2 * kInputMax; };
  const auto in_pieces = [&]() -> size_t { return 1 + random_below(piece_max); };
  const std::string whole = s->answers(sent.data(), sent.size(), at_once);
  const std::string split = s->answers(sent.data(), sent.size(), in_pieces);
  if (without_continue(whole) != without_continue(split)) __builtin_trap();
  server *const l = links[input[0] / 128];
  compare_links(*l, whole, l->answers(sent.data(), sent.size(), at_once));
  compare_links(*l, whole, l->answers(sent.data(), sent.size(), in_pieces));
  send_size_max = 1 + input[0] * 4;
  const std::string slow = s->answers(sent.data(), sent.size(), at_once);
  send_size_max = SIZE_MAX;
  if (without_continue(whole) != without_continue(slow)) __builtin_trap();
  return 0;
}
