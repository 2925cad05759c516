//go:build !kourier_cmake

#include "simd.h"

#include <cstdlib>
#include <cstring>

namespace kourier::simd {
namespace {

constexpr const char *kNames[kIsaCount] = {"scalar", "sse42", "avx2", "avx512", "neon"};

// Best first. A kernel that is not there ranks below one that is, never above.
constexpr isa kRanking[kIsaCount] = {isa::avx512, isa::avx2, isa::sse42, isa::neon, isa::scalar};

choice choose() {
  if (const char *wanted = std::getenv("KOURIER_KERNEL")) {
    for (const isa level : kRanking) {
      if (std::strcmp(wanted, name_of(level)) == 0 && is_supported(level)) return {level, name_of(level)};
    }
  }
  for (const isa level : kRanking) {
    if (is_supported(level)) return {level, name_of(level)};
  }
  return {isa::scalar, name_of(isa::scalar)};
}

}  // namespace

const char *name_of(isa level) { return kNames[static_cast<uint8_t>(level)]; }

// __builtin_cpu_supports reads XCR0 too: an instruction set whose registers the
// system does not save counts as missing.
bool is_supported(isa level) {
  switch (level) {
    case isa::scalar:
      return true;
#if defined(__x86_64__)
    case isa::sse42:
      return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    case isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
             __builtin_cpu_supports("popcnt");
    case isa::avx512:  // Ice Lake, Zen 4 and later: the byte shuffles of VBMI decide, not the width
      return is_supported(isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vbmi2");
#elif defined(__aarch64__)
    case isa::neon:
      return true;
#endif
    default:
      return false;
  }
}

const choice &active() {
  static const choice chosen = choose();
  return chosen;
}

}  // namespace kourier::simd
