// Time and bytes/s of the head reader, for each kernel that this machine runs and
// for requests of three sizes. KOURIER_KERNEL has no effect here.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "http_head.h"
#include "http_head_kernels.h"
#include "simd.h"

namespace {

using kourier::http::head_facts;
using kourier::http::head_limits;
using kourier::http::head_reader;
using kourier::http::read_head_scalar;
using kourier::http::verdict;
namespace simd = kourier::simd;

// The usual input for comparing HTTP parsers: 703 bytes as a browser of 2010 sent them.
constexpr std::string_view kBrowser =
    "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n"
    "Host: www.kittyhell.com\r\n"
    "User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 "
    "Pathtraq/0.9\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip,deflate\r\n"
    "Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n"
    "Keep-Alive: 115\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; "
    "__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; "
    "__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral\r\n"
    "\r\n";
static_assert(kBrowser.size() == 703);

constexpr std::string_view kClient =
    "POST /api/v1/users/4711/orders?dry_run=true HTTP/1.1\r\n"
    "Host: api.example.com:8443\r\n"
    "User-Agent: curl/7.88.1\r\n"
    "Accept: */*\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 27\r\n"
    "X-Request-Id: 0123456789abcdef\r\n"
    "\r\n";

constexpr std::string_view kTiny = "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

constexpr head_limits kLimits{16384, 8192, 128};

// The request stands at the very end of what may be read: the tail is measured too.
void read_one(benchmark::State &state, simd::isa level, std::string_view text) {
  const std::vector<char> bytes(text.begin(), text.end());
  std::vector<kr_field> fields(kLimits.field_count_max);
  kr_request request;
  head_facts facts;
  const head_reader reader = kourier::http::reader_of(level);
  bool sound = true;
  for (auto _ : state) {
    const char *data = bytes.data();
    benchmark::DoNotOptimize(data);
    if (reader != nullptr) {
      sound &= reader(data, bytes.size(), kLimits, fields.data(), &request, &facts);
    } else {
      sound &= read_head_scalar(data, bytes.size(), kLimits, fields.data(), &request, &facts) == verdict::done;
    }
    benchmark::DoNotOptimize(request);
    benchmark::DoNotOptimize(facts);
    benchmark::ClobberMemory();
  }
  if (!sound) state.SkipWithError("refused");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}

// As a server calls it: through parse_head, many requests one behind the other.
void read_pipeline(benchmark::State &state) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += kTiny;
  std::vector<kr_field> fields(kLimits.field_count_max);
  kr_request request;
  head_facts facts;
  for (auto _ : state) {
    size_t at = 0;
    while (at < bytes.size()) {
      if (kourier::http::parse_head(bytes.data() + at, bytes.size() - at, kLimits, fields.data(), &request, &facts) !=
          verdict::done) {
        state.SkipWithError("refused");
        return;
      }
      benchmark::DoNotOptimize(request);
      benchmark::DoNotOptimize(facts);
      at += facts.size;
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
  state.SetItemsProcessed(state.iterations() * 256);
}

}  // namespace

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  const std::pair<const char *, std::string_view> inputs[] = {
      {"browser_703", kBrowser}, {"client_216", kClient}, {"tiny_45", kTiny}};
  for (const auto &[input, text] : inputs) {
    for (uint8_t i = 0; i < simd::kIsaCount; ++i) {
      const auto level = static_cast<simd::isa>(i);
      if (!simd::is_supported(level)) continue;
      const std::string name = std::string(input) + "/" + simd::name_of(level);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [level, text = text](benchmark::State &state) { read_one(state, level, text); });
    }
  }
  benchmark::RegisterBenchmark("pipeline_256_tiny", read_pipeline);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
