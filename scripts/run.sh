#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a TypeScript program of this project on the pinned Node, installing what is missing first.
#   scripts/run.sh [--no-build] PROGRAM.ts [ARG ...]
# Works before node_modules exists: set-up needs only bash, npm and Debian's package manager. Programs that need
# Kubernetes call ensureKubernetes() (test/harness/kube/build.ts), which builds it once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
no_build=()
[ "${1:-}" != --no-build ] || { no_build=(--no-build) && shift; }
bash scripts/setup.sh --quiet-when-ready "${no_build[@]}"
export PATH="$PWD/node_modules/.bin:$PATH"
exec node "$@"
