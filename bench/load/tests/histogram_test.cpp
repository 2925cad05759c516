#include "../histogram.h"

#include "check.h"

namespace {

// A value is found again, too large by less than 1/128, whatever its size.
void value_keeps_its_place() {
  for (uint64_t value = 1; value < uint64_t{1} << 40; value += value / 3 + 1) {
    load::histogram times;
    times.add(value);
    times.add((uint64_t{1} << 40) - 1);  // so that the quantile is not cut to the largest value
    const uint64_t found = times.quantile(0.5);
    CHECK(found >= value);
    CHECK(found - value <= value / 128);
  }
}

// Small values have buckets of their own.
void small_values_are_exact() {
  load::histogram times;
  for (uint64_t value = 1; value <= 100; ++value) times.add(value);
  CHECK(times.quantile(0.5) == 50);
  CHECK(times.quantile(0.99) == 99);
  CHECK(times.quantile(0.999) == 100);
  CHECK(times.quantile(0) == 1);
  CHECK(times.quantile(1) == 100);
  CHECK(times.count() == 100);
}

void nothing_is_zero() {
  const load::histogram times;
  CHECK(times.quantile(0.5) == 0);
  CHECK(times.max() == 0);
}

// What is beyond the last bucket is kept as the largest value.
void largest_is_kept() {
  load::histogram times;
  times.add(uint64_t{1} << 50);
  CHECK(times.quantile(0.5) == uint64_t{1} << 50);
}

void values_can_be_counted_at_once() {
  load::histogram times;
  times.add(7, 99);
  times.add(9, 1);
  CHECK(times.quantile(0.99) == 7);
  CHECK(times.quantile(1) == 9);
}

}  // namespace

int main() {
  value_keeps_its_place();
  small_values_are_exact();
  nothing_is_zero();
  largest_is_kept();
  values_can_be_counted_at_once();
}
