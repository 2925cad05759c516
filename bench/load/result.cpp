#include "result.h"

#include <cinttypes>
#include <cstdio>

#include "attack.h"

namespace load {
namespace {

double us(uint64_t ns) { return static_cast<double>(ns) / 1000; }

}  // namespace

void print_result(const options &opt, const result &res, const attack &beside, size_t connection_size) {
  std::printf("{\"mode\":\"%s\",\"connections\":%u,\"addresses\":%u,\"depth\":%u,\"size\":%" PRIu64
              ",\"rate\":%u,\"connected\":%u,\"connect_seconds\":%.3f,\"seconds\":%.3f",
              opt.mode_name, opt.connection_count, opt.address_count, opt.depth, opt.body_size,
              opt.mode == load_mode::open ? opt.rate : 0, res.connected_count, res.connect_seconds, res.load_seconds);
  std::printf(",\"requests\":%" PRIu64 ",\"drained\":%" PRIu64 ",\"bytes_sent\":%" PRIu64 ",\"bytes_received\":%" PRIu64
              ",\"late\":%" PRIu64,
              res.request_count, res.drained_count, res.sent_size, res.received_size, res.late_count);
  std::printf(",\"served_per_quarter\":[%u,%u,%u,%u],\"alive\":%u", res.served_counts[0], res.served_counts[1],
              res.served_counts[2], res.served_counts[3], res.alive_count);
  std::printf(",\"errors\":{\"connect\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"malformed\":%" PRIu64
              ",\"status\":%" PRIu64 ",\"body\":%" PRIu64 ",\"unanswered\":%" PRIu64 "}",
              res.connect_errors, res.closed_errors, res.malformed_errors, res.status_errors, res.body_errors,
              res.unanswered_errors);
  std::printf(",\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
              us(res.latency.quantile(0.5)), us(res.latency.quantile(0.9)), us(res.latency.quantile(0.99)),
              us(res.latency.quantile(0.999)), us(res.latency.max()));
  std::printf(
      ",\"attack\":{\"slow_heads\":%u,\"slow_readers\":%u,\"standing\":%u,\"standing_at_end\":%u,\"closed\":%" PRIu64
      ",\"connect_errors\":%" PRIu64 ",\"bytes_received\":%" PRIu64 "},\"connection_bytes\":%zu}\n",
      opt.slow_head_count, opt.slow_reader_count, res.standing_begin_count, res.standing_end_count,
      beside.closed_count(), beside.connect_error_count(), beside.received_size(), connection_size);
}

}  // namespace load
