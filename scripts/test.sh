#!/usr/bin/env bash
# Runs everything that proves the project, step by step, and stops at the first failure.
#
#   scripts/test.sh             all steps
#   scripts/test.sh STEP...     these steps only, with their output
#   scripts/test.sh --list      their names
#
# FUZZ_SECONDS=30 is what each fuzzer gets. KOURIER_SHARED=../shared is where the conformance cases and the port of
# net/http's tests lie; where CI is set they must be there, elsewhere the steps are skipped without them.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
require_go

golangci_version=v2.15.0
golangci=$root/build/tools/golangci-lint-$golangci_version
log_folder=$root/build/log
steps=(tools gofmt vet no-cgo darwin clang-format lint go conformance nethttp suites race example bench-kit cgocheck go-asan
  ctest-dev ctest-asan ctest-tsan clang-tidy fuzz vendor cmake-library)

step_tools() {
  install_missing cmake ninja-build clang-19 libclang-rt-19-dev clang-format-19 clang-tidy-19 libgtest-dev \
    curl python3 binutils
  if [ ! -x "$golangci" ]; then
    mkdir -p build/tools
    GOBIN=$root/build/tools go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$golangci_version"
    mv build/tools/golangci-lint "$golangci"
  fi
  go version
  "${CXX:-g++}" --version | head -n 1
  clang++-19 --version | head -n 1
}

step_gofmt() {
  local unformatted
  unformatted=$(go_files | xargs -r gofmt -l)
  [ -z "$unformatted" ] || die "gofmt would change: $unformatted (make format)"
}

step_vet() { go vet ./...; }

# Without the native core the portable engine serves: in both builds that leave the core out, and on other systems.
step_no-cgo() {
  CGO_ENABLED=0 go vet ./...
  CGO_ENABLED=0 go test -count=1 ./...
  go test -count=1 -tags kourier_portable .
  CGO_ENABLED=0 GOARCH=arm64 go vet ./...
}
step_darwin() {
  CGO_ENABLED=0 GOOS=darwin go vet ./...
  CGO_ENABLED=0 GOOS=windows go vet ./...
}

step_clang-format() { cpp_files | xargs -r clang-format-19 --dry-run --Werror; }

step_lint() {
  "$golangci" run ./...
  local module
  for module in examples/nethttp bench; do # modules of their own
    (cd "$module" && "$golangci" run ./...)
  done
}

step_go() { go test -count=1 -skip '^Test(Conformance|Malformed)' ./...; }

step_conformance() { go test -count=1 -v -run '^Test(Conformance|Malformed)' .; }

# Tests that others wrote for net/http's server, on both engines.
step_nethttp() {
  internal/suites/nethttp.sh native
  internal/suites/nethttp.sh portable
}
step_suites() {
  internal/suites/suites.sh native
  internal/suites/suites.sh portable
}

step_race() { go test -count=1 -race -short ./...; }

# A service written for net/http, in a module of its own, on both servers.
step_example() {
  cd examples/nethttp
  go mod tidy -diff
  go vet ./...
  KOURIER_REQUIRE_NATIVE=1 go test -count=1 -race ./...
}

# The benchmark kit, a module of its own: the loader against servers that misbehave, and every load once.
step_bench-kit() {
  install_missing wrk
  cd bench
  go mod tidy -diff
  go vet ./...
  go test -count=1 -race ./...
}

step_cgocheck() { GODEBUG=cgocheck=1 go test -count=1 -short ./...; }

# `go test -asan` alone instruments C but not C++. A small quarantine, because the leak tests look at resident memory.
step_go-asan() {
  local sanitizers=-fsanitize=address,undefined
  ASAN_OPTIONS=quarantine_size_mb=8 CGO_CXXFLAGS="-g -O1 -DKOURIER_ASSERTS $sanitizers -fno-sanitize-recover=all" CGO_LDFLAGS=$sanitizers \
    go test -count=1 -asan -short ./...
}

run_ctest() {
  cmake --preset "$1"
  cmake --build --preset "$1"
  ctest --preset "$1"
}
step_ctest-dev() { run_ctest dev; }
step_ctest-asan() { run_ctest asan; }
step_ctest-tsan() { run_ctest tsan; }

step_clang-tidy() {
  cmake --preset asan >/dev/null
  core_files | grep -E '^csrc/[a-z0-9_]+\.cpp$' | grep -v "_$(foreign_architecture)\.cpp$" |
    xargs -r -n 1 -P "$(nproc)" clang-tidy-19 -p build/asan --quiet
  clang-tidy-19 --quiet bench/load/*.cpp bench/vm/noprobe/*.cpp -- -std=c++20
}
foreign_architecture() { if [ "$(uname -m)" = aarch64 ]; then echo amd64; else echo arm64; fi; }

step_fuzz() { scripts/fuzz.sh "${FUZZ_SECONDS:-30}"; }

# A user's module, with its dependencies vendored, built with an empty cache.
step_vendor() {
  cache=$(mktemp -d)
  trap 'rm -rf "$cache" "$root/internal/vendortest/vendor"' EXIT
  cd internal/vendortest
  rm -rf vendor
  go mod vendor
  local begun=$SECONDS
  GOCACHE=$cache go build -mod=vendor -o "$cache/vendortest" .
  echo "built from an empty cache in $((SECONDS - begun)) s"
  [ "$("$cache/vendortest")" = vendored ] || die "the vendored program did not answer"
}

# The static library with -march=native and LTO, linked by the go command. It does not watch the archive, so the
# archive's hash goes into the build id.
step_cmake-library() {
  cmake --preset release
  cmake --build --preset release
  scripts/static_initialisers.sh build/release/libkourier_core.a
  local hash
  hash=$(sha1sum build/release/libkourier_core.a | cut -d ' ' -f 1)
  go test -count=1 -short -tags kourier_cmake -ldflags "-B 0x$hash" .
  go build -tags kourier_cmake -ldflags "-B 0x$hash" -o build/hello_cmake ./examples/hello
  build/hello_cmake -a 127.0.0.1 -p 0 >build/hello_cmake.out &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  for _ in $(seq 100); do
    [ -s build/hello_cmake.out ] && break
    sleep 0.05
  done
  local address
  address=$(head -n 1 build/hello_cmake.out | awk '{print $NF}')
  [ "$(curl -sS --max-time 5 "http://$address/hello")" = "Hello World!" ] || die "hello_cmake did not answer"
  kill "$server"
  wait "$server"
}

case ${1:-} in
  --list)
    printf '%s\n' "${steps[@]}"
    exit
    ;;
  --one)
    "step_$2"
    exit
    ;;
esac

chosen=("$@")
[ ${#chosen[@]} -gt 0 ] || chosen=("${steps[@]}")
for name in "${chosen[@]}"; do
  declare -F "step_$name" >/dev/null || die "no step is called $name; there are: ${steps[*]}"
done
mkdir -p "$log_folder"

started=$SECONDS
for name in "${chosen[@]}"; do
  printf '== %-14s' "$name"
  begun=$SECONDS
  log=$log_folder/$name.log
  if [ $# -gt 0 ]; then
    echo
    status=0
    "$0" --one "$name" || status=$?
    printf -- '-- %-14s' "$name"
  else
    status=0
    "$0" --one "$name" >"$log" 2>&1 </dev/null || status=$?
  fi
  if [ "$status" -ne 0 ]; then
    echo "FAILED after $((SECONDS - begun)) s"
    if [ $# -eq 0 ]; then tail -n 200 "$log"; fi
    echo "FAILED: step $name, status $status. Again, alone: scripts/test.sh $name" >&2
    exit 1
  fi
  echo "ok, $((SECONDS - begun)) s"
  if [ $# -eq 0 ]; then
    sed -n -E 's/^(.* passed \((whole|bytewise|split), .*|.* [0-9]+ of [0-9]+ passed, .*|skipped: .*|.* malformed requests .*|fuzz_.* runs in .*|built from .*|[0-9]+% tests passed.*)$/     \1/p' "$log"
  fi
done
total=$((SECONDS - started))
echo "all ${#chosen[@]} steps passed in $((total / 60)) min $((total % 60)) s"
