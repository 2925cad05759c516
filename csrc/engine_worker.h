// A worker: one native thread, its connections, its loop.
//
// A turn of the loop waits for epoll, receives from every connection that has
// something, collects the complete requests in a batch, hands the batch over in
// one callback, sends the answers with one system call a connection, and looks at
// the clock. Files: engine_worker.cpp the turn, engine_receive.cpp from socket to
// batch, engine_send.cpp from batch to socket, engine_life.cpp accepting,
// deadlines and the end of connections.
#pragma once

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base_memory.h"
#include "engine_batch.h"
#include "engine_connection.h"
#include "engine_counters.h"
#include "engine_shared.h"
#include "http_date.h"
#include "kourier.h"
#include "net_socket.h"
#include "net_system.h"
#include "net_timer.h"

namespace kourier::engine {

class worker;

// What the receiver gets, and the way back from it.
struct callback_batch : kr_batch {
  engine::worker *owner;
};

class worker {
 public:
  worker(shared *common, uint32_t index, const net::system *kernel);
  ~worker();
  worker(const worker &) = delete;
  worker &operator=(const worker &) = delete;

  // Takes the resources. Any thread, once, before the first turn.
  [[nodiscard]] kr_status open();
  // Turns until shared::stopping.
  void run();
  // One turn, waiting for at most timeout_ms_max; negative: for as long as it takes.
  void turn(int timeout_ms_max);

  // The epoll descriptor, for the owner to add listening sockets to.
  int epoll_fd() const { return epoll_fd_; }
  // Asks for readable events of shared::listeners[index]. Any thread.
  [[nodiscard]] kr_status poll_listener(uint32_t index);

  // kr_link_*: any thread that has the link.
  kr_status link_read(uint64_t id, char *data, size_t capacity, size_t *size_out, uint16_t *code_out);
  uint64_t link_age_ms(uint64_t id) const;
  kr_status link_trailer(uint64_t id, char *data, size_t capacity, size_t *size_out) const;
  kr_status link_write(uint64_t id, const char *head, size_t head_size, const char *body, size_t body_size, bool more,
                       size_t *size_out);
  void link_bound_unsent(uint64_t id);
  kr_status link_room(uint64_t id, size_t *size_out);
  kr_status link_send_file(uint64_t id, int file, int64_t *offset, size_t size);
  void link_release(uint64_t id, uint32_t how);
  kr_status link_detach(uint64_t id, char *data, size_t capacity, size_t *size_out, int *fd_out);
  int link_fd(uint64_t id) const;
  uint8_t link_origin(uint64_t id) const;
  int32_t link_unsent(uint64_t id) const;

  // Closes everything but links, whose sockets it shuts down. The owner, when the thread has ended.
  void end();

  // kr_batch_write: during on_batch only; kr_peer, also for a link: kr_link_peer.
  kr_status write(uint32_t index, const char *data, size_t size);
  kr_status peer(uint64_t connection_id, uint8_t address_out[16], uint32_t *scope_out, uint16_t *port_out,
                 uint8_t *family_out);

  const counters &stats() const { return counters_; }
  uint64_t mapped_size() const { return pages_.mapped_size(); }

 private:
  // engine_worker.cpp
  void on_event(const struct epoll_event &event);
  void dispatch();
  int link_check_ms() const;
  int wait_ms(int timeout_ms_max) const;
  int wait(struct epoll_event *events, int timeout_ms);

  // engine_receive.cpp
  struct intake;
  void on_readable(connection *c);
  void receive_into_arena(connection *c);
  void receive_into_input(connection *c);
  void starve(connection *c);
  void receive_failed(connection *c, ssize_t result, int error);
  void parse(connection *c, char *data, size_t size, input_buffer *source);
  void take_requests(intake *in);
  bool take_head(intake *in, kr_request *request);
  void take_repeats(intake *in);
  bool take_preface(intake *in, kr_request *request);
  void describe_again(intake *in, kr_request *request);
  bool take_body(intake *in);
  // Whether the receiver may take connections over.
  bool hands_over() const { return config_.body_collect_max != UINT64_MAX; }
  bool leaves_body_open(const request_progress &progress) const;
  bool open_body(intake *in);
  share *share_of(intake *in, const char *data);
  kr_request *add_record(intake *in);
  void add_request(intake *in, kr_request *record);
  void add_refusal(intake *in, uint16_t code, uint8_t reason, uint8_t method_id);
  void add_continue(intake *in);
  void keep_rest(intake *in);

  // engine_send.cpp
  struct gather;
  void on_writable(connection *c);
  void deliver(connection *c, const struct iovec *parts, size_t count);
  void send_share(share *s, uint32_t end, const char *extra, size_t extra_size);
  void finish_share(share *s);
  void hold_back(share *s);
  void settle(connection *c);
  void poll(connection *c, uint16_t events);
  void set_phase(connection *c, phase p);
  void start_rate(connection *c);

  void unpoll(connection *c);

  // engine_link.cpp
  connection *link_of(uint64_t id) const;
  kr_status read_chunked(connection *c, char *data, size_t capacity, size_t *size_out, uint16_t *code_out);
  kr_status link_blocked(connection *c, uint8_t ask);
  void ask(connection *c, uint8_t asks);
  void wake_if_asleep();
  void begin_link(connection *c, const kr_request &request);
  void on_link_event(connection *c, uint32_t events);
  void mute(connection *c);
  void take_mail();
  void take_asks(connection *c, uint8_t asks);
  void end_link(connection *c, uint8_t asks);
  void notify(const connection *c, uint32_t kinds) { notify({c->id(), kinds, 0, 0, nullptr, 0}); }
  void notify(const kr_notice &notice);
  void flush_notices();

  // engine_life.cpp
  void accept_all(uint32_t listener_index);
  void accepted(net::accepted_socket socket);
  void adopt(net::accepted_socket socket);
  void take_inbox();
  bool make_place();
  bool has_unread(const connection *c) const;
  bool close_oldest_idle();
  void close_idle();
  void pause_accepting();
  void resume_accepting();
  void begin_drain();
  net::timer_wheel *wheel_of(const connection *c);
  void expire();
  void on_deadline(connection *c);
  void check_drain_rate(connection *c);
  void refuse_late(connection *c, uint8_t reason);
  void arm(connection *c);
  void linger(connection *c);
  void discard(connection *c);
  void close(connection *c);
  void count_reason(const connection *c, uint8_t reason, uint16_t code = 0, const char *data = nullptr,
                    size_t size = 0);

  // What a connection is polled for that waits for its peer to send.
  static constexpr uint16_t kPollRead = EPOLLIN | EPOLLRDHUP;

  // Of one turn.
  static constexpr int kEventsMax = 512;

  // How often a slow reader's progress is looked at.
  static constexpr uint64_t kRateCheckMs = 5000;

  shared *common_;
  const uint32_t index_;
  const net::system *kernel_;
  const kr_config config_;
  const http::head_limits limits_;

  base::page_source pages_;
  base::block_pool pool_{&pages_};
  connection_table connections_{&pages_};
  batch batch_{&pages_};
  net::timer_entry **wheel_slots_ = nullptr;
  net::timer_wheel wheel_;
  net::timer_wheel idle_wheel_;  // of connections between requests
  http::date_line date_;
  callback_batch view_{};  // of batch_, for the receiver

  int epoll_fd_ = -1;
  uint64_t now_ms_;
  uint64_t accept_again_ms_ = 0;  // when accepting is tried again after a pause; 0: it is not paused
  uint64_t ready_listeners_[kListenersMax / 64] = {};
  bool any_listener_ready_ = false;
  bool woken_ = false;
  bool drained_ = false;
  uint32_t idle_closes_ = 0;  // shared::idle_closes as it was last acted on
  uint32_t link_count_ = 0;
  uint32_t share_cursor_ = 0;  // during on_batch: no share before it has anything to send
  counters counters_;

  // Written by the threads that have links, and read before sleeping; sequentially
  // consistent, because each side writes one and then reads the other.
  alignas(64) std::atomic<uint32_t> mailbox_{kNoMail};  // the connection mailed last, the head of a list
  std::atomic<uint32_t> muted_count_{0};                // links whose release must wake the worker
  std::atomic<bool> asleep_{false};
  static constexpr uint32_t kNoMail = 0xffffffff;
};

}  // namespace kourier::engine
