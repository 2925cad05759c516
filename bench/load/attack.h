#ifndef KOURIER_BENCH_ATTACK_H
#define KOURIER_BENCH_ATTACK_H

#include <cstdint>
#include <string>
#include <vector>

#include "options.h"

namespace load {

// Connections that hold a server up beside the load, and only that: a slow head sends one byte of a field without end
// each interval, a slow reader asks for a large body and then reads 256 bytes each interval, with the least receive
// buffer. One that the server closes connects anew at its next turn, so that their number stays.
//
// They are looked at by time alone, one after the other, spread evenly over the interval; no epoll.
class attack {
 public:
  explicit attack(const options &opt);
  ~attack();
  attack(const attack &) = delete;
  attack &operator=(const attack &) = delete;

  // When `act` has something to do next; UINT64_MAX if there are no such connections.
  [[nodiscard]] uint64_t next_ns() const { return next_ns_; }

  // Gives every connection whose time has come its turn, but no more than 64.
  void act(uint64_t now);

  [[nodiscard]] uint32_t standing_count() const;  // connections of which the server has got something
  [[nodiscard]] uint64_t closed_count() const { return closed_count_; }  // by the server
  [[nodiscard]] uint64_t connect_error_count() const { return connect_error_count_; }
  [[nodiscard]] uint64_t received_size() const { return received_size_; }

 private:
  struct attacker {
    int fd = -1;
    uint32_t sent_size = 0;  // of the request
  };

  void take_turn(size_t index);
  bool send_next(attacker *each, bool slow_head);
  bool receive_some(const attacker &each);

  const options &opt_;
  const std::string download_;
  const uint64_t interval_ns_;  // between two turns
  std::vector<attacker> attackers_;
  size_t next_index_ = 0;
  uint64_t next_ns_;
  uint64_t closed_count_ = 0;
  uint64_t connect_error_count_ = 0;
  uint64_t received_size_ = 0;
};

}  // namespace load

#endif
