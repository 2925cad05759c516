//go:build !kourier_cmake

// The specification of the head reader: RFC 9112 §2-§5, octet by octet.
//
//   state          octets taken                        refused with
//   empty lines    CR LF, at most kEmptyLinesMax       400
//   method         tchar … SP                          400; 501 when no limit holds it
//   target         target octets … SP                  400; 414 above target_size_max
//   version        "HTTP/" DIGIT "." DIGIT CR LF       400; 505 for another major version
//   field name     tchar … ":"                         400; 431 above field_count_max
//   field value    all but controls … CR LF            400
//   end            CR LF                               400, 501, 417 by finish_head
//
// A judgement is passed at the first octet that allows it and looks at no later
// one. That is why it does not depend on how the network cuts the bytes.
#include "base_assert.h"
#include "http_chars.h"
#include "http_fields.h"
#include "http_head_kernels.h"
#include "http_target.h"

namespace kourier::http {

uint8_t method_id_of(const char *data, size_t size) {
  struct known_method {
    const char *name;
    uint8_t size;
    uint8_t id;
  };
  static constexpr known_method kMethods[] = {
      {"GET", 3, KR_METHOD_GET},         {"HEAD", 4, KR_METHOD_HEAD},     {"POST", 4, KR_METHOD_POST},
      {"PUT", 3, KR_METHOD_PUT},         {"DELETE", 6, KR_METHOD_DELETE}, {"CONNECT", 7, KR_METHOD_CONNECT},
      {"OPTIONS", 7, KR_METHOD_OPTIONS}, {"TRACE", 5, KR_METHOD_TRACE},   {"PATCH", 5, KR_METHOD_PATCH},
  };
  for (const known_method &method : kMethods) {
    if (method.size == size && std::memcmp(data, method.name, size) == 0) return method.id;
  }
  return KR_METHOD_OTHER;
}

namespace {

// How a state ended. Only `next` lets the one behind it begin.
enum class step : uint8_t { next, more, bad, done };

class reader {
 public:
  reader(const char *data, size_t size, const head_limits &limits, kr_field *fields, kr_request *request,
         head_facts *head)
      : data_(data),
        size_(static_cast<uint32_t>(size < limits.head_size_max ? size : limits.head_size_max)),
        limits_(limits),
        fields_(fields),
        request_(request),
        head_(head) {}

  verdict read() {
    step result = read_empty_lines();
    if (result == step::next) result = read_method();
    if (result == step::next) result = read_target();
    if (result == step::next) result = read_version();
    while (result == step::next) result = read_field_or_end();
    if (result == step::done) return verdict::done;
    return result == step::more ? verdict::more : verdict::bad;
  }

 private:
  step bad(uint16_t status, uint8_t reason) {
    head_->status = status;
    head_->reason = reason;
    return step::bad;
  }

  step bad(const refusal &why) { return bad(why.status, why.reason); }

  // There is no octet at at_: either it has not come yet, or head_size_max forbids it.
  step end_of_input(uint16_t status, uint8_t reason) {
    KR_ASSERT(at_ == size_);
    return size_ == limits_.head_size_max ? bad(status, reason) : step::more;
  }

  step too_large() { return end_of_input(431, KR_REASON_HEAD_TOO_LARGE); }

  // The octet at at_ does not belong into a part of the request line, or ends the line before all parts have come.
  step bad_part(uint8_t reason) {
    return bad(400, octet() == '\r' || octet() == '\n' ? uint8_t{KR_REASON_BAD_REQUEST_LINE} : reason);
  }

  uint8_t octet() const { return static_cast<uint8_t>(data_[at_]); }

  // The CR at at_ and the LF behind it.
  step read_crlf(uint8_t reason) {
    if (at_ == size_) return too_large();
    if (octet() != '\r') return bad(400, reason);
    ++at_;
    if (at_ == size_) return too_large();
    if (octet() != '\n') return bad(400, reason);
    ++at_;
    return step::next;
  }

  // RFC 9112 §2.2: empty lines before the request line are ignored.
  step read_empty_lines() {
    for (uint32_t count = 0;; ++count) {
      if (at_ == size_) return too_large();
      if (octet() != '\r') return step::next;
      if (count == kEmptyLinesMax) return bad(400, KR_REASON_BAD_REQUEST_LINE);
      const step result = read_crlf(KR_REASON_BAD_REQUEST_LINE);
      if (result != step::next) return result;
    }
  }

  step read_method() {
    const uint32_t start = at_;
    while (at_ < size_ && has_class(data_[at_], kTchar)) ++at_;
    // RFC 9112 §3: a method longer than any that is known gets 501.
    if (at_ == size_) return end_of_input(501, KR_REASON_BAD_METHOD);
    if (octet() != ' ' || at_ == start) return bad_part(KR_REASON_BAD_METHOD);
    request_->method_offset = start;
    request_->method_size = at_ - start;
    request_->method = method_id_of(data_ + start, at_ - start);
    head_->method_id = request_->method;
    ++at_;
    return step::next;
  }

  // Brackets are for the IP-literals of the absolute and the authority form;
  // split_target finds those in other places.
  step read_target() {
    const uint32_t start = at_;
    while (at_ < size_ && (has_class(data_[at_], kTarget) || octet() == '[' || octet() == ']')) {
      if (at_ - start == limits_.target_size_max) return bad(414, KR_REASON_TARGET_TOO_LONG);
      ++at_;
    }
    if (at_ == size_) return end_of_input(414, KR_REASON_TARGET_TOO_LONG);
    request_->target_offset = start;
    request_->target_size = at_ - start;
    if (octet() != ' ' || !split_target(data_, {start, at_ - start}, request_->method, &parts_)) {
      return bad_part(KR_REASON_BAD_TARGET);
    }
    ++at_;
    return step::next;
  }

  // RFC 9112 §2.3. Minor versions above 1 are handled as 1.1, RFC 9110 §2.5. What does
  // not begin with "HTTP/" is no version: the target has a blank, or the line other parts.
  step read_version() {
    static constexpr char kPattern[] = "HTTP/0.0";  // '0' stands for any digit
    static constexpr uint32_t kNameSize = 5;
    const uint32_t start = at_;
    for (uint32_t i = 0; i < sizeof kPattern - 1; ++i, ++at_) {
      if (at_ == size_) return too_large();
      const bool fits = kPattern[i] == '0' ? is_digit(octet()) : data_[at_] == kPattern[i];
      if (!fits) return bad(400, i < kNameSize ? KR_REASON_BAD_REQUEST_LINE : KR_REASON_BAD_VERSION);
    }
    const uint32_t end = at_;
    const step result = read_crlf(KR_REASON_BAD_REQUEST_LINE);
    if (result == step::bad && at_ == end && at_ < size_ && has_class(data_[at_], kTchar)) {
      return bad(400, KR_REASON_BAD_VERSION);  // "HTTP/1.10"
    }
    if (result != step::next) return result;
    if (data_[start + 5] != '1') return bad(505, KR_REASON_BAD_VERSION);
    if (data_[start + 7] == '0') request_->flags |= KR_REQUEST_HTTP10;
    return step::next;
  }

  step read_field_or_end() {
    if (at_ == size_) return too_large();
    return octet() == '\r' ? read_end() : read_field();
  }

  // field-line = field-name ":" OWS field-value OWS, RFC 9112 §5. No blank before
  // the colon (§5.1) and none at the start of a line (§5.2: obs-fold).
  step read_field() {
    if (request_->field_count == limits_.field_count_max) return bad(431, KR_REASON_TOO_MANY_FIELDS);
    const uint32_t name = at_;
    while (at_ < size_ && has_class(data_[at_], kTchar)) ++at_;
    if (at_ == size_) return too_large();
    if (octet() != ':' || at_ == name) return bad(400, KR_REASON_BAD_FIELD);
    const uint32_t name_size = at_ - name;
    ++at_;
    uint32_t value = at_;
    while (at_ < size_ && !has_class(data_[at_], kControl)) ++at_;
    uint32_t end = at_;
    const step result = read_crlf(KR_REASON_BAD_FIELD);
    if (result != step::next) return result;
    while (value < end && is_blank(static_cast<uint8_t>(data_[value]))) ++value;
    while (end > value && is_blank(static_cast<uint8_t>(data_[end - 1]))) --end;
    fields_[request_->field_count++] = {name, name_size, value, end - value};
    refusal why{};
    const field_id id = identify_field(data_ + name, name_size);
    return add_field(id, data_, {value, end - value}, &facts_, &why) ? step::next : bad(why);
  }

  step read_end() {
    const step result = read_crlf(KR_REASON_BAD_FIELD);
    if (result != step::next) return result;
    head_->size = at_;
    request_->body = data_ + at_;
    refusal why{};
    return finish_head(facts_, parts_, request_, head_, &why) ? step::done : bad(why);
  }

  const char *data_;
  uint32_t size_;  // of what may be looked at: no octet beyond head_size_max
  uint32_t at_ = 0;
  const head_limits &limits_;
  kr_field *fields_;
  kr_request *request_;
  head_facts *head_;
  target_parts parts_{};
  field_facts facts_{};
};

}  // namespace

verdict read_head_scalar(const char *data, size_t size, const head_limits &limits, kr_field *fields,
                         kr_request *request_out, head_facts *facts_out) {
  *request_out = {};
  request_out->base = data;
  request_out->fields = fields;
  *facts_out = {};
  return reader(data, size, limits, fields, request_out, facts_out).read();
}

}  // namespace kourier::http
