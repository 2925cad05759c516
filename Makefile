# The usual commands by name; what they do stands in scripts/. On a fresh Debian machine with Go and g++ two are enough:
#
#   make run     builds and starts examples/hello
#   make test    installs what the checks need and runs everything that proves the project

SECONDS ?= 60

.PHONY: help run test check race asan tsan fuzz bench bench-quick bench-core lint format

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make check   the quick checks: formats, vet, lint, Go tests, C++ tests"
	@echo "make race    Go tests under the race detector"
	@echo "make asan    Go and C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make tsan    C++ tests under ThreadSanitizer"
	@echo "make fuzz    T=http_head SECONDS=60: one fuzzer; without T, all of them"
	@echo "make bench-quick   kourier beside other servers, eight and a half minutes; make bench the same with more connections, 40"
	@echo "make bench-core    benchmarks of the core, and the measurements against the yardstick"
	@echo "make lint    linters, make format the formatters"

run:
	@scripts/run.sh

test:
	@scripts/test.sh

check:
	@scripts/test.sh tools gofmt vet lint clang-format go ctest-dev

race:
	@scripts/test.sh race

asan:
	@scripts/test.sh tools go-asan ctest-asan

tsan:
	@scripts/test.sh tools ctest-tsan

fuzz:
	@scripts/test.sh tools && scripts/fuzz.sh "$(SECONDS)" $(T)

bench:
	@scripts/bench-kit.sh full

bench-quick:
	@scripts/bench-kit.sh quick

bench-core:
	@scripts/bench.sh

lint:
	@scripts/test.sh tools gofmt vet lint clang-format clang-tidy

format:
	@scripts/format.sh
