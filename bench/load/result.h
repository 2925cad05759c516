#ifndef KOURIER_BENCH_RESULT_H
#define KOURIER_BENCH_RESULT_H

#include <cstdint>

#include "histogram.h"
#include "options.h"

namespace load {

class attack;

constexpr int kQuarters = 4;

// What a run has counted. Requests, bytes and latency are those of the load alone: what is asked while connecting and
// after the idle time is not among them. Errors are those of all phases; a connection that is not alive in the end has
// met at least one.
struct result {
  uint32_t connected_count = 0;
  double connect_seconds = 0;
  double load_seconds = 0;
  uint64_t request_count = 0;  // answered as they should be, within load_seconds
  uint64_t drained_count = 0;  // the same, but under way when the time was over
  uint64_t sent_size = 0;      // bytes within load_seconds
  uint64_t received_size = 0;  // the same
  uint64_t late_count = 0;  // mode open: requests that were due and had found no free connection when the time was over
  uint32_t served_counts[kQuarters] = {};  // connections that were answered in each quarter of the load
  uint32_t standing_begin_count = 0;       // attackers, as the load begins
  uint32_t standing_end_count = 0;         // and as it ends
  uint32_t alive_count = 0;                // connections that were answered once more after the idle time

  uint64_t connect_errors = 0;     // refused, or not made in time
  uint64_t closed_errors = 0;      // closed by the server
  uint64_t malformed_errors = 0;   // not an HTTP/1.1 answer with a Content-Length, or one that nobody had asked for
  uint64_t status_errors = 0;      // not 200
  uint64_t body_errors = 0;        // not the body expected
  uint64_t unanswered_errors = 0;  // no answer in time, or never asked for one

  // From the moment at which the request was sent or, in mode open, at which it was due, to the last byte of the
  // answer. Requests that were never sent count with the time until the end.
  histogram latency;
};

// Prints the one line.
void print_result(const options &opt, const result &res, const attack &beside, size_t connection_size);

}  // namespace load

#endif
