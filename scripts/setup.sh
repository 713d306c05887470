#!/usr/bin/env bash
# Placeholder until the set-up lands in this same branch: installs node modules.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d node_modules ] || npm ci
