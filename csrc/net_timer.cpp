//go:build !kourier_cmake

#include "net_timer.h"

#include <bit>

#include "base_assert.h"

namespace kourier::net {

void timer_wheel::unlink(timer_entry *entry) {
  KR_ASSERT(entry->previous != nullptr);
  *entry->previous = entry->next;
  if (entry->next != nullptr) entry->next->previous = entry->previous;
  entry->previous = nullptr;
  const uint32_t slot = entry->slot_tick % kSlotCount;
  if (slots_[slot] == nullptr) occupied_[slot / 64] &= ~(uint64_t{1} << slot % 64);
}

// Puts an entry where it is due, or at the far end of the wheel, or, when it is
// overdue, where the wheel stands.
void timer_wheel::place(timer_entry *entry) {
  if (entry->previous != nullptr) unlink(entry);
  uint32_t tick = entry->due;
  if (static_cast<int32_t>(tick - tick_) < 0) tick = tick_;
  if (tick - tick_ > kSlotCount - 1) tick = tick_ + kSlotCount - 1;
  const uint32_t slot = tick % kSlotCount;
  entry->slot_tick = tick;
  entry->next = slots_[slot];
  entry->previous = &slots_[slot];
  if (entry->next != nullptr) entry->next->previous = &entry->next;
  slots_[slot] = entry;
  occupied_[slot / 64] |= uint64_t{1} << slot % 64;
}

uint32_t timer_wheel::next_occupied(uint32_t ahead) const {
  while (ahead < kSlotCount) {
    const uint32_t slot = (tick_ + ahead) % kSlotCount;
    const uint64_t word = occupied_[slot / 64] >> slot % 64;
    if (word != 0) {
      ahead += static_cast<uint32_t>(std::countr_zero(word));
      return ahead < kSlotCount ? ahead : kSlotCount;
    }
    ahead += 64 - slot % 64;
  }
  return kSlotCount;
}

timer_entry *timer_wheel::take_expired(uint64_t now_ms) {
  const uint32_t now = to_tick(now_ms);
  while (static_cast<int32_t>(now - tick_) >= 0) {
    timer_entry *entry = slots_[tick_ % kSlotCount];
    if (entry == nullptr) {
      const uint32_t ahead = next_occupied(0);
      const uint32_t distance = now - tick_;
      if (ahead == kSlotCount || ahead > distance) {
        tick_ = now;  // nothing before now; the slot of now itself is looked at again with the next call
        return nullptr;
      }
      tick_ += ahead;
      continue;
    }
    if (static_cast<int32_t>(entry->due - tick_) > 0) {
      place(entry);
      continue;
    }
    unlink(entry);
    return entry;
  }
  return nullptr;
}

int timer_wheel::wait_ms(uint64_t now_ms) const {
  const uint32_t ahead = next_occupied(0);
  if (ahead == kSlotCount) return -1;
  const uint32_t now = to_tick(now_ms);
  const int32_t ticks = static_cast<int32_t>(tick_ + ahead - now);
  if (ticks <= 0) return 0;
  return static_cast<int>(static_cast<uint64_t>(ticks) * kTickMs - now_ms % kTickMs);
}

}  // namespace kourier::net
