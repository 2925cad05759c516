#include "driver.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "system.h"

namespace load {
namespace {

constexpr size_t kInputSize = 256 * 1024;
constexpr int kEventsPerTurn = 512;
constexpr uint32_t kBeginsPerTurn = 512;  // so that answers are taken while a large number of requests is being sent

// How many connections more than have come to an answer are asked at first. What the loopback is sent it handles at
// once or, where that takes too long, puts off: a burst of half a million requests then waits until they are all sent
// again, and these as well, and no answer gets through.
constexpr uint32_t kAheadMax = 4096;
constexpr uint32_t kStepIndex = UINT32_MAX;
constexpr uint64_t kStepWait = 600 * kSecond;

const std::array<char, 64 * 1024> kZeros{};

std::string repeat(const std::string &text, uint32_t count) {
  std::string all;
  all.reserve(text.size() * count);
  for (uint32_t i = 0; i < count; ++i) all += text;
  return all;
}

std::string request_head(const std::string &line, uint16_t port, const std::string &fields) {
  return line + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n" + fields + "\r\n";
}

exchange hello(uint16_t port, uint32_t depth) {
  exchange made;
  made.head = repeat(request_head("GET /hello", port, ""), depth);
  made.expected.body = "Hello World!";
  made.answer_count = static_cast<uint16_t>(depth);
  return made;
}

exchange upload(uint16_t port, uint64_t size) {
  exchange made;
  made.head = request_head("POST /upload", port, "Content-Length: " + std::to_string(size) + "\r\n");
  made.body_size = size;
  made.answer_body = std::to_string(size);
  return made;
}

exchange download(uint16_t port, uint64_t size) {
  exchange made;
  made.head = request_head("GET /download?size=" + std::to_string(size), port, "");
  made.expected.body_size = size;
  return made;
}

exchange main_exchange(const options &opt) {
  switch (opt.mode) {
    case load_mode::upload:
      return upload(opt.port, opt.body_size);
    case load_mode::download:
      return download(opt.port, opt.body_size);
    default:
      return hello(opt.port, opt.depth);
  }
}

int make_epoll() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) die("epoll_create1 has failed, errno %d", errno);
  return fd;
}

}  // namespace

driver::driver(const options &opt, attack *beside, result *res)
    : opt_(opt),
      attack_(*beside),
      res_(*res),
      epoll_fd_(make_epoll()),
      hello_(hello(opt.port, 1)),
      main_(main_exchange(opt)),
      exchange_(&hello_),
      connections_(opt.connection_count),
      input_(kInputSize),
      free_(opt.mode == load_mode::open ? opt.connection_count : 0) {
  prctl(PR_SET_TIMERSLACK, 1UL);  // arrivals are due to the microsecond
}

driver::~driver() {
  for (const connection &each : connections_) {
    if (each.state != connection::closed) close_hard(each.fd);
  }
  close(epoll_fd_);
}

// ---------------------------------------------------------------- phases

void driver::connect_all() {
  const uint64_t begun = now_ns();
  const uint64_t end = begun + opt_.connect_seconds * kSecond;
  uint32_t index = 0;
  for (; index < opt_.connection_count && now_ns() < end; ++index) {
    // What has not been answered yet may still stand in the server's backlog.
    while (connecting_count_ + busy_count_ >= opt_.connecting_max && now_ns() < end) turn(end);
    connection &each = connections_[index];
    each.fd = begin_connect(opt_.address, opt_.port, index, opt_.address_count, 0);
    if (each.fd < 0) {
      ++res_.connect_errors;
      continue;
    }
    each.state = connection::connecting;
    ++connecting_count_;
    watch(index, EPOLLOUT, EPOLL_CTL_ADD);
  }
  res_.connect_errors += opt_.connection_count - index;  // it has not come to them
  while (connecting_count_ + busy_count_ > 0 && now_ns() < end) turn(end);
  drain_until(end);
  for (const connection &each : connections_) res_.connected_count += each.state == connection::resting;
  res_.connect_seconds = static_cast<double>(now_ns() - begun) / kSecond;
}

void driver::load() {
  if (opt_.mode == load_mode::idle) return;
  exchange_ = &main_;
  counting_ = true;
  in_time_ = true;
  load_begin_ns_ = now_ns();
  load_end_ns_ = load_begin_ns_ + opt_.seconds * kSecond;
  res_.load_seconds = opt_.seconds;
  if (opt_.mode == load_mode::open) {
    load_open();
  } else {
    load_closed();
  }
  policy_ = policy::rest;
  in_time_ = false;
  drain_until(load_end_ns_ + opt_.answer_seconds * kSecond);
  counting_ = false;
  for (const connection &each : connections_) {
    for (int quarter = 0; quarter < kQuarters; ++quarter) res_.served_counts[quarter] += each.quarters >> quarter & 1;
  }
}

void driver::load_closed() {
  policy_ = policy::repeat;
  begin_all(load_end_ns_);
  while (busy_count_ > 0 && now_ns() < load_end_ns_) turn(load_end_ns_);
}

void driver::load_open() {
  policy_ = policy::next_arrival;
  for (uint32_t index = 0; index < opt_.connection_count; ++index) {
    if (connections_[index].state == connection::resting) free_[free_count_++] = index;
  }
  for (uint64_t now = now_ns(); now < load_end_ns_; now = now_ns()) {
    begin_due(now);
    turn(free_count_ > 0 ? std::min(due_ns(next_arrival_), load_end_ns_) : load_end_ns_);
  }
  for (; due_ns(next_arrival_) < load_end_ns_; ++next_arrival_) {
    ++res_.late_count;
    res_.latency.add(load_end_ns_ - due_ns(next_arrival_));
  }
}

uint64_t driver::due_ns(uint64_t arrival) const { return load_begin_ns_ + arrival * kSecond / opt_.rate; }

void driver::begin_due(uint64_t now) {
  for (uint32_t begun = 0; begun < kBeginsPerTurn && free_count_ > 0 && due_ns(next_arrival_) <= now; ++begun) {
    const uint32_t index = free_[free_begin_];
    free_begin_ = (free_begin_ + 1) % free_.size();
    --free_count_;
    if (connections_[index].state == connection::resting) begin(index, due_ns(next_arrival_++));
  }
}

void driver::rest(uint64_t ns) {
  const uint64_t end = now_ns() + ns;
  while (now_ns() < end) turn(end);
}

void driver::ask_all() {
  exchange_ = &hello_;
  const uint64_t end = now_ns() + opt_.answer_seconds * kSecond;
  begin_all(end);
  drain_until(end);
  for (const connection &each : connections_) res_.alive_count += each.state == connection::resting;
}

void driver::wait_for_step() {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u32 = kStepIndex;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) die("--steps needs a pipe as standard input");
  step_seen_ = false;
  const uint64_t end = now_ns() + kStepWait;
  while (!step_seen_ && now_ns() < end) turn(end);
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
}

// Begins on all connections that rest, as fast as they are answered. Those that it has not come to by the end fail like
// those that were asked and not answered.
void driver::begin_all(uint64_t end) {
  uint64_t begun_count = 0;
  ended_count_ = 0;
  uint32_t index = 0;
  for (; index < opt_.connection_count && now_ns() < end; ++index) {
    if (connections_[index].state != connection::resting) continue;
    begin(index, now_ns());
    if (++begun_count % kBeginsPerTurn == 0) turn(0);
    while (begun_count > ended_count_ + kAheadMax && now_ns() < end) turn(end);
  }
  for (; index < opt_.connection_count; ++index) {
    if (connections_[index].state == connection::resting) fail(index, &res_.unanswered_errors);
  }
}

// Waits for what is under way; what is not answered by then has failed.
void driver::drain_until(uint64_t end) {
  while (busy_count_ > 0 && now_ns() < end) turn(end);
  for (uint32_t index = 0; index < opt_.connection_count; ++index) {
    if (connections_[index].state == connection::connecting) fail(index, &res_.connect_errors);
    if (connections_[index].state != connection::busy) continue;
    if (counting_) res_.latency.add(now_ns() - connections_[index].begun_ns, connections_[index].awaited_count);
    fail(index, &res_.unanswered_errors);
  }
}

// ----------------------------------------------------------------- a turn

// Waits until a time at most, and handles what has come.
void driver::turn(uint64_t until) {
  const uint64_t now = now_ns();
  until = std::min(until, attack_.next_ns());
  const uint64_t wait = until > now ? until - now : 0;
  timespec timeout;
  timeout.tv_sec = static_cast<time_t>(wait / kSecond);
  timeout.tv_nsec = static_cast<long>(wait % kSecond);
  epoll_event events[kEventsPerTurn];
  const int count = epoll_pwait2(epoll_fd_, events, kEventsPerTurn, &timeout, nullptr);
  if (count < 0 && errno != EINTR) die("epoll_pwait2 has failed, errno %d (Linux 5.11 or later is needed)", errno);
  for (int i = 0; i < count; ++i) handle(events[i].data.u32, events[i].events);
  if (attack_.next_ns() <= now_ns()) attack_.act(now_ns());
}

void driver::handle(uint32_t index, uint32_t events) {
  if (index == kStepIndex) {
    char line[64];
    const ssize_t size = read(STDIN_FILENO, line, sizeof line);
    step_seen_ = size <= 0 || std::find(line, line + size, '\n') != line + size;
    return;
  }
  connection &each = connections_[index];
  if (each.state == connection::connecting) {
    finish_connect(index);
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    watch(index, EPOLLIN, EPOLL_CTL_MOD);  // until the socket is full again
    send_more(index);
  }
  if ((events & ~EPOLLOUT) != 0 && each.state != connection::closed) receive_more(index);
}

void driver::finish_connect(uint32_t index) {
  connection &each = connections_[index];
  int reason = 0;
  socklen_t size = sizeof reason;
  getsockopt(each.fd, SOL_SOCKET, SO_ERROR, &reason, &size);
  if (reason != 0) {
    fail(index, &res_.connect_errors);
    return;
  }
  --connecting_count_;
  each.state = connection::resting;
  watch(index, EPOLLIN, EPOLL_CTL_MOD);
  begin(index, now_ns());
}

void driver::begin(uint32_t index, uint64_t begun_ns) {
  connection &each = connections_[index];
  each.begun_ns = begun_ns;
  each.sent_size = 0;
  each.awaited_count = exchange_->answer_count;
  each.state = connection::busy;
  ++busy_count_;
  send_more(index);
}

void driver::send_more(uint32_t index) {
  connection &each = connections_[index];
  const size_t head_size = exchange_->head.size();
  const uint64_t whole_size = head_size + exchange_->body_size;
  while (each.sent_size < whole_size) {
    const char *from = kZeros.data();
    uint64_t size = std::min<uint64_t>(whole_size - each.sent_size, kZeros.size());
    if (each.sent_size < head_size) {
      from = exchange_->head.data() + each.sent_size;
      size = head_size - each.sent_size;
    }
    const ssize_t sent = send(each.fd, from, size, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) {
        watch(index, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      } else {
        fail(index, &res_.closed_errors);
      }
      return;
    }
    each.sent_size += static_cast<uint64_t>(sent);
    if (in_time_) res_.sent_size += static_cast<uint64_t>(sent);
  }
  if (each.awaited_count == 0) end_exchange(index);
}

void driver::receive_more(uint32_t index) {
  connection &each = connections_[index];
  const ssize_t size = recv(each.fd, input_.data(), input_.size(), 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    fail(index, &res_.closed_errors);
    return;
  }
  if (in_time_) res_.received_size += static_cast<uint64_t>(size);
  take_answers(index, {input_.data(), static_cast<size_t>(size)});
}

void driver::take_answers(uint32_t index, std::string_view bytes) {
  connection &each = connections_[index];
  const expectation expected =
      exchange_->answer_body.empty() ? exchange_->expected : expectation{exchange_->answer_body, 0};
  while (!bytes.empty()) {
    size_t used = 0;
    const verdict found =
        each.awaited_count == 0 ? verdict::malformed : read_answer(bytes, expected, &each.answer, &used);
    switch (found) {
      case verdict::more:
        break;
      case verdict::whole:
        count_answer(&each);
        break;
      case verdict::malformed:
        fail(index, &res_.malformed_errors);
        return;
      case verdict::status:
        fail(index, &res_.status_errors);
        return;
      case verdict::body:
        fail(index, &res_.body_errors);
        return;
    }
    bytes.remove_prefix(used);
  }
  // A server may answer before it has read the body.
  const bool all_sent = each.sent_size == exchange_->head.size() + exchange_->body_size;
  if (each.awaited_count == 0 && all_sent) end_exchange(index);
}

void driver::count_answer(connection *each) {
  --each->awaited_count;
  if (!counting_) return;
  const uint64_t now = now_ns();
  res_.latency.add(now - each->begun_ns);
  if (now >= load_end_ns_) {
    ++res_.drained_count;
    return;
  }
  ++res_.request_count;
  each->quarters |= static_cast<uint8_t>(1u << ((now - load_begin_ns_) * kQuarters / (load_end_ns_ - load_begin_ns_)));
}

void driver::end_exchange(uint32_t index) {
  connections_[index].state = connection::resting;
  --busy_count_;
  ++ended_count_;
  switch (policy_) {
    case policy::rest:
      break;
    case policy::repeat:
      begin(index, now_ns());
      break;
    case policy::next_arrival:
      free_[(free_begin_ + free_count_++) % free_.size()] = index;
      break;
  }
}

void driver::fail(uint32_t index, uint64_t *count) {
  connection &each = connections_[index];
  ++*count;
  if (each.state == connection::busy) {
    --busy_count_;
    ++ended_count_;
  }
  if (each.state == connection::connecting) --connecting_count_;
  each.state = connection::closed;
  close_hard(each.fd);
}

void driver::watch(uint32_t index, uint32_t events, int operation) {
  epoll_event event = {};
  event.events = events;
  event.data.u32 = index;
  if (epoll_ctl(epoll_fd_, operation, connections_[index].fd, &event) != 0)
    die("epoll_ctl has failed, errno %d", errno);
}

}  // namespace load
