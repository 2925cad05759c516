// A timer wheel for coarse deadlines: one entry a connection, intrusive, no
// allocation. Moving a deadline into the future, which is what every request
// does, writes one integer; the wheel puts the entry right when it comes past it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kourier::net {

// Embedded in what has a deadline. Zero-initialised: not in a wheel.
struct timer_entry {
  timer_entry *next = nullptr;
  timer_entry **previous = nullptr;  // the pointer that points here; null: not in the wheel
  uint32_t due = 0;                  // tick of the deadline
  uint32_t slot_tick = 0;            // tick of the slot it stands in, at most `due`
};

class timer_wheel {
 public:
  static constexpr uint64_t kTickMs = 32;
  static constexpr uint32_t kSlotCount = 4096;  // 131 s ahead; what is due later is looked at again then
  // About half a year: how far a deadline may lie ahead.
  static constexpr uint64_t kHorizonMs = uint64_t{1} << 34;

  // `slots` has kSlotCount entries, all null, and belongs to the caller.
  timer_wheel(timer_entry **slots, uint64_t now_ms) : slots_(slots), tick_(to_tick(now_ms)) {}

  // Sets the deadline. It passes at due_ms at the earliest, one tick later at the latest.
  void arm(timer_entry *entry, uint64_t due_ms) {
    const uint32_t due = to_tick(due_ms + kTickMs - 1);
    entry->due = due;
    if (entry->previous == nullptr || static_cast<int32_t>(due - entry->slot_tick) < 0) place(entry);
  }

  void disarm(timer_entry *entry) {
    if (entry->previous != nullptr) unlink(entry);
  }

  // Takes one entry whose deadline has passed out of the wheel, or answers null
  // when there is none up to now_ms. To be called until it answers null.
  timer_entry *take_expired(uint64_t now_ms);

  // Milliseconds until take_expired may find something; -1 when the wheel is empty.
  int wait_ms(uint64_t now_ms) const;

  // The entry with the earliest deadline for which `wanted` holds, or null; among
  // those of one tick the one that stands there for longest. Looks at `budget` entries
  // at most, and then answers the best of those.
  template <typename Predicate>
  timer_entry *earliest(Predicate wanted, int budget) {
    timer_entry *best = nullptr;
    for (uint32_t ahead = next_occupied(0); ahead < kSlotCount; ahead = next_occupied(ahead + 1)) {
      const uint32_t tick = tick_ + ahead;
      for (timer_entry *entry = slots_[tick % kSlotCount]; entry != nullptr;) {
        timer_entry *next = entry->next;
        if (budget-- == 0) return best;
        if (static_cast<int32_t>(entry->due - entry->slot_tick) > 0) place(entry);
        if (wanted(entry) && (best == nullptr || static_cast<int32_t>(entry->due - best->due) <= 0)) best = entry;
        entry = next;
      }
      // Every entry behind this slot is due later than those that stay in it.
      if (best != nullptr && static_cast<int32_t>(best->due - tick) <= 0) return best;
    }
    return best;
  }

 private:
  static uint32_t to_tick(uint64_t ms) { return static_cast<uint32_t>(ms / kTickMs); }

  void place(timer_entry *entry);
  void unlink(timer_entry *entry);
  // The smallest n >= ahead for which the slot of tick_ + n is occupied, or kSlotCount.
  uint32_t next_occupied(uint32_t ahead) const;

  timer_entry **slots_;
  uint32_t tick_;  // all slots before it are empty
  uint64_t occupied_[kSlotCount / 64] = {};
};

}  // namespace kourier::net
