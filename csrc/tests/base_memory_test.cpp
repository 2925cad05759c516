#include "../base_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace kourier::base {
namespace {

TEST(PageSource, CountsWhatItMaps) {
  page_source pages;
  void *a = pages.map(1);
  void *b = pages.map_aligned(128 * 1024, 128 * 1024);
  ASSERT_NE(nullptr, a);
  ASSERT_NE(nullptr, b);
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(b) % (128 * 1024));
  EXPECT_EQ(4096u + 128 * 1024, pages.mapped_size());
  std::memset(b, 'x', 128 * 1024);
  a = pages.remap(a, 1, 20000);
  EXPECT_EQ(20480u + 128 * 1024, pages.mapped_size());
  pages.unmap(a, 20000);
  pages.unmap(b, 128 * 1024);
  EXPECT_EQ(0u, pages.mapped_size());
}

TEST(BlockPool, GivesBlocksThatDoNotOverlapAndGivesPagesBack) {
  page_source pages;
  {
    block_pool pool(&pages);
    struct block {
      char *at;
      size_t capacity;
      char mark;
    };
    std::vector<block> blocks;
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
      if (blocks.empty() || random() % 5 < 3) {
        size_t capacity = 0;
        const size_t size = size_t{1} << (random() % 18);
        char *at = static_cast<char *>(pool.take(size, &capacity));
        ASSERT_NE(nullptr, at);
        ASSERT_GE(capacity, size);
        ASSERT_EQ(0u, reinterpret_cast<uintptr_t>(at) % 16);
        const char mark = static_cast<char>(random());
        std::memset(at, mark, capacity);
        blocks.push_back({at, capacity, mark});
      } else {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        const block b = blocks.back();
        blocks.pop_back();
        for (size_t k = 0; k < b.capacity; k += 61) ASSERT_EQ(b.mark, b.at[k]);
        pool.give(b.at, b.capacity);
      }
    }
    for (const block &b : blocks) pool.give(b.at, b.capacity);
    EXPECT_EQ(0u, pool.blocks_taken());
    EXPECT_LE(pages.mapped_size(), 4u * 128 * 1024) << "one spare span a class may stay";
  }
  EXPECT_EQ(0u, pages.mapped_size());
}

TEST(BlockPool, GrowsWithTheContents) {
  page_source pages;
  block_pool pool(&pages);
  size_t capacity = 0;
  char *at = static_cast<char *>(pool.take(10, &capacity));
  std::memset(at, 'a', 500);
  for (size_t size = 600; size < 3000000; size *= 3) {
    at = static_cast<char *>(pool.grow(at, capacity, 500, size, &capacity));
    ASSERT_GE(capacity, size);
    for (size_t i = 0; i < 500; ++i) ASSERT_EQ('a', at[i]);
  }
  pool.give(at, capacity);
}

}  // namespace
}  // namespace kourier::base
