#!/usr/bin/env bash
# Fails when an archive or object holds code that runs before main: the core is linked into Go programs, where that
# would be before the runtime and the flags.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 ARCHIVE_OR_OBJECT..." >&2; exit 2; }

initialisers=$(nm -C --print-file-name "$@" | grep -E '_GLOBAL__(sub_)?[ID]_|__cxx_global_(var_init|array_dtor)' || true)
sections=$(readelf --wide --sections "$@" | grep -E '\.(init_array|ctors|preinit_array)' || true)
if [ -n "$initialisers$sections" ]; then
  echo "static initialisers found:" >&2
  printf '%s\n' "$initialisers" "$sections" >&2
  exit 1
fi
echo "no static initialisers in $*"
