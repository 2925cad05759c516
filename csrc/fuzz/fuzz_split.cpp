// Whole against cut: a head gets one verdict and a chunked body one content, however
// the network cuts the bytes. The first octets of the input say where to cut.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "http_chunked.h"
#include "http_head.h"

namespace {

using namespace kourier::http;

constexpr head_limits kLimits{2048, 512, 16};
constexpr uint64_t kBodySizeMax = 1 << 20;
constexpr size_t kCuts = 3;

void require(bool condition) {
  if (!condition) std::abort();
}

// parse_head over a copy that ends where the bytes end.
verdict parse_exact(const char *data, size_t size, head_facts *facts_out) {
  const std::unique_ptr<char[]> copy(new char[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  kr_field fields[kLimits.field_count_max];
  kr_request request;
  return parse_head(copy.get(), size, kLimits, fields, &request, facts_out);
}

// What a connection does: ask the scanner, then the parser.
verdict parse_cut(const char *data, const std::vector<size_t> &ends, head_facts *facts_out) {
  head_scanner scanner;
  for (const size_t end : ends) {
    if (!scanner.advance(data, end, kLimits)) continue;
    const verdict result = parse_exact(data, end, facts_out);
    if (result != verdict::more) return result;
  }
  return verdict::more;
}

void check_head(const char *data, size_t size, const std::vector<size_t> &ends) {
  head_facts whole;
  head_facts cut;
  const verdict expected = parse_exact(data, size, &whole);
  const verdict actual = parse_cut(data, ends, &cut);
  // The scanner may pass over what is wrong in a line that has not ended.
  if (expected == verdict::bad && actual == verdict::more) return;
  require(actual == expected);
  if (expected == verdict::done) require(cut.size == whole.size && cut.content_length == whole.content_length);
  if (expected == verdict::bad) require(cut.status == whole.status && cut.reason == whole.reason);
}

struct body_result {
  verdict outcome = verdict::more;
  uint16_t status = 0;
  size_t consumed = 0;
  std::vector<char> content;
  std::string trailer;
};

body_result decode(const char *data, const std::vector<size_t> &ends) {
  chunked_decoder decoder;
  body_result result;
  size_t at = 0;
  for (const size_t end : ends) {
    std::vector<char> piece(data + at, data + end);
    size_t written = 0;
    size_t consumed = 0;
    result.outcome = decoder.decode(piece.data(), piece.data(), piece.size(), kBodySizeMax, &written, &consumed);
    require(written <= consumed && consumed <= piece.size());
    const size_t trailer_size = decoder.trailer_size() - result.trailer.size();
    require(trailer_size <= written);
    const char *trailer = piece.data() + (written - trailer_size);
    result.content.insert(result.content.end(), static_cast<const char *>(piece.data()), trailer);
    result.trailer.append(trailer, trailer_size);
    result.consumed += consumed;
    at = end;
    if (result.outcome != verdict::more) break;
    require(consumed == piece.size());
  }
  result.status = decoder.status();
  return result;
}

void check_body(const char *data, size_t size, const std::vector<size_t> &ends) {
  const body_result whole = decode(data, {size});
  const body_result cut = decode(data, ends);
  require(whole.outcome == cut.outcome && whole.status == cut.status && whole.consumed == cut.consumed);
  require(whole.content == cut.content && whole.trailer == cut.trailer);
  if (whole.outcome == verdict::done) {
    // It ends at its first empty line, and nowhere else.
    const size_t end = whole.trailer.compare(0, 2, "\r\n") == 0 ? 2 : whole.trailer.find("\r\n\r\n") + 4;
    require(end == whole.trailer.size());
    require(whole.trailer == std::string(data + whole.consumed - end, end));
  }
  require((whole.outcome == verdict::bad) == (whole.status != 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size < 2 * kCuts) return 0;
  const char *data = reinterpret_cast<const char *>(bytes) + 2 * kCuts;
  const size_t data_size = size - 2 * kCuts;
  std::vector<size_t> ends{data_size};
  for (size_t i = 0; i < kCuts; ++i) ends.push_back((bytes[2 * i] << 8 | bytes[2 * i + 1]) % (data_size + 1));
  std::sort(ends.begin(), ends.end());
  check_head(data, data_size, ends);
  check_body(data, data_size, ends);
  return 0;
}
