// The readers of a head behind parse_head. read_head_scalar is the specification;
// the others read heads that are complete and correct, and only those.
#pragma once

#include "http_head.h"
#include "simd.h"

namespace kourier::http {

// The reader of a kernel; null for simd::isa::scalar and for kernels of other architectures.
head_reader reader_of(simd::isa isa);

#if defined(__x86_64__)
bool read_head_sse42(const char *, size_t, const head_limits &, kr_field *, kr_request *, head_facts *);
bool read_head_avx2(const char *, size_t, const head_limits &, kr_field *, kr_request *, head_facts *);
bool read_head_avx512(const char *, size_t, const head_limits &, kr_field *, kr_request *, head_facts *);
#elif defined(__aarch64__)
bool read_head_neon(const char *, size_t, const head_limits &, kr_field *, kr_request *, head_facts *);
#endif

// The method called data[0, size), KR_METHOD_OTHER for an unregistered one. Methods
// are case-sensitive, RFC 9110 §9.1.
uint8_t method_id_of(const char *data, size_t size);

inline constexpr uint32_t kEmptyLinesMax = 8;  // before a request line; RFC 9112 §2.2 asks for one at least

}  // namespace kourier::http
