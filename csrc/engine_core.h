// A core: the workers and their threads, from kr_start to kr_free.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "engine_shared.h"
#include "engine_worker.h"
#include "kourier.h"
#include "net_system.h"

namespace kourier::engine {

class core {
 public:
  explicit core(const net::system *kernel) : kernel_(kernel) {}
  // Stops what was started.
  ~core();
  core(const core &) = delete;
  core &operator=(const core &) = delete;

  [[nodiscard]] kr_status start(const kr_config &config, const kr_static *statics, uint32_t static_count,
                                kr_on_batch on_batch, void *ctx);
  [[nodiscard]] kr_status listen(int fd, uint32_t worker_index, uint8_t origin);
  [[nodiscard]] kr_status drain();
  [[nodiscard]] kr_status wait(uint32_t timeout_ms);
  void interrupt();
  // Interrupts and joins, and closes every connection but links. Again: no effect.
  void stop();
  void close_idle();
  [[nodiscard]] kr_status close_connection(uint32_t worker_index, uint64_t id);
  // The worker of that index, below kr_config.workers.
  engine::worker *worker_at(uint32_t index) const { return slots_[index].worker; }
  bool is_worker() const;
  [[nodiscard]] kr_status stats(uint32_t worker_index, kr_worker_stats *stats_out) const;

 private:
  static void *thread_main(void *slot);
  [[nodiscard]] kr_status start_thread(uint32_t worker_index);
  void close_listeners();
  void wake_all();

  struct thread_slot {
    core *owner;
    engine::worker *worker;  // owned
    pthread_t thread;
    bool started;
  };

  const net::system *kernel_;
  shared shared_;
  thread_slot *slots_ = nullptr;  // shared_.config.workers of them
  bool listeners_open_ = true;
  bool stopped_ = false;
};

}  // namespace kourier::engine
