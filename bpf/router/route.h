/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the route of a packet and sends it on by it. */
#ifndef CUBEPLANE_ROUTER_ROUTE_H
#define CUBEPLANE_ROUTER_ROUTE_H

#include "header-length.h"
#include "resolve.h"
#include "return.h"

/* Longest match; with `below` set only among prefixes that are no single address. */
static __always_inline const struct route *route_match(struct cube_ctx *c, const addr_t *dst, bool below)
{
	u32 family = addr_is_v4(dst) ? FAMILY_V4 : FAMILY_V6;
	u64 *word = bpf_map_lookup_elem(&route_lengths, &family);
	struct prefix_key key;
	const struct route *route;
	u64 lengths;
	u32 hashed;

	if (!word)
		return NULL;
	lengths = *(volatile u64 *)word;
	hashed = lengths >> 32 & 0xff;
	for (u32 i = 0; i < HASHED_LENGTHS && i < hashed; i++) {
		if (below && (lengths >> 8 * i & 0xff) == 128)
			continue;
		prefix_of(dst, lengths >> 8 * i & 0xff, &key);
		route = bpf_map_lookup_elem(&routes_hash, &key);
		if (route)
			return route;
	}
	if (!(lengths >> 40 & 1))
		return NULL;
	count(c, COUNT_LPM_LOOKUPS);
	key.length = 128;
	__builtin_memcpy(&key.addr, dst, sizeof(key.addr));
	route = bpf_map_lookup_elem(&routes_lpm, &key);
	/* ::/0 is shorter than any IPv4 prefix, so behind it there is no other match */
	if (route && family == FAMILY_V4 && route->flags & ROUTE_V6)
		return NULL;
	return route;
}

/*
 * By a ROUTE_RETURN go answers alone; for all else it is as if there were no such row. It is in routes_hash, as all rows of the
 * longest length.
 */
static __noinline const struct route *route_return(struct cube_ctx *c, const struct route *route)
{
	cube_unsettle(c); /* the next packet of that node may turn the others round */
	if (return_is_due(c)) {
		cube_decide(c, DECIDE_RETURN, 0);
		return route;
	}
	return route_match(c, packet_dst(c->work), true);
}

/* The route for a packet of somebody else. */
static __always_inline const struct route *route_find(struct cube_ctx *c, const addr_t *dst)
{
	const struct route *route = route_match(c, dst, false);

	return unlikely(route && route->kind == ROUTE_RETURN) ? route_return(c, route) : route;
}

static __always_inline bool route_is_tunnel(const struct route *route)
{
	return route->kind == ROUTE_TUNNEL || route->kind == ROUTE_RETURN;
}

/* Whether no packet goes by it. */
static __always_inline bool route_is_refusal(const struct route *route)
{
	return route->kind == ROUTE_BLACKHOLE || route->kind == ROUTE_UNREACHABLE;
}

/* Where the route leads: tells the edge behind its port. */
static __always_inline void route_follow(struct cube_work *w, const struct route *route)
{
	if (route_is_tunnel(route)) {
		w->tunnel_remote = route->gateway;
		w->tunnel_vni = route->vni;
	} else {
		w->next_hop = route->gateway; /* zero for ROUTE_PORT: the destination itself */
	}
}

/* Makes `length` bytes readable in place. NULL: they are not there. */
static __always_inline void *packet_head(struct __sk_buff *skb, u32 length)
{
	void *data = (void *)(long)skb->data;

	if (likely(data + length <= (void *)(long)skb->data_end))
		return data;
	if (bpf_skb_pull_data(skb, length))
		return NULL;
	data = (void *)(long)skb->data;
	return data + length <= (void *)(long)skb->data_end ? data : NULL;
}

/* Returns 0 or a negative number. */
static __always_inline long decrement_ttl(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;

	if (w->flags & PKT_IPV4) {
		void *data = packet_head(skb, ETH_HLEN + sizeof(struct ipv4_header));
		struct ipv4_header *ip = data + ETH_HLEN;
		u32 sum;

		if (unlikely(!data))
			return -1;
		/* RFC 1624, as ip_decrease_ttl() of the kernel */
		sum = ip->checksum + bpf_htons(0x0100);
		ip->checksum = sum + (sum >= 0xffff);
		ip->ttl = w->ttl - 1;
	} else {
		void *data = packet_head(skb, ETH_HLEN + sizeof(struct ipv6_header));
		struct ipv6_header *ip = data + ETH_HLEN;

		if (unlikely(!data))
			return -1;
		ip->hop_limit = w->ttl - 1;
		/* no checksum in the header makes up for it where a card has summed the packet */
		if (checksum_state(skb) == CHECKSUM_COMPLETE)
			bpf_csum_update(skb, (u16)~bpf_htons(0x0001));
	}
	w->ttl--;
	return 0;
}

/* The route that the packet may go by. NULL: *o says why there is none. */
static __always_inline const struct route *route_choose(struct cube_ctx *c, struct outcome *o)
{
	struct cube_work *w = c->work;
	const addr_t *dst = packet_dst(w);
	const struct route *route = route_find(c, dst);

	if (unlikely(!route)) {
		*o = (struct outcome){DROP_NO_ROUTE, ERROR_NO_ROUTE, 0};
		return NULL;
	}
	cube_decide(c, DECIDE_ROUTE, route->length);
	if (unlikely(route_is_refusal(route))) {
		*o = route->kind == ROUTE_BLACKHOLE
			 ? (struct outcome){DROP_BLACKHOLE, 0, 0}
			 : (struct outcome){DROP_UNREACHABLE, ERROR_HOST_UNREACHABLE, 0};
		return NULL;
	}
	/* the broadcast address of a connected prefix (RFC 2644), not of point-to-point links (RFC
	 * 3021) */
	if (route->flags & ROUTE_CONNECTED && w->flags & PKT_IPV4 && route->length < 127 &&
	    unlikely(!(~bpf_ntohl(dst->words[3]) & (0xffffffff >> ((route->length - 96) & 31))))) {
		*o = (struct outcome){DROP_NOT_FORWARDABLE, 0, 0};
		return NULL;
	}
	if (unlikely(exceeds_mtu(c, route->mtu))) {
		*o = (struct outcome){DROP_PACKET_TOO_BIG, ERROR_TOO_BIG, route->mtu};
		return NULL;
	}
	return route;
}

/* Returns 0 with *port set, or fills *o. */
static __always_inline int route_forward(struct cube_ctx *c, struct outcome *o, u32 *port)
{
	struct cube_work *w = c->work;
	const struct route *route;

	if (unlikely(w->ttl <= 1)) {
		*o = (struct outcome){DROP_TTL_EXPIRED, ERROR_TIME_EXCEEDED, 0};
		return -1;
	}
	route = route_choose(c, o);
	if (unlikely(!route))
		return -1;
	route_follow(w, route);
	*port = route->port;
	flow_limit(c, route->mtu);
	if (resolving_ports) {
		o->length = route->length;
		o->is_answer = false;
	}
	count(c, COUNT_FORWARDED);
	if (route_is_tunnel(route))
		count(c, COUNT_TUNNELLED);
	if (unlikely(w->flags & PKT_OVERLAY_NODE))
		return_note(c);
	else if (!resolving_ports)
		cube_settle(c);
	if (decrement_ttl(c)) {
		*o = (struct outcome){DROP_REWRITE_FAILED, 0, 0};
		return -1;
	}
	return 0;
}

/*
 * Our own packets are routed like others; what has no route goes back to where its cause came from.
 * An own address is the host's then: nobody else may send from it. `is_to_node`: the cause had PKT_OVERLAY_NODE.
 */
static __always_inline u32 route_reply(struct cube_ctx *c, struct outcome *o, bool is_to_node)
{
	const addr_t *dst = packet_dst(c->work);
	const struct own_address *own = own_lookup(dst);
	const struct route *route;

	if (own)
		return own->delivery == NO_DELIVERY ? c->port : own->delivery;
	route = route_match(c, dst, false);
	if (route && route->kind == ROUTE_RETURN && !is_to_node)
		route = route_return(c, route);
	if (!route || route_is_refusal(route)) {
		if (port_resolves(c->port))
			c->work->flags |= PKT_FRAME_READY; /* its MACs have been exchanged */
		return c->port;
	}
	route_follow(c->work, route);
	if (resolving_ports)
		o->length = route->length;
	return route->port;
}

/* Of one that has waited: whether the router has made it, or a host that shares the address, which sends by its own port. */
static __always_inline bool is_own_answer(const struct cube_ctx *c)
{
	const struct own_address *own = own_lookup(packet_src(c->work));

	return own && own->delivery != c->port;
}

/*
 * A packet that waited for the MAC of its next hop, or an answer of ours that did: it was admitted before, and its TTL is
 * what it has to be; the routes may be others now. Returns 0 with *port set, or fills *o.
 */
static __noinline int route_resume(struct cube_ctx *c, struct outcome *o, u32 *port)
{
	const struct route *route;
	u64 asked;

	*o = (struct outcome){DROP_MALFORMED, 0, 0};
	if (!cube_metadata(c, &asked))
		return -1;
	if (asked == RESUME_DISCARD)
		o->reason = DROP_NEIGHBOUR_QUEUE_FULL;
	if (asked == RESUME_UNREACHABLE)
		*o = (struct outcome){DROP_NEIGHBOUR_UNREACHABLE,
				      is_own_answer(c) ? 0 : ERROR_HOST_UNREACHABLE, 0};
	if (asked != RESUME_SEND)
		return -1;
	if (is_own_answer(c)) {
		*port = route_reply(c, o, false);
		o->is_answer = true;
		return 0;
	}
	route = route_choose(c, o);
	if (!route)
		return -1;
	route_follow(c->work, route);
	*port = route->port;
	o->length = route->length;
	return 0;
}

#endif
