//go:build !kourier_cmake

// The head reader for AVX-512 with VBMI: x86-64 from Ice Lake and Zen 4 on.
// g++ 12 takes the undefined operands inside of its own intrinsics for ours.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_target.h"
#include "simd_target.h"

KR_TARGET_BEGIN("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")
#include "http_head_walk.h"

namespace kourier::http {
namespace {

using octets64 = std::array<uint8_t, 64>;

constexpr octets64 repeated(uint8_t value) {
  octets64 octets{};
  for (uint8_t &octet : octets) octet = value;
  return octets;
}

// Operands of the kernel, in memory: g++ would make each anew from a number, with two
// instructions of which one takes the port that all comparisons need.
struct alignas(64) avx512_operands {
  octets64 classes_low;
  octets64 classes_high;
  octets64 numbers;  // 0 to 63
  octets64 tchars;
  octets64 one = repeated(1);
  octets64 space = repeated(' ');
  octets64 target = repeated(kPlainTarget);
  octets64 host = repeated(kHost);
  octets64 question = repeated('?');
  octets64 dot = repeated('.');
};

// Entry c & 63 shares a bit with c when c is a tchar below 0x80, and with no other c
// below 0x80. That works because of two octets with the same entry, which differ in
// bit 6, the lower is a tchar only where the upper is one, or has bit 5 to itself.
//
//   octets         bits 7 6 5     entry    lower    upper
//   0x00 to 0x1f        0 0 0     0x40     never    tchar
//   0x40 to 0x5f        0 1 0     0x00     never    no tchar
//   0x20 to 0x3f        0 0 1     0x20     tchar    tchar
//   0x60 to 0x7f        0 1 1     0x40     no       tchar
//                                 0x00     no       no tchar
constexpr octets64 make_tchars() {
  octets64 entries{};
  for (unsigned c = 0; c < 64; ++c) {
    const bool lower = is_tchar(static_cast<uint8_t>(c));
    const bool upper = is_tchar(static_cast<uint8_t>(c | 0x40));
    entries[c] = static_cast<uint8_t>(lower ? 0x20 : upper ? 0x40 : 0);
  }
  return entries;
}

constexpr bool tchars_are_sound() {
  const octets64 entries = make_tchars();
  for (unsigned c = 0; c < 128; ++c) {
    if (((entries[c & 63] & c) != 0) != is_tchar(static_cast<uint8_t>(c))) return false;
  }
  return true;
}
static_assert(tchars_are_sound());

constexpr avx512_operands make_operands() {
  avx512_operands operands{};
  for (unsigned c = 0; c < 64; ++c) {
    operands.classes_low[c] = kCharClasses[c];
    operands.classes_high[c] = kCharClasses[64 + c];
    operands.numbers[c] = static_cast<uint8_t>(c);
  }
  operands.tchars = make_tchars();
  return operands;
}

constexpr avx512_operands kOperands = make_operands();

class avx512 {
 public:
  static constexpr uint32_t kSizeMin = 0;
  using block = __m512i;

  KR_INLINE avx512() : operands_(&kOperands) {
    __asm__ volatile("" : "+r"(operands_));  // hides what it points to
  }

  // Not the intrinsics, here and below: g++ clears the result first, for the sake of older processors.
  KR_INLINE static uint64_t lowest(uint64_t mask) {
    uint64_t number;
    __asm__("tzcnt %1, %0" : "=r"(number) : "r"(mask) : "cc");
    return number;
  }

  // The numbers of the bits, packed, widened and moved by base, sixteen at a time. No
  // head that is any good has more of them in a block, or only a few.
  KR_INLINE uint16_t *flatten(uint16_t *list, uint64_t mask, uint64_t base) const {
    flatten16(list, mask, static_cast<uint32_t>(base));
    uint64_t count;
    __asm__("popcnt %1, %0" : "=r"(count) : "r"(mask) : "cc");
    if (!KR_LIKELY(count <= 16)) {
      for (uint16_t *at = list; at < list + count; mask &= mask - 1) *at++ = static_cast<uint16_t>(base + lowest(mask));
    }
    return list + count;
  }

  KR_INLINE static block load(const char *p) {
    __m512i octets = _mm512_loadu_si512(p);
    __asm__("" : "+v"(octets));  // g++ would load it once for each use, and most blocks lie across two cache lines
    return octets;
  }
  KR_INLINE static block load_short(const char *p, uint32_t n) {
    return _mm512_maskz_loadu_epi8(_bzhi_u64(~0ULL, n), p);
  }

  // Moved up by one, and with a sign, controls and DEL are at most 0x20. So are the
  // octets from 0x80 on, and HTAB is among the controls: rare enough for a head with
  // one of them to be left to AVX2's reader. `entries` speak of octets below 0x80 only.
  KR_INLINE line_masks lines(block octets) const {
    const __m512i entries = _mm512_permutexvar_epi8(octets, all(operands_->tchars));
    const __m512i moved = _mm512_add_epi8(octets, all(operands_->one));
    const uint64_t control = in_register(_mm512_cmple_epi8_mask(moved, all(operands_->space)));
    return {in_register(_mm512_test_epi8_mask(entries, octets)) & ~control, control};
  }
  // The octets behind are read as 0, which is in no class: bit n of `odd` is set.
  KR_INLINE bool target(const char *p, uint64_t n, uint64_t, piece_masks *m) const {
    *m = piece(p, n, operands_->target, operands_->question);
    return true;
  }
  KR_INLINE bool host(const char *p, uint64_t n, uint64_t, piece_masks *m) const {
    *m = piece(p, n, operands_->host, operands_->dot);
    return true;
  }

 private:
  KR_INLINE void flatten16(uint16_t *list, uint64_t mask, uint32_t base) const {
    const __m512i numbers = _mm512_maskz_compress_epi8(mask, all(operands_->numbers));
    const __m256i wide = _mm256_cvtepu8_epi16(_mm512_castsi512_si128(numbers));
    const __m256i moved = _mm256_add_epi16(wide, _mm256_set1_epi16(static_cast<int16_t>(base)));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(list), moved);
  }

  KR_INLINE static __m512i all(const octets64 &octets) { return _mm512_load_si512(octets.data()); }
  // g++ would leave it in a mask register and fetch it for each use.
  KR_INLINE static uint64_t in_register(uint64_t mask) {
    __asm__("" : "+r"(mask));
    return mask;
  }

  // The look-up ignores bit 7, but lines() calls octets from 0x80 on controls.
  KR_INLINE piece_masks piece(const char *p, uint64_t n, const octets64 &wanted, const octets64 &sought) const {
    const __m512i octets = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ULL, static_cast<uint32_t>(n)), p);
    const __m512i classes = _mm512_permutex2var_epi8(all(operands_->classes_low), octets, all(operands_->classes_high));
    return {in_register(_mm512_testn_epi8_mask(classes, all(wanted))),
            in_register(_mm512_cmpeq_epi8_mask(octets, all(sought)))};
  }

  const avx512_operands *operands_;
};

}  // namespace

bool read_head_avx512(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                      kr_request *request_out, head_facts *facts_out) {
  return walk_head(avx512{}, data, size, limits, fields, request_out, facts_out);
}

}  // namespace kourier::http
KR_TARGET_END
