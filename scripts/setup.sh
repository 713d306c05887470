#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a machine ready to build, test and run Cubeplane. Does only what is missing, so it may be run at any time.
# Needs bash and npm to begin with; see usage below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TEXT'
Usage: npm run setup -- [--kubernetes] [--no-build] [--quiet-when-ready] [--debian-package NAME]...

Installs what is missing, in this order, with elapsed time:
  1. Debian packages: compilers for BPF and the addon, and the network tools of the tests (root)
  2. node modules, Node 24 among them, as package-lock.json pins them
  3. the BPF objects, the native addon and the CNI plugin, into build/
  4. a BPF file system on /sys/fs/bpf (root)
  5. with --kubernetes: etcd, kube-apiserver, kube-controller-manager, kube-proxy and kubectl, compiled once into
     ${CUBEPLANE_CACHE:-~/.cache/cubeplane} (5 to 10 minutes on 2 cores)

Options:
  --kubernetes           also build the Kubernetes programs
  --no-build             leave build/ as it is: for what writes the sources that it is built from
  --quiet-when-ready     print nothing when there is nothing to do
  --debian-package NAME  one more Debian package that the caller needs (may be repeated)
TEXT
}

# One line a purpose; docs/dependencies.md says what each is for.
packages=(
  clang-16 llvm-16 clang-format-16 libbpf-dev bpftool libelf-dev zlib1g-dev make g++
  iproute2 iputils-ping ethtool iptables nftables conntrack procps util-linux
  tcpdump iperf3 jq python3 python3-scapy musl-tools
)
# The same needs as commands and headers, for systems that are not Debian.
commands=(
  clang-16 llvm-strip-16 clang-format-16 bpftool make g++
  ip ping ethtool iptables nft conntrack sysctl flock nsenter tcpdump iperf3 jq python3 musl-gcc
)
headers=(bpf/libbpf.h bpf/bpf_helpers.h libelf.h zlib.h)

kubernetes=no
build=yes
quiet=no
while [ $# -gt 0 ]; do
  case $1 in
    --kubernetes) kubernetes=yes ;;
    --no-build) build=no ;;
    --quiet-when-ready) quiet=yes ;;
    --debian-package) packages+=("${2:?--debian-package needs a NAME}") && shift ;;
    -h | --help) usage && exit 0 ;;
    *) printf 'setup: unknown option %s\n\n' "$1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "error: $1"
  printf '       %s\n' "${@:2}" >&2
  exit 1
}
elapsed() { printf '%d:%02d' $((($SECONDS - $1) / 60)) $((($SECONDS - $1) % 60)); }

log=
step_child=
trap '[ -z "$log" ] || rm -f "$log"; [ -z "$step_child" ] || kill "$step_child" 2>/dev/null || true' EXIT
trap 'say "error: line $LINENO of scripts/setup.sh failed: $BASH_COMMAND"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM

# step TITLE COMMAND [ARG ...]: runs it silently with a sign of life every 10 s; shows the end of its output on failure.
# Returns the command's status.
step() {
  local title=$1 started=$SECONDS ticks=0 status=0
  shift
  [ -n "$log" ] || log=$(mktemp)
  say "$title"
  "$@" >"$log" 2>&1 </dev/null &
  step_child=$!
  while kill -0 "$step_child" 2>/dev/null; do
    sleep 0.1
    ticks=$((ticks + 1))
    [ $((ticks % 100)) -ne 0 ] || say "  $(elapsed "$started")  $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"
  done
  wait "$step_child" || status=$?
  step_child=
  if [ "$status" -eq 0 ]; then
    say "  done ($(elapsed "$started"))"
  else
    say "  failed with status $status ($(elapsed "$started")); the end of its output:"
    tail -n 40 "$log" >&2
  fi
  return "$status"
}

is_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }

missing_packages() {
  # Its status is 1 when it has never heard of a package: that one is missing.
  { dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } |
    awk -v wanted="${packages[*]}" '
      $1 == "installed" { installed[$2] = 1 }
      END { count = split(wanted, name, " "); for (i = 1; i <= count; i++) if (!installed[name[i]]) print name[i] }'
}

missing_elsewhere() {
  local name
  for name in "${commands[@]}"; do command -v "$name" >/dev/null || echo "the command $name"; done
  for name in "${headers[@]}"; do
    [ -e "/usr/include/$name" ] || [ -e "/usr/local/include/$name" ] || echo "the header <$name>"
  done
  ! command -v python3 >/dev/null || python3 -c 'import scapy' 2>/dev/null || echo "the Python module scapy"
}

# Package lists older than a day may name versions that the mirror no longer has.
apt_lists_are_fresh() { [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; }
apt() { DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"; }

system_packages() {
  local missing
  if ! is_debian; then
    missing=$(missing_elsewhere)
    [ -z "$missing" ] || fail "this is not Debian, so set-up cannot install what is missing:" "$missing" \
      "Debian 12 has all of it in: ${packages[*]}"
    return 0
  fi
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  local install="apt-get install --no-install-recommends ${missing//$'\n'/ }"
  [ "$(id -u)" -eq 0 ] || fail "Debian packages are missing, and only root may install them. Run this, then again:" "sudo $install"
  apt_lists_are_fresh || step "reading Debian's package lists" apt update ||
    fail "apt-get update failed: check the network and /etc/apt/sources.list" "Then run: npm run setup"
  # shellcheck disable=SC2086 # one word a package
  step "installing Debian packages: ${missing//$'\n'/ }" apt install --no-install-recommends $missing ||
    fail "the packages were not installed: check the network, the free disk, and that this is Debian 12 or later" "By hand: $install"
}

# True when node_modules holds what package-lock.json pins. The stamp answers in a millisecond; without it the list that
# npm itself left is compared, so that modules installed by hand with npm are not thrown away.
modules_are_current() {
  local stamp=node_modules/.cubeplane-lock hash
  hash=$(sha256sum <package-lock.json)
  [ -e "$stamp" ] && [ "$(<"$stamp")" = "$hash" ] && return 0
  [ -x node_modules/.bin/node ] && [ -e node_modules/.package-lock.json ] || return 1
  node_modules/.bin/node -e '
    const packages = (path) => JSON.parse(require("node:fs").readFileSync(path, "utf8")).packages;
    const installed = packages("node_modules/.package-lock.json");
    for (const [path, pinned] of Object.entries(packages("package-lock.json"))) {
      if (path === "" || (pinned.optional && !installed[path])) continue; // optional: another platform
      if (installed[path]?.integrity !== pinned.integrity) process.exit(1);
    }' || return 1
  printf '%s' "$hash" >"$stamp"
}

node_modules() {
  ! modules_are_current || return 0
  command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later with npm (Debian: apt-get install npm)" \
    "Any will do: the project then installs the Node 24 it runs on by itself."
  # No package here needs its install script; not running any keeps a compromised one from doing so.
  # Not npm ci: with npm 11 it refuses a lock file that lacks optional packages of other platforms, as one does that was
  # written where the registry has none of them. This installs the versions and checks the hashes of the lock file too.
  step "installing node modules" npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error ||
    fail "npm install failed: check the network and npm's registry setting (npm config get registry)" "Then run: npm run setup"
  sha256sum <package-lock.json | tr -d '\n' >node_modules/.cubeplane-lock
}

build_native() {
  ! make --question --silent all >/dev/null 2>&1 || return 0
  step "building the BPF objects, the addon and the CNI plugin" make --silent "-j$(nproc)" all ||
    fail "the build failed: the compiler's messages are above" "By itself: make all"
}

bpf_file_system() {
  local mounts
  mounts=$(</proc/mounts)
  [[ $mounts != *" /sys/fs/bpf bpf "* ]] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    [ "$quiet" = yes ] || say "note: no BPF file system on /sys/fs/bpf; tests with real packets need it: sudo mount -t bpf bpf /sys/fs/bpf"
    return 0
  fi
  say "mounting a BPF file system on /sys/fs/bpf"
  mount -t bpf bpf /sys/fs/bpf || fail "it was refused: this kernel or container gives no access to BPF" \
    "Run on a machine or in a privileged container with CONFIG_BPF_SYSCALL."
}

kernel_note() {
  [ -r /sys/kernel/btf/vmlinux ] || say "note: this kernel ($(uname -r)) offers no BTF (CONFIG_DEBUG_INFO_BTF): the data plane will not load"
}

[ "$(uname -s)" = Linux ] || fail "Cubeplane runs on Linux 6.6 or later; this is $(uname -s)" "Use a Debian 12 virtual machine with a current kernel."

# Two set-ups at once would trip over each other; the lock is the project's own folder.
exec 9<"$PWD"
if ! flock --wait 2 9 2>/dev/null && command -v flock >/dev/null; then
  say "another set-up is at work here, waiting for it"
  flock 9
fi

export PATH="$PWD/node_modules/.bin:$PATH"
system_packages
node_modules
[ "$build" = no ] || build_native
bpf_file_system
# Not under the lock: it has its own, and takes minutes.
exec 9<&-
if [ "$kubernetes" = yes ]; then
  node test/harness/kube/build.ts >/dev/null
fi
if [ "$quiet" = no ]; then
  kernel_note
  say "ready ($(elapsed 0))"
fi
