/* SPDX-License-Identifier: GPL-2.0-only */
/* What every instance of a cube has, at whatever hook: the constants that it is loaded with, and its counters. */
#ifndef CUBEPLANE_INSTANCE_H
#define CUBEPLANE_INSTANCE_H

#include "limits.h"
#include "types.h"
#include "generated/reasons.h"

/* Constants of one instance of a cube, set before it is loaded, so that the verifier prunes what is
 * off. */
struct cube_constants {
	u32 slot;	  /* own slot, 1..CUBE_SLOTS-1 */
	u8 redirect_peer; /* 1: pods are reached by bpf_redirect_peer, 0: by bpf_redirect */
	u8 transparent;	  /* 1: of a type that is spliced in: the cube behind it knows nothing of it */
	u8 pad[2];
	mac_t gateway_mac; /* of every router port, of cube0 and of the overlay device */
	u16 pad1;	   /* 0 */
};
SIZE_ASSERT(struct cube_constants, 16);

const volatile struct cube_constants cube = {};

/* As mac_value(). */
static __always_inline u64 cube_gateway(void)
{
	return *(const volatile u64 *)&cube.gateway_mac;
}

struct port_counter {
	u64 rx_packets;
	u64 rx_bytes;
	u64 tx_packets;
	u64 tx_bytes;
};

/* key: port. value: what passed it. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_PORTS);
	__type(key, u32);
	__type(value, struct port_counter);
} port_counters SEC(".maps");

/* key: drop reason. value: packets that this cube dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_DROPS);
	__type(key, u32);
	__type(value, u64);
} drops SEC(".maps");

/* key: COUNT_* of the cube's generated/reasons.h. value: events of its own. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

#endif
