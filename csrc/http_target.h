// The request-target, RFC 9112 §3.2: which of the four forms it is, and its parts.
#pragma once

#include <cstdint>

#include "http_head.h"

namespace kourier::http {

enum class target_form : uint8_t { origin, absolute, authority, asterisk };

struct target_parts {
  target_form form;
  bool has_query;
  slice path;
  slice query;
  slice host;  // of the absolute and of the authority form; else empty
};

// Takes data[target.offset, +size) apart; offsets in *parts_out count from `data`.
// False when it is none of the forms that `method_id` may have.
bool split_target(const char *data, slice target, uint8_t method_id, target_parts *parts_out);

// True when every '%' in data[0, size) is followed by two hex digits, RFC 3986 §2.1.
bool percent_is_sound(const char *data, size_t size);

}  // namespace kourier::http
