// Every kernel against the specification: whatever the bytes, a kernel that says
// "correct" has to give the head and the fields that read_head_scalar gives.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "http_head_kernels.h"
#include "simd.h"

namespace {

using namespace kourier;

constexpr http::head_limits kLimits{4096, 1024, 32};

void require(bool condition) {
  if (!condition) std::abort();
}

bool equal(const http::slice &a, const http::slice &b) { return a.offset == b.offset && a.size == b.size; }

void require_equal(const http::request_head &a, const http::request_head &b) {
  require(a.size == b.size && a.field_count == b.field_count);
  require(equal(a.method, b.method) && equal(a.target, b.target) && equal(a.path, b.path));
  require(equal(a.query, b.query) && equal(a.host, b.host));
  require(a.content_length == b.content_length && a.framing == b.framing);
  require(a.method_id == b.method_id && a.flags == b.flags && a.expects_continue == b.expects_continue);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  // A copy of its own size: the sanitizer sees each octet that is read beyond the end.
  const std::unique_ptr<char[]> data(new char[size]);
  if (size > 0) std::memcpy(data.get(), bytes, size);
  kr_field expected_fields[kLimits.field_count_max];
  http::request_head expected;
  const http::verdict verdict = http::read_head_scalar(data.get(), size, kLimits, expected_fields, &expected);
  for (uint8_t i = 0; i < simd::kIsaCount; ++i) {
    const auto level = static_cast<simd::isa>(i);
    const http::head_reader reader = http::reader_of(level);
    if (reader == nullptr || !simd::is_supported(level)) continue;
    kr_field fields[kLimits.field_count_max];
    http::request_head head;
    if (!reader(data.get(), size, kLimits, fields, &head)) continue;
    require(verdict == http::verdict::done);
    require_equal(head, expected);
    require(std::memcmp(fields, expected_fields, head.field_count * sizeof(kr_field)) == 0);
  }
  return 0;
}
