#!/usr/bin/env bash
# syscalls.sh [CONNECTIONS] [DEPTH]: system calls per request of examples/hello with one worker, by strace -c -f.
# Needs Linux, Go, wrk and strace. Ends by itself.
set -euo pipefail
. "$(dirname "$0")/../scripts/environment.sh"

connections=${1:-64}
depth=${2:-1}
folder=$(mktemp -d)
server=
tracer=
cleanup() {
  [ -z "$tracer" ] || kill "$tracer" 2>/dev/null || true
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT

mkdir -p build/measure
go build -o build/measure/hello ./examples/hello
build/measure/hello -a 127.0.0.1 -p 0 --worker-count=1 >"$folder/address" &
server=$!
for _ in $(seq 100); do
  [ -s "$folder/address" ] && break
  sleep 0.05
done
address=$(head -n 1 "$folder/address" | awk '{print $NF}')
[ -n "$address" ] || die "the server did not start"

cat >"$folder/pipeline.lua" <<LUA
local many
init = function(args) many = string.rep(wrk.format(), $depth) end
request = function() return many end
LUA
strace -c -f -o "$folder/counts" -p "$server" 2>/dev/null &
tracer=$!
sleep 1
wrk -t1 "-c$connections" -d3s -s "$folder/pipeline.lua" "http://$address/hello" >"$folder/wrk"
kill -INT "$tracer"
wait "$tracer" || true
tracer=

requests=$(awk '/requests in/ {print $1}' "$folder/wrk")
echo "$requests requests, $connections connections, pipelining $depth: system calls per request"
awk -v requests="$requests" '
  $NF == "total" || NF < 5 || $1 !~ /^[0-9.]+$/ { next }
  { printf "%-18s %9d %8.4f\n", $NF, $4, $4 / requests
    all += $4; if ($NF !~ /^epoll_p?wait/) beside += $4 }
  END { printf "%-18s %9d %8.4f\n%-18s %9d %8.4f\n", "all", all, all / requests, "beside epoll_wait", beside, beside / requests }
' "$folder/counts"
