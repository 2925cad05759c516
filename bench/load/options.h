#ifndef KOURIER_BENCH_OPTIONS_H
#define KOURIER_BENCH_OPTIONS_H

#include <netinet/in.h>

#include <cstdint>

namespace load {

enum class load_mode : uint8_t { memory, idle, open, upload, download };

struct options {
  load_mode mode = load_mode::memory;
  const char *mode_name = "memory";
  in_addr address = {};              // of the server; in 127.0.0.0/8
  uint16_t port = 0;                 // of the server
  uint32_t connection_count = 64;    // that load the server
  uint32_t address_count = 0;        // that they come from; 0: one for every 5,000
  uint32_t connecting_max = 256;     // connections being made at once, which must fit the server's backlog
  uint32_t depth = 1;                // requests that are sent at once on a connection
  uint64_t body_size = 16u << 20;    // of an upload, a download, and what slow readers ask for, in bytes
  uint32_t rate = 1000;              // mode open: requests a second
  uint32_t seconds = 5;              // of load
  uint32_t hold_seconds = 0;         // that the connections are idle for after the load
  uint32_t connect_seconds = 300;    // that connecting may take
  uint32_t answer_seconds = 20;      // that an answer may take once the load has ended
  uint32_t slow_head_count = 0;      // connections beside the load that send a head without end
  uint32_t slow_reader_count = 0;    // connections beside the load that hardly read what they asked for
  uint32_t slow_interval_ms = 1000;  // between two bytes of a slow head, and two reads of a slow reader
  bool steps = false;                // wait for a line on standard input between the phases
};

// Ends the process with a message if the command line is wrong.
options parse_options(int argc, char **argv);

// Ends the process with status 1 and a message, as printf makes it.
[[noreturn, gnu::format(printf, 1, 2)]] void die(const char *format, ...);

}  // namespace load

#endif
