#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace load {
namespace {

constexpr char kUsage[] =
    R"(load puts one kind of load on an HTTP/1.1 server on the loopback and prints one line of JSON.

  load --port=PORT --mode=MODE [OPTION=VALUE]...

modes
  memory    each connection has --depth requests in flight all the time
  idle      each connection makes one request and waits
  open      requests begin at a fixed rate, on whichever connection is free
  upload    each connection posts a body of --size bytes to /upload, again and again
  download  each connection gets one from /download?size=SIZE, again and again
All but the last two ask for /hello, which must be answered "Hello World!". Before the load all connections are made,
and each asks for /hello once.

options                      default      at most
  --address=ADDRESS          127.0.0.1    in 127.0.0.0/8
  --connections=COUNT        64           2000000
  --addresses=COUNT          one a 5000   60000, that connections come from: 127.1.0.1 and so on
  --connecting=COUNT         256          65535, connections being made at once
  --depth=COUNT              1            1024
  --size=BYTES               16777216     1073741824
  --rate=COUNT               1000         1000000, of mode open, a second
  --seconds=SECONDS          5            3600, of load
  --hold-seconds=SECONDS     0            3600, that the connections then wait before they ask once more
  --connect-seconds=SECONDS  300          3600, that connecting may take
  --answer-seconds=SECONDS   20           3600, that answers may take after the load
  --slow-heads=COUNT         0            100000, connections beside the load that never finish a head
  --slow-readers=COUNT       0            100000, connections beside the load that read 256 bytes at a time
  --slow-interval-ms=MS      1000         60000, between two bytes, or two reads, of those
  --steps                    after "connected" and "loaded" wait for a line on standard input, for at most 600 s

The phases are told on standard error, a word a line: connected, loading, loaded.
)";

uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max) {
  char *end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || value < min || value > max) {
    die("--%s=%s is not a number from %llu to %llu", name, text, static_cast<unsigned long long>(min),
        static_cast<unsigned long long>(max));
  }
  return value;
}

load_mode mode_called(const char *name) {
  constexpr struct {
    const char *name;
    load_mode mode;
  } kModes[] = {{"memory", load_mode::memory},
                {"idle", load_mode::idle},
                {"open", load_mode::open},
                {"upload", load_mode::upload},
                {"download", load_mode::download}};
  for (const auto &mode : kModes) {
    if (std::strcmp(mode.name, name) == 0) return mode.mode;
  }
  die("--mode=%s is none of memory, idle, open, upload, download", name);
}

in_addr loopback_address(const char *text) {
  in_addr address = {};
  if (inet_pton(AF_INET, text, &address) != 1 || ntohl(address.s_addr) >> 24 != 127) {
    die("--address=%s is not in 127.0.0.0/8", text);
  }
  return address;
}

}  // namespace

void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("load: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputs("\n", stderr);
  va_end(arguments);
  std::exit(1);
}

options parse_options(int argc, char **argv) {
  options opt;
  opt.address.s_addr = htonl(INADDR_LOOPBACK);
  const struct {
    option flag;
    uint64_t min, max;
    uint32_t *value;
  } numbers[] = {
      {{"connections", required_argument, nullptr, 'n'}, 1, 2'000'000, &opt.connection_count},
      {{"addresses", required_argument, nullptr, 'n'}, 1, 60'000, &opt.address_count},
      {{"connecting", required_argument, nullptr, 'n'}, 1, 65'535, &opt.connecting_max},
      {{"depth", required_argument, nullptr, 'n'}, 1, 1024, &opt.depth},
      {{"rate", required_argument, nullptr, 'n'}, 1, 1'000'000, &opt.rate},
      {{"seconds", required_argument, nullptr, 'n'}, 1, 3600, &opt.seconds},
      {{"hold-seconds", required_argument, nullptr, 'n'}, 0, 3600, &opt.hold_seconds},
      {{"connect-seconds", required_argument, nullptr, 'n'}, 1, 3600, &opt.connect_seconds},
      {{"answer-seconds", required_argument, nullptr, 'n'}, 1, 3600, &opt.answer_seconds},
      {{"slow-heads", required_argument, nullptr, 'n'}, 0, 100'000, &opt.slow_head_count},
      {{"slow-readers", required_argument, nullptr, 'n'}, 0, 100'000, &opt.slow_reader_count},
      {{"slow-interval-ms", required_argument, nullptr, 'n'}, 1, 60'000, &opt.slow_interval_ms},
  };
  constexpr size_t kNumbers = sizeof numbers / sizeof *numbers;
  option flags[kNumbers + 7] = {};
  for (size_t i = 0; i < kNumbers; ++i) flags[i] = numbers[i].flag;
  flags[kNumbers] = {"mode", required_argument, nullptr, 'm'};
  flags[kNumbers + 1] = {"address", required_argument, nullptr, 'a'};
  flags[kNumbers + 2] = {"port", required_argument, nullptr, 'p'};
  flags[kNumbers + 3] = {"size", required_argument, nullptr, 's'};
  flags[kNumbers + 4] = {"steps", no_argument, nullptr, 't'};
  flags[kNumbers + 5] = {"help", no_argument, nullptr, 'h'};

  int index = 0;
  for (int flag; (flag = getopt_long(argc, argv, "", flags, &index)) != -1;) {
    switch (flag) {
      case 'n':
        *numbers[index].value =
            static_cast<uint32_t>(number(flags[index].name, optarg, numbers[index].min, numbers[index].max));
        break;
      case 'm':
        opt.mode = mode_called(optarg);
        opt.mode_name = optarg;
        break;
      case 'a':
        opt.address = loopback_address(optarg);
        break;
      case 'p':
        opt.port = static_cast<uint16_t>(number("port", optarg, 1, 65'535));
        break;
      case 's':
        opt.body_size = number("size", optarg, 1, uint64_t{1} << 30);
        break;
      case 't':
        opt.steps = true;
        break;
      case 'h':
        std::fputs(kUsage, stdout);
        std::exit(0);
      default:
        die("see --help");
    }
  }
  if (optind != argc) die("%s is no option; see --help", argv[optind]);
  if (opt.port == 0) die("--port is missing; see --help");
  if (opt.depth > 1 && opt.mode != load_mode::memory) die("--depth is for mode memory");
  if (opt.address_count == 0) opt.address_count = (opt.connection_count + 4999) / 5000;
  return opt;
}

}  // namespace load
