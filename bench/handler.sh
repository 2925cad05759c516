#!/bin/bash
# CPU seconds per million requests and p99 of examples/hello as http.Handler beside
# net/http, both with GOMAXPROCS=1 on core 0, wrk on core 1, in turn.
#
#   bench/handler.sh [ROUNDS]        3 unless given; half a minute a round
#
# Needs Linux, two cores, Go and wrk. Ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
go build -buildvcs=false -o "$folder/hello" ./examples/hello
(cd bench && go build -buildvcs=false -o "$folder/nethttp" ./servers/nethttp)
cat >"$folder/pipeline.lua" <<'LUA'
local many
init = function(args) many = string.rep(wrk.format(), 256) end
request = function() return many end
LUA

ticks() { cut -d ' ' -f 14,15 "/proc/$1/stat" | tr ' ' '+' | bc; }

# run NAME CONNECTIONS DEPTH COMMAND...
run() {
  local name=$1 connections=$2 depth=$3 script=()
  shift 3
  [ "$depth" -eq 1 ] || script=(-s "$folder/pipeline.lua")
  GOMAXPROCS=1 taskset -c 0 "$@" >/dev/null &
  server=$!
  for _ in $(seq 100); do
    curl -s -o /dev/null --max-time 1 http://127.0.0.1:3277/hello && break
    sleep 0.05
  done
  # wrk loses count of when pipelined requests were sent
  local latency=()
  [ "$depth" -gt 1 ] || latency=(--latency)
  local load=(taskset -c 1 wrk "${latency[@]}" -t1 "-c$connections" "${script[@]}" http://127.0.0.1:3277/hello)
  "${load[@]}" -d1 >/dev/null
  local before after
  before=$(ticks "$server")
  "${load[@]}" -d3 >"$folder/out"
  after=$(ticks "$server")
  awk -v name="$name" -v used=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v at="$connections connections, depth $depth" '
    /99%/ { p99 = "   p99 " $2 } /requests in/ { requests = $1 }
    END { printf "%-28s %-9s %7.3f CPU s per million%s\n", at, name, used / hertz / requests * 1e6, p99 }' "$folder/out"
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=
}

for _ in $(seq "$rounds"); do
  for shape in "64 1" "1000 1" "64 256"; do
    read -r connections depth <<<"$shape"
    run net/http "$connections" "$depth" "$folder/nethttp" -a 127.0.0.1 -p 3277
    run kourier "$connections" "$depth" "$folder/hello" -a 127.0.0.1 -p 3277 --worker-count=1 -mode=handler
  done
done | sort
