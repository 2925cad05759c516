#!/usr/bin/env bash
# Formats everything that has a formatter.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
require_go
install_missing clang-format-19
go_files | xargs -r gofmt -w
cpp_files | xargs -r clang-format-19 -i
