// What every test of the head reader does with a head: read it whole, at a wall, with
// the active kernel and with all others, and cut at every octet.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "guarded_buffer.h"
#include "http_head.h"
#include "http_head_kernels.h"
#include "simd.h"

namespace kourier::test {

inline constexpr http::head_limits kLimits{16384, 8192, 100};

// The record and the facts of a head, named as the tests speak of them.
struct head_view {
  uint32_t size;
  http::slice method;
  http::slice target;
  http::slice path;
  http::slice query;
  http::slice host;
  uint64_t content_length;
  uint16_t field_count;
  uint16_t status;
  uint8_t reason;
  uint8_t method_id;
  uint8_t flags;
  http::body_framing framing;
  bool expects_continue;
};

inline head_view view_of(const kr_request &r, const http::head_facts &f) {
  return {f.size,
          {r.method_offset, r.method_size},
          {r.target_offset, r.target_size},
          {r.path_offset, r.path_size},
          {r.query_offset, r.query_size},
          {r.host_offset, r.host_size},
          f.content_length,
          r.field_count,
          f.status,
          f.reason,
          f.method_id,
          r.flags,
          f.framing,
          f.expects_continue};
}

struct parsed {
  http::verdict verdict = http::verdict::more;
  head_view head{};
  std::vector<kr_field> fields;
  std::string text;

  std::string_view at(http::slice s) const { return std::string_view(text).substr(s.offset, s.size); }
  std::string_view name(size_t i) const { return at({fields[i].name_offset, fields[i].name_size}); }
  std::string_view value(size_t i) const { return at({fields[i].value_offset, fields[i].value_size}); }
};

// A record as it may be before: nothing in it is zero.
inline kr_request used_record() {
  kr_request record;
  std::memset(&record, 0xa5, sizeof record);
  return record;
}

// Of a head that was read: what parse_head promises beside the view.
inline void expect_unanswered(const kr_request &r, const char *data, const kr_field *fields, uint32_t head_size) {
  EXPECT_EQ(r.base, data);
  EXPECT_EQ(r.fields, fields);
  EXPECT_EQ(r.body, data + head_size);
  EXPECT_EQ(r.body_size, 0U);
  EXPECT_EQ(r.answer_flags, 0);
  EXPECT_EQ(r.answer_source, 0);
  EXPECT_EQ(r.answer_code, 0);
  EXPECT_EQ(r.answer_offset, 0U);
  EXPECT_EQ(r.answer_size, 0U);
}

inline guarded_buffer &wall() {
  static guarded_buffer buffer(1 << 20);
  return buffer;
}

inline parsed parse(std::string_view text, const http::head_limits &limits = kLimits) {
  parsed result;
  result.text = text;
  result.fields.resize(limits.field_count_max);
  const std::string_view bytes = wall().put(text);
  kr_request request = used_record();
  http::head_facts facts;
  result.verdict = http::parse_head(bytes.data(), bytes.size(), limits, result.fields.data(), &request, &facts);
  if (result.verdict == http::verdict::done) {
    expect_unanswered(request, bytes.data(), result.fields.data(), facts.size);
    EXPECT_EQ(request.method, facts.method_id);
  }
  if (result.verdict != http::verdict::more) result.head = view_of(request, facts);
  return result;
}

inline void expect_equal(const head_view &a, const head_view &b) {
  EXPECT_EQ(a.size, b.size);
  for (const auto member :
       {&head_view::method, &head_view::target, &head_view::path, &head_view::query, &head_view::host}) {
    EXPECT_EQ((a.*member).offset, (b.*member).offset);
    EXPECT_EQ((a.*member).size, (b.*member).size);
  }
  EXPECT_EQ(a.content_length, b.content_length);
  EXPECT_EQ(a.field_count, b.field_count);
  EXPECT_EQ(a.method_id, b.method_id);
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.framing, b.framing);
  EXPECT_EQ(a.expects_continue, b.expects_continue);
}

// Every kernel of this machine: the scalar reader's head and fields, or no opinion.
inline void check_kernels(std::string_view text, const http::head_limits &limits = kLimits) {
  std::vector<kr_field> expected_fields(limits.field_count_max);
  std::vector<kr_field> fields(limits.field_count_max);
  kr_request expected;
  http::head_facts expected_facts;
  const std::string_view bytes = wall().put(text);
  const http::verdict verdict =
      http::read_head_scalar(bytes.data(), bytes.size(), limits, expected_fields.data(), &expected, &expected_facts);
  for (uint8_t i = 0; i < simd::kIsaCount; ++i) {
    const auto level = static_cast<simd::isa>(i);
    const http::head_reader reader = http::reader_of(level);
    if (reader == nullptr || !simd::is_supported(level)) continue;
    kr_request request = used_record();
    http::head_facts facts;
    if (!reader(bytes.data(), bytes.size(), limits, fields.data(), &request, &facts)) continue;
    SCOPED_TRACE(simd::name_of(level));
    ASSERT_EQ(verdict, http::verdict::done);
    expect_equal(view_of(request, facts), view_of(expected, expected_facts));
    expect_unanswered(request, bytes.data(), fields.data(), facts.size);
    ASSERT_EQ(request.method, expected.method);
    ASSERT_EQ(0, std::memcmp(fields.data(), expected_fields.data(), request.field_count * sizeof(kr_field)));
  }
}

// A prefix may get the verdict of the whole, or none; through the scanner too.
inline void check_splits(const parsed &whole, const http::head_limits &limits = kLimits) {
  const std::string_view text = whole.text;
  http::head_scanner scanner;
  bool asked = false;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const parsed part = parse(text.substr(0, cut), limits);
    if (part.verdict == http::verdict::bad) {
      ASSERT_EQ(whole.verdict, http::verdict::bad) << "cut at " << cut;
      ASSERT_EQ(part.head.status, whole.head.status) << "cut at " << cut;
      ASSERT_EQ(part.head.reason, whole.head.reason) << "cut at " << cut;
    }
    if (part.verdict == http::verdict::done) {
      ASSERT_EQ(whole.verdict, http::verdict::done) << "cut at " << cut;
      ASSERT_GE(cut, whole.head.size);
    }
    const std::string_view bytes = wall().put(text.substr(0, cut));
    asked = scanner.advance(bytes.data(), bytes.size(), limits);
    if (asked && part.verdict != http::verdict::more) return;
  }
  ASSERT_NE(whole.verdict, http::verdict::done) << "the scanner never asked";
}

inline parsed check(std::string_view text, const http::head_limits &limits = kLimits) {
  SCOPED_TRACE(testing::PrintToString(std::string(text.substr(0, 200))));
  parsed result = parse(text, limits);
  check_kernels(text, limits);
  if (text.size() < 2000) check_splits(result, limits);
  return result;
}

inline parsed expect_done(std::string_view text, const http::head_limits &limits = kLimits) {
  parsed result = check(text, limits);
  EXPECT_EQ(result.verdict, http::verdict::done)
      << testing::PrintToString(std::string(text.substr(0, 200))) << " got " << result.head.status;
  return result;
}

inline void expect_bad(std::string_view text, uint16_t status, uint8_t reason,
                       const http::head_limits &limits = kLimits) {
  const parsed result = check(text, limits);
  EXPECT_EQ(result.verdict, http::verdict::bad) << testing::PrintToString(std::string(text.substr(0, 200)));
  EXPECT_EQ(result.head.status, status) << testing::PrintToString(std::string(text.substr(0, 200)));
  EXPECT_EQ(result.head.reason, reason) << testing::PrintToString(std::string(text.substr(0, 200)));
}

inline void expect_more(std::string_view text, const http::head_limits &limits = kLimits) {
  EXPECT_EQ(check(text, limits).verdict, http::verdict::more)
      << testing::PrintToString(std::string(text.substr(0, 200)));
}

}  // namespace kourier::test
