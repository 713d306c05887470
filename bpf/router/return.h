/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers to processes of other nodes that speak to pods from their node's own address. They come by the tunnel; the routes to that
 * address lead elsewhere, as what pods open to nodes has to be masqueraded. So the router remembers, packet by packet, which way back
 * it is. The agent has a row ROUTE_RETURN for each end of a tunnel, so that packets for all other addresses are not looked up.
 */
#ifndef CUBEPLANE_ROUTER_RETURN_H
#define CUBEPLANE_ROUTER_RETURN_H

#include "router.h"

/* Coarse seconds, a day: what has not been used for so long is over, as an established connection of a session (session.h). */
#define RETURN_SECONDS 80466
/* `seen` is written when it is older than 2^3 coarse seconds. */
#define RETURN_SYNC_SHIFT 3

struct return_way {
	u32 seen; /* coarse second of about the last packet of either direction */
};

/*
 * key: tuple of the answers: from the pod to the other node's address. value: return_way. writer: program.
 * A row that is forgotten in use is made again by the next packet of the node.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct cube_tuple);
	__type(value, struct return_way);
} returns SEC(".maps");

static __always_inline void return_refresh(const struct cube_ctx *c, struct return_way *way, u32 now)
{
	if ((way->seen ^ now) >> RETURN_SYNC_SHIFT && !cube_is_dry(c))
		way->seen = now;
}

/* Of a packet with PKT_OVERLAY_NODE that is sent on: its answers are to go back by the tunnel. */
static __noinline int return_note(struct cube_ctx *c)
{
	struct cube_work *w = c->work;
	struct return_way first = {.seen = coarse_seconds()};
	struct return_way *way;
	struct cube_tuple key = {
	    .src = w->tuple.dst,
	    .dst = w->tuple.src,
	    .sport = w->tuple.dport,
	    .dport = w->tuple.sport,
	    .proto = w->tuple.proto,
	};

	/* answers of a cube behind this router are none of the node's */
	w->flags &= ~PKT_OVERLAY_NODE;
	/* what an error quotes is no packet of the node's, and without ports it is not known what the answers have */
	if (w->flags & (PKT_ICMP_ERROR | PKT_FRAG_UNRESOLVED))
		return 0;
	cube_decide(c, DECIDE_RETURN_NOTED, 0);
	way = bpf_map_lookup_elem(&returns, &key);
	if (way)
		return_refresh(c, way, first.seen);
	else
		cube_map_update(c, &returns, &key, &first, BPF_ANY);
	return 0;
}

/* Whether the packet, an ICMP error too, belongs to what a node has asked by its tunnel. */
static __always_inline bool return_is_due(struct cube_ctx *c)
{
	struct return_way *way = bpf_map_lookup_elem(&returns, &c->work->tuple);
	u32 now = coarse_seconds();

	if (!way || now - way->seen > RETURN_SECONDS)
		return false;
	return_refresh(c, way, now);
	return true;
}

#endif
