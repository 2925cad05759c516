#!/usr/bin/env bash
# The benchmarks of the core, those of Go, and the measurements of hello against the yardstick.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

require_go
install_missing cmake ninja-build libbenchmark-dev python3 wrk strace
cmake --preset bench >/dev/null
cmake --build --preset bench
for program in build/bench/*_bench; do
  [ -x "$program" ] || continue
  echo "== $(basename "$program")"
  taskset -c 0 "$program"
done
echo "== go test -bench"
go test -run '^$' -bench . -benchmem ./...
echo "== CPU seconds per million requests"
bench/cpu.py --depth 1 --depth 16 --depth 256
echo "== memory"
bench/memory.py
echo "== system calls"
bench/syscalls.sh
