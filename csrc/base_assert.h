// KR_ASSERT states what our own code relies on. On in tests, fuzzers and
// sanitizer builds (KOURIER_ASSERTS defined); in release the optimizer is told
// nothing and nothing is evaluated.
#pragma once

#if defined(KOURIER_ASSERTS)
#define KR_ASSERT(condition)            \
  do {                                  \
    if (!(condition)) __builtin_trap(); \
  } while (0)
#else
#define KR_ASSERT(condition) \
  do {                       \
  } while (0)
#endif
