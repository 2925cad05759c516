#!/usr/bin/env bash
# kourier beside other servers; what is missing is installed first. bench/README.md says what is measured.
#
#   scripts/bench-kit.sh PROFILE [FLAG]...     quick or full, and flags of bench/kit
set -euo pipefail
. "$(dirname "$0")/environment.sh"

require_go
packages=(wrk nginx-light librust-hyper-dev librust-tokio-dev)
command -v cargo >/dev/null || packages+=(cargo)
command -v g++ >/dev/null || packages+=(g++)
install_missing "${packages[@]}"
cd bench
profile=$1
shift
exec go run ./kit -profile "$profile" "$@"
