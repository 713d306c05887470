/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets of flows of which is known what becomes of them: done here, without a cube (flow-cache.h). */
#ifndef CUBEPLANE_ENTRY_REPLAY_H
#define CUBEPLANE_ENTRY_REPLAY_H

#include "flow-cache.h"
#include "header-length.h"
#include "rewrite-plain.h"

/* Counters of one cube, as instance.h declares them. */
struct inner_ports {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_PORTS);
	__type(key, u32);
	__type(value, struct port_counter);
};

struct inner_counters {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_COUNTERS);
	__type(key, u32);
	__type(value, u64);
};

/* key: slot. value: port_counters of the cube there. writer: agent, before a graph leads there. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CUBE_SLOTS);
	__type(key, u32);
	__array(values, struct inner_ports);
} slot_ports SEC(".maps");

/* The same with its counters. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CUBE_SLOTS);
	__type(key, u32);
	__array(values, struct inner_counters);
} slot_counters SEC(".maps");

/* Nothing is known of the packet: it has to ask the cubes. */
#define REPLAY_UNKNOWN -1000

/* So many plain packets of a flow come in a second before it is noted what becomes of one: most connections have no more. */
#define FLOW_SEEN 3
/* So many ask to be noted if none leaves a record. */
#define FLOW_TRIES 8

/* What a record speaks of, whatever the packet's tuple. */
static __always_inline bool is_plain(const struct cube_work *w)
{
	if ((w->flags & ~PKT_IP) != FLOW_PLAIN || w->l3_off != ETH_HLEN || w->vlan)
		return false;
	return w->tuple.proto == IPPROTO_UDP ||
	       (w->tuple.proto == IPPROTO_TCP &&
		(w->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) == TCP_ACK);
}

static __always_inline u32 plain_length(const struct cube_work *w)
{
	return ETH_HLEN + (w->flags & PKT_IPV4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header)) +
	       (w->tuple.proto == IPPROTO_TCP ? 20 : 8);
}

static __always_inline bool same_tuple(const struct cube_tuple *a, const struct cube_tuple *b)
{
	const u64 *left = (const u64 *)a, *right = (const u64 *)b;

	return !((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left[2] ^ right[2]) | (left[3] ^ right[3]) |
		 (left[4] ^ right[4]));
}

/* At each cube that the packet of the record has passed. */
static __always_inline void replay_counters(struct __sk_buff *skb, const struct flow_record *r)
{
	for (u32 i = 0; i < FLOW_STEPS && i < r->steps; i++) {
		const struct flow_step *step = &r->step[i];
		u32 slot = step->slot, index = step->in;
		void *map = bpf_map_lookup_elem(&slot_ports, &slot);
		struct port_counter *port;

		if (!map)
			continue; /* the agent took it away: the graph does not lead there */
		port = bpf_map_lookup_elem(map, &index);
		if (port) {
			port->rx_packets++;
			port->rx_bytes += skb->len;
		}
		index = step->out;
		port = bpf_map_lookup_elem(map, &index);
		if (port) {
			port->tx_packets++;
			port->tx_bytes += skb->len;
		}
		map = bpf_map_lookup_elem(&slot_counters, &slot);
		for (u32 k = 0; map && k < FLOW_COUNTS && step->counts[k]; k++) {
			u64 *count;

			index = step->counts[k] - 1;
			count = bpf_map_lookup_elem(map, &index);
			if (count)
				(*count)++;
		}
	}
}

/* As decrement_ttl() of the Routers on the way. Returns 0 or a negative number. */
static __always_inline int replay_ttl(struct cube_ctx *c, u32 by)
{
	void *data = (void *)(long)c->skb->data + ETH_HLEN, *end = (void *)(long)c->skb->data_end;

	c->work->ttl -= by;
	if (c->work->flags & PKT_IPV4) {
		struct ipv4_header *ip = data;
		u32 sum;

		if (data + sizeof(*ip) > end)
			return -1;
		sum = ip->checksum + bpf_htons(by << 8);
		ip->checksum = sum + (sum >= 0xffff);
		ip->ttl = c->work->ttl;
	} else {
		struct ipv6_header *ip = data;

		if (data + sizeof(*ip) > end)
			return -1;
		ip->hop_limit = c->work->ttl;
	}
	return 0;
}

/* Returns 0 or a negative number. */
static __always_inline int replay_rewrite(struct cube_ctx *c, const struct flow_record *r)
{
	struct cube_work *w = c->work;

	if (r->dport != w->tuple.dport || !addr_equal(&r->dst, &w->tuple.dst)) {
		if (!rewrite_plain_dst(c->skb, &r->dst, r->dport))
			return -1;
		w->tuple.dst = r->dst;
		w->tuple.dport = r->dport;
	}
	if (r->sport != w->tuple.sport || !addr_equal(&r->src, &w->tuple.src)) {
		if (!rewrite_plain_src(c->skb, &r->src, r->sport))
			return -1;
		w->tuple.src = r->src;
		w->tuple.sport = r->sport;
	}
	return r->ttl ? replay_ttl(c, r->ttl) : 0;
}

static __always_inline int replay_output(struct cube_ctx *c, const struct flow_record *r)
{
	struct cube_work *w = c->work;
	u32 target = edge_target(r->edge);

	switch (edge_kind(r->edge)) {
	case EDGE_POD:
		return leave_to_pod(c, r->mac, r->target);
	case EDGE_TUNNEL:
		w->tunnel_remote = r->hop;
		w->tunnel_vni = r->vni;
		return leave_by_tunnel(c, target);
	}
	w->flags = r->flags;
	w->next_hop = r->hop;
	if (edge_kind(r->edge) == EDGE_ROUTE)
		target = cube_route(c->skb, w, target);
	return cube_output_neighbour(c, target);
}

/* Returns a verdict, or as a negative number the reason for which the packet is to be dropped. */
static __always_inline int replay(struct cube_ctx *c, const struct flow_record *r)
{
	replay_counters(c->skb, r);
	if (replay_rewrite(c, r))
		return -DROP_REWRITE_FAILED;
	return replay_output(c, r);
}

/* Whether enough packets like this have come in this second; counts it. */
static __always_inline bool is_seen_often(struct flow_place *place, u32 who)
{
	u32 seen = *(volatile u32 *)&place->seen, count = seen & FLOW_SEEN;

	if ((seen ^ who) & ~FLOW_SEEN)
		count = 0;
	else if (likely(count == FLOW_SEEN))
		return true;
	*(volatile u32 *)&place->seen = (who & ~FLOW_SEEN) | (count + 1);
	return false;
}

/*
 * Does to the packet what was done to the last one of its flow: returns as replay(). REPLAY_UNKNOWN: it has to ask the cubes; where
 * *flags says so, they note what becomes of it.
 */
static __always_inline int replay_flow(struct cube_ctx *c, u32 epoch, u32 *flags)
{
	u32 zero = 0, now = coarse_seconds(), hash, index, stamp, generation;
	struct flow_counter *counter = bpf_map_lookup_elem(&flow_counters, &zero);
	struct flow_state *state = bpf_map_lookup_elem(&flow_state, &zero);
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	void *data = (void *)(long)skb->data;
	struct flow_place *place;
	struct flow_record *r;
	bool is_known;
	u64 frame;

	if (!state || !state->mask)
		return REPLAY_UNKNOWN;
	if (!is_plain(w)) {
		if (w->tuple.proto == IPPROTO_TCP && !(w->flags & PKT_ICMP_ERROR))
			flow_forget(&w->tuple);
		return REPLAY_UNKNOWN;
	}
	if (data + sizeof(frame) > (void *)(long)skb->data_end || skb->vlan_present ||
	    (long)data + plain_length(w) > (long)skb->data_end || checksum_state(skb) == CHECKSUM_COMPLETE)
		return REPLAY_UNKNOWN;
	frame = *(u64 *)data;
	hash = flow_hash(&w->tuple);
	index = hash & (FLOW_PLACES - 1);
	place = bpf_map_lookup_elem(&flow_places, &index);
	if (!place || !counter || !is_seen_often(place, hash ^ now << 16))
		return REPLAY_UNKNOWN;
	stamp = *(volatile u32 *)&place->stamp;
	generation = *(volatile u32 *)&state->generation;
	index = hash & state->mask;
	r = bpf_map_lookup_elem(&flow_cache, &index);
	if (!r)
		return REPLAY_UNKNOWN;
	is_known = same_tuple(&r->tuple, &w->tuple) && r->frame == frame && r->ifindex == skb->ifindex &&
		   (r->second & ~FLOW_OPEN) == now && r->generation == generation && r->epoch == epoch &&
		   r->stamp == stamp && r->pkt_type == skb->pkt_type;
	if (is_known && likely(!(r->second & FLOW_OPEN))) {
		if (w->ttl <= r->ttl || (r->mtu && exceeds_mtu(c, r->mtu)))
			return REPLAY_UNKNOWN;
		counter->replayed++;
		return replay(c, r);
	}
	if (!is_known) {
		r->tuple = w->tuple;
		r->frame = frame;
		r->ifindex = skb->ifindex;
		r->second = now | FLOW_OPEN;
		r->generation = generation;
		r->epoch = epoch;
		r->stamp = stamp;
		r->pkt_type = skb->pkt_type;
		r->tries = 0;
	} else if (r->tries++ >= FLOW_TRIES) {
		r->tries = FLOW_TRIES;
		return REPLAY_UNKNOWN; /* a cube on the way does not settle such packets */
	}
	r->mtu = 0;
	r->ttl = w->ttl;
	r->steps = 0;
	*flags |= CUBE_F_RECORD | index << FLOW_INDEX_SHIFT;
	return REPLAY_UNKNOWN;
}

#endif
