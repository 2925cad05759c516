#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "simd.h"

namespace kourier::simd {
namespace {

// The kernel that KOURIER_KERNEL names is the one that runs; a name that is unknown or
// that this machine lacks is passed over.
TEST(SimdChoice, FollowsTheEnvironment) {
  const char *wanted = std::getenv("KOURIER_KERNEL");
  for (uint8_t i = 0; i < kIsaCount; ++i) {
    const auto level = static_cast<isa>(i);
    if (wanted == nullptr || std::strcmp(wanted, name_of(level)) != 0 || !is_supported(level)) continue;
    EXPECT_EQ(active().level, level);
  }
  EXPECT_TRUE(is_supported(active().level));
  EXPECT_STREQ(active().name, name_of(active().level));
}

TEST(SimdChoice, IsTheBestWithoutAWish) {
  if (std::getenv("KOURIER_KERNEL") != nullptr) GTEST_SKIP();
  for (const isa level : {isa::avx512, isa::avx2, isa::sse42, isa::neon, isa::scalar}) {
    if (!is_supported(level)) continue;
    EXPECT_EQ(active().level, level);
    return;
  }
}

TEST(SimdChoice, NeverChanges) { EXPECT_EQ(&active(), &active()); }

TEST(SimdChoice, ScalarRunsEverywhere) { EXPECT_TRUE(is_supported(isa::scalar)); }

}  // namespace
}  // namespace kourier::simd
