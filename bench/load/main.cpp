// Load for the benchmarks of HTTP/1.1 servers; `load --help` tells what it does.
#include <cstdio>

#include "attack.h"
#include "driver.h"
#include "options.h"
#include "result.h"
#include "system.h"

namespace {

void tell(const char *phase) { std::fprintf(stderr, "%s\n", phase); }

}  // namespace

int main(int argc, char **argv) {
  const load::options opt = load::parse_options(argc, argv);
  load::lift_file_limit();
  static load::result res;  // too large for a stack
  load::attack beside(opt);
  {
    load::driver driver(opt, &beside, &res);
    driver.connect_all();
    if (res.connected_count == 0) load::die("no connection was made and answered");
    if (opt.slow_head_count + opt.slow_reader_count > 0) {
      // Slow readers have sent their requests by the second interval. What the server can send them at once, up to what
      // the kernel holds for each, is not the load's concern.
      driver.rest(4 * opt.slow_interval_ms * (load::kSecond / 1000));
    }
    res.standing_begin_count = beside.standing_count();
    tell("connected");
    if (opt.steps) driver.wait_for_step();
    tell("loading");
    driver.load();
    res.standing_end_count = beside.standing_count();
    tell("loaded");
    if (opt.steps) driver.wait_for_step();
    driver.rest(opt.hold_seconds * load::kSecond);
    driver.ask_all();
  }
  load::print_result(opt, res, beside, sizeof(load::connection));
}
