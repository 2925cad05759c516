//go:build !kourier_cmake

// The head reader for SSE4.2: every x86-64 server since 2008.
#include <immintrin.h>

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_nibble_tables.h"
#include "http_target.h"
#include "simd_target.h"

KR_TARGET_BEGIN("sse4.2,popcnt")
#include "http_head_walk.h"

namespace kourier::http {
namespace {

struct sse42 {
  static constexpr uint32_t kSizeMin = 16;

  // Part i holds the 16 octets from at[i] on. The parts of a short block overlap, the
  // last ends where the input ends. Octets in two of them give the same bits twice.
  struct block {
    __m128i part[4];
    uint32_t at[4];
  };

  KR_INLINE static uint64_t lowest(uint64_t mask) { return lowest_set(mask | 1ULL << 63); }
  KR_INLINE static uint16_t *flatten(uint16_t *list, uint64_t mask, uint64_t base) {
    flatten_bits(list, mask, base, lowest);
    return list + __builtin_popcountll(mask);
  }

  KR_INLINE static __m128i load16(const char *p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }
  KR_INLINE static block load_parts(const char *p, uint32_t second, uint32_t third, uint32_t last) {
    return {{load16(p), load16(p + second), load16(p + third), load16(p + last)}, {0, second, third, last}};
  }
  KR_INLINE static block load(const char *p) { return load_parts(p, 16, 32, 48); }
  KR_INLINE static block load_short(const char *p, uint32_t n) {
    const uint32_t last = n - 16;
    return load_parts(p, last < 16 ? last : 16, last < 32 ? last : 32, last);
  }

  KR_INLINE static __m128i table(const std::array<uint8_t, 16> &entries) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(entries.data()));
  }
  KR_INLINE static uint64_t mask(__m128i v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
  KR_INLINE static uint64_t equal(__m128i octets, char c) { return mask(_mm_cmpeq_epi8(octets, _mm_set1_epi8(c))); }

  // The shuffle gives 0 for an index with bit 7 set: octets from 0x80 on drop out.
  KR_INLINE static __m128i look_up(__m128i octets, const nibble_tables &tables) {
    const __m128i high = _mm_and_si128(_mm_srli_epi16(octets, 4), _mm_set1_epi8(0x0f));
    return _mm_and_si128(_mm_shuffle_epi8(table(tables.low), octets), _mm_shuffle_epi8(table(tables.high), high));
  }
  KR_INLINE static uint64_t not_in(__m128i octets, const nibble_tables &tables) {
    return mask(_mm_cmpeq_epi8(look_up(octets, tables), _mm_setzero_si128()));
  }

  KR_INLINE static line_masks lines(const block &b) {
    line_masks m{};
    for (int i = 0; i < 4; ++i) {
      const __m128i bits = look_up(b.part[i], kLineTables);
      const __m128i token = _mm_and_si128(bits, _mm_set1_epi8(kLineControl - 1));
      m.token |= mask(_mm_cmpgt_epi8(token, _mm_setzero_si128())) << b.at[i];
      m.control |= mask(_mm_adds_epu8(bits, _mm_set1_epi8(0x80 - kLineControl))) << b.at[i];
    }
    return m;
  }

  // Octets in two parts give the same bits twice.
  KR_INLINE static bool piece(const char *p, uint64_t n, uint64_t room, const nibble_tables &tables, char sought,
                              piece_masks *m) {
    if (room < 16) return false;
    *m = {1ULL << n, 0};
    add_part(p, 0, tables, sought, m);
    if (n > 16) add_part(p, n - 16, tables, sought, m);
    if (n > 32) {
      add_part(p, 16, tables, sought, m);
      add_part(p, n - 32, tables, sought, m);
    }
    return true;
  }
  KR_INLINE static void add_part(const char *p, uint64_t at, const nibble_tables &tables, char sought, piece_masks *m) {
    const __m128i octets = load16(p + at);
    m->odd |= not_in(octets, tables) << at;
    m->sought |= equal(octets, sought) << at;
  }

  KR_INLINE static bool target(const char *p, uint64_t n, uint64_t room, piece_masks *m) {
    return piece(p, n, room, kPlainTargetTables, '?', m);
  }
  KR_INLINE static bool host(const char *p, uint64_t n, uint64_t room, piece_masks *m) {
    return n <= 32 && piece(p, n, room, kHostTables, '.', m);
  }
};

}  // namespace

bool read_head_sse42(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                     kr_request *request_out, head_facts *facts_out) {
  return walk_head(sse42{}, data, size, limits, fields, request_out, facts_out);
}

}  // namespace kourier::http
KR_TARGET_END
