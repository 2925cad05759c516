// Classifies octets by their two hex digits, for kernels that look up 16 entries
// at once: low[c & 15] & high[c >> 4] is not 0 when c is in the class. Octets from
// 0x80 on are in no class here; the kernels' look-up gives 0 for them.
#pragma once

#include <array>
#include <cstdint>

#include "http_chars.h"

namespace kourier::http {

struct nibble_tables {
  std::array<uint8_t, 16> low;
  std::array<uint8_t, 16> high;

  constexpr uint8_t at(unsigned c) const {
    return c < 128 ? static_cast<uint8_t>(low[c & 15] & high[c >> 4]) : uint8_t{0};
  }
};

// One bit a row of 16 octets: exact for every class, and takes all eight bits.
template <class InClass>
constexpr nibble_tables make_nibble_tables(InClass in_class) {
  nibble_tables tables{};
  for (unsigned c = 0; c < 128; ++c) {
    const auto row_bit = static_cast<uint8_t>(1U << (c >> 4));
    tables.high[c >> 4] = row_bit;
    if (in_class(static_cast<uint8_t>(c))) tables.low[c & 15] = static_cast<uint8_t>(tables.low[c & 15] | row_bit);
  }
  return tables;
}

inline constexpr nibble_tables kPlainTargetTables = make_nibble_tables(is_plain_target_char);
inline constexpr nibble_tables kHostTables = make_nibble_tables(is_host_char);

// tchar and control in one look-up. The bits below kLineControl say tchar, the
// others control. Rows of letters share a bit, because '@' and 'A' to 'O' differ
// from '`' and 'a' to 'o' only in the first. The price: '`' and '|' look like no
// tchar, and a head with one in a field name goes to the scalar reader.
//
//   bit 0  2x  !#$%&'*+-.      bit 4  5f  _
//   bit 1  3x  0-9             bit 5  7f  DEL
//   bit 2  4x 6x  1 to f       bit 6  1x  all
//   bit 3  5x 7x  0 to a, e    bit 7  0x  all but HTAB
inline constexpr uint8_t kLineControl = 0x20;

constexpr nibble_tables make_line_tables() {
  nibble_tables tables{{}, {0x80, 0x40, 0x01, 0x02, 0x04, 0x18, 0x04, 0x28}};
  for (unsigned c = 0; c < 16; ++c) {
    uint8_t bits = 0x40;
    if (c != 9) bits |= 0x80;
    if (is_tchar(static_cast<uint8_t>(0x20 | c))) bits |= 0x01;
    if (is_tchar(static_cast<uint8_t>(0x30 | c))) bits |= 0x02;
    if (is_tchar(static_cast<uint8_t>(0x40 | c))) bits |= 0x04;
    if (is_tchar(static_cast<uint8_t>(0x50 | c)) && c != 15) bits |= 0x08;
    if (c == 15) bits |= 0x30;
    tables.low[c] = bits;
  }
  return tables;
}

inline constexpr nibble_tables kLineTables = make_line_tables();

constexpr bool line_tables_are_sound() {
  for (unsigned c = 0; c < 256; ++c) {
    const auto byte = static_cast<uint8_t>(c);
    const uint8_t bits = kLineTables.at(c);
    if ((bits >= kLineControl) != is_control(byte)) return false;
    const bool token = bits != 0 && bits < kLineControl;
    if (token != (is_tchar(byte) && byte != '`' && byte != '|')) return false;
  }
  return true;
}
static_assert(line_tables_are_sound());

}  // namespace kourier::http
