/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and rows of the router. src/cubes/router/desired.ts says what stands in them. */
#ifndef CUBEPLANE_ROUTER_H
#define CUBEPLANE_ROUTER_H

#include "generated/reasons.h"
#include "parse.h"
#include "reply.h"

/* What a route does (route.kind). */
#define ROUTE_PORT	  1 /* destination is reached directly on the port */
#define ROUTE_NEXT_HOP	  2 /* through the gateway on the port */
#define ROUTE_TUNNEL	  3 /* encapsulated to the gateway, on the port that is linked to the overlay */
#define ROUTE_BLACKHOLE	  4
#define ROUTE_UNREACHABLE 5
#define ROUTE_RETURN                                                                                         \
	6 /* address of another node: as ROUTE_TUNNEL for answers (return.h), no route for all else */

#define ROUTE_CONNECTED (1 << 0) /* prefix of a port: its last IPv4 address is a broadcast */
#define ROUTE_V6	(1 << 1) /* IPv6 prefix; ::/0 holds the mapped IPv4 addresses too */

struct route {
	u8 kind;  /* ROUTE_*; a ROUTE_RETURN has a length of 128 */
	u8 flags; /* ROUTE_CONNECTED, ROUTE_V6 */
	u16 port;
	u32 mtu;   /* bytes of IP packet; the smallest of route, port and router; ~0: no limit */
	u32 vni;   /* tunnels */
	u8 length; /* of the prefix, of 128 bits */
	u8 pad0[3];
	addr_t gateway; /* next hop, or the tunnel's other end */
};
SIZE_ASSERT(struct route, 32);

/*
 * key: prefix. value: route. writer: agent.
 * Holds every prefix whose length is in route_lengths. A row is replaced as a whole, never torn.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct route);
} routes_hash SEC(".maps");

/* key: prefix. value: route. writer: agent. The prefixes whose length is not in route_lengths. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct route);
} routes_lpm SEC(".maps");

#define HASHED_LENGTHS 4

/*
 * Which prefix lengths (of 128) to try in routes_hash, longest first. They must be the longest ones
 * in use: a hit there ends the search, and only then is the trie asked. One word, so that a change
 * is seen whole.
 */
struct route_lengths {
	u8 lengths[HASHED_LENGTHS];
	u8 count; /* of lengths */
	u8 lpm;	  /* 1: routes_lpm has rows */
	u8 pad[2];
} __attribute__((aligned(8)));
SIZE_ASSERT(struct route_lengths, 8);

#define FAMILY_V4 0
#define FAMILY_V6 1

/* key: FAMILY_*. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct route_lengths);
} route_lengths SEC(".maps");

#define OWN_ADDRESSES 512 /* 32 ports of 16 addresses */
#define NO_DELIVERY   0xffffffff

struct own_address {
	u32 port;     /* that has the address: answers ARP and neighbour discovery there */
	u32 delivery; /* port of the host that has it too and gets what is no echo, or NO_DELIVERY */
};

/* key: address of a port. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWN_ADDRESSES);
	__type(key, addr_t);
	__type(value, struct own_address);
} own_addresses SEC(".maps");

struct router_port {
	addr_t source_v4; /* of ICMP errors about what came in here; zero: the router has no such
			     address */
	addr_t source_v6;
};

/* key: port. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CUBE_PORTS);
	__type(key, u32);
	__type(value, struct router_port);
} router_ports SEC(".maps");

/*
 * A bit for each own address by its hash, see own_lookup(): nearly every packet is told by it,
 * without a lookup, that neither its source nor its destination is the router.
 */
const volatile u32 own_filter[8] = {};

static __always_inline bool own_maybe(const addr_t *addr)
{
	u32 mixed = addr->words[0] ^ addr->words[1] ^ addr->words[2] ^ addr->words[3];
	u32 hash = mixed * 0x9e3779b1;

	return own_filter[hash >> 29] >> (hash >> 24 & 31) & 1;
}

static __always_inline const struct own_address *own_lookup(const addr_t *addr)
{
	if (likely(!own_maybe(addr)))
		return NULL;
	return bpf_map_lookup_elem(&own_addresses, addr);
}

static __always_inline void count(struct cube_ctx *c, u32 index)
{
	cube_count(c, &counters, index);
}

/* What becomes of a packet that is not simply forwarded. */
struct outcome {
	u32 reason;	/* DROP_*: why it ends here */
	u32 error;	/* ERROR_* that its sender gets; 0: none */
	u32 info;	/* of the error */
	u8 length;	/* of the prefix that it was routed by, of 128 bits; for ports that resolve */
	bool is_answer; /* made by the router itself: nobody is told what becomes of it */
};

#endif
