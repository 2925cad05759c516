// The chunked transfer coding, RFC 9112 §7.1, decoded in place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http_head.h"

namespace kourier::http {

// Decodes one chunked body that arrives in pieces. Resumable at every byte.
class chunked_decoder {
 public:
  static constexpr uint16_t kTrailerSizeMax = 8192;  // octets of the section, its line ends included; 431
  static constexpr uint8_t kTrailerCountMax = 128;   // fields; 431

  // Consumes up to `size` bytes of `in` and writes the decoded bytes to `out`,
  // which may equal `in` or lie before it: the content, and behind it the trailer
  // section as it came, with the empty line that ends it. Consumes everything unless
  // the body ends (verdict::done) or is refused (verdict::bad; status() and reason()
  // say why). Refuses with 413 when the content would exceed body_size_max bytes in
  // all, at the chunk-size line that announces them. Extensions are checked and dropped.
  verdict decode(char *out, const char *in, size_t size, uint64_t body_size_max, size_t *written_out,
                 size_t *consumed_out);

  // Of the octets written so far, how many are of the trailer section.
  size_t trailer_size() const { return trailer_size_; }

  uint16_t status() const { return status_; }
  uint8_t reason() const { return reason_; }

 private:
  enum class state : uint8_t;

  void step(uint8_t octet, uint64_t body_size_max);
  void step_size(uint8_t octet);
  void step_extension(uint8_t octet);
  void step_trailer(uint8_t octet);
  void end_size_line(uint64_t body_size_max);
  void count_extension_octet();
  void begin_trailer_name(uint8_t octet);
  void end_trailer_name();
  void refuse(uint16_t status, uint8_t reason);

  uint64_t announced_ = 0;        // bytes in all chunks so far, the present one included
  uint64_t chunk_remaining_ = 0;  // of the present chunk; while its size line is read, the size so far
  uint64_t name_hash_ = 0;        // of the trailer field name so far
  uint64_t extension_total_ = 0;  // octets of chunk extensions so far
  uint16_t line_size_ = 0;        // digits of the chunk size, then octets of its extensions
  uint16_t trailer_size_ = 0;     // octets of the trailer section so far, the empty line included
  uint16_t status_ = 0;
  uint8_t trailer_count_ = 0;
  uint8_t reason_ = 0;
  state state_{};
};
static_assert(sizeof(chunked_decoder) <= 48, "part of every connection that receives a chunked body");

}  // namespace kourier::http
