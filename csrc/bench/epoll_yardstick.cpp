// The mark that hello is measured against: what the kernel alone costs. One thread, a level-triggered epoll loop, one
// recv for each ready connection, and one send of as many fixed answers as requests came in. It parses nothing: the
// size of a request is known, so requests are counted by dividing.
//
//   epoll_yardstick -a 127.0.0.1 -p 3276 --request-size=40 [--seconds=60]
//
// Without --request-size the first receive of the process tells the size: send it one lone request first.
// Ends by SIGTERM or SIGINT, or when the seconds are over.
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

constexpr char kAnswer[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 12\r\n"
    "\r\n"
    "Hello World!";
constexpr size_t kAnswerSize = sizeof kAnswer - 1;
constexpr size_t kAnswersPerSend = 2048;
constexpr size_t kOutputSize = kAnswerSize * kAnswersPerSend;
constexpr size_t kInputSize = 256 * 1024;
constexpr int kEventsPerTurn = 512;

struct options {
  const char *address = "127.0.0.1";
  uint16_t port = 0;
  uint32_t request_size = 0;  // 0: not known yet
  unsigned seconds = 0;       // 0: until a signal
};

struct connection {
  uint32_t partial_size;  // bytes of a request whose rest has not come
  uint32_t answer_phase;  // where in an answer the last send ended
  size_t owed_size;       // bytes of answers that the socket did not take
};

struct loop {
  int epoll_fd;
  int listener_fd;
  uint32_t request_size;
  size_t connection_capacity;
  std::unique_ptr<connection[]> connections;  // by descriptor
  std::unique_ptr<char[]> input;
  std::unique_ptr<char[]> output;  // kAnswersPerSend times the answer
  uint64_t requests = 0;
};

volatile sig_atomic_t g_stop = 0;

void on_signal(int) { g_stop = 1; }

[[noreturn]] void fail(const char *what) {
  std::fprintf(stderr, "epoll_yardstick: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void watch(const loop &l, int fd, int operation, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(l.epoll_fd, operation, fd, &event) != 0) fail("epoll_ctl");
}

void accept_all(loop &l) {
  for (;;) {
    const int fd = accept4(l.listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (static_cast<size_t>(fd) >= l.connection_capacity) {
      close(fd);
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    l.connections[static_cast<size_t>(fd)] = connection{};
    watch(l, fd, EPOLL_CTL_ADD, EPOLLIN);
  }
}

// Sends what is owed, as much as the socket takes. False when the connection is gone.
bool send_owed(const loop &l, int fd, connection &c) {
  while (c.owed_size != 0) {
    const size_t left = kOutputSize - c.answer_phase;
    const size_t size = c.owed_size < left ? c.owed_size : left;
    const ssize_t sent = send(fd, l.output.get() + c.answer_phase, size, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    c.owed_size -= static_cast<size_t>(sent);
    c.answer_phase = static_cast<uint32_t>((c.answer_phase + static_cast<size_t>(sent)) % kAnswerSize);
    if (static_cast<size_t>(sent) < size) return true;
  }
  return true;
}

// Takes what has come, once, and answers it. False when the connection is gone.
bool serve(loop &l, int fd, connection &c) {
  const ssize_t received = recv(fd, l.input.get(), kInputSize, 0);
  if (received <= 0) return received < 0 && errno == EAGAIN;
  if (l.request_size == 0) l.request_size = static_cast<uint32_t>(received);
  const size_t size = c.partial_size + static_cast<size_t>(received);
  const size_t count = size / l.request_size;
  c.partial_size = static_cast<uint32_t>(size % l.request_size);
  l.requests += count;
  c.owed_size = count * kAnswerSize;
  if (!send_owed(l, fd, c)) return false;
  if (c.owed_size != 0) watch(l, fd, EPOLL_CTL_MOD, EPOLLOUT);
  return true;
}

bool on_ready(loop &l, int fd, uint32_t events) {
  connection &c = l.connections[static_cast<size_t>(fd)];
  if (c.owed_size == 0) return serve(l, fd, c);
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 || !send_owed(l, fd, c)) return false;
  if (c.owed_size == 0) watch(l, fd, EPOLL_CTL_MOD, EPOLLIN);
  return true;
}

void run(loop &l) {
  epoll_event events[kEventsPerTurn];
  while (!g_stop) {
    const int count = epoll_wait(l.epoll_fd, events, kEventsPerTurn, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == l.listener_fd) {
        accept_all(l);
      } else if (!on_ready(l, fd, events[i].events)) {
        close(fd);
      }
    }
  }
}

// Returns the listener; prints the address once connections are accepted.
int listen_on(const options &o) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_port = htons(o.port);
  if (inet_pton(AF_INET, o.address, &local.sin_addr) != 1) fail(o.address);
  if (bind(fd, reinterpret_cast<const sockaddr *>(&local), sizeof local) != 0) fail("bind");
  if (listen(fd, SOMAXCONN) != 0) fail("listen");
  socklen_t size = sizeof local;
  if (getsockname(fd, reinterpret_cast<sockaddr *>(&local), &size) != 0) fail("getsockname");
  std::printf("listening on %s:%u\n", o.address, unsigned{ntohs(local.sin_port)});
  std::fflush(stdout);
  return fd;
}

options parse_options(int argc, char **argv) {
  const option names[] = {{"request-size", required_argument, nullptr, 'r'},
                          {"seconds", required_argument, nullptr, 's'},
                          {nullptr, 0, nullptr, 0}};
  options o;
  for (int flag; (flag = getopt_long(argc, argv, "a:p:", names, nullptr)) != -1;) {
    const unsigned long number = optarg != nullptr ? std::strtoul(optarg, nullptr, 10) : 0;
    switch (flag) {
      case 'a':
        o.address = optarg;
        break;
      case 'p':
        o.port = static_cast<uint16_t>(number);
        break;
      case 'r':
        o.request_size = static_cast<uint32_t>(number);
        break;
      case 's':
        o.seconds = static_cast<unsigned>(number);
        break;
      default:
        std::fprintf(stderr, "usage: epoll_yardstick [-a ADDRESS] [-p PORT] [--request-size=BYTES] [--seconds=N]\n");
        std::exit(2);
    }
  }
  return o;
}

void stop_on_signals(unsigned seconds) {
  struct sigaction action{};
  action.sa_handler = on_signal;  // without SA_RESTART: epoll_wait returns
  for (const int number : {SIGTERM, SIGINT, SIGALRM}) sigaction(number, &action, nullptr);
  alarm(seconds);
}

}  // namespace

int main(int argc, char **argv) {
  const options o = parse_options(argc, argv);
  stop_on_signals(o.seconds);
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) fail("getrlimit");

  loop l{};
  l.request_size = o.request_size;
  l.connection_capacity = descriptors.rlim_cur;
  l.connections = std::make_unique<connection[]>(l.connection_capacity);
  l.input = std::make_unique<char[]>(kInputSize);
  l.output = std::make_unique<char[]>(kOutputSize);
  for (size_t i = 0; i < kAnswersPerSend; ++i) std::memcpy(l.output.get() + i * kAnswerSize, kAnswer, kAnswerSize);
  l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (l.epoll_fd < 0) fail("epoll_create1");
  l.listener_fd = listen_on(o);
  watch(l, l.listener_fd, EPOLL_CTL_ADD, EPOLLIN);
  run(l);
  std::printf("%llu requests\n", static_cast<unsigned long long>(l.requests));
  return 0;
}
