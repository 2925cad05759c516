//go:build !kourier_cmake

#include "base_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "base_assert.h"

namespace kourier::base {

namespace {

constexpr size_t kPageSize = 4096;  // sizes are rounded to it; larger system pages only round further

size_t whole_pages(size_t size) { return (size + kPageSize - 1) & ~(kPageSize - 1); }

}  // namespace

void page_source::count(int64_t size) {
  mapped_.store(mapped_.load(std::memory_order_relaxed) + static_cast<uint64_t>(size), std::memory_order_relaxed);
}

void *page_source::map(size_t size) {
  size = whole_pages(size);
  void *at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  count(static_cast<int64_t>(size));
  return at;
}

void *page_source::map_aligned(size_t size, size_t alignment) {
  size = whole_pages(size);
  char *raw = static_cast<char *>(map(size + alignment));
  if (raw == nullptr) return nullptr;
  const size_t front = (alignment - (reinterpret_cast<uintptr_t>(raw) & (alignment - 1))) & (alignment - 1);
  const size_t back = alignment - front;
  if (front != 0) unmap(raw, front);
  if (back != 0) unmap(raw + front + size, back);
  return raw + front;
}

void *page_source::remap(void *at, size_t old_size, size_t new_size) {
  old_size = whole_pages(old_size);
  new_size = whole_pages(new_size);
  void *moved = ::mremap(at, old_size, new_size, MREMAP_MAYMOVE);
  if (moved == MAP_FAILED) return nullptr;
  count(static_cast<int64_t>(new_size) - static_cast<int64_t>(old_size));
  return moved;
}

void page_source::unmap(void *at, size_t size) {
  size = whole_pages(size);
  ::munmap(at, size);
  count(-static_cast<int64_t>(size));
}

block_pool::~block_pool() {
  for (span *&s : spare_) {
    if (s != nullptr) pages_->unmap(s, kSpanSize);
    s = nullptr;
  }
  KR_ASSERT(taken_ == 0);
}

void block_pool::link(span *s) {
  span **head = &open_[s->class_index];
  s->next = *head;
  s->previous = head;
  if (s->next != nullptr) s->next->previous = &s->next;
  *head = s;
}

void block_pool::unlink(span *s) {
  *s->previous = s->next;
  if (s->next != nullptr) s->next->previous = s->previous;
  s->previous = nullptr;
}

block_pool::span *block_pool::open_span(size_t class_index) {
  span *s = static_cast<span *>(pages_->map_aligned(kSpanSize, kSpanSize));
  if (s == nullptr) return nullptr;
  s->free = nullptr;
  s->used_count = 0;
  s->class_index = static_cast<uint32_t>(class_index);
  static_assert(sizeof(span) <= kClassSizes[0]);
  s->fresh_offset = static_cast<uint32_t>(kClassSizes[class_index]);  // the first block's place holds the span itself
  link(s);
  return s;
}

void *block_pool::take(size_t size, size_t *capacity_out) {
  size_t class_index = 0;
  while (class_index < kClassCount && kClassSizes[class_index] < size) ++class_index;
  if (class_index == kClassCount) {
    const size_t capacity = whole_pages(size);
    void *block = pages_->map(capacity);
    if (block == nullptr) return nullptr;
    *capacity_out = capacity;
    ++taken_;
    return block;
  }
  span *s = open_[class_index];
  if (s == nullptr) s = open_span(class_index);
  if (s == nullptr) return nullptr;
  if (spare_[class_index] == s) spare_[class_index] = nullptr;
  const size_t block_size = kClassSizes[class_index];
  void *block = s->free;
  if (s->free != nullptr) {
    s->free = s->free->next;
  } else {
    block = reinterpret_cast<char *>(s) + s->fresh_offset;
    s->fresh_offset += static_cast<uint32_t>(block_size);
  }
  ++s->used_count;
  if (s->full(block_size)) unlink(s);
  *capacity_out = block_size;
  ++taken_;
  return block;
}

void block_pool::give(void *block, size_t capacity) {
  KR_ASSERT(taken_ > 0);
  --taken_;
  if (capacity > kClassSizes[kClassCount - 1]) {
    pages_->unmap(block, capacity);
    return;
  }
  span *s = reinterpret_cast<span *>(reinterpret_cast<uintptr_t>(block) & ~(kSpanSize - 1));
  KR_ASSERT(kClassSizes[s->class_index] == capacity);
  auto *free = static_cast<free_block *>(block);
  const bool was_full = s->full(capacity);
  free->next = s->free;
  s->free = free;
  if (was_full) link(s);
  if (--s->used_count != 0) return;
  if (spare_[s->class_index] == nullptr) {
    spare_[s->class_index] = s;
    return;
  }
  unlink(s);
  pages_->unmap(s, kSpanSize);
}

void *block_pool::grow(void *block, size_t capacity, size_t used, size_t size, size_t *capacity_out) {
  KR_ASSERT(used <= capacity);
  constexpr size_t kLargestClass = kClassSizes[kClassCount - 1];
  if (capacity > kLargestClass && size > kLargestClass) {
    const size_t new_capacity = whole_pages(size);
    void *moved = pages_->remap(block, capacity, new_capacity);
    if (moved == nullptr) return nullptr;
    *capacity_out = new_capacity;
    return moved;
  }
  size_t new_capacity = 0;
  void *moved = take(size, &new_capacity);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, used);
  give(block, capacity);
  *capacity_out = new_capacity;
  return moved;
}

}  // namespace kourier::base
