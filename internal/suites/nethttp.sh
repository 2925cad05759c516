#!/usr/bin/env bash
# Runs net/http's own tests of its server against kourier.Server.
#
#   internal/suites/nethttp.sh [ENGINE]     native, the default, or portable
#
# KOURIER_SHARED=../shared is where nethttp-suite lies. nethttp_expected.txt says which tests may fail or are not run.
set -euo pipefail
. "$(dirname "$0")/common.sh"
engine=${1:-native}

shared=${KOURIER_SHARED:-../shared}
port=$shared/nethttp-suite/port.sh
shim=$shared/nethttp-suite/shim.go.txt
if [ ! -f "$port" ]; then
  [ -z "${CI:-}" ] || die "the port of net/http's tests is missing: $port (KOURIER_SHARED names its folder)"
  echo "skipped: no port of net/http's tests at $port, set KOURIER_SHARED to run them"
  exit
fi

# The port names its package after the folder. What nethttp_shim.go.txt has, the shared shim leaves to it.
folder=$root/build/suites/nethttp
rm -rf "$folder"
mkdir -p "$folder"
echo "module nethttp" >"$folder/go.mod"
use_kourier "$folder"
cp internal/suites/nethttp_shim.go.txt "$folder/own_shim_test.go"
ours=$(sed -n -E 's/^func ([A-Z][A-Za-z0-9]*)\(.*/\1/p' internal/suites/nethttp_shim.go.txt | paste -sd '|')
{
  grep -v -E "^func ($ours)\\(" "$shim"
  echo "var _ context.Context" # else imported and not used
} >"$folder/shim.go.txt"
bash "$port" "$folder" "$module" "$module/kouriertest" "$folder/shim.go.txt" >"$folder/port.log" 2>&1 || true

# What the port leaves as it was: net/http's function Serve, the name of the tests' package in a log line, an error
# that only net/http can compare; and what it takes out: the hook, and the looks into the server.
sed -i -E 's,(go |<- |\t)Serve\(,\1kourier.Serve(,
  s,net/http_test\.,nethttp_test.,
  s,err != ExportErrRequestCanceled,err == nil || err.Error() != ExportErrRequestCanceled.Error(),
  s,^(\t+)TLSConfig: tlsConf\,$,&\n\1BaseContext: callServeHook\,,
  s,<- map\[ConnState\]int\{\},<- connsByState(cst.ts.Config),
  s,conns := \[\]string\{\};,conns := openConns(ts.Config);,' "$folder"/*_test.go
compile "$engine" "$folder" .
hold nethttp "$engine" "$folder/nethttp.test"
