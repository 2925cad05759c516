#!/usr/bin/env bash
# Puts the build guard on top of each source of the core that lacks it. With the tag kourier_cmake the go command links
# CMake's static library and must leave the sources out.
set -euo pipefail
cd "$(dirname "$0")/.."
guard='//go:build !kourier_cmake'
for source in csrc/*.cpp; do
  [ -e "$source" ] || continue
  if [ "$(head -n 1 "$source")" != "$guard" ]; then
    { printf '%s\n\n' "$guard"; cat "$source"; } >"$source.new"
    mv "$source.new" "$source"
    echo "guarded $source"
  fi
done
