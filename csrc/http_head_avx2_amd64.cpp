//go:build !kourier_cmake

// The head reader for AVX2: x86-64 from Haswell and Zen on.
#include <immintrin.h>

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_nibble_tables.h"
#include "http_target.h"
#include "simd_target.h"

KR_TARGET_BEGIN("avx2,bmi,bmi2,popcnt")
#include "http_head_walk.h"

namespace kourier::http {
namespace {

struct avx2 {
  static constexpr uint32_t kSizeMin = 32;

  //  n = 45:  [0 ........ 31]          The second half ends where the input ends. Octets
  //                [13 ........ 44]    in both give the same bits twice.
  struct block {
    __m256i low;
    __m256i high;
    uint32_t high_at;
  };

  // Not the intrinsic: g++ clears the result first, for the sake of older processors.
  KR_INLINE static uint32_t lowest(uint64_t mask) {
    uint64_t number;
    __asm__("tzcnt %1, %0" : "=r"(number) : "r"(mask) : "cc");
    return static_cast<uint32_t>(number);
  }
  KR_INLINE static uint32_t *flatten(uint32_t *list, uint64_t mask, uint32_t base) {
    return flatten_bits(list, mask, base, lowest);
  }

  KR_INLINE static __m256i load32(const char *p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }
  KR_INLINE static block load(const char *p) { return {load32(p), load32(p + 32), 32}; }
  KR_INLINE static block load_short(const char *p, uint32_t n) { return {load32(p), load32(p + n - 32), n - 32}; }

  KR_INLINE static __m256i table(const std::array<uint8_t, 16> &entries) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(entries.data())));
  }
  KR_INLINE static uint64_t mask(__m256i v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
  KR_INLINE static uint64_t equal(__m256i octets, char c) {
    return mask(_mm256_cmpeq_epi8(octets, _mm256_set1_epi8(c)));
  }
  KR_INLINE static uint64_t equal(const block &b, char c) { return equal(b.low, c) | equal(b.high, c) << b.high_at; }

  // The shuffle gives 0 for an index with bit 7 set: octets from 0x80 on drop out.
  KR_INLINE static __m256i look_up(__m256i octets, const nibble_tables &tables) {
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(octets, 4), _mm256_set1_epi8(0x0f));
    return _mm256_and_si256(_mm256_shuffle_epi8(table(tables.low), octets),
                            _mm256_shuffle_epi8(table(tables.high), high));
  }
  KR_INLINE static uint64_t not_in(__m256i octets, const nibble_tables &tables) {
    return mask(_mm256_cmpeq_epi8(look_up(octets, tables), _mm256_setzero_si256()));
  }

  KR_INLINE static uint64_t token(__m256i bits) {
    return mask(_mm256_cmpgt_epi8(_mm256_and_si256(bits, _mm256_set1_epi8(kLineControl - 1)), _mm256_setzero_si256()));
  }
  KR_INLINE static uint64_t control(__m256i bits) {
    return mask(_mm256_adds_epu8(bits, _mm256_set1_epi8(0x80 - kLineControl)));
  }

  KR_INLINE static line_masks lines(const block &b) {
    const __m256i low = look_up(b.low, kLineTables);
    const __m256i high = look_up(b.high, kLineTables);
    return {token(low) | token(high) << b.high_at, control(low) | control(high) << b.high_at};
  }

  KR_INLINE static target_masks targets(const block &b) {
    return {not_in(b.low, kTargetTables) | not_in(b.high, kTargetTables) << b.high_at, equal(b, '?'), equal(b, '%')};
  }

  KR_INLINE static bool host(const char *p, uint32_t n, uint32_t room, host_masks *m) {
    if (n > 32 || room < 16) return false;
    const uint32_t second = n > 16 ? n - 16 : 0;
    const __m256i octets = _mm256_loadu2_m128i(reinterpret_cast<const __m128i_u *>(p + second),
                                               reinterpret_cast<const __m128i_u *>(p));
    const uint64_t name = not_in(octets, kHostTables) ^ 0xffffffff;
    const uint64_t dot = equal(octets, '.');
    *m = {(name & 0xffff) | name >> 16 << second, (dot & 0xffff) | dot >> 16 << second};
    return true;
  }
};

}  // namespace

bool read_head_avx2(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                    request_head *head_out) {
  if (size < avx2::kSizeMin) return read_head_sse42(data, size, limits, fields, head_out);
  return walk_head(avx2{}, data, size, limits, fields, head_out);
}

}  // namespace kourier::http
KR_TARGET_END
