//go:build !kourier_cmake

#include "engine_buffer.h"

#include <cstring>
#include <new>

#include "base_assert.h"

namespace kourier::engine {

namespace {

// Doubling keeps the copies of a growing buffer within its final size.
size_t grown(size_t block_size, size_t wanted) { return wanted > block_size * 2 ? wanted : block_size * 2; }

}  // namespace

input_buffer *open_input(base::block_pool *pool, size_t size, uint64_t now_ms) {
  size_t block_size = 0;
  void *block = pool->take(sizeof(input_buffer) + size, &block_size);
  if (block == nullptr) return nullptr;
  auto *input = new (block) input_buffer{};
  input->block_size = block_size;
  input->started_ms = now_ms;
  return input;
}

bool reserve_input(base::block_pool *pool, input_buffer **input, size_t room) {
  input_buffer *old = *input;
  if (old->room() >= room) return true;
  const size_t used = sizeof(input_buffer) + old->size;
  size_t block_size = 0;
  void *block = pool->grow(old, old->block_size, used, grown(old->block_size, used + room), &block_size);
  if (block == nullptr) return false;
  *input = static_cast<input_buffer *>(block);
  (*input)->block_size = block_size;
  return true;
}

void close_input(base::block_pool *pool, input_buffer **input) {
  if (*input == nullptr) return;
  pool->give(*input, (*input)->block_size);
  *input = nullptr;
}

bool append_output(base::block_pool *pool, output_buffer **output, const char *data, size_t size, uint64_t now_ms) {
  if (*output == nullptr) {
    size_t block_size = 0;
    void *block = pool->take(sizeof(output_buffer) + size, &block_size);
    if (block == nullptr) return false;
    *output = new (block) output_buffer{};
    (*output)->block_size = block_size;
    (*output)->started_ms = now_ms;
  }
  output_buffer *out = *output;
  if (out->begin != 0 && out->block_size - sizeof(output_buffer) - out->end < size) {
    std::memmove(out->data(), out->data() + out->begin, out->size());
    out->end -= out->begin;
    out->begin = 0;
  }
  if (out->block_size - sizeof(output_buffer) - out->end < size) {
    const size_t used = sizeof(output_buffer) + out->end;
    size_t block_size = 0;
    void *block = pool->grow(out, out->block_size, used, grown(out->block_size, used + size), &block_size);
    if (block == nullptr) return false;
    out = *output = static_cast<output_buffer *>(block);
    out->block_size = block_size;
  }
  std::memcpy(out->data() + out->end, data, size);
  out->end += size;
  return true;
}

void close_output(base::block_pool *pool, output_buffer **output) {
  if (*output == nullptr) return;
  pool->give(*output, (*output)->block_size);
  *output = nullptr;
}

}  // namespace kourier::engine
