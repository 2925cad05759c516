// What the workers of one core have in common.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "engine_statics.h"
#include "kourier.h"
#include "net_inbox.h"

namespace kourier::engine {

inline constexpr uint32_t kListenersMax = 2048;
inline constexpr uint32_t kNoWorker = KR_ANY_WORKER - 1;  // of a listener that could not be set up

// A listening socket. Written by the owner before listener_count says it is there.
struct listener {
  int fd = -1;
  // The only worker that accepts from it, KR_ANY_WORKER, or kNoWorker. Relaxed.
  std::atomic<uint32_t> worker{KR_ANY_WORKER};
  bool tcp = false;    // else a Unix socket
  uint8_t origin = 0;  // of its connections, for the receiver
};

// One worker as the others see it, on a cache line of its own.
struct alignas(64) peer_worker {
  net::inbox inbox;
  std::atomic<uint32_t> conns{0};  // open connections, or about to be: whoever hands one over counts it. Relaxed
};

struct shared {
  kr_config config;
  statics static_answers;
  kr_on_batch on_batch;
  void *ctx;

  peer_worker *peers = nullptr;    // config.workers of them
  std::atomic<uint32_t> conns{0};  // of all workers; relaxed, checked against config.conns_max

  std::atomic<uint32_t> listener_count{
      0};  // release: pairs with the acquire in worker::resume_accepting and pause_accepting
  listener listeners[kListenersMax];

  std::atomic<bool> draining{false};  // set before the workers are woken; a worker acts on it once
  std::atomic<bool> stopping{false};
  std::atomic<uint32_t> idle_closes{0};  // counts the calls of kr_close_idle; relaxed

  std::mutex mutex;                 // guards drained_count
  std::condition_variable changed;  // drained_count, or conns has become 0 while draining
  uint32_t drained_count = 0;       // workers that will accept no more
};

}  // namespace kourier::engine
