// Memory of one worker: whole pages from the system, counted, and a pool of
// size-classed blocks cut from them. No malloc: a native thread that never
// enters it reserves no malloc arena, and what a spike took goes back.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kourier::base {

// Pages from mmap. One thread maps and unmaps; any thread may read the count.
class page_source {
 public:
  // Null when the system refuses. `size` is rounded up to whole pages.
  void *map(size_t size);
  // Like map, with an address that is a multiple of `alignment`, a power of two.
  void *map_aligned(size_t size, size_t alignment);
  // Keeps the contents up to the smaller size; null when refused, and then `at` stays.
  void *remap(void *at, size_t old_size, size_t new_size);
  void unmap(void *at, size_t size);

  uint64_t mapped_size() const { return mapped_.load(std::memory_order_relaxed); }

 private:
  void count(int64_t size);

  std::atomic<uint64_t> mapped_{0};  // relaxed: one writer, readers want a figure only
};

// Blocks by size class. Classes up to 32 KiB are cut from spans of 128 KiB; what
// is larger is mapped by itself. A span whose blocks are all free is unmapped,
// but for one a class.
class block_pool {
 public:
  explicit block_pool(page_source *pages) : pages_(pages) {}
  ~block_pool();
  block_pool(const block_pool &) = delete;
  block_pool &operator=(const block_pool &) = delete;

  // A block of at least `size` bytes, aligned to 16; *capacity_out is its true
  // size, which give() and grow() must be told. Null when the system refuses.
  void *take(size_t size, size_t *capacity_out);
  void give(void *block, size_t capacity);

  // Moves a block to a larger one, with its first `used` bytes. Null when the
  // system refuses, and then the old block stays.
  void *grow(void *block, size_t capacity, size_t used, size_t size, size_t *capacity_out);

  uint64_t blocks_taken() const { return taken_; }

 private:
  static constexpr size_t kClassCount = 4;
  static constexpr size_t kClassSizes[kClassCount] = {512, 2048, 8192, 32768};
  static constexpr size_t kSpanSize = 128 * 1024;

  struct free_block {
    free_block *next;
  };

  // Stands at the front of a span, which is aligned to its size.
  struct span {
    span *next;
    span **previous;        // the pointer that points here; null while the span is full
    free_block *free;       // blocks that were given back
    uint32_t fresh_offset;  // the first block that was never taken; kSpanSize: none. Its page is not touched yet
    uint32_t used_count;
    uint32_t class_index;

    bool full(size_t block_size) const { return free == nullptr && fresh_offset + block_size > kSpanSize; }
  };

  span *open_span(size_t class_index);
  void link(span *s);
  void unlink(span *s);

  page_source *pages_;
  span *open_[kClassCount] = {};   // spans with a free block
  span *spare_[kClassCount] = {};  // one empty span of each class; it is linked too
  uint64_t taken_ = 0;
};

}  // namespace kourier::base
