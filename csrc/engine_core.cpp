//go:build !kourier_cmake

#include "engine_core.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <new>

#include "base_assert.h"

namespace kourier::engine {

namespace {

// A worker needs little stack; what Go runs in a callback has a stack of Go's.
constexpr size_t kStackSize = 256 * 1024;
constexpr uint32_t kWorkersMax = 1024;
constexpr uint32_t kHeadSizeMax = 1 << 30;
constexpr uint32_t kFieldCountMax = 65535;
constexpr uint64_t kBodySizeMax = INT64_MAX;

thread_local const core *current_core = nullptr;

bool valid(const kr_config &c) {
  return c.workers >= 1 && c.workers <= kWorkersMax && c.conns_max >= 1 && c.conns_max <= INT32_MAX &&
         c.on_full <= KR_ON_FULL_PAUSE_ACCEPT && c.linger_timeout_ms >= 1 && c.head_size_max >= 1 &&
         c.head_size_max <= kHeadSizeMax && c.target_size_max >= 1 && c.target_size_max <= kHeadSizeMax &&
         c.field_count_max >= 1 && c.field_count_max <= kFieldCountMax && c.body_size_max <= kBodySizeMax;
}

// Faults must reach Go's handlers, and so must the profiler's signal, which asks
// a thread where it is. Everything else stays off the workers.
sigset_t worker_signal_mask() {
  sigset_t mask;
  ::sigfillset(&mask);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF}) {
    ::sigdelset(&mask, signal);
  }
  return mask;
}

}  // namespace

kr_status core::start(const kr_config &config, const kr_static *statics, uint32_t static_count, kr_on_batch on_batch,
                      void *ctx) {
  if (!valid(config) || on_batch == nullptr) return KR_ERR_INVALID;
  shared_.config = config;
  shared_.on_batch = on_batch;
  shared_.ctx = ctx;
  kr_status status = shared_.static_answers.open(statics, static_count);
  if (status != KR_OK) return status;
  shared_.peers = new (std::nothrow) peer_worker[config.workers];
  slots_ = new (std::nothrow) thread_slot[config.workers]{};
  if (shared_.peers == nullptr || slots_ == nullptr) return KR_ERR_MEMORY;
  for (uint32_t i = 0; i < config.workers; ++i) {
    status = shared_.peers[i].inbox.open();
    if (status != KR_OK) return status;
  }
  for (uint32_t i = 0; i < config.workers; ++i) {
    slots_[i].owner = this;
    slots_[i].worker = new (std::nothrow) worker(&shared_, i, kernel_);
    if (slots_[i].worker == nullptr) return KR_ERR_MEMORY;
    status = slots_[i].worker->open();
    if (status != KR_OK) return status;
  }
  for (uint32_t i = 0; i < config.workers; ++i) {
    status = start_thread(i);
    if (status != KR_OK) return status;
  }
  return KR_OK;
}

kr_status core::start_thread(uint32_t worker_index) {
  thread_slot *slot = &slots_[worker_index];
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return KR_ERR_MEMORY;
  ::pthread_attr_setstacksize(&attributes, kStackSize);
  // A new thread inherits the mask of its maker.
  const sigset_t mask = worker_signal_mask();
  sigset_t mask_before;
  ::pthread_sigmask(SIG_SETMASK, &mask, &mask_before);
  slot->started = ::pthread_create(&slot->thread, &attributes, thread_main, slot) == 0;
  ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  ::pthread_attr_destroy(&attributes);
  return slot->started ? KR_OK : KR_ERR_SYSTEM;
}

void *core::thread_main(void *slot) {
  auto *self = static_cast<thread_slot *>(slot);
  current_core = self->owner;
  self->worker->run();
  return nullptr;
}

core::~core() {
  stop();
  const uint32_t count = slots_ != nullptr ? shared_.config.workers : 0;
  for (uint32_t i = 0; i < count; ++i) delete slots_[i].worker;
  delete[] slots_;
  delete[] shared_.peers;
}

void core::stop() {
  if (stopped_) return;
  stopped_ = true;
  interrupt();
  const uint32_t count = slots_ != nullptr ? shared_.config.workers : 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (slots_[i].started) ::pthread_join(slots_[i].thread, nullptr);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (slots_[i].started) slots_[i].worker->end();
  }
  close_listeners();
}

kr_status core::close_connection(uint32_t worker_index, uint64_t id) {
  return shared_.peers[worker_index].inbox.push_close(id) ? KR_OK : KR_ERR_BLOCKED;
}

void core::close_idle() {
  shared_.idle_closes.fetch_add(1, std::memory_order_relaxed);
  wake_all();
}

void core::close_listeners() {
  if (!listeners_open_) return;
  listeners_open_ = false;
  const uint32_t count = shared_.listener_count.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < count; ++i) ::close(shared_.listeners[i].fd);
}

kr_status core::listen(int fd, uint32_t worker_index, uint8_t origin) {
  const uint32_t count = shared_.listener_count.load(std::memory_order_relaxed);
  const bool known_worker = worker_index == KR_ANY_WORKER || worker_index < shared_.config.workers;
  kr_status status = KR_OK;
  if (shared_.draining.load(std::memory_order_relaxed)) {
    status = KR_ERR_CLOSED;
  } else if (count == kListenersMax || !known_worker) {
    status = KR_ERR_INVALID;
  } else {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) status = KR_ERR_SYSTEM;
  }
  if (status != KR_OK) {
    ::close(fd);
    return status;
  }
  listener *l = &shared_.listeners[count];
  l->fd = fd;
  l->worker.store(worker_index, std::memory_order_relaxed);
  l->tcp = net::is_tcp(fd);
  l->origin = origin;
  shared_.listener_count.store(count + 1, std::memory_order_release);  // pairs with worker::resume_accepting
  for (uint32_t i = 0; i < shared_.config.workers; ++i) {
    if (worker_index != KR_ANY_WORKER && worker_index != i) continue;
    status = slots_[i].worker->poll_listener(count);
    if (status != KR_OK) break;
  }
  if (status != KR_OK) {
    // Nobody may accept from it; the descriptor stays until the others are closed.
    l->worker.store(kNoWorker, std::memory_order_relaxed);
    for (uint32_t i = 0; i < shared_.config.workers; ++i) {
      kernel_->epoll_ctl(slots_[i].worker->epoll_fd(), EPOLL_CTL_DEL, fd, nullptr);
    }
  }
  return status;
}

void core::wake_all() {
  for (uint32_t i = 0; i < shared_.config.workers; ++i) {
    if (shared_.peers[i].inbox.wake_fd() >= 0) shared_.peers[i].inbox.wake();
  }
}

kr_status core::drain() {
  shared_.draining.store(true, std::memory_order_release);  // pairs with worker::turn
  wake_all();
  std::unique_lock<std::mutex> lock(shared_.mutex);
  shared_.changed.wait(lock, [this] {
    return shared_.drained_count == shared_.config.workers || shared_.stopping.load(std::memory_order_acquire);
  });
  // No worker accepts any more, so that the descriptors may go.
  if (shared_.drained_count == shared_.config.workers) close_listeners();
  return KR_OK;
}

kr_status core::wait(uint32_t timeout_ms) {
  std::unique_lock<std::mutex> lock(shared_.mutex);
  const bool done = shared_.changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] {
    return shared_.stopping.load(std::memory_order_acquire) ||
           (shared_.drained_count == shared_.config.workers && shared_.conns.load(std::memory_order_acquire) == 0);
  });
  return done ? KR_OK : KR_ERR_BLOCKED;
}

void core::interrupt() {
  {
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    shared_.stopping.store(true, std::memory_order_release);  // pairs with worker::run
    shared_.changed.notify_all();
  }
  if (shared_.peers != nullptr) wake_all();
}

bool core::is_worker() const { return current_core == this; }

kr_status core::stats(uint32_t worker_index, kr_worker_stats *stats_out) const {
  if (worker_index >= shared_.config.workers) return KR_ERR_INVALID;
  const counters &c = slots_[worker_index].worker->stats();
  *stats_out = kr_worker_stats{};
  stats_out->accepted = c.accepted.get();
  stats_out->refused = c.refused.get();
  stats_out->shed = c.shed.get();
  stats_out->accept_retries = c.accept_retries.get();
  stats_out->conns = c.conns.get();
  stats_out->conns_idle = c.conns_idle.get();
  stats_out->requests = c.requests.get();
  for (size_t i = 0; i < 6; ++i) stats_out->responses[i] = c.responses[i].get();
  stats_out->bytes_in = c.bytes_in.get();
  stats_out->bytes_out = c.bytes_out.get();
  stats_out->batches = c.batches.get();
  stats_out->turns = c.turns.get();
  stats_out->syscalls = c.syscalls.get() + c.turns.get();
  stats_out->native_bytes = slots_[worker_index].worker->mapped_size();
  for (size_t i = 0; i < KR_REASON_COUNT; ++i) stats_out->reasons[i] = c.reasons[i].get();
  clockid_t clock;
  struct timespec used;
  if (::pthread_getcpuclockid(slots_[worker_index].thread, &clock) == 0 && ::clock_gettime(clock, &used) == 0) {
    stats_out->cpu_ns = static_cast<uint64_t>(used.tv_sec) * 1000000000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return KR_OK;
}

}  // namespace kourier::engine
