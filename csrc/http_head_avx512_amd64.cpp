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
  octets64 tchar = repeated(kTchar);
  octets64 control = repeated(kControl);
  octets64 target = repeated(kTarget);
  octets64 host = repeated(kHost);
  octets64 question = repeated('?');
  octets64 percent = repeated('%');
  octets64 dot = repeated('.');
};

constexpr avx512_operands make_operands() {
  avx512_operands operands{};
  for (unsigned c = 0; c < 64; ++c) {
    operands.classes_low[c] = kCharClasses[c];
    operands.classes_high[c] = kCharClasses[64 + c];
    operands.numbers[c] = static_cast<uint8_t>(c);
  }
  return operands;
}

constexpr avx512_operands kOperands = make_operands();

class avx512 {
 public:
  static constexpr uint32_t kSizeMin = 16;
  using block = __m512i;

  KR_INLINE avx512() : operands_(&kOperands) { __asm__("" : "+r"(operands_)); }  // hides what it points to

  KR_INLINE static uint32_t lowest(uint64_t mask) { return static_cast<uint32_t>(_tzcnt_u64(mask)); }

  // The numbers of the bits, packed, widened and moved by base, sixteen at a time. No
  // head that is any good has more of them in a block, or only a few.
  KR_INLINE uint32_t *flatten(uint32_t *list, uint64_t mask, uint32_t base) const {
    uint32_t *const end = list + __builtin_popcountll(mask);
    flatten16(list, mask, base);
    if (!KR_LIKELY(end - list <= 16)) {
      for (uint32_t *at = list; at < end; mask &= mask - 1) *at++ = base + lowest_set(mask);
    }
    return end;
  }

  KR_INLINE static block load(const char *p) { return _mm512_loadu_si512(p); }
  KR_INLINE static block load_short(const char *p, uint32_t n) {
    return _mm512_maskz_loadu_epi8(_bzhi_u64(~0ULL, n), p);
  }

  KR_INLINE line_masks lines(block octets) const {
    const __m512i of = classes(octets);
    const __mmask64 ascii = ascii_of(octets);
    return {in_class(ascii, of, operands_->tchar), in_class(ascii, of, operands_->control)};
  }
  KR_INLINE target_masks targets(block octets) const {
    return {~in_class(ascii_of(octets), classes(octets), operands_->target), equal(octets, operands_->question),
            equal(octets, operands_->percent)};
  }
  KR_INLINE bool host(const char *p, uint32_t n, uint32_t, host_masks *m) const {
    if (n >= 64) return false;
    const __m512i octets = load_short(p, n);
    *m = {in_class(ascii_of(octets), classes(octets), operands_->host), equal(octets, operands_->dot)};
    return true;
  }

 private:
  KR_INLINE void flatten16(uint32_t *list, uint64_t mask, uint32_t base) const {
    const __m512i numbers = _mm512_maskz_compress_epi8(mask, all(operands_->numbers));
    const __m512i wide = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(numbers));
    _mm512_storeu_si512(list, _mm512_add_epi32(wide, _mm512_set1_epi32(static_cast<int>(base))));
  }

  KR_INLINE static __m512i all(const octets64 &octets) { return _mm512_load_si512(octets.data()); }
  KR_INLINE static uint64_t equal(__m512i octets, const octets64 &wanted) {
    return _mm512_cmpeq_epi8_mask(octets, all(wanted));
  }
  // kCharClasses[c] of each octet below 0x80. The look-up ignores bit 7: octets from
  // 0x80 on get the classes of another one, and ascii_of takes them out.
  KR_INLINE __m512i classes(__m512i octets) const {
    return _mm512_permutex2var_epi8(all(operands_->classes_low), octets, all(operands_->classes_high));
  }
  KR_INLINE static __mmask64 ascii_of(__m512i octets) { return _knot_mask64(_mm512_movepi8_mask(octets)); }
  KR_INLINE static uint64_t in_class(__mmask64 ascii, __m512i of, const octets64 &wanted) {
    return _mm512_mask_test_epi8_mask(ascii, of, all(wanted));
  }

  const avx512_operands *operands_;
};

}  // namespace

bool read_head_avx512(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                      request_head *head_out) {
  return walk_head(avx512{}, data, size, limits, fields, head_out);
}

}  // namespace kourier::http
KR_TARGET_END
