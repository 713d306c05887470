#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a machine of the cluster with real nodes, in new mount, pid, uts, ipc and cgroup namespaces: gives it folders
# of its own where a node writes, then does nothing.
#   init.sh NAME DIRECTORY DISK PAUSE
# DIRECTORY holds what goes in (cgroups: "TYPE OPTIONS PATH" a line; etc/: files for /etc) and out (pid, ready).
# DISK is for what would fill memory, and for what outlives the machine: the next one of this name finds it.
set -eu
name=$1 directory=$2 disk=$3 pause=$4

# /proc is still the host's, so this is the number that the host knows.
read -r pid rest </proc/self/stat
echo "$pid" >"$directory/pid"

mount --make-rshared /
mount -t proc proc /proc
# of this network namespace, and with new file systems below it
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
cgroup2= folder=
while read -r type options path; do
  # With several hierarchies, each has a folder in here.
  if [ -z "$folder" ] && [ "$path" != /sys/fs/cgroup ]; then mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup; fi
  folder=/sys/fs/cgroup
  mkdir -p "$path"
  mount -t "$type" -o "$options" "$type" "$path"
  [ "$type" != cgroup2 ] || cgroup2=$path
done <"$directory/cgroups"
for controller in $(cat "$cgroup2/cgroup.controllers"); do echo "+$controller" >"$cgroup2/cgroup.subtree_control"; done

# What the node writes elsewhere stays in memory, and in the machine.
own=$directory/own
mkdir -p "$own"
mount -t tmpfs -o mode=755 tmpfs "$own"
# DISK may be below /var: taken hold of before that is another one.
mkdir -p "$own/disk"
mount --bind "$disk" "$own/disk"
for folder in etc var opt; do
  mkdir -p "$own/upper/$folder" "$own/work/$folder"
  mount -t overlay -o "lowerdir=/$folder,upperdir=$own/upper/$folder,workdir=$own/work/$folder" overlay "/$folder"
done
# What a machine that starts anew finds again. The network of the host's own runtime, if it has one, is none of this node's.
for folder in var/lib/containerd var/lib/kubelet var/lib/cubeplane var/log etc/cni opt/cni; do
  mkdir -p "$own/disk/$folder" "/$folder"
  mount --bind "$own/disk/$folder" "/$folder"
done
mkdir -p /etc/cni/net.d /opt/cni/bin
ln -sf /usr/lib/cni/* /opt/cni/bin/
rm -f /etc/resolv.conf /etc/hosts /etc/hostname
cp -r "$directory/etc/." /etc/
hostname "$name"

# kubelet sets these, and they are not of a namespace: it finds them set.
while read -r key value; do
  mkdir -p "$own/sysctl/${key%/*}"
  echo "$value" >"$own/sysctl/$key"
  mount --bind "$own/sysctl/$key" "/proc/sys/$key"
done <<KEYS
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
KEYS

# DIRECTORY is below /run: it has the same path in here.
mkdir -p "$own/run/netns"
mkdir -p "$own/run/${directory#/run/}"
mount --bind "$directory" "$own/run/${directory#/run/}"
mount --rbind "$own/run" /run
: >"$directory/ready"
exec "$pause"
