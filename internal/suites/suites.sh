#!/usr/bin/env bash
# Runs tests that others wrote for net/http's server against kourier.Server: those of chi, of two websocket libraries
# and of net/http/httputil's ReverseProxy.
#
#   internal/suites/suites.sh [ENGINE [SUITE...]]     native, the default, or portable
#
# NAME_expected.txt says which tests may fail or are not run.
set -euo pipefail
. "$(dirname "$0")/common.sh"
engine=${1:-native}
[ $# -eq 0 ] || shift

# fetch MODULE@VERSION FOLDER copies a module.
fetch() {
  local from
  from=$(cd / && go mod download -json "$1" | sed -n -E 's/^\t"Dir": "(.*)",$/\1/p')
  cp -R "$from/." "$2"
  chmod -R u+w "$2"
}

suite_chi() {
  fetch github.com/go-chi/chi/v5@v5.5.0 "$1"
  packages=(. middleware)
}

suite_gorilla() {
  fetch github.com/gorilla/websocket@v1.5.3 "$1"
  (cd "$1" && go mod edit -godebug=randseednop=0) # its tests count on rand.Seed
  packages=(.)
}

suite_coder() {
  fetch github.com/coder/websocket@v1.8.15 "$1"
  packages=(. wsjson)
}

# The proxy comes from Go's own tree, with the internal packages that it imports.
suite_reverseproxy() {
  local from
  from=$(go env GOROOT)/src/net/http
  cp "$from"/httputil/{dump,httputil,reverseproxy,reverseproxy_test}.go "$1"
  mkdir "$1"/{ascii,internal}
  cp "$from"/internal/ascii/print.go "$1/ascii"
  cp "$from"/internal/chunked.go "$1/internal"
  sed -i 's,"net/http/internal/ascii","reverseproxy/ascii",; s,"net/http/internal","reverseproxy/internal",
    /"internal\/godebug"/d; /^var .* = godebug\.New(/d; s,urlmaxqueryparams\.Value(),"",' "$1"/*.go
  printf '%s\n' "module reverseproxy" "require golang.org/x/net v0.47.0" >"$1/go.mod"
  packages=(.)
}

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(chi gorilla coder reverseproxy)
for suite in "${suites[@]}"; do
  folder=$root/build/suites/$suite
  rm -rf "$folder"
  mkdir -p "$folder"
  "suite_$suite" "$folder"
  use_kourier "$folder"
  programs=()
  for package in "${packages[@]}"; do
    onto_kourier "$folder/$package"/*_test.go
    compile "$engine" "$folder" "$package"
    programs+=("$folder/$package"/*.test)
  done
  hold "$suite" "$engine" "${programs[@]}"
done
