#ifndef KOURIER_BENCH_CHECK_H
#define KOURIER_BENCH_CHECK_H

#include <cstdio>
#include <cstdlib>

// Ends the test with the place and the text of what does not hold.
#define CHECK(...)                                                           \
  do {                                                                       \
    if (!(__VA_ARGS__)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__); \
      std::exit(1);                                                          \
    }                                                                        \
  } while (false)

#endif
