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

void require_equal(const kr_request &a, const kr_request &b) {
  require(a.base == b.base && a.body == b.body && a.body_size == b.body_size);
  require(a.method_offset == b.method_offset && a.method_size == b.method_size);
  require(a.target_offset == b.target_offset && a.target_size == b.target_size);
  require(a.path_offset == b.path_offset && a.path_size == b.path_size);
  require(a.query_offset == b.query_offset && a.query_size == b.query_size);
  require(a.host_offset == b.host_offset && a.host_size == b.host_size);
  require(a.field_count == b.field_count && a.method == b.method && a.flags == b.flags);
  require(a.answer_flags == b.answer_flags && a.answer_source == b.answer_source && a.answer_code == b.answer_code);
  require(a.answer_offset == b.answer_offset && a.answer_size == b.answer_size);
}

void require_equal(const http::head_facts &a, const http::head_facts &b) {
  require(a.size == b.size && a.method_id == b.method_id);
  require(a.content_length == b.content_length && a.framing == b.framing && a.expects_continue == b.expects_continue);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  // A copy of its own size: the sanitizer sees each octet that is read beyond the end.
  const std::unique_ptr<char[]> data(new char[size]);
  if (size > 0) std::memcpy(data.get(), bytes, size);
  kr_field expected_fields[kLimits.field_count_max];
  kr_request expected;
  http::head_facts expected_facts;
  const http::verdict verdict =
      http::read_head_scalar(data.get(), size, kLimits, expected_fields, &expected, &expected_facts);
  for (uint8_t i = 0; i < simd::kIsaCount; ++i) {
    const auto level = static_cast<simd::isa>(i);
    const http::head_reader reader = http::reader_of(level);
    if (reader == nullptr || !simd::is_supported(level)) continue;
    kr_field fields[kLimits.field_count_max];
    kr_request request;
    http::head_facts facts;
    std::memset(&request, 0xa5, sizeof request);
    if (!reader(data.get(), size, kLimits, fields, &request, &facts)) continue;
    require(verdict == http::verdict::done);
    require(request.fields == fields);
    require_equal(request, expected);
    require_equal(facts, expected_facts);
    require(std::memcmp(fields, expected_fields, request.field_count * sizeof(kr_field)) == 0);
  }
  return 0;
}
