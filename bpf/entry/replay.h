/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets of flows of which is known what becomes of them: done here, without a cube (flow-cache.h). */
#ifndef CUBEPLANE_ENTRY_REPLAY_H
#define CUBEPLANE_ENTRY_REPLAY_H

#include "clock.h"
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

/*
 * So many plain packets of a flow come in a second before it is noted what becomes of one: most connections have no more. One of
 * which the last record in its place speaks needs to show nothing again.
 */
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
	u32 target = r->target;

	switch (r->edge) {
	case EDGE_POD:
		return leave_to_pod(c, r->hop.halves[0], target);
	case EDGE_TUNNEL:
		w->tunnel_remote = r->hop;
		w->tunnel_vni = r->vni;
		return leave_by_tunnel(c, target);
	}
	w->flags = r->flags;
	w->next_hop = r->hop;
	if (r->edge == EDGE_ROUTE)
		target = cube_route(c->skb, w, target);
	return cube_output_neighbour(c, target);
}

/* Whether enough packets like this have come in this second; counts it. */
static __always_inline bool is_seen_often(struct flow_place *place, u32 who)
{
	u32 seen = *(volatile u32 *)&place->seen, count = seen & FLOW_SEEN;

	if ((seen ^ who) & ~FLOW_SEEN)
		count = 0;
	else if (count == FLOW_SEEN)
		return true;
	*(volatile u32 *)&place->seen = (who & ~FLOW_SEEN) | (count + 1);
	return false;
}

/* Of what agent and graph say. The epoch alternates, and the generation moves between two of its changes. */
static __always_inline u32 flow_version(const struct flow_state *state, u32 epoch)
{
	return *(volatile u32 *)&state->generation << 1 | (epoch & 1);
}

/* What is known of the packet under way. */
struct flow_look {
	struct flow_record
	    *record; /* its own, or where its own would be; NULL: none is ever made of such a packet */
	struct flow_place *place;
	struct flow_cpu *cpu;
	u64 frame;
	be32_t source;
	u32 hash;
	u32 number; /* of the record */
	u32 now;
	u32 second; /* as these stand in a record */
	u32 version;
	u32 stamp;
	bool is_of_tuple; /* the record is, or was */
	bool is_like;	  /* of a packet that was in all the same as this one; it may not have left yet */
};

/* Of this second and version, and whole. */
static __always_inline bool is_in_force(const struct flow_record *r, const struct flow_look *look)
{
	return r->second == look->second && r->version == look->version;
}

/* Fills the look, of which record is NULL. */
static __always_inline void flow_look(struct cube_ctx *c, u32 epoch, struct flow_look *look)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	u32 zero = 0, index;
	void *data = (void *)(long)skb->data;
	struct flow_state *state = bpf_map_lookup_elem(&flow_state, &zero);
	struct flow_cpu *cpu = bpf_map_lookup_elem(&flow_cpu, &zero);
	struct flow_record *r, *other;

	if (!cpu || !state || !state->mask || !is_plain(w))
		return;
	if (data + ETH_HLEN > (void *)(long)skb->data_end || skb->vlan_present ||
	    (long)data + plain_length(w) > (long)skb->data_end || checksum_state(skb) == CHECKSUM_COMPLETE)
		return;
	look->frame = *(u64 *)data;
	look->source = *(be32_t *)(data + sizeof(u64));
	look->now = cpu_seconds(cpu);
	look->hash = flow_hash(&w->tuple);
	index = look->hash & (FLOW_PLACES - 1);
	look->place = bpf_map_lookup_elem(&flow_places, &index);
	look->number = look->hash & state->mask;
	r = flow_record_at(state, look->number);
	other = flow_record_at(state, look->number ^ 1);
	if (!look->place || !r || !other)
		return;
	look->stamp = *(volatile u32 *)&look->place->stamp;
	look->version = flow_version(state, epoch);
	look->second = (look->now & ((1 << FLOW_TYPE_SHIFT) - 1)) | skb->pkt_type << FLOW_TYPE_SHIFT;
	look->is_of_tuple = same_tuple(&r->tuple, &w->tuple);
	if (unlikely(!look->is_of_tuple)) {
		look->is_of_tuple = same_tuple(&other->tuple, &w->tuple);
		if (look->is_of_tuple || is_in_force(r, look)) {
			r = other;
			look->number ^= 1;
		}
	}
	look->is_like = look->is_of_tuple && (r->second & ~FLOW_OPEN) == look->second &&
			r->version == look->version && r->stamp == look->stamp && r->frame == look->frame &&
			r->source == look->source && r->ifindex == skb->ifindex;
	look->cpu = cpu;
	look->record = r;
}

/* Whether the record says what becomes of this packet, but for what may be wrong with the packet itself. */
static __always_inline bool flow_is_known(const struct flow_look *look)
{
	return look->record && look->is_like && likely(!(look->record->second & FLOW_OPEN));
}

/* Whether the packet may go where the one before went: it has hops left, and is not too long. */
static __always_inline bool flow_fits(struct cube_ctx *c, const struct flow_record *r)
{
	return c->work->ttl > r->ttl && !(r->mtu && exceeds_mtu(c, r->mtu));
}

/*
 * Does to the packet what was done to the last one of its flow. Returns a verdict, or as a negative number the reason for which the
 * packet is to be dropped.
 */
static __always_inline int replay(struct cube_ctx *c, const struct flow_look *look)
{
	const struct flow_record *r = look->record;

	look->cpu->replayed++;
	replay_counters(c->skb, r);
	if (replay_rewrite(c, r))
		return -DROP_REWRITE_FAILED;
	return replay_output(c, r);
}

/* Of a packet that asks the cubes. Returns the flags by which they note in its record what becomes of it, or 0. */
static __always_inline u32 flow_begin(struct cube_ctx *c, const struct flow_look *look,
				      const struct attachment *a)
{
	struct flow_record *r = look->record;
	struct cube_work *w = c->work;

	if (!r) {
		if (w->tuple.proto == IPPROTO_TCP && !(w->flags & PKT_ICMP_ERROR) && !is_plain(w))
			flow_forget(&w->tuple);
		return 0;
	}
	if (look->is_like) {
		/* a cube on the way does not settle such packets, or this one does not fit */
		if (!(r->second & FLOW_OPEN) || r->tries >= FLOW_TRIES)
			return 0;
		r->tries++;
	} else {
		/* who was first keeps a record for its second: flows that took it from each other would all pay for it */
		if (!look->is_of_tuple &&
		    (is_in_force(r, look) || !is_seen_often(look->place, look->hash ^ look->now << 16)))
			return 0;
		r->tuple = w->tuple;
		r->frame = look->frame;
		r->source = look->source;
		r->ifindex = c->skb->ifindex;
		r->second = look->second | FLOW_OPEN;
		r->version = look->version;
		r->stamp = look->stamp;
		r->counters = a->counters;
		r->is_proof = a->port != ATTACH_OVERLAY;
		r->tries = 0;
	}
	r->mtu = 0;
	r->ttl = w->ttl;
	r->steps = 0;
	return CUBE_F_RECORD | look->number << FLOW_INDEX_SHIFT;
}

#endif
