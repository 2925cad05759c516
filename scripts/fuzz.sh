#!/usr/bin/env bash
# fuzz.sh SECONDS [NAME]: runs one fuzzer (fuzz_NAME) or all of them, as many at once as there are processors.
# Seeds come from csrc/fuzz/corpus/fuzz_NAME. What a single fuzzer finds is merged back there; a run of all keeps its finds
# in build/fuzz/corpus.
set -euo pipefail
. "$(dirname "$0")/environment.sh"

seconds=${1:?usage: fuzz.sh SECONDS [NAME]}
only=${2:-}
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz

fuzz_one() {
  local name=$1 finds=build/fuzz/corpus/$1 seeds=csrc/fuzz/corpus/fuzz_$1 arguments=()
  mkdir -p "$finds" build/fuzz/artifacts
  [ -d "$seeds" ] && arguments+=("$seeds")
  [ -f csrc/fuzz/http.dict ] && arguments+=(-dict=csrc/fuzz/http.dict)
  if "build/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=4096 \
    -artifact_prefix="build/fuzz/artifacts/$name-" -print_final_stats=1 "$finds" "${arguments[@]}" >"build/fuzz/$name.log" 2>&1; then
    echo "fuzz_$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log") runs in $seconds s, nothing found"
  else
    tail -n 60 "build/fuzz/$name.log"
    echo "fuzz_$name found something: see build/fuzz/$name.log and build/fuzz/artifacts/$name-*"
    return 1
  fi
}

if [ -n "$only" ]; then
  [ -x "build/fuzz/fuzz_$only" ] || die "no such fuzzer: csrc/fuzz/fuzz_$only.cpp"
  fuzz_one "$only"
  mkdir -p "csrc/fuzz/corpus/fuzz_$only"
  "build/fuzz/fuzz_$only" -merge=1 "csrc/fuzz/corpus/fuzz_$only" "build/fuzz/corpus/$only" >/dev/null 2>&1
  echo "merged into csrc/fuzz/corpus/fuzz_$only: $(find "csrc/fuzz/corpus/fuzz_$only" -type f | wc -l) inputs"
  exit
fi

export -f fuzz_one
export seconds
names=()
for source in csrc/fuzz/fuzz_*.cpp; do
  [ -e "$source" ] || die "there is no fuzzer in csrc/fuzz"
  name=$(basename "$source" .cpp)
  names+=("${name#fuzz_}")
done
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'set -uo pipefail; fuzz_one {}'
