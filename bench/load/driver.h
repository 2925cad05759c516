#ifndef KOURIER_BENCH_DRIVER_H
#define KOURIER_BENCH_DRIVER_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "answer.h"
#include "attack.h"
#include "options.h"
#include "result.h"

namespace load {

// A connection that loads the server. It has no buffers: what is sent is the same for all, and what is received is read
// as it comes.
struct connection {
  enum phase : uint8_t { closed, connecting, resting, busy };

  uint64_t begun_ns;   // when the requests in flight were sent or, in mode open, were due
  uint64_t sent_size;  // of what the requests in flight consist of
  answer_state answer;
  int32_t fd;
  uint16_t awaited_count;  // answers that are still to come
  phase state;
  uint8_t quarters;  // bit q: answered in the q-th quarter of the load
};
static_assert(sizeof(connection) <= 48, "beside it a connection costs the loader 4 bytes in mode open, and no more");

// What a connection sends at once, and what it must be answered.
struct exchange {
  std::string head;         // depth requests in a row
  uint64_t body_size = 0;   // of zeros behind the head
  std::string answer_body;  // what `expected` points to, if the body is known
  expectation expected;
  uint16_t answer_count = 1;
};

// The load: one thread, one epoll instance, phases one after the other. Every loop ends by a time.
class driver {
 public:
  driver(const options &opt, attack *beside, result *res);
  ~driver();
  driver(const driver &) = delete;
  driver &operator=(const driver &) = delete;

  void connect_all();  // and asks for /hello once on each
  void load();
  void rest(uint64_t ns);  // leaves the connections alone for that time
  void ask_all();          // asks for /hello once on each that is left

  // Waits for a line, or the end, of standard input; 600 s at most.
  void wait_for_step();

 private:
  enum class policy : uint8_t { rest, repeat, next_arrival };  // what follows an answer

  void load_closed();
  void load_open();
  void begin_all(uint64_t end);
  void drain_until(uint64_t end);

  void turn(uint64_t until);
  void handle(uint32_t index, uint32_t events);
  void finish_connect(uint32_t index);
  void begin(uint32_t index, uint64_t begun_ns);
  void send_more(uint32_t index);
  void receive_more(uint32_t index);
  void take_answers(uint32_t index, std::string_view bytes);
  void count_answer(connection *each);
  void end_exchange(uint32_t index);
  void fail(uint32_t index, uint64_t *count);
  void watch(uint32_t index, uint32_t events, int operation);
  void begin_due(uint64_t now);
  [[nodiscard]] uint64_t due_ns(uint64_t arrival) const;

  const options &opt_;
  attack &attack_;
  result &res_;
  const int epoll_fd_;
  const exchange hello_;
  const exchange main_;
  const exchange *exchange_;
  std::vector<connection> connections_;
  std::vector<char> input_;  // one recv
  uint32_t connecting_count_ = 0;
  uint32_t busy_count_ = 0;
  uint64_t ended_count_ = 0;  // exchanges, well or not, since begin_all began
  bool step_seen_ = false;

  policy policy_ = policy::rest;
  bool counting_ = false;  // whether answers are those of the load
  bool in_time_ = false;   // whether bytes are
  uint64_t load_begin_ns_ = 0;
  uint64_t load_end_ns_ = 0;

  // Mode open: request k is due at load_begin_ns_ + k seconds / rate. `free_` is a ring of those that rest.
  uint64_t next_arrival_ = 0;
  std::vector<uint32_t> free_;
  size_t free_begin_ = 0;
  size_t free_count_ = 0;
};

}  // namespace load

#endif
