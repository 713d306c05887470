/* SPDX-License-Identifier: GPL-2.0-only */
/* How a packet leaves a chain: to a pod, through the overlay, to a neighbour. A part of cube.h, which includes it. */
#ifndef CUBEPLANE_LAST_EDGE_H
#define CUBEPLANE_LAST_EDGE_H

/* Writes the MACs of a frame whose next device is known, both as mac_value(). Returns 0 or a negative errno. */
static __always_inline long cube_set_macs(struct cube_ctx *c, u64 dst, u64 src)
{
	u64 first = dst | src << 48;
	u32 rest = src >> 16;
#ifdef CUBE_WRITES
	void *data = (void *)(long)c->skb->data;

	if (likely(data + sizeof(first) + sizeof(rest) <= (void *)(long)c->skb->data_end)) {
		*(u64 *)data = first;
		*(u32 *)(data + sizeof(first)) = rest;
		return 0;
	}
#endif
	u32 macs[3] = {first, first >> 32, rest};

	return bpf_skb_store_bytes(c->skb, 0, macs, sizeof(macs), 0);
}

/* Ends in a verdict of one of the following, or drops for the reason that it has returned as a negative number. */
static __always_inline int cube_leave(struct cube_ctx *c, int verdict)
{
	return verdict < 0 ? cube_drop(c, -verdict) : verdict;
}

/* Into a pod: its MAC as mac_value(), and the node's end of its pair. */
static __always_inline int leave_to_pod(struct cube_ctx *c, u64 mac, u32 ifindex)
{
	struct __sk_buff *skb = c->skb;

	if (cube_set_macs(c, mac, cube_gateway()))
		return -DROP_REWRITE_FAILED;
	if (skb->pkt_type !=
	    0) /* PACKET_HOST: a frame flooded or sent to another MAC would be ignored in the pod */
		bpf_skb_change_type(skb, 0);
	skb->mark = 0; /* mark and cb would survive into the pod */
	/* a copy is at the egress of a device, where the kernel does not let it through */
	if (cube.redirect_peer && likely(!(c->flags & CUBE_F_COPY_DEPTH)))
		return bpf_redirect_peer(ifindex, 0);
	return bpf_redirect(ifindex, 0);
}

static __always_inline int cube_output_pod(struct cube_ctx *c)
{
	struct pod *pod = bpf_map_lookup_elem(&pods, packet_dst(c->work));

	if (!pod)
		return cube_drop(c, DROP_UNKNOWN_POD);
	if (cube_is_dry(c))
		return TC_ACT_SHOT;
	return cube_leave(c, leave_to_pod(c, mac_value(&pod->mac), pod->ifindex));
}

static __always_inline int leave_by_tunnel(struct cube_ctx *c, u32 ifindex)
{
	struct cube_work *w = c->work;
	struct bpf_tunnel_key key = {
	    .tunnel_id = w->tunnel_vni,
	    .tunnel_tos = w->tos & 3, /* ECN goes to the outer header (RFC 6040 4.1), DSCP does not */
	    .tunnel_ttl = 64,
	};
	u64 flags = 0;

	if (addr_is_v4(&w->tunnel_remote)) {
		key.remote_ipv4 = bpf_ntohl(w->tunnel_remote.words[3]);
		flags = BPF_F_ZERO_CSUM_TX;
	} else {
		__builtin_memcpy(key.remote_ipv6, w->tunnel_remote.words, sizeof(key.remote_ipv6));
		flags = BPF_F_TUNINFO_IPV6;
	}
	/* All overlay devices have the gateway MAC, and vxlan_set_mac() takes a frame that comes
	 * from the device's own MAC for a loop and drops it without a count. */
	if (cube_set_macs(c, cube_gateway(), cube_gateway() ^ 0xffULL << 40))
		return -DROP_REWRITE_FAILED;
	if (bpf_skb_set_tunnel_key(c->skb, &key, sizeof(key), flags))
		return -DROP_REDIRECT_FAILED;
	c->skb->mark = 0;
	return bpf_redirect(ifindex, 0);
}

#define AF_INET_NUMBER	    2
#define AF_INET6_NUMBER	    10
#define FIB_LOOKUP_NO_NEIGH 4 /* BPF_FIB_LOOKUP_SKIP_NEIGH, linux/bpf.h of Linux 6.4 */

/* What the routes of the host are asked; a source of zero is none. */
static __always_inline void fib_ask(struct bpf_fib_lookup *fib, const addr_t *src, const addr_t *dst)
{
	if (addr_is_v4(dst)) {
		fib->family = AF_INET_NUMBER;
		fib->ipv4_src = src->words[3];
		fib->ipv4_dst = dst->words[3];
	} else {
		fib->family = AF_INET6_NUMBER;
		__builtin_memcpy(fib->ipv6_src, src->words, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, dst->words, sizeof(fib->ipv6_dst));
	}
}

/* Whether two interfaces lead to one port of a cube. */
static __always_inline bool cube_shares_port(u32 ifindex, u32 other)
{
	struct attachment *a = bpf_map_lookup_elem(&attachments, &ifindex);
	struct attachment *b = bpf_map_lookup_elem(&attachments, &other);

	return a && b && a->port == b->port;
}

/*
 * By which of the interfaces of an EDGE_ROUTE a packet leaves; `ifindex` is the first of them. A finished frame is an answer to
 * who asked, and leaves where it came in. Else the routes of the host say, with its policy rules and from the packet's
 * source; what they send elsewhere, or nowhere, leaves by the first.
 */
static __noinline __attribute__((unused)) u32 cube_route(struct __sk_buff *skb, struct cube_work *w,
							 u32 ifindex)
{
	struct bpf_fib_lookup fib = {.ifindex = ifindex};
	const addr_t *dst = packet_dst(w), *hop = &w->next_hop;

	if (w->flags & PKT_FRAME_READY)
		return cube_shares_port(ifindex, skb->ifindex) ? skb->ifindex : ifindex;
	if (hop->halves[0] | hop->halves[1])
		dst = hop;
	fib_ask(&fib, packet_src(w), dst);
	/* where it finds no way it leaves the number as it was */
	bpf_fib_lookup(skb, &fib, sizeof(fib), FIB_LOOKUP_NO_NEIGH);
	return fib.ifindex != ifindex && cube_shares_port(ifindex, fib.ifindex) ? fib.ifindex : ifindex;
}

static __always_inline int cube_output_neighbour(struct cube_ctx *c, u32 ifindex)
{
	const addr_t *hop = &c->work->next_hop;
	struct bpf_redir_neigh neighbour = {};

	if (c->work->flags & PKT_FRAME_READY)
		return bpf_redirect(ifindex, 0);
	if (c->work->flags & PKT_HOST_ROUTE)
		return bpf_redirect_neigh(ifindex, NULL, 0, 0);
	/* The destination itself. Said to the kernel, because its own routes know nothing of our prefixes: without a
	 * next hop it takes IPv4 for on-link and drops IPv6. */
	if (!(hop->halves[0] | hop->halves[1]))
		hop = packet_dst(c->work);
	if (addr_is_v4(hop)) {
		neighbour.nh_family = AF_INET_NUMBER;
		neighbour.ipv4_nh = hop->words[3];
	} else {
		neighbour.nh_family = AF_INET6_NUMBER;
		__builtin_memcpy(neighbour.ipv6_nh, hop->words, sizeof(neighbour.ipv6_nh));
	}
	return bpf_redirect_neigh(ifindex, &neighbour, sizeof(neighbour), 0);
}

#endif
