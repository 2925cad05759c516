# Sourced by the scripts of the suites: tests that others wrote for net/http, built against kourier.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/environment.sh"
require_go
export GOFLAGS="$GOFLAGS -mod=mod" GOWORK=off

module=github.com/kourier-go/kourier

# use_kourier FOLDER lets the module in FOLDER import this repository.
use_kourier() {
  cat go.sum >>"$1/go.sum"
  (cd "$1" && go mod edit -go=1.26 -toolchain=none -require "$module@v0.0.0" -replace "$module=$root")
}

# onto_kourier FILE... has tests use kouriertest and kourier where they name httptest's and http's server.
onto_kourier() {
  local file package
  for file in "$@"; do
    sed -i -E 's/\bhttptest\.(NewServer|NewUnstartedServer|NewTLSServer|Server)\b/kouriertest.\1/g
      s/(&|:= )http\.Server\{/\1kourier.Server{/' "$file"
    for package in "$module/kouriertest" "$module"; do
      grep -q "\b${package##*/}\." "$file" && sed -i "0,/^import (/s,,import (\n\t\"$package\"," "$file"
    done
    grep -q '\bhttptest\.' "$file" || sed -i '/"net\/http\/httptest"/d' "$file"
  done
}

# compile ENGINE FOLDER PACKAGE compiles the tests of a package to FOLDER/PACKAGE/NAME.test, NAME being the package's.
compile() {
  local tags=()
  [ "$1" = native ] || tags=(-tags kourier_portable)
  local folder=$2/$3
  (cd "$folder" && go test -c "${tags[@]}" -o "$(go list -f '{{.Name}}' .).test" .)
}

# hold SUITE ENGINE PROGRAM... runs tests and holds their outcome against SUITE_expected.txt.
hold() {
  local suite=$1 engine=$2
  shift 2
  go build -o build/suites/judge ./internal/suites/judge
  build/suites/judge -suite "$suite" -engine "$engine" -expected "internal/suites/${suite}_expected.txt" "$@"
}
