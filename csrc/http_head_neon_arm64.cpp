//go:build !kourier_cmake

// The head reader for NEON: every arm64.
#include <arm_neon.h>

#include "http_authority.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_head_walk.h"  // no target region: NEON is part of the architecture
#include "http_nibble_tables.h"
#include "http_target.h"

namespace kourier::http {
namespace {

struct neon {
  static constexpr uint32_t kSizeMin = 16;

  // Part i holds the 16 octets from at[i] on. The parts of a short block overlap, the
  // last ends where the input ends. Octets in two of them give the same bits twice.
  struct block {
    uint8x16_t part[4];
    uint32_t at[4];
  };

  KR_INLINE static uint64_t lowest(uint64_t mask) { return lowest_set(mask | 1ULL << 63); }
  KR_INLINE static uint16_t *flatten(uint16_t *list, uint64_t mask, uint64_t base) {
    flatten_bits(list, mask, base, lowest);
    return list + __builtin_popcountll(mask);
  }

  KR_INLINE static uint8x16_t load16(const char *p) { return vld1q_u8(reinterpret_cast<const uint8_t *>(p)); }
  KR_INLINE static block load_parts(const char *p, uint32_t second, uint32_t third, uint32_t last) {
    return {{load16(p), load16(p + second), load16(p + third), load16(p + last)}, {0, second, third, last}};
  }
  KR_INLINE static block load(const char *p) { return load_parts(p, 16, 32, 48); }
  KR_INLINE static block load_short(const char *p, uint32_t n) {
    const uint32_t last = n - 16;
    return load_parts(p, last < 16 ? last : 16, last < 32 ? last : 32, last);
  }

  // One bit of each octet that is all ones or all zeros: each lane keeps the bit of its
  // place in eight, and pairs are added until 64 lanes have become 8.
  KR_INLINE static uint64_t lanes(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint8x16_t places = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t first = vpaddq_u8(vandq_u8(a, places), vandq_u8(b, places));
    const uint8x16_t second = vpaddq_u8(vandq_u8(c, places), vandq_u8(d, places));
    const uint8x16_t all = vpaddq_u8(first, second);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
  }
  // Moves the four groups of 16 bits to where the parts of the block lie.
  KR_INLINE static uint64_t placed(uint64_t bits, const uint32_t at[4]) {
    return (bits & 0xffff) | (bits >> 16 & 0xffff) << at[1] | (bits >> 32 & 0xffff) << at[2] | bits >> 48 << at[3];
  }
  template <class Test>
  KR_INLINE static uint64_t mask(const block &b, Test test) {
    return placed(lanes(test(b.part[0]), test(b.part[1]), test(b.part[2]), test(b.part[3])), b.at);
  }
  KR_INLINE static uint64_t equal(const block &b, char c) {
    return mask(b, [c](uint8x16_t octets) { return vceqq_u8(octets, vdupq_n_u8(static_cast<uint8_t>(c))); });
  }

  // Octets from 0x80 on drop out: the upper half of the high table is zero.
  KR_INLINE static uint8x16_t look_up(uint8x16_t octets, const nibble_tables &tables) {
    return vandq_u8(vqtbl1q_u8(vld1q_u8(tables.low.data()), vandq_u8(octets, vdupq_n_u8(0x0f))),
                    vqtbl1q_u8(vld1q_u8(tables.high.data()), vshrq_n_u8(octets, 4)));
  }

  KR_INLINE static line_masks lines(const block &b) {
    const block bits{{look_up(b.part[0], kLineTables), look_up(b.part[1], kLineTables), look_up(b.part[2], kLineTables),
                      look_up(b.part[3], kLineTables)},
                     {b.at[0], b.at[1], b.at[2], b.at[3]}};
    const auto any_of = [](uint8_t wanted) {
      return [wanted](uint8x16_t v) { return vtstq_u8(v, vdupq_n_u8(wanted)); };
    };
    return {mask(bits, any_of(kLineControl - 1)), mask(bits, any_of(static_cast<uint8_t>(-kLineControl)))};
  }

  KR_INLINE static uint8x16_t not_in(uint8x16_t octets, const nibble_tables &tables) {
    return vceqzq_u8(look_up(octets, tables));
  }
  // Octets in both parts give the same bits twice.
  KR_INLINE static piece_masks two_parts(const char *p, uint64_t second, const nibble_tables &tables, char sought) {
    const uint8x16_t low = load16(p);
    const uint8x16_t high = load16(p + second);
    const uint8x16_t wanted = vdupq_n_u8(static_cast<uint8_t>(sought));
    const uint64_t bits =
        lanes(not_in(low, tables), not_in(high, tables), vceqq_u8(low, wanted), vceqq_u8(high, wanted));
    return {(bits & 0xffff) | (bits >> 16 & 0xffff) << second, (bits >> 32 & 0xffff) | bits >> 48 << second};
  }
  KR_INLINE static bool piece(const char *p, uint64_t n, uint64_t room, const nibble_tables &tables, char sought,
                              piece_masks *m) {
    if (room < 16) return false;
    *m = two_parts(p, n < 16 ? 0 : n < 32 ? n - 16 : 16, tables, sought);
    if (n > 32) {
      const piece_masks rest = two_parts(p + n - 32, 16, tables, sought);
      m->odd |= rest.odd << (n - 32);
      m->sought |= rest.sought << (n - 32);
    }
    m->odd |= 1ULL << n;
    return true;
  }

  KR_INLINE static bool target(const char *p, uint64_t n, uint64_t room, piece_masks *m) {
    return piece(p, n, room, kPlainTargetTables, '?', m);
  }
  KR_INLINE static bool host(const char *p, uint64_t n, uint64_t room, piece_masks *m) {
    return n <= 32 && piece(p, n, room, kHostTables, '.', m);
  }
};

}  // namespace

bool read_head_neon(const char *data, size_t size, const head_limits &limits, kr_field *fields, kr_request *request_out,
                    head_facts *facts_out) {
  return walk_head(neon{}, data, size, limits, fields, request_out, facts_out);
}

}  // namespace kourier::http
