// The counters of one worker: one writer, any reader, no locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

#include "kourier.h"

namespace kourier::engine {

class counter {
 public:
  // The worker alone. Relaxed: readers want a figure, they order nothing by it.
  void add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void subtract(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Fields as in kr_worker_stats.
struct counters {
  counter accepted;
  counter refused;
  counter shed;
  counter accept_retries;
  counter conns;
  counter conns_idle;
  counter requests;
  counter responses[6];
  counter bytes_in;
  counter bytes_out;
  counter batches;
  counter turns;
  counter syscalls;
  counter reasons[KR_REASON_COUNT];
};

}  // namespace kourier::engine
