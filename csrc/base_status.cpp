//go:build !kourier_cmake

#include "kourier.h"

const char *kr_status_text(kr_status status) {
  switch (status) {
    case KR_OK:
      return "success";
    case KR_ERR_INVALID:
      return "invalid argument";
    case KR_ERR_MEMORY:
      return "out of memory";
    case KR_ERR_SYSTEM:
      return "the system refused a descriptor or a thread";
    case KR_ERR_CLOSED:
      return "closed";
    case KR_ERR_BLOCKED:
      return "not finished yet";
    case KR_ERR_REFUSED:
      return "the peer has broken the protocol";
    default:
      return "unknown status";
  }
}

const char *kr_reason_text(uint32_t reason) {
  static const char *const kNames[KR_REASON_COUNT] = {
      "",
      "bad_request_line",
      "bad_method",
      "bad_target",
      "bad_version",
      "bad_field",
      "bad_host",
      "bad_content_length",
      "bad_transfer_encoding",
      "bad_chunk",
      "bad_trailer",
      "bad_expect",
      "target_too_long",
      "head_too_large",
      "too_many_fields",
      "body_too_large",
      "head_timeout",
      "body_timeout",
      "body_too_slow",
      "write_timeout",
      "drain_too_slow",
      "idle_timeout",
      "no_memory",
  };
  return reason < KR_REASON_COUNT ? kNames[reason] : "";
}
