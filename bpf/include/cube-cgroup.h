/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cube ABI at cgroups: programs that see what a process asks of a socket, before there is a packet. Such a cube has no
 * ports and no edges; its object has one program for each kind of call, SEC("cgroup/KIND") named KIND, and `cgroupPrograms`
 * in src/cubes/<type>/type.ts lists them. The agent attaches them by links at one cgroup directory. docs/cube-abi.md explains it.
 */
#ifndef CUBEPLANE_CUBE_CGROUP_H
#define CUBEPLANE_CUBE_CGROUP_H

#include "instance.h"

/* What such a program returns: the call goes on, or fails, with EPERM or what bpf_set_retval() was given. */
#define CALL_PASS 1
#define CALL_FAIL 0

/* Cookie of the only network namespace whose sockets are looked at; 0: all of them. */
const volatile u64 only_netns = 0;

static __always_inline bool cgroup_is_ours(struct bpf_sock_addr *ctx)
{
	return !only_netns || bpf_get_netns_cookie(ctx) == only_netns;
}

/* Adds one to a counter of this cube. */
static __always_inline void cgroup_count(u32 counter)
{
	u64 *count = bpf_map_lookup_elem(&counters, &counter);

	if (count)
		(*count)++;
}

/* Fails the call with `error`, which is positive, for a reason that is counted. */
static __always_inline int cgroup_fail(u32 reason, int error)
{
	u64 *count = bpf_map_lookup_elem(&drops, &reason);

	if (count)
		(*count)++;
	bpf_set_retval(-error);
	return CALL_FAIL;
}

#endif
