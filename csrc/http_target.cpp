//go:build !kourier_cmake

#include "http_target.h"

#include "http_authority.h"
#include "http_chars.h"

namespace kourier::http {

bool percent_is_sound(const char *data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (data[i] != '%') continue;
    if (size - i < 3 || !has_class(data[i + 1], kHex) || !has_class(data[i + 2], kHex)) return false;
    i += 2;
  }
  return true;
}

namespace {

uint32_t find(const char *data, uint32_t begin, uint32_t end, char wanted) {
  const void *at = std::memchr(data + begin, wanted, end - begin);
  return at == nullptr ? end : static_cast<uint32_t>(static_cast<const char *>(at) - data);
}

// path [ "?" query ] in [begin, end).
bool split_path(const char *data, uint32_t begin, uint32_t end, target_parts *parts) {
  for (uint32_t i = begin; i < end; ++i) {
    if (!has_class(data[i], kTarget)) return false;
  }
  if (!percent_is_sound(data + begin, end - begin)) return false;
  const uint32_t question = find(data, begin, end, '?');
  parts->has_query = question != end;
  parts->path = {begin, question - begin};
  const uint32_t query = parts->has_query ? question + 1 : end;
  parts->query = {query, end - query};
  return true;
}

// The size of "http://" or "https://", 0 for any other start. We serve no other
// scheme, and answering for one would claim an authority that we do not have.
uint32_t scheme_size(const char *data, uint32_t size) {
  if (size >= 7 && equals_ignoring_case(data, 7, "http://")) return 7;
  if (size >= 8 && equals_ignoring_case(data, 8, "https://")) return 8;
  return 0;
}

// RFC 9112 §3.2.2.
bool split_absolute(const char *data, slice target, target_parts *parts) {
  const uint32_t scheme = scheme_size(data + target.offset, target.size);
  if (scheme == 0) return false;
  const uint32_t begin = target.offset + scheme;
  const uint32_t end = target.offset + target.size;
  uint32_t path = begin;
  while (path < end && data[path] != '/' && data[path] != '?') ++path;
  if (!is_authority(data + begin, path - begin, port_rule::optional)) return false;
  parts->form = target_form::absolute;
  parts->host = {begin, path - begin};
  return split_path(data, path, end, parts);
}

// RFC 9112 §3.2.3.
bool split_authority(const char *data, slice target, target_parts *parts) {
  if (!is_authority(data + target.offset, target.size, port_rule::required)) return false;
  parts->form = target_form::authority;
  parts->host = target;
  return true;
}

}  // namespace

bool split_target(const char *data, slice target, uint8_t method_id, target_parts *parts_out) {
  if (target.size == 0) return false;
  target_parts parts{};
  parts.path = {target.offset + target.size, 0};
  parts.query = parts.path;
  parts.host = {target.offset, 0};
  bool sound = false;
  if (method_id == KR_METHOD_CONNECT) {
    sound = split_authority(data, target, &parts);
  } else if (data[target.offset] == '/') {
    parts.form = target_form::origin;
    sound = split_path(data, target.offset, target.offset + target.size, &parts);
  } else if (target.size == 1 && data[target.offset] == '*') {
    parts.form = target_form::asterisk;  // RFC 9112 §3.2.4
    parts.path = target;
    sound = method_id == KR_METHOD_OPTIONS;
  } else {
    sound = split_absolute(data, target, &parts);
  }
  if (sound) *parts_out = parts;
  return sound;
}

}  // namespace kourier::http
