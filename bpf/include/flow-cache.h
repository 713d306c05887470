/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What became of the last packet of a flow, so that the next ones need not ask each cube again: the entry does to them what was
 * done to that one, and counts them at each cube that it passed (bpf/entry/replay.h).
 *
 * A record is made by a packet on its way and holds for the rest of its coarse second. All that happens to the packet must follow
 * from what the record is compared with:
 *   the packet       TCP with ACK and without SYN, FIN and RST, or UDP; plain (FLOW_PLAIN); tuple, interface, head of the frame
 *   what agents say  `flow_state.generation`, which moves after each write to a map
 *   the graph        the epoch
 *   other packets    the stamp of its `flow_places`: of this tuple a SYN, FIN or RST has come, or a session was made of it
 *   time             the coarse second: the first packet of each keeps the sessions alive that it belongs to
 * A cube says of a packet for which this is so cube_settle(). A packet that has met a cube which did not leaves no record.
 */
#ifndef CUBEPLANE_FLOW_CACHE_H
#define CUBEPLANE_FLOW_CACHE_H

#include "context.h"
#include "headers.h"
#include "instance.h"
#include "maps.h"

/* Flags of a plain packet, beside its family. */
#define FLOW_PLAIN PKT_PORTS

/* Of two addresses, and of ports and protocol as they stand in a tuple. */
static __always_inline u32 flow_hash_of(const addr_t *src, const addr_t *dst, u64 ports)
{
	u64 hash = src->halves[0] * 0x9e3779b97f4a7c15ULL + src->halves[1] * 0xc2b2ae3d27d4eb4fULL +
		   dst->halves[0] * 0x165667b19e3779f9ULL + dst->halves[1] * 0xd6e8feb86659fd93ULL +
		   ports * 0xff51afd7ed558ccdULL;

	return (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9ULL >> 32;
}

/* Of a tuple, whatever a cube has in its pad. */
static __always_inline u32 flow_hash(const struct cube_tuple *t)
{
	return flow_hash_of(&t->src, &t->dst, *(const u64 *)&t->sport & 0xffffffffff);
}

static __always_inline void flow_forget_hash(u32 hash)
{
	u32 index = hash & (FLOW_PLACES - 1);
	struct flow_place *place = bpf_map_lookup_elem(&flow_places, &index);

	if (place)
		(*(volatile u32 *)&place->stamp)++;
}

/* What is known of packets with this tuple is over. */
static __always_inline void flow_forget(const struct cube_tuple *t)
{
	flow_forget_hash(flow_hash(t));
}

#define flow_index(flags) ((flags) >> FLOW_INDEX_SHIFT)

/* The record is whole. Returns whether the edge is of a kind that a record may have. */
static __always_inline bool flow_close(struct __sk_buff *skb, struct flow_record *r,
				       const struct cube_work *w, u64 edge)
{
	u32 zero = 0;
	struct flow_cpu *cpu = bpf_map_lookup_elem(&flow_cpu, &zero);

	r->hop = w->next_hop;
	r->target = edge_target(edge);
	switch (edge_kind(edge)) {
	case EDGE_POD: {
		struct pod *pod = bpf_map_lookup_elem(&pods, &w->tuple.dst);

		if (!pod)
			return false;
		r->hop.halves[0] = mac_value(&pod->mac);
		r->target = pod->ifindex;
		break;
	}
	case EDGE_TUNNEL:
		r->hop = w->tunnel_remote;
		r->vni = w->tunnel_vni;
		break;
	case EDGE_NEIGH:
	case EDGE_ROUTE:
		break;
	default:
		return false;
	}
	r->edge = edge_kind(edge);
	r->src = w->tuple.src;
	r->dst = w->tuple.dst;
	r->sport = w->tuple.sport;
	r->dport = w->tuple.dport;
	r->flags = w->flags;
	r->ttl -= w->ttl;
	r->second &= ~FLOW_OPEN;
	if (cpu)
		cpu->kept++;
	return true;
}

/* Of this CPU, that of the number. NULL: there is none. */
static __always_inline struct flow_record *flow_record_at(const struct flow_state *state, u32 number)
{
	u32 index = bpf_get_smp_processor_id() * (state->mask + 1) + number;

	return bpf_map_lookup_elem(&flow_records, &index);
}

/* The record of the packet under way. NULL: there is none, or it is another packet's. */
static __always_inline struct flow_record *flow_open(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct flow_state *state = bpf_map_lookup_elem(&flow_state, &zero);
	struct flow_record *r = state ? flow_record_at(state, flow_index(skb->cb[CB_FLAGS])) : NULL;

	return r && r->second & FLOW_OPEN ? r : NULL;
}

/* Notes that a packet as long as this one, or a segment of it, is not to be longer than `mtu`. */
static __always_inline void flow_limit(struct cube_ctx *c, u32 mtu)
{
	struct flow_record *r = c->flags & CUBE_F_RECORD ? flow_open(c->skb) : NULL;

	if (r && (!r->mtu || mtu < r->mtu))
		r->mtu = mtu;
}

/*
 * Notes in the record of the packet under way that it has passed this cube, which has settled it, and closes it where the
 * edge leaves the chain. `ports`: in, and out << 8. `counts`: COUNT_* + 1, a byte each.
 * Global: the verifier goes through it once.
 */
__noinline __attribute__((unused)) int flow_note(struct __sk_buff *skb, u64 edge, u32 ports, u32 counts)
{
	u32 zero = 0, at;
	struct flow_record *r = flow_open(skb);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!r || !w)
		return 0;
	at = r->steps;
	/* one that has not settled it was on the way, or there were too many */
	if (at >= FLOW_STEPS || at + 1 != skb->cb[CB_HOPS])
		return 0;
	*(u64 *)&r->step[at] =
	    (u64)counts << 32 | (ports >> 8 & 0xff) << 16 | (ports & 0xff) << 8 | (cube.slot & 0xff);
	r->steps = at + 1;
	if (edge_kind(edge) != EDGE_CUBE && !flow_close(skb, r, w, edge))
		r->steps = FLOW_STEPS;
	return 0;
}

#endif
