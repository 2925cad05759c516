//go:build !kourier_cmake

#include "http_head.h"

#include "http_chars.h"
#include "http_head_kernels.h"

namespace kourier::http {

head_reader reader_of(simd::isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case simd::isa::sse42:
      return read_head_sse42;
    case simd::isa::avx2:
      return read_head_avx2;
    case simd::isa::avx512:
      return read_head_avx512;
#elif defined(__aarch64__)
    case simd::isa::neon:
      return read_head_neon;
#endif
    default:
      return nullptr;
  }
}

namespace {

bool read_nothing(const char *, size_t, const head_limits &, kr_field *, kr_request *, head_facts *) { return false; }

// Threads that are here at the same time choose the same.
bool choose_reader(const char *data, size_t size, const head_limits &limits, kr_field *fields, kr_request *request_out,
                   head_facts *facts_out) {
  head_reader reader = reader_of(simd::active().level);
  if (reader == nullptr) reader = read_nothing;
  active_reader.store(reader, std::memory_order_relaxed);
  return reader(data, size, limits, fields, request_out, facts_out);
}

}  // namespace

constinit std::atomic<head_reader> active_reader{choose_reader};

verdict read_head_otherwise(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                            kr_request *request_out, head_facts *facts_out) {
#if defined(__x86_64__)
  // Heads with an HTAB or an octet from 0x80 on.
  if (active_reader.load(std::memory_order_relaxed) == read_head_avx512 &&
      read_head_avx2(data, size, limits, fields, request_out, facts_out)) {
    return verdict::done;
  }
#endif
  return read_head_scalar(data, size, limits, fields, request_out, facts_out);
}

// The LF of a line has come.
bool head_scanner::end_line(const char *data) {
  const uint32_t lf = scanned - 1;
  if (lf == 0 || data[lf - 1] != '\r') return true;
  const bool empty = lf - 1 == line_start;
  line_start = scanned;
  if (request_line_seen) return empty;
  if (empty) return scanned > 2 * kEmptyLinesMax;
  request_line_seen = true;
  return true;
}

bool head_scanner::advance(const char *data, size_t size, const head_limits &limits) {
  const auto window = static_cast<uint32_t>(size < limits.head_size_max ? size : limits.head_size_max);
  while (scanned < window) {
    const char c = data[scanned];
    if (scanned > 0 && data[scanned - 1] == '\r' && c != '\n') return true;
    ++scanned;
    if (c == '\n') {
      if (end_line(data)) return true;
    } else if (c != '\r' && has_class(c, kControl)) {
      return true;
    } else if (c == ' ' && target_start == 0) {
      target_start = scanned;
    }
  }
  if (window == limits.head_size_max) return true;
  return !request_line_seen && target_start != 0 && scanned - target_start > limits.target_size_max;
}

}  // namespace kourier::http
