#!/usr/bin/env bash
# Builds examples/hello and starts it. Needs Go and g++ and nothing else.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

require_go
command -v "${CXX:-g++}" >/dev/null 2>&1 || install_missing g++
mkdir -p build
echo "building examples/hello (the first time compiles the core, well under a minute)"
go build -o build/hello ./examples/hello

cat <<'TEXT'

Try, in another terminal:

    curl -i http://127.0.0.1:3275/hello

Ctrl-C ends it.

TEXT
exec build/hello -a 127.0.0.1 -p 3275
