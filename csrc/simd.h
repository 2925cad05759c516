// Which instruction set the kernels use: chosen once, at the first call.
#pragma once

#include <cstdint>

namespace kourier::simd {

enum class isa : uint8_t { scalar, sse42, avx2, avx512, neon };

inline constexpr uint8_t kIsaCount = 5;

struct choice {
  isa level;
  const char *name;
};

// The best kernel that this machine runs, or the one that the environment variable
// KOURIER_KERNEL names (scalar, sse42, avx2, avx512, neon). A name that is unknown
// or that this machine cannot run is passed over. Any thread; the answer never changes.
const choice &active();

// True when this build has the kernel and this machine and its system run it.
bool is_supported(isa level);

// The name that KOURIER_KERNEL knows it by. Static.
const char *name_of(isa level);

}  // namespace kourier::simd
