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

using octets32 = std::array<uint8_t, 32>;

constexpr octets32 repeated(uint8_t value) {
  octets32 octets{};
  for (uint8_t &octet : octets) octet = value;
  return octets;
}

// The shuffles look up in each half of a register by itself: a table stands twice.
constexpr octets32 doubled(const std::array<uint8_t, 16> &table) {
  octets32 octets{};
  for (size_t i = 0; i < 32; ++i) octets[i] = table[i % 16];
  return octets;
}

struct doubled_tables {
  octets32 low;
  octets32 high;
};

constexpr doubled_tables doubled(const nibble_tables &tables) { return {doubled(tables.low), doubled(tables.high)}; }

// Operands of the kernel, in memory: g++ would make each anew from a number, with two
// or three instructions.
struct alignas(32) avx2_operands {
  doubled_tables line = doubled(kLineTables);
  doubled_tables target = doubled(kPlainTargetTables);
  doubled_tables host = doubled(kHostTables);
  octets32 nibble = repeated(0x0f);
  octets32 nothing = repeated(0x80 - kLineControl);
  octets32 question = repeated('?');
  octets32 dot = repeated('.');
};

constexpr avx2_operands kOperands{};

class avx2 {
 public:
  static constexpr uint32_t kSizeMin = 32;

  //  n = 45:  [0 ........ 31]          The second half ends where the input ends. Octets
  //                [13 ........ 44]    in both give the same bits twice.
  struct block {
    __m256i low;
    __m256i high;
    uint32_t high_at;
  };

  KR_INLINE avx2() : operands_(&kOperands) {
    __asm__ volatile("" : "+r"(operands_));  // hides what it points to
  }

  // Not the intrinsic: g++ clears the result first, for the sake of older processors.
  KR_INLINE static uint64_t lowest(uint64_t mask) {
    uint64_t number;
    __asm__("tzcnt %1, %0" : "=r"(number) : "r"(mask) : "cc");
    return number;
  }

  KR_INLINE static uint16_t *flatten(uint16_t *list, uint64_t mask, uint64_t base) {
    uint64_t count;
    __asm__("popcnt %1, %0" : "=r"(count) : "r"(mask) : "cc");
    flatten_bits(list, mask, base, lowest);
    return list + count;
  }

  KR_INLINE static block load(const char *p) { return {load32(p), load32(p + 32), 32}; }
  KR_INLINE static block load_short(const char *p, uint32_t n) { return {load32(p), load32(p + n - 32), n - 32}; }

  KR_INLINE line_masks lines(const block &b) const {
    // 0x80 and above for a control, which is below 0 for cmpgt; above `nothing` for a tchar.
    const __m256i low = _mm256_adds_epu8(look_up(b.low, operands_->line), all(operands_->nothing));
    const __m256i high = _mm256_adds_epu8(look_up(b.high, operands_->line), all(operands_->nothing));
    return {token(low) | token(high) << b.high_at, mask(low) | mask(high) << b.high_at};
  }

  KR_INLINE bool target(const char *p, uint64_t n, uint64_t room, piece_masks *m) const {
    if (n > 32) {
      *m = piece32(p, operands_->target, operands_->question);
      *m = both(*m, piece32(p + n - 32, operands_->target, operands_->question), n - 32);
      m->odd |= 1ULL << n;
      return true;
    }
    return piece(p, n, room, operands_->target, operands_->question, m);
  }
  KR_INLINE bool host(const char *p, uint64_t n, uint64_t room, piece_masks *m) const {
    return n <= 32 && piece(p, n, room, operands_->host, operands_->dot, m);
  }

 private:
  KR_INLINE static __m256i load32(const char *p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }
  KR_INLINE static __m256i all(const octets32 &octets) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(octets.data()));
  }
  KR_INLINE static uint64_t mask(__m256i v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
  KR_INLINE static piece_masks both(piece_masks low, piece_masks high, uint64_t high_at) {
    return {low.odd | high.odd << high_at, low.sought | high.sought << high_at};
  }
  // n <= 32. Octets in both parts give the same bits twice.
  KR_INLINE bool piece(const char *p, uint64_t n, uint64_t room, const doubled_tables &tables, const octets32 &sought,
                       piece_masks *m) const {
    if (room < 16) return false;
    *m = piece16(p, tables, sought);
    if (n > 16) *m = both(*m, piece16(p + n - 16, tables, sought), n - 16);
    m->odd |= 1ULL << n;
    return true;
  }
  KR_INLINE piece_masks piece32(const char *p, const doubled_tables &tables, const octets32 &sought) const {
    const __m256i octets = load32(p);
    return {mask(_mm256_cmpeq_epi8(look_up(octets, tables), _mm256_setzero_si256())),
            mask(_mm256_cmpeq_epi8(octets, all(sought)))};
  }
  KR_INLINE static __m128i half(const octets32 &octets) {
    return _mm_load_si128(reinterpret_cast<const __m128i *>(octets.data()));
  }
  KR_INLINE static uint64_t mask16(__m128i v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
  KR_INLINE piece_masks piece16(const char *p, const doubled_tables &tables, const octets32 &sought) const {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(octets, 4), half(operands_->nibble));
    const __m128i bits =
        _mm_and_si128(_mm_shuffle_epi8(half(tables.low), octets), _mm_shuffle_epi8(half(tables.high), high));
    return {mask16(_mm_cmpeq_epi8(bits, _mm_setzero_si128())), mask16(_mm_cmpeq_epi8(octets, half(sought)))};
  }

  // The shuffle gives 0 for an index with bit 7 set: octets from 0x80 on drop out.
  KR_INLINE __m256i look_up(__m256i octets, const doubled_tables &tables) const {
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(octets, 4), all(operands_->nibble));
    return _mm256_and_si256(_mm256_shuffle_epi8(all(tables.low), octets), _mm256_shuffle_epi8(all(tables.high), high));
  }
  KR_INLINE uint64_t token(__m256i lifted) const { return mask(_mm256_cmpgt_epi8(lifted, all(operands_->nothing))); }

  const avx2_operands *operands_;
};

}  // namespace

bool read_head_avx2(const char *data, size_t size, const head_limits &limits, kr_field *fields, kr_request *request_out,
                    head_facts *facts_out) {
  if (size < avx2::kSizeMin) return read_head_sse42(data, size, limits, fields, request_out, facts_out);
  return walk_head(avx2{}, data, size, limits, fields, request_out, facts_out);
}

}  // namespace kourier::http
KR_TARGET_END
