// The fields that frame a request or steer its connection, gathered while the
// field lines are read and judged when all of them are known.
#pragma once

#include <cstdint>

#include "http_chars.h"
#include "http_head.h"
#include "http_target.h"

namespace kourier::http {

enum class field_id : uint8_t { other, host, content_length, transfer_encoding, connection, expect, upgrade, trailer };

struct refusal {
  uint16_t status;
  uint8_t reason;  // KR_REASON_*
};

struct field_facts {
  slice host;
  uint64_t content_length;
  uint32_t te_chunked_count;  // elements "chunked" of all Transfer-Encoding fields together
  bool has_host;
  bool has_length;
  bool has_te;
  bool te_chunked_last;  // the last element so far is "chunked"
  bool te_unknown;       // a token that is another coding
  bool te_malformed;     // an element that is no token: parameters, quotes, blanks inside
  bool connection_close;
  bool connection_keep_alive;
  bool connection_upgrade;
  bool has_upgrade;
  bool expects_continue;
  bool expects_other;
  bool announces_framing;  // a Trailer field lists what is no trailer: a field that frames the message
};

// Bit (size & 31) of entry (first letter & 31) is set when a field name of that
// size and first letter may be one of field_id. One load and one test tell most
// names from the seven that matter.
constexpr std::array<uint32_t, 32> make_name_filter() {
  std::array<uint32_t, 32> filter{};
  for (const char *name :
       {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "trailer"}) {
    size_t size = 0;
    while (name[size] != 0) ++size;
    filter[name[0] & 31] |= 1U << size;
  }
  return filter;
}

inline constexpr std::array<uint32_t, 32> kNameFilter = make_name_filter();

inline bool may_matter(char first, uint32_t name_size) {
  return (kNameFilter[static_cast<uint8_t>(first) & 31] & 1U << (name_size & 31)) != 0;
}

// The field called name, in any case of letters.
field_id identify_field(const char *name, size_t size);

// Takes in one field. `value` counts from `data` and is trimmed. False when this
// field alone, or beside an earlier one of its name, refuses the request.
bool add_field(field_id id, const char *data, slice value, field_facts *facts, refusal *refusal_out);

// Judges what was gathered, and fills path, query, host and flags of *request, whose
// method and version flag are set, and framing, content_length and expects_continue
// of *head, which are zero. False: refused.
bool finish_head(const field_facts &facts, const target_parts &parts, kr_request *request, head_facts *head,
                 refusal *refusal_out);

}  // namespace kourier::http
