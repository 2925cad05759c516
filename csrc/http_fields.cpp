//go:build !kourier_cmake

#include "http_fields.h"

#include "http_authority.h"

namespace kourier::http {

field_id identify_field(const char *name, size_t size) {
  switch (size) {
    case 4:
      return equals_ignoring_case(name, size, "host") ? field_id::host : field_id::other;
    case 6:
      return equals_ignoring_case(name, size, "expect") ? field_id::expect : field_id::other;
    case 7:
      return equals_ignoring_case(name, size, "upgrade")   ? field_id::upgrade
             : equals_ignoring_case(name, size, "trailer") ? field_id::trailer
                                                           : field_id::other;
    case 10:
      return equals_ignoring_case(name, size, "connection") ? field_id::connection : field_id::other;
    case 14:
      return equals_ignoring_case(name, size, "content-length") ? field_id::content_length : field_id::other;
    case 17:
      return equals_ignoring_case(name, size, "transfer-encoding") ? field_id::transfer_encoding : field_id::other;
    default:
      return field_id::other;
  }
}

namespace {

bool refuse(uint16_t status, uint8_t reason, refusal *refusal_out) {
  *refusal_out = {status, reason};
  return false;
}

// RFC 9112 §3.2: two Host lines are refused, also equal ones and also in HTTP/1.0.
bool add_host(const char *data, slice value, field_facts *facts, refusal *refusal_out) {
  const bool valid = value.size == 0 || is_authority(data + value.offset, value.size, port_rule::optional);
  if (facts->has_host || !valid) return refuse(400, KR_REASON_BAD_HOST, refusal_out);
  facts->has_host = true;
  facts->host = value;
  return true;
}

// RFC 9110 §8.6: 1*DIGIT. A list of equal values, or a second line with the same
// value, MAY be taken as one; it is refused here, because it shows that somebody
// on the way has merged two opinions about where the message ends.
bool add_content_length(const char *data, slice value, field_facts *facts, refusal *refusal_out) {
  if (facts->has_length || value.size == 0) return refuse(400, KR_REASON_BAD_CONTENT_LENGTH, refusal_out);
  uint64_t length = 0;
  bool overflow = false;
  for (uint32_t i = 0; i < value.size; ++i) {
    const auto c = static_cast<uint8_t>(data[value.offset + i]);
    if (!is_digit(c)) return refuse(400, KR_REASON_BAD_CONTENT_LENGTH, refusal_out);
    overflow |= __builtin_mul_overflow(length, 10U, &length);
    overflow |= __builtin_add_overflow(length, static_cast<uint64_t>(c - '0'), &length);
  }
  // A valid number, and more than anybody takes.
  if (overflow) return refuse(413, KR_REASON_BODY_TOO_LARGE, refusal_out);
  facts->has_length = true;
  facts->content_length = length;
  return true;
}

bool is_token(const char *data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (!has_class(data[i], kTchar)) return false;
  }
  return size > 0;
}

// Lines combine to one list, RFC 9110 §5.3; empty elements are ignored, §5.6.1.
void add_transfer_encoding(const char *data, slice value, field_facts *facts) {
  facts->has_te = true;
  for_each_element(data + value.offset, value.size, [facts](const char *element, size_t size) {
    facts->te_chunked_last = equals_ignoring_case(element, size, "chunked");
    if (facts->te_chunked_last) {
      ++facts->te_chunked_count;
    } else if (is_token(element, size)) {
      facts->te_unknown = true;
    } else {
      facts->te_malformed = true;
    }
    return true;
  });
}

void add_connection(const char *data, slice value, field_facts *facts) {
  for_each_element(data + value.offset, value.size, [facts](const char *element, size_t size) {
    facts->connection_close |= equals_ignoring_case(element, size, "close");
    facts->connection_keep_alive |= equals_ignoring_case(element, size, "keep-alive");
    facts->connection_upgrade |= equals_ignoring_case(element, size, "upgrade");
    return true;
  });
}

void add_expect(const char *data, slice value, field_facts *facts) {
  for_each_element(data + value.offset, value.size, [facts](const char *element, size_t size) {
    const bool known = equals_ignoring_case(element, size, "100-continue");
    facts->expects_continue |= known;
    facts->expects_other |= !known;
    return true;
  });
}

void add_trailer(const char *data, slice value, field_facts *facts) {
  for_each_element(data + value.offset, value.size, [facts](const char *element, size_t size) {
    facts->announces_framing |= equals_ignoring_case(element, size, "transfer-encoding") ||
                                equals_ignoring_case(element, size, "content-length") ||
                                equals_ignoring_case(element, size, "trailer");
    return true;
  });
}

}  // namespace

bool add_field(field_id id, const char *data, slice value, field_facts *facts, refusal *refusal_out) {
  switch (id) {
    case field_id::host:
      return add_host(data, value, facts, refusal_out);
    case field_id::content_length:
      return add_content_length(data, value, facts, refusal_out);
    case field_id::transfer_encoding:
      add_transfer_encoding(data, value, facts);
      return true;
    case field_id::connection:
      add_connection(data, value, facts);
      return true;
    case field_id::expect:
      add_expect(data, value, facts);
      return true;
    case field_id::upgrade:
      facts->has_upgrade = true;
      return true;
    case field_id::trailer:
      add_trailer(data, value, facts);
      return true;
    case field_id::other:
      return true;
  }
  return true;
}

namespace {

// RFC 9112 §3.2 and §3.2.2. An http URI has no empty host (RFC 9110 §4.2.1), so
// an empty Host is taken only where the target brings an authority of its own.
bool finish_host(const field_facts &facts, const target_parts &parts, kr_request *request, refusal *refusal_out) {
  const bool target_has_host = parts.host.size != 0;
  if (!facts.has_host && (request->flags & KR_REQUEST_HTTP10) == 0) return refuse(400, KR_REASON_BAD_HOST, refusal_out);
  if (facts.has_host && facts.host.size == 0 && !target_has_host) return refuse(400, KR_REASON_BAD_HOST, refusal_out);
  const slice host = target_has_host ? parts.host : facts.host;
  request->host_offset = host.offset;
  request->host_size = host.size;
  return true;
}

// RFC 9112 §6.1 and §6.3. What could be read in two ways is refused: both framings
// at once, Transfer-Encoding from a client that cannot know it, and every list of
// codings that is not "chunked" alone.
bool finish_framing(const field_facts &facts, kr_request *request, head_facts *head, refusal *refusal_out) {
  if (facts.has_te) {
    const bool faulty = (request->flags & KR_REQUEST_HTTP10) != 0 || facts.has_length || facts.te_malformed ||
                        facts.te_chunked_count > 1 || (facts.te_chunked_count == 1 && !facts.te_chunked_last) ||
                        (facts.te_chunked_count == 0 && !facts.te_unknown);
    if (faulty) return refuse(400, KR_REASON_BAD_TRANSFER_ENCODING, refusal_out);
    if (facts.te_unknown) return refuse(501, KR_REASON_BAD_TRANSFER_ENCODING, refusal_out);
    // RFC 9110 §6.5.1: whatever frames a message cannot stand behind it.
    if (facts.announces_framing) return refuse(400, KR_REASON_BAD_TRAILER, refusal_out);
    head->framing = body_framing::chunked;
    request->flags |= KR_REQUEST_CHUNKED;
  } else if (facts.has_length) {
    head->framing = body_framing::length;
    head->content_length = facts.content_length;
  }
  return true;
}

// RFC 9112 §9.3: close wins; HTTP/1.0 persists only when asked to.
void finish_connection(const field_facts &facts, kr_request *request) {
  const bool http10 = (request->flags & KR_REQUEST_HTTP10) != 0;
  if (!facts.connection_close && (!http10 || facts.connection_keep_alive)) request->flags |= KR_REQUEST_KEEP_ALIVE;
  // RFC 9110 §7.8: Upgrade in HTTP/1.0 is ignored.
  if (!http10 && facts.connection_upgrade && facts.has_upgrade) request->flags |= KR_REQUEST_UPGRADE;
}

}  // namespace

bool finish_head(const field_facts &facts, const target_parts &parts, kr_request *request, head_facts *head,
                 refusal *refusal_out) {
  request->path_offset = parts.path.offset;
  request->path_size = parts.path.size;
  request->query_offset = parts.query.offset;
  request->query_size = parts.query.size;
  if (parts.has_query) request->flags |= KR_REQUEST_HAS_QUERY;
  if (!finish_host(facts, parts, request, refusal_out)) return false;
  if (!finish_framing(facts, request, head, refusal_out)) return false;
  const bool has_body =
      head->framing == body_framing::chunked || (head->framing == body_framing::length && head->content_length > 0);
  // RFC 9110 §9.3.8: a client must not send content in a TRACE request.
  if (request->method == KR_METHOD_TRACE && has_body) return refuse(400, KR_REASON_BAD_METHOD, refusal_out);
  finish_connection(facts, request);
  // RFC 9110 §10.1.1.
  if ((request->flags & KR_REQUEST_HTTP10) == 0) {
    if (facts.expects_other) return refuse(417, KR_REASON_BAD_EXPECT, refusal_out);
    head->expects_continue = facts.expects_continue && has_body;
  }
  return true;
}

}  // namespace kourier::http
