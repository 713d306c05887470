/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and constants of the bridge. src/cubes/bridge/desired.ts says what stands in them. */
#ifndef CUBEPLANE_BRIDGE_H
#define CUBEPLANE_BRIDGE_H

#include "clone.h"
#include "headers.h"
#include "token-bucket.h"
#include "generated/reasons.h"

#define VLAN_VID     0x0fff
#define VLAN_PCP_DEI 0xf000 /* priority of the frame, kept across the bridge */

/* Kinds of frame that are flooded. */
#define FLOOD_BROADCAST 0
#define FLOOD_MULTICAST 1
#define FLOOD_UNKNOWN	2 /* unicast for an address that is not learned */
#define FLOOD_KINDS	4 /* with one to spare, so that an index is a shift */

/* Constants of one instance. A set of ports has a bit for each: bit n is port n. */
struct bridge_settings {
	u64 learning;		/* ports that learn */
	u64 isolated;		/* ports that exchange nothing with each other */
	u64 access;		/* ports where a tag is refused */
	u64 cubes;		/* ports that are linked to a cube */
	u64 bridges;		/* those of them behind which the segment goes on */
	u64 flood[FLOOD_KINDS]; /* ports that take floods of the kind */
	u64 limited;		/* ports with storm control */
	u32 ageing;		/* coarse seconds */
	u32 ports_tag;		/* stands for the names and numbers of all ports, 24 bits */
	u32 has_static;		/* 1: fdb_static has rows */
	u32 pad;
	u16 native[CUBE_PORTS]; /* VLAN of frames without a tag, 0: none */
	u16 mtu[CUBE_PORTS];	/* bytes of IP packet, 0: no limit */
};

/* Values with which the verifier sees every path; an instance has its own. */
const volatile struct bridge_settings settings = {
    .learning = ~0ULL,
    .isolated = 1,
    .access = 1,
    .cubes = 1,
    .bridges = 1,
    .flood = {~0ULL, ~0ULL, ~0ULL},
    .limited = ~0ULL,
    .has_static = 1,
};

struct fdb_key {
	u16 vlan;
	mac_t mac;
};
SIZE_ASSERT(struct fdb_key, 8);

/*
 * One word, so that a move to another port is seen whole. An entry with another ports_tag was learned when port numbers
 * meant other ports: it counts as none.
 */
struct fdb_entry {
	u32 seen;  /* coarse seconds since boot */
	u32 place; /* bits 0..7 port, 8..31 ports_tag */
} __attribute__((aligned(8)));
SIZE_ASSERT(struct fdb_entry, 8);

#define place_of(port)	  ((settings.ports_tag << 8) | (port))
#define place_port(place) ((place) & (CUBE_PORTS - 1))

/* key: VLAN and address. value: where it was last seen. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fdb_key);
	__type(value, struct fdb_entry);
} fdb SEC(".maps");

/* key: VLAN and address. value: port. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fdb_key);
	__type(value, u32);
} fdb_static SEC(".maps");

struct vlan {
	u64 members;  /* ports in the VLAN */
	u64 untagged; /* those of them that its frames leave without a tag */
};

/* key: VLAN. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct vlan);
} vlans SEC(".maps");

/* key: port * FLOOD_KINDS + FLOOD_*. value: interval 0 for no limit. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CUBE_PORTS *FLOOD_KINDS);
	__type(key, u32);
	__type(value, struct rate_limit);
} storm_limits SEC(".maps");

/* key: as in storm_limits. value: ns since boot when the bucket is full again. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CUBE_PORTS *FLOOD_KINDS);
	__type(key, u32);
	__type(value, u64);
} storm_buckets SEC(".maps");

/* A frame, as the bridge sees it. */
struct frame {
	struct fdb_key src;
	struct fdb_key dst;
	struct vlan vlan;
	u16 priority; /* VLAN_PCP_DEI of its tag */
	u16 tagged;   /* 1: the tag of its VLAN is in the skb's metadata */
};

static __always_inline void count(struct cube_ctx *c, u32 index)
{
	cube_count(c, &counters, index);
}

static __always_inline bool has_port(u64 set, u32 port)
{
	return set >> (port & (CUBE_PORTS - 1)) & 1;
}

#endif
