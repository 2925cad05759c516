//go:build !kourier_cmake

#include "engine_connection.h"

#include <algorithm>
#include <new>

#include "base_assert.h"

namespace kourier::engine {

connection_table::~connection_table() {
  if (slabs_ == nullptr) return;
  for (uint32_t s = 0; s < slab_count_; ++s) {
    KR_ASSERT(slabs_[s].used_count == 0);
    if (slabs_[s].slots != nullptr) unmap(&slabs_[s]);
  }
  pages_->unmap(slabs_, slab_count_ * sizeof(slab));
}

bool connection_table::open(uint32_t slots_max) {
  const uint32_t slab_count = (slots_max + kSlabSlots - 1) / kSlabSlots;
  slabs_ = static_cast<slab *>(pages_->map(slab_count * sizeof(slab)));
  if (slabs_ == nullptr) return false;
  slab_count_ = slab_count;
  return true;
}

bool connection_table::map(slab *s, uint32_t slab_index) {
  auto *slots = static_cast<connection *>(pages_->map(kSlabSize));
  if (slots == nullptr) return false;
  for (uint32_t i = 0; i < kSlabSlots; ++i) {
    slots[i].fd = -1;
    slots[i].index = slab_index * kSlabSlots + i;
    slots[i].generation = s->generation_next;
    slots[i].next = i + 1 < kSlabSlots ? i + 1 : kNone;
  }
  s->slots = slots;
  s->peers = reinterpret_cast<std::atomic<uint64_t> *>(slots + kSlabSlots);
  s->free_first = 0;
  s->used_count = 0;
  return true;
}

void connection_table::unmap(slab *s) {
  for (uint32_t i = 0; i < kSlabSlots; ++i) s->generation_next = std::max(s->generation_next, s->slots[i].generation);
  pages_->unmap(s->slots, kSlabSize);
  s->slots = nullptr;
}

connection *connection_table::take() {
  while (first_open_ < slab_count_ && slabs_[first_open_].slots != nullptr && slabs_[first_open_].free_first == kNone) {
    ++first_open_;
  }
  if (first_open_ == slab_count_) return nullptr;
  slab *s = &slabs_[first_open_];
  if (s->slots == nullptr) {
    if (!map(s, first_open_)) return nullptr;
  } else if (s->used_count == 0) {
    --empty_count_;
  }
  connection *c = &s->slots[s->free_first];
  KR_ASSERT(c->fd == -1);
  s->free_first = c->next;
  ++s->used_count;
  const uint32_t index = c->index;
  const uint32_t generation = c->generation;
  c = new (c) connection{};
  c->fd = -1;
  c->index = index;
  c->generation = generation;
  return c;
}

void connection_table::give(connection *c) {
  const uint32_t slab_index = c->index / kSlabSlots;
  slab *s = &slabs_[slab_index];
  KR_ASSERT(s->used_count > 0);
  c->fd = -1;
  ++c->generation;
  std::atomic<uint64_t> *peer = peer_of(c);
  if (peer->load(std::memory_order_relaxed) != 0) peer->store(0, std::memory_order_relaxed);
  c->next = s->free_first;
  s->free_first = c->index % kSlabSlots;
  first_open_ = std::min(first_open_, slab_index);
  if (--s->used_count != 0) return;
  if (empty_count_ > 0) {
    unmap(s);
  } else {
    ++empty_count_;
  }
}

connection *connection_table::find(uint32_t index, uint32_t generation) const {
  const uint32_t slab_index = index / kSlabSlots;
  if (slab_index >= slab_count_ || slabs_[slab_index].slots == nullptr) return nullptr;
  connection *c = &slabs_[slab_index].slots[index % kSlabSlots];
  return c->fd >= 0 && c->generation == generation ? c : nullptr;
}

}  // namespace kourier::engine
