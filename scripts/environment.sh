# Sourced by the other scripts: the repository's root, the Go environment, and the installation of what is missing.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# The build must not depend on who owns the checkout.
case " ${GOFLAGS:-} " in
  *" -buildvcs="*) ;;
  *) export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false" ;;
esac
export CGO_ENABLED=1

die() {
  echo "$*" >&2
  exit 1
}

# The project's Go files, the sources and headers of the core with its tests, fuzzers and benchmarks, and all C++.
go_files() { find . -name '*.go' -not -path './build/*' -not -path '*/vendor/*' | sed 's,^\./,,' | sort; }
core_files() { find csrc -name '*.cpp' -o -name '*.h' | sort; }
cpp_files() { find csrc bench/load bench/vm -name '*.cpp' -o -name '*.h' | sort; }

require_go() {
  command -v go >/dev/null 2>&1 || { [ -x /usr/local/go/bin/go ] && PATH=$PATH:/usr/local/go/bin; } ||
    die "Go 1.26 or newer is needed: https://go.dev/dl/"
}

# install_missing PACKAGE... installs those Debian packages that are not there yet.
install_missing() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null 2>&1 || die "please install: ${missing[*]}"
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
