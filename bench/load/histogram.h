#ifndef KOURIER_BENCH_HISTOGRAM_H
#define KOURIER_BENCH_HISTOGRAM_H

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace load {

// Counts of times in nanoseconds, in buckets of fixed place: log-linear, 128 to each power of two, so that a bucket is
// at most 1/128 of its values wide. Times of 2^40 ns (18 minutes) and more share the last bucket. Nothing is allocated.
//
//   value   0 … 127 | 128 … 255 | 256 … 511 | 512 … 1023 | …
//   bucket  1 wide  | 1 wide    | 2 wide    | 4 wide     | …
class histogram {
 public:
  void add(uint64_t ns) { add(ns, 1); }

  void add(uint64_t ns, uint64_t count) {
    counts_[bucket_of(ns)] += count;
    count_ += count;
    if (ns > max_) max_ = ns;
  }

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] uint64_t max() const { return max_; }

  // What at least `share` (0 to 1) of the values do not exceed: the upper end of a bucket, or the largest value if that
  // is less. 0 if there is no value.
  [[nodiscard]] uint64_t quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      seen += counts_[bucket];
      if (seen > 0 && seen >= wanted) return upper_end(bucket) < max_ ? upper_end(bucket) : max_;
    }
    return 0;
  }

 private:
  static constexpr unsigned kSubBits = 7;
  static constexpr unsigned kValueBits = 40;
  static constexpr size_t kSubs = size_t{1} << kSubBits;
  static constexpr size_t kBuckets = (kValueBits - kSubBits + 1) * kSubs;

  static size_t bucket_of(uint64_t ns) {
    if (ns < kSubs) return ns;
    if (ns >> kValueBits != 0) return kBuckets - 1;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - kSubBits - 1;
    return (size_t{shift} << kSubBits) + (ns >> shift);
  }

  static uint64_t upper_end(size_t bucket) {
    if (bucket < 2 * kSubs) return bucket;
    if (bucket == kBuckets - 1) return UINT64_MAX;
    const size_t shift = (bucket >> kSubBits) - 1;
    return ((bucket - (shift << kSubBits) + 1) << shift) - 1;
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace load

#endif
