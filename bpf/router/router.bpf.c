// SPDX-License-Identifier: GPL-2.0-only
/*
 * The router: forwards IPv4 and IPv6 by destination (RFC 1812, RFC 8200), answers ARP, neighbour
 * discovery and echo for the addresses of its ports, and tells senders by ICMP why a packet went no
 * further.
 *
 *   router.h     maps
 *   route.h      longest match, MTU, TTL
 *   resolve.h    MACs of next hops, on ports that ask for them
 *   return.h     answers to other nodes' own addresses, by the tunnel
 *
 * Decisions that a reader may wonder about:
 * - IPv4 packets over the MTU are never cut, also without DF: a program cannot. They are dropped
 * with "fragmentation needed", from which also a sender that leaves DF clear learns to cut them
 * itself (RFC 1191 section 3).
 * - IPv4 source routes are dropped (RFC 7126 4.3, 4.4); other options are carried and not acted on.
 * Extension headers are carried; the router is no target of a routing header.
 * - The IPv4 header checksum is not verified; the update is incremental, so that a wrong one stays
 * wrong and the receiver drops the packet.
 * - 169.254.0.0/16 follows the routes (clouds serve metadata there); fe80::/10 is never forwarded
 * (RFC 4291 2.5.6).
 * - No redirects are sent.
 */
#define CUBE_WRITES
#include "neighbour.h"
#include "route.h"

static __always_inline bool is_own_here(const struct cube_ctx *c, const addr_t *addr)
{
	const struct own_address *own = own_lookup(addr);

	return own && own->port == c->port;
}

/* What admit() makes of a packet, beside a filled outcome. */
#define ADMIT_FORWARD 0
#define ADMIT_LOCAL   1 /* for an own address */
#define ADMIT_ARP     2
#define ADMIT_ND      3
#define ADMIT_PASS    4 /* control traffic that is not ours */
#define ADMIT_DROP    5
#define ADMIT_RESUME  6 /* from the agent, see resolve.h */

#define PACKET_HOST 0
#define MAX_OPTIONS 40 /* bytes in an IPv4 header (RFC 791 3.1) */

#define V4_LINK_GROUPS 0xe0000000 /* 224.0.0.0/24: never forwarded (RFC 5771 4) */

static __always_inline bool is_for_router(struct __sk_buff *skb)
{
	const mac_t *dst;

	/* the device's own MAC, or the gateway MAC, which devices of pods do not have */
	if (skb->pkt_type == PACKET_HOST)
		return true;
	dst = packet_head(skb, ETH_HLEN);
	return dst && mac_value(dst) == cube_gateway();
}

/*
 * A tag with VLAN id 0 carries a priority only (IEEE 802.1Q 9.6) and is taken off. Any other
 * belongs to another network than the port's. Returns 0 or a negative number.
 */
static __noinline int remove_tag(struct cube_ctx *c)
{
	struct cube_work *w = c->work;
	u32 tag = w->l3_off - ETH_HLEN;

	if (w->vlan || bpf_skb_vlan_pop(c->skb))
		return -1;
	w->l3_off -= tag;
	w->l4_off -= tag;
	w->inner_l3_off -= tag;
	w->inner_l4_off -= tag;
	return 0;
}

/* Loose and strict source route (RFC 791 3.1). A cut list of options counts as one too. */
static __noinline bool has_source_route(struct cube_ctx *c)
{
	struct cube_work *w = c->work;
	u8 options[MAX_OPTIONS + 4] = {}; /* an option that is cut at the very end finds a length of 0 */
	u32 length = w->l4_off - ETH_HLEN - sizeof(struct ipv4_header);
	u32 off = 0;

	if (!length || length > MAX_OPTIONS ||
	    bpf_skb_load_bytes(c->skb, ETH_HLEN + sizeof(struct ipv4_header), options, length))
		return true;
	for (int i = 0; i < MAX_OPTIONS && off < length; i++) {
		u8 type, size;

		if (off >= MAX_OPTIONS)
			return false;
		type = options[off];
		size = options[off + 1];
		if (type == 0)
			return false;
		if (type == 131 || type == 137)
			return true;
		if (type == 1)
			size = 1;
		else if (size < 2)
			return true;
		off += size;
	}
	return false;
}

/* The control traffic of one link: IGMP, MLD, router solicitations, routing protocols. */
static __always_inline bool is_link_group(const struct cube_work *w, const addr_t *dst)
{
	return w->flags & PKT_IPV4 ? (bpf_ntohl(dst->words[3]) & 0xffffff00) == V4_LINK_GROUPS
				   : dst->bytes[0] == 0xff && (dst->bytes[1] & 15) <= 2;
}

static __always_inline int admit(struct cube_ctx *c, struct outcome *o)
{
	struct cube_work *w = c->work;
	const addr_t *src = packet_src(w), *dst = packet_dst(w);
	const struct own_address *own;

	if (unlikely(!(w->flags & PKT_IP)))
		return w->flags & PKT_ARP ? ADMIT_ARP : ADMIT_PASS;
	*o = (struct outcome){DROP_UNSUPPORTED, 0, 0};
	if (unlikely(w->vlan || w->l3_off != ETH_HLEN || c->skb->vlan_present) && remove_tag(c))
		return ADMIT_DROP;
	if (unlikely(w->flags & PKT_ND))
		return ADMIT_ND;
	if (unlikely(w->flags & PKT_MULTICAST)) {
		o->reason = DROP_NOT_FORWARDABLE;
		return is_link_group(w, dst) || cube_is_shared(c) ? ADMIT_PASS : ADMIT_DROP;
	}
	if (unlikely(!is_for_router(c->skb))) {
		/* broadcast and other people's frames: on a shared interface the host may want them, as DHCP does */
		o->reason = DROP_NOT_FOR_ROUTER;
		return cube_is_shared(c) ? ADMIT_PASS : ADMIT_DROP;
	}
	o->reason = DROP_INVALID_SOURCE;
	if (w->flags & PKT_IPV4 ? v4_is_special(src->words[3])
				: v6_is_special(src) || addr_is_link_local(src))
		return ADMIT_DROP;
	own = own_lookup(src);
	if (unlikely(own && own->delivery != c->port))
		return ADMIT_DROP;
	o->reason = DROP_UNSUPPORTED;
	if (unlikely(w->flags & PKT_OPTIONS && w->flags & PKT_IPV4 && has_source_route(c)))
		return ADMIT_DROP;
	if (unlikely(own_lookup(dst)))
		return ADMIT_LOCAL;
	o->reason = DROP_NOT_FORWARDABLE;
	if (w->flags & PKT_IPV4 ? v4_is_special(dst->words[3])
				: v6_is_special(dst) || addr_is_link_local(dst))
		return ADMIT_DROP;
	return ADMIT_FORWARD;
}

/* A packet for an own address. Returns 0 when it is to be sent by *port, else *o says why not. */
static __always_inline int deliver(struct cube_ctx *c, struct outcome *o, u32 *port)
{
	struct cube_work *w = c->work;
	const struct own_address *own = own_lookup(packet_dst(w));
	bool is_from_node = w->flags & PKT_OVERLAY_NODE;
	int answer = echo_reply(c);

	*o = (struct outcome){DROP_LOCAL_DELIVERY, 0, 0};
	if (answer == REPLY_READY) {
		cube_decide(c, DECIDE_ECHO_REPLY, 0);
		count(c, COUNT_ECHO_REPLIES);
		*port = route_reply(c, o, is_from_node);
		o->is_answer = true;
		return 0;
	}
	if (answer == REPLY_FAILED) {
		o->reason = DROP_REWRITE_FAILED;
		return -1;
	}
	if (own && own->delivery != NO_DELIVERY && own->delivery != c->port) {
		w->next_hop = (addr_t){};
		*port = own->delivery;
		return 0;
	}
	if (w->flags & PKT_PORTS && !(w->flags & PKT_ICMP_ERROR)) {
		o->error = ERROR_PORT_UNREACHABLE;
	} else if (w->l4_proto != IPPROTO_ICMP && w->l4_proto != IPPROTO_ICMPV6 &&
		   !(w->flags & PKT_IPV6 && w->flags & PKT_OPTIONS)) {
		o->error = ERROR_PROTOCOL_UNREACHABLE;
		o->info = w->flags & PKT_IPV6 ? 6 : 0; /* where the unknown next header stands */
	}
	return -1;
}

/* The address that errors about packets of this port come from. False: there is none. */
static __always_inline bool error_source(struct cube_ctx *c, addr_t *source)
{
	u32 port = c->port;
	struct router_port *p = bpf_map_lookup_elem(&router_ports, &port);

	if (!p)
		return false;
	*source = c->work->flags & PKT_IPV4 ? p->source_v4 : p->source_v6;
	return !addr_is_zero(source);
}

/* Tells the sender. Returns 0 when the packet is now the answer and to be sent by *port. */
static __noinline int tell_sender(struct cube_ctx *c, struct outcome *o, u32 *port)
{
	bool is_from_node = c->work->flags & PKT_OVERLAY_NODE; /* the answer has flags of its own */
	addr_t source;
	int answer;

	/* "not for forwarding" and "no such port" come from the address that was asked (RFC
	 * 1812 4.3.2.4) */
	if (o->reason == DROP_LOCAL_DELIVERY)
		source = *packet_dst(c->work);
	else if (!error_source(c, &source))
		addr_set_v4(&source, bpf_htonl(0xc0000008)); /* 192.0.0.8 (RFC 7600 4.8) */
	if (addr_is_v4(&source) != !!(c->work->flags & PKT_IPV4))
		answer = REPLY_FORBIDDEN; /* an IPv6 error needs a source of the router's own */
	else
		answer = icmp_error(c, o->error, o->info, &source);
	if (answer == REPLY_FORBIDDEN || answer == REPLY_LIMITED)
		count(c, COUNT_ICMP_SUPPRESSED);
	if (answer != REPLY_READY)
		return -1;
	count(c, COUNT_ICMP_ERRORS);
	cube_decide(c, DECIDE_ICMP_ERROR, 0);
	*port = route_reply(c, o, is_from_node);
	o->is_answer = true;
	return 0;
}

CUBE(router)
{
	struct outcome o;
	u32 port = c->port;
	int verdict;

	if (unlikely(c->work->flags & PKT_FRAME_READY)) /* its MACs were for the way here */
		c->work->flags &= ~PKT_FRAME_READY;
	verdict = resolving_ports && c->flags & CUBE_F_INJECTED ? ADMIT_RESUME : admit(c, &o);
	if (likely(verdict == ADMIT_FORWARD)) {
		verdict = route_forward(c, &o, &port);
	} else if (verdict == ADMIT_LOCAL) {
		cube_decide(c, DECIDE_OWN_ADDRESS, 0);
		verdict = deliver(c, &o, &port);
	} else if (verdict == ADMIT_ARP || verdict == ADMIT_ND) {
		u32 heard = port_resolves(c->port) ? hear_neighbour(c) : 0;
		int reason;

		if (heard)
			return cube_drop(c, heard);
		reason = verdict == ADMIT_ARP ? answer_arp(c) : answer_solicitation(c);
		if (reason == NEIGHBOUR_FOREIGN)
			return cube_pass(c);
		if (reason != NEIGHBOUR_ANSWERED)
			return cube_drop(c, reason == NEIGHBOUR_INVALID ? DROP_ARP_INVALID : reason);
		count(c, COUNT_ARP_REPLIES);
		cube_decide(c, DECIDE_NEIGHBOUR_REPLY, 0);
		verdict = 0;
	} else if (verdict == ADMIT_PASS) {
		return cube_pass(c);
	} else if (resolving_ports && verdict == ADMIT_RESUME) {
		verdict = route_resume(c, &o, &port);
	} else {
		return cube_drop(c, o.reason);
	}
	if (unlikely(verdict)) {
		cube_count_drop(c, o.reason, 0);
		if (!o.error || tell_sender(c, &o, &port))
			return TC_ACT_SHOT;
	}
	if (resolving_ports && needs_neighbour(c, port)) {
		u32 reason = resolve(c, port, o.length);

		/* nobody is there: the sender is told, whose way may need a MAC too */
		if (reason == DROP_NEIGHBOUR_UNREACHABLE && !o.is_answer) {
			cube_count_drop(c, reason, 0);
			o = (struct outcome){reason, ERROR_HOST_UNREACHABLE, 0};
			if (tell_sender(c, &o, &port))
				return TC_ACT_SHOT;
			reason = needs_neighbour(c, port) ? resolve(c, port, o.length) : 0;
		}
		if (reason)
			return cube_drop(c, reason);
	}
	return cube_output(c, port);
}
