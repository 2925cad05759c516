#include "../engine_connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace kourier::engine {
namespace {

TEST(ConnectionTable, FindsAConnectionUntilItIsGivenBack) {
  base::page_source pages;
  connection_table table(&pages);
  ASSERT_TRUE(table.open(10));
  connection *c = table.take();
  ASSERT_NE(nullptr, c);
  c->fd = 5;
  const uint32_t index = c->index;
  const uint32_t generation = c->generation;
  EXPECT_EQ(c, table.find(index, generation));
  table.peer_of(c)->store(1);
  table.give(c);
  EXPECT_EQ(nullptr, table.find(index, generation));
  connection *next = table.take();
  next->fd = 6;
  EXPECT_EQ(index, next->index);
  EXPECT_EQ(0u, table.peer_of(next)->load()) << "nor does it inherit its peer";
  EXPECT_EQ(nullptr, table.find(index, generation)) << "a stale address does not find a stranger";
  EXPECT_EQ(nullptr, table.find(123456, 0));
  table.give(next);
}

TEST(ConnectionTable, GivesEmptySlabsBackAndKeepsGenerationsApart) {
  base::page_source pages;
  {
    connection_table table(&pages);
    ASSERT_TRUE(table.open(10 * connection_table::kSlabSlots));
    const uint64_t empty = pages.mapped_size();
    std::set<std::pair<uint32_t, uint32_t>> addresses;
    for (int round = 0; round < 3; ++round) {
      std::vector<connection *> all;
      for (uint32_t i = 0; i < 10 * connection_table::kSlabSlots; ++i) {
        connection *c = table.take();
        ASSERT_NE(nullptr, c);
        c->fd = 1;
        ASSERT_TRUE(addresses.insert({c->index, c->generation}).second) << "an address is never used twice";
        all.push_back(c);
      }
      EXPECT_EQ(nullptr, table.take());
      std::shuffle(all.begin(), all.end(), std::mt19937(static_cast<unsigned>(round)));
      for (connection *c : all) table.give(c);
      EXPECT_LE(pages.mapped_size(), empty + connection_table::kSlabSize);
    }
  }
  EXPECT_EQ(0u, pages.mapped_size());
}

TEST(ConnectionTable, VisitsEveryConnectionWhileTheyAreGivenBack) {
  base::page_source pages;
  connection_table table(&pages);
  ASSERT_TRUE(table.open(5000));
  for (int i = 0; i < 5000; ++i) table.take()->fd = i;
  int visited = 0;
  table.each([&](connection *c) {
    ++visited;
    table.give(c);
  });
  EXPECT_EQ(5000, visited);
}

}  // namespace
}  // namespace kourier::engine
