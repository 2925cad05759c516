#include "../net_timer.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace kourier::net {
namespace {

class TimerWheelTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kTick = timer_wheel::kTickMs;

  std::vector<timer_entry *> slots_ = std::vector<timer_entry *>(timer_wheel::kSlotCount);
  timer_wheel wheel_{slots_.data(), 1000};
};

TEST_F(TimerWheelTest, ExpiresNotBeforeItsTimeAndAtMostTwoTicksLater) {
  timer_entry entry;
  wheel_.arm(&entry, 5000);
  for (uint64_t now = 1000; now < 5000; ++now) ASSERT_EQ(nullptr, wheel_.take_expired(now));
  EXPECT_EQ(&entry, wheel_.take_expired(5000 + 2 * kTick));
  EXPECT_EQ(nullptr, wheel_.take_expired(5000 + 2 * kTick));
}

TEST_F(TimerWheelTest, MovesADeadlineBothWays) {
  timer_entry entry;
  wheel_.arm(&entry, 5000);
  wheel_.arm(&entry, 9000);
  EXPECT_EQ(nullptr, wheel_.take_expired(8000));
  wheel_.arm(&entry, 8100);
  EXPECT_EQ(nullptr, wheel_.take_expired(8099));
  EXPECT_EQ(&entry, wheel_.take_expired(8100 + 2 * kTick));
}

TEST_F(TimerWheelTest, TakesWhatIsOverdueAtOnce) {
  timer_entry entry;
  EXPECT_EQ(nullptr, wheel_.take_expired(100000));
  wheel_.arm(&entry, 50);
  EXPECT_EQ(&entry, wheel_.take_expired(100000));
}

TEST_F(TimerWheelTest, ForgetsWhatIsDisarmed) {
  timer_entry a, b;
  wheel_.arm(&a, 2000);
  wheel_.arm(&b, 2000);
  wheel_.disarm(&a);
  wheel_.disarm(&a);
  EXPECT_EQ(&b, wheel_.take_expired(3000));
  EXPECT_EQ(nullptr, wheel_.take_expired(3000));
  EXPECT_EQ(-1, wheel_.wait_ms(3000));
}

// Deadlines far beyond the wheel's turn, passed with the steps of wait_ms.
TEST_F(TimerWheelTest, WaitsForDeadlinesBeyondItsTurn) {
  timer_entry entry;
  const uint64_t due = 1000 + 3 * timer_wheel::kSlotCount * kTick + 777;
  wheel_.arm(&entry, due);
  uint64_t now = 1000;
  int wakes = 0;
  timer_entry *found = nullptr;
  while (found == nullptr) {
    const int wait = wheel_.wait_ms(now);
    ASSERT_GE(wait, 0);
    now += static_cast<uint64_t>(wait);
    found = wheel_.take_expired(now);
    ASSERT_LE(++wakes, 20) << "it does not spin";
  }
  EXPECT_GE(now, due);
  EXPECT_LE(now, due + 2 * kTick);
}

TEST_F(TimerWheelTest, AgreesWithAPlainList) {
  std::mt19937 random(7);
  constexpr size_t kCount = 200;
  std::vector<timer_entry> entries(kCount);
  std::vector<uint64_t> due(kCount, 0);  // 0: not armed
  uint64_t now = 1000;
  for (int step = 0; step < 50000; ++step) {
    const size_t i = random() % kCount;
    switch (random() % 4) {
      case 0:
      case 1:
        due[i] = now + random() % (random() % 10 == 0 ? 400000 : 5000);
        if (due[i] == 0) due[i] = 1;
        wheel_.arm(&entries[i], due[i]);
        break;
      case 2:
        due[i] = 0;
        wheel_.disarm(&entries[i]);
        break;
      default:
        now += random() % 300;
        while (timer_entry *entry = wheel_.take_expired(now)) {
          const size_t k = static_cast<size_t>(entry - entries.data());
          ASSERT_NE(0u, due[k]);
          ASSERT_LE(due[k], now);
          due[k] = 0;
        }
        for (const uint64_t d : due) ASSERT_TRUE(d == 0 || d + 2 * kTick > now) << "a deadline was missed";
    }
  }
}

TEST_F(TimerWheelTest, FindsTheEarliestDeadlineAmongThoseWanted) {
  std::mt19937 random(3);
  std::vector<timer_entry> entries(300);
  std::vector<uint64_t> due(300);
  for (size_t i = 0; i < 300; ++i) {
    wheel_.arm(&entries[i], 2000);
    due[i] = 1000 + random() % 120000;
    wheel_.arm(&entries[i], due[i] < 2000 ? due[i] = 2000 : due[i]);  // lazily: they still stand at 2000
  }
  const auto wanted = [&](const timer_entry *entry) { return (entry - entries.data()) % 3 == 0; };
  for (int round = 0; round < 100; ++round) {
    timer_entry *found = wheel_.earliest(wanted, 100000);
    ASSERT_NE(nullptr, found);
    const uint64_t found_due = due[static_cast<size_t>(found - entries.data())];
    for (size_t i = 0; i < 300; i += 3) {
      if (entries[i].previous != nullptr) {
        ASSERT_LE(found_due / kTick, due[i] / kTick + 1);
      }
    }
    wheel_.disarm(found);
  }
  EXPECT_EQ(nullptr, wheel_.earliest(wanted, 100000));
  EXPECT_NE(nullptr, wheel_.earliest([](const timer_entry *) { return true; }, 5)) << "within its budget it finds some";
}

TEST_F(TimerWheelTest, FindsTheOldestOfOneTick) {
  std::vector<timer_entry> entries(20);
  for (timer_entry &entry : entries) wheel_.arm(&entry, 5000);
  for (timer_entry &entry : entries) {
    ASSERT_EQ(&entry, wheel_.earliest([](const timer_entry *) { return true; }, 1000));
    wheel_.disarm(&entry);
  }
}

}  // namespace
}  // namespace kourier::net
