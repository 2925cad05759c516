// A connection and the table of a worker's connections.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base_memory.h"
#include "net_timer.h"

namespace kourier::engine {

struct input_buffer;
struct output_buffer;

// What a connection waits for. It decides which deadline is armed.
enum class phase : uint8_t {
  idle,    // the first byte of a request; no buffers are held
  head,    // the rest of a head
  body,    // the rest of a body
  write,   // the peer to read: the socket took not all; nothing is received meanwhile
  linger,  // the peer to close after the last answer, RFC 9112 §9.6
  link,    // the receiver, which has taken it over
};

// Bits of connection::flags.
enum : uint16_t {
  kInBatch = 1,         // has requests in the batch that is being built or answered
  kCloseAfter = 2,      // closes when what is to be sent has been sent; nothing more is received
  kDead = 4,            // the socket failed or was given up: to be closed without another word
  kStarved = 8,         // recv failed for want of memory: not polled until the deadline
  kInIdleWheel = 32,    // its timer stands in the wheel of the idle ones
  kReset = 16,          // closes with RST: what was sent is not a whole answer, or is not being read
  kUnparsed = 64,       // its input may hold a whole request that the batch had no room for
  kUnpolled = 128,      // epoll does not know the socket
  kGone = 256,          // as a link: the peer has closed, and the receiver was told so
  kHttp10 = 512,        // as a link: the end of the connection may be the end of a body
  kToldRefusal = 1024,  // the receiver was told of a refusal, which comes again if it was held back
};

// Bits of connection::asks: what a link wants of its worker.
enum : uint8_t {
  kAskRead = 1,   // KR_NOTICE_READABLE
  kAskWrite = 2,  // KR_NOTICE_WRITABLE
  kAskKeep = 4,   // kr_link_release, by how; the link ends
  kAskClose = 8,
  kAskAbort = 16,
  kAskDetach = 32,  // kr_link_detach; the link ends
  kAskMailed = 64,  // it stands in the worker's mailbox
  kAskReset = 128,
  kAskEnd = kAskKeep | kAskClose | kAskAbort | kAskDetach | kAskReset,
};

// One connection: a cache line, and all that an idle connection costs. Belongs
// to one worker; only that thread touches it. While it is a link, `input` is the
// thread's that has taken it over, and asks and muted are shared.
struct alignas(64) connection : net::timer_entry {
  input_buffer *input;    // owned: an incomplete request, and what came behind it; null while there is none
  output_buffer *output;  // owned: what the socket did not take; null while there is none
  int32_t fd;             // owned; -1: the slot is free
  uint32_t index;         // slot in the table, for ever the same
  uint32_t generation;    // counts the connections that had this slot
  uint32_t next;          // in the table's list while the slot is free, in the worker's mailbox while asks says so
  uint16_t flags;
  uint16_t polled;  // the EPOLL* events that epoll was last asked for
  engine::phase phase;
  std::atomic<bool> muted;    // a link: readable, and no longer polled for it, since nobody has asked
  uint8_t origin;             // that of the listener
  std::atomic<uint8_t> asks;  // sequentially consistent, as muted: each side writes one and then reads the other

  // Its address for the receiver and for epoll: kr_request.connection.
  uint64_t id() const { return uint64_t{generation} << 32 | index; }
};
static_assert(sizeof(connection) == 64, "an idle connection costs one cache line");

// The connections of one worker: slots in slabs of whole pages, addressed by
// index and generation, so that a stale address finds nothing instead of a
// stranger. Slabs that have emptied go back to the system, but for one.
class connection_table {
 public:
  static constexpr uint32_t kSlabSlots = 1024;
  static constexpr size_t kSlabSize = kSlabSlots * (sizeof(connection) + sizeof(std::atomic<uint64_t>));

  explicit connection_table(base::page_source *pages) : pages_(pages) {}
  ~connection_table();
  connection_table(const connection_table &) = delete;
  connection_table &operator=(const connection_table &) = delete;

  // Makes room for the addresses, not for the connections. False: no memory.
  [[nodiscard]] bool open(uint32_t slots_max);

  // A slot with all fields but index and generation cleared, fd -1; null: full, or no memory.
  connection *take();
  void give(connection *c);

  // The connection that has this address, or null when it is gone.
  // For a link any thread may ask: the table keeps the slab where it is.
  connection *find(uint32_t index, uint32_t generation) const;
  // The same for connection::id().
  connection *find(uint64_t id) const { return find(static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32)); }

  // The slot at `index`, which is in use.
  connection *at(uint32_t index) const { return &slabs_[index / kSlabSlots].slots[index % kSlabSlots]; }

  // Room for the address of the connection's peer, if that is one of IPv4; 0 until somebody has asked for it. 8 bytes,
  // which take no memory for connections of which nobody does. Who has the connection may use it, several threads at a
  // time if it is a link.
  std::atomic<uint64_t> *peer_of(const connection *c) const {
    return &slabs_[c->index / kSlabSlots].peers[c->index % kSlabSlots];
  }

  // Calls visit(connection *) for every one that has a descriptor. It may give that one back.
  template <typename Visit>
  void each(Visit visit) {
    for (uint32_t s = 0; s < slab_count_; ++s) {
      for (uint32_t i = 0; slabs_[s].slots != nullptr && i < kSlabSlots; ++i) {
        if (slabs_[s].slots[i].fd >= 0) visit(&slabs_[s].slots[i]);
      }
    }
  }

 private:
  static constexpr uint32_t kNone = 0xffffffff;

  struct slab {
    connection *slots;             // null: not mapped
    std::atomic<uint64_t> *peers;  // behind the slots
    uint32_t used_count;
    uint32_t free_first;       // index in the slab
    uint32_t generation_next;  // for the slots when they are mapped again
  };

  bool map(slab *s, uint32_t slab_index);
  void unmap(slab *s);

  base::page_source *pages_;
  slab *slabs_ = nullptr;
  uint32_t slab_count_ = 0;
  uint32_t first_open_ = 0;   // no slab before it has a free slot
  uint32_t empty_count_ = 0;  // mapped slabs without a connection
};

}  // namespace kourier::engine
