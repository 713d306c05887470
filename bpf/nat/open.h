/* SPDX-License-Identifier: GPL-2.0-only */
/* The first packet of a session: which rule takes it, what it becomes, and the claim on the way back. */
#ifndef CUBEPLANE_NAT_OPEN_H
#define CUBEPLANE_NAT_OPEN_H

#include "follow.h"
#include "match.h"

#define PORTS_TRIED 32
#define PORTS_TRIED_PAIRED                                                                                   \
	24 /* of these, at the address that the client has by its own, where there are others */

#define IPPROTO_DCCP_NUMBER    33
#define IPPROTO_AH_NUMBER      51
#define IPPROTO_UDPLITE_NUMBER 136

/*
 * Whether the packet can get another address. ICMP other than echo and errors speaks of the sender itself; the checksums of
 * UDP-Lite and DCCP cover the addresses and may not be all there; that of AH covers them by intent.
 */
static __always_inline bool is_translatable(const struct cube_work *w)
{
	switch (w->tuple.proto) {
	case IPPROTO_ICMP:
		return w->flags & PKT_IPV4 && w->flags & (PKT_ECHO | PKT_FRAG_LATER);
	case IPPROTO_ICMPV6:
		return w->flags & PKT_IPV6 && w->flags & (PKT_ECHO | PKT_FRAG_LATER);
	case IPPROTO_DCCP_NUMBER:
	case IPPROTO_AH_NUMBER:
	case IPPROTO_UDPLITE_NUMBER:
		return false;
	}
	return true;
}

static __always_inline bool is_echo_reply(const struct cube_work *w)
{
	return w->flags & PKT_ECHO &&
	       w->icmp_type == (w->flags & PKT_IPV4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY);
}

/* 0 for a packet that opens a session, or why it does not, as a verdict. */
static __always_inline int check_opening(struct cube_ctx *c, u8 chunk)
{
	const struct cube_work *w = c->work;

	if (!is_translatable(w) && !(w->flags & PKT_ICMP_ERROR))
		return VERDICT_DROP | DROP_NOT_TRANSLATABLE;
	if (w->flags & (PKT_ICMP_ERROR | PKT_FRAG_LATER) || is_echo_reply(w))
		return VERDICT_DROP | DROP_NO_SESSION;
	if (!session_opens(c, chunk))
		return VERDICT_REFUSE | DROP_NO_SESSION;
	return 0;
}

/* What of a session can be changed to make its replies differ from those of others. */
static __always_inline bool has_free_port(const struct cube_work *w)
{
	return w->tuple.proto != IPPROTO_SCTP && w->flags & (PKT_PORTS | PKT_ECHO);
}

static __always_inline be16_t nth_port(u32 start, u32 i)
{
	/* the golden ratio of 2^32: places of a few tries lie far from each other, in a range of any size */
	u32 place = ((u64)(start + i * 0x9e3779b9u) * nat_options.port_count) >> 32;

	return bpf_htons(nat_options.first_port + place);
}

/* Claims the way back with another source port, from the range. The scratch holds all else. Returns 0 or -EEXIST. */
__noinline int claim_port(struct __sk_buff *skb)
{
	struct cube_ctx context = {}, *c = &context;
	struct scratch *x = get_scratch();
	u32 start = bpf_get_prandom_u32();

	if (!x || !get_context(skb, c))
		return -ENOMEM;
	for (u32 i = 0; i < PORTS_TRIED; i++) {
		x->half.sport = nth_port(start, i);
		mirror(x);
		if (!claim(skb))
			return 0;
		count(c, COUNT_PORT_CONFLICTS);
	}
	return -EEXIST;
}

static __always_inline u32 hash_address(const addr_t *addr)
{
	u32 mixed = addr->words[0] ^ addr->words[1] ^ addr->words[2] ^ addr->words[3];

	mixed *= 0x9e3779b1;
	return mixed ^ mixed >> 15;
}

/*
 * Claims a source of the pool: the address that the client always has (RFC 4787 REQ-2), with a port of the range; where it
 * is nearly used up, one of the others.
 */
__noinline int claim_source(struct __sk_buff *skb, u32 base, u32 size)
{
	struct cube_ctx context = {}, *c = &context;
	struct scratch *x = get_scratch();
	u32 start = bpf_get_prandom_u32();
	bool has_ports;
	addr_t *addr;
	u32 first;

	if (!x || !size || !get_context(skb, c))
		return -ENOMEM;
	has_ports = has_free_port(c->work);
	first = ((u64)(hash_address(&x->key.src) * 0x85ebca6bu) * size) >> 32;
	for (u32 i = 0; i < PORTS_TRIED; i++) {
		u32 hop = i < PORTS_TRIED_PAIRED ? 0 : i - PORTS_TRIED_PAIRED + 1;
		u32 index;

		if (!has_ports) {
			if (i >= size)
				break;
			hop = i;
		}
		index = base + (first + hop) % size;
		addr = bpf_map_lookup_elem(&pool, &index);
		if (!addr)
			return -ENOENT;
		x->half.src = *addr;
		if (has_ports)
			x->half.sport = nth_port(start, i);
		mirror(x);
		if (!claim(skb))
			return 0;
		count(c, COUNT_PORT_CONFLICTS);
	}
	return -EEXIST;
}

#define FIB_LOOKUP_SOURCE 16 /* BPF_FIB_LOOKUP_SRC, linux/bpf.h of Linux 6.7 */

/*
 * Chooses the source that the host itself would take on its way there, where that is by an interface of the port. Returns 0, or
 * -ENOENT where it is not, or the kernel does not say.
 */
__noinline int choose_routed_source(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = {.ifindex = skb ? skb->ifindex : 0};
	struct cube_ctx context = {}, *c = &context;
	struct scratch *x = get_scratch();
	struct attachment *out;
	const addr_t *dst;
	addr_t addr = {};
	u32 ifindex;

	if (!x || !get_context(skb, c))
		return -ENOENT;
	dst = packet_dst(c->work);
	fib_ask(&fib, &addr, dst);
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), FIB_LOOKUP_NO_NEIGH | FIB_LOOKUP_SOURCE))
		return -ENOENT;
	if (addr_is_v4(dst))
		addr_set_v4(&addr, fib.ipv4_src);
	else
		__builtin_memcpy(addr.words, fib.ipv6_src, sizeof(fib.ipv6_src));
	ifindex = fib.ifindex;
	out = bpf_map_lookup_elem(&attachments, &ifindex);
	if (!out || !(out->flags & ATTACH_ALL) || !bpf_map_lookup_elem(&host_addresses, &addr))
		return -ENOENT;
	x->half.src = addr;
	return 0;
}

/* Claims the source that is chosen; a port of the range where it can be another one. */
static __always_inline int claim_chosen(struct cube_ctx *c, struct scratch *x)
{
	if (has_free_port(c->work))
		return claim_port(c->skb);
	mirror(x);
	return claim(c->skb);
}

/* Fills the scratch for a new session whose packets leave by `port`, as yet unchanged. */
static __always_inline struct scratch *prepare(struct cube_ctx *c, u32 port, u8 chunk)
{
	struct cube_work *w = c->work;
	struct scratch *x = get_scratch();

	if (!x)
		return NULL;
	x->key = w->tuple;
	x->half = (struct session){
	    .state = {.seen = packet_seconds(), .own = port == PORT_INSIDE ? HALF_TO_INSIDE : 0},
	    .src = w->tuple.src,
	    .dst = w->tuple.dst,
	    .sport = w->tuple.sport,
	    .dport = w->tuple.dport,
	};
	x->half.state.flags = session_events(w, chunk, false);
	return x;
}

/* Stores the half of the initiator; the other one has been claimed. */
static __always_inline int store(struct cube_ctx *c, struct scratch *x)
{
	if (cube_map_update(c, &embryonic, &x->key, &x->half, BPF_ANY)) {
		cube_map_delete(c, &embryonic, &x->other_key);
		return VERDICT_DROP | DROP_SESSION_TABLE_FULL;
	}
	/* answers may have crossed as they were, which are this session's from now on */
	cube_forget(c, &x->other_key);
	count(c, COUNT_NEW_SESSIONS);
	if (c->port == PORT_INSIDE && x->half.state.own & HALF_TO_INSIDE)
		count(c, COUNT_HAIRPINS);
	return translate(c, &x->half);
}

/* A packet that a forward rule takes: from the outside, or from an inside client to an outside address. */
static __always_inline int open_forward(struct cube_ctx *c, u32 rule)
{
	struct cube_work *w = c->work;
	struct forward_rule *f = bpf_map_lookup_elem(&forward_rules, &rule);
	u8 chunk = session_chunk(c);
	int refused = check_opening(c, chunk);
	struct scratch *x = prepare(c, PORT_INSIDE, chunk);
	long error;

	cube_decide(c, DECIDE_FORWARD, rule);
	if (refused)
		return refused;
	if (!f || !x)
		return VERDICT_DROP | DROP_NO_MAPPING;
	x->half.dst = f->target;
	if (f->changes_port && w->flags & PKT_PORTS)
		x->half.dport = bpf_htons(f->port + (bpf_ntohs(w->tuple.dport) - f->first));
	if (c->port == PORT_INSIDE) {
		/* else the server would answer its neighbour directly, with an address that this one never asked */
		x->half.src = w->tuple.dst;
		if (has_free_port(w)) {
			if (claim_port(c->skb))
				return VERDICT_DROP | DROP_PORTS_EXHAUSTED;
			return store(c, x);
		}
	}
	mirror(x);
	error = claim(c->skb);
	if (error && has_free_port(w)) {
		/* the same client reaches the same server by two outside addresses or ports, from one port of its own */
		error = claim_port(c->skb);
		if (!error)
			count(c, COUNT_SOURCE_PORT_CHANGED);
	}
	if (error)
		return VERDICT_DROP | DROP_REVERSE_CONFLICT;
	return store(c, x);
}

/*
 * A client outside that speaks to an address of the inside itself: a session that changes nothing, for else its answers would be taken
 * for something that the inside begins, and get another source.
 */
static __always_inline int open_direct(struct cube_ctx *c, u8 chunk)
{
	struct scratch *x = prepare(c, PORT_INSIDE, chunk);

	cube_decide(c, DECIDE_DIRECT, 0);
	if (!x)
		return VERDICT_DROP | DROP_SESSION_TABLE_FULL;
	mirror(x);
	return claim(c->skb) ? VERDICT_DROP | DROP_REVERSE_CONFLICT : store(c, x);
}

/* A packet from the inside that a source rule takes. */
static __always_inline int open_source(struct cube_ctx *c, u32 rule)
{
	struct source_rule *r = bpf_map_lookup_elem(&source_rules, &rule);
	u8 chunk = session_chunk(c);
	u32 family = c->work->flags & PKT_IPV4 ? 0 : 1;
	int refused;
	struct scratch *x;
	int error;

	if (r && r->type == SOURCE_EXCLUDE) {
		cube_decide(c, DECIDE_EXCLUDE_RULE, rule);
		return VERDICT_CROSS | COUNT_EXCLUDED;
	}
	cube_decide(c, DECIDE_SOURCE, rule);
	refused = check_opening(c, chunk);
	if (refused)
		return refused;
	x = prepare(c, PORT_OUTSIDE, chunk);
	if (!r || !x)
		return VERDICT_DROP | DROP_PORTS_EXHAUSTED;
	if (r->type == SOURCE_ROUTED && !choose_routed_source(c->skb))
		error = claim_chosen(c, x);
	else
		error = claim_source(c->skb, r->base[family], r->count[family]);
	return error ? VERDICT_DROP | DROP_PORTS_EXHAUSTED : store(c, x);
}

/* Whether it is an echo, or its request, at an address that the cube alone answers for. */
static __always_inline bool is_own_echo(const struct cube_work *w)
{
	return (w->flags & (PKT_ECHO | PKT_ICMP_ERROR)) == PKT_ECHO &&
	       !bpf_map_lookup_elem(&host_addresses, packet_dst(w));
}

/* No established session: an embryonic one, a new one, or a packet that is not to be translated. */
__noinline int begin(struct __sk_buff *skb)
{
	struct cube_ctx context = {}, *c = &context;
	struct session *s;
	int verdict = VERDICT_NONE;
	bool is_shared, excluded;
	int rule = NO_RULE;

	if (!get_context(skb, c))
		return VERDICT_DROP | DROP_MALFORMED;
	is_shared = nat_options.discriminates && c->port == PORT_OUTSIDE;
	s = bpf_map_lookup_elem(&embryonic, &c->work->tuple);
	if (s)
		verdict = follow(skb, s, false);
	if (verdict != VERDICT_NONE)
		return verdict;
	excluded = is_excluded(c->port);
	if (!excluded) {
		rule = match_forward();
	} else if (!is_shared) {
		cube_decide(c, DECIDE_EXCLUSION, 0);
		return VERDICT_CROSS | COUNT_EXCLUDED;
	}
	if (rule == RULE_OWN && is_own_echo(c->work))
		return VERDICT_ECHO | DROP_NO_MAPPING;
	if (is_shared && (rule == RULE_OWN || rule == NO_RULE)) {
		verdict = discriminate();
		/* at an address that the cube alone answers for there is nobody else */
		if (verdict == VERDICT_PASS && rule == RULE_OWN &&
		    !bpf_map_lookup_elem(&host_addresses, packet_dst(c->work)))
			return (c->work->flags & PKT_ICMP_ERROR ? VERDICT_DROP : VERDICT_REFUSE) |
			       DROP_NO_MAPPING;
		/* what does not open a TCP connection leads nowhere by itself */
		if (verdict & (VERDICT_CROSS | VERDICT_REACH) &&
		    (c->work->tuple.proto != IPPROTO_TCP || session_opens(c, 0))) {
			int reason = check_source();

			if (reason)
				return VERDICT_DROP | reason;
		}
		if (verdict & VERDICT_REACH) {
			u8 chunk = session_chunk(c);

			/* answers to those whom nothing is translated for cross without it: nothing is between pods */
			if (!excluded && !(nodes_are_routed && is_of_pod_elsewhere()) &&
			    !check_opening(c, chunk))
				return open_direct(c, chunk);
			verdict = VERDICT_CROSS;
		}
		cube_decide(c, verdict == VERDICT_PASS ? DECIDE_HOST : DECIDE_NO_RULE, 0);
		return verdict | (verdict == VERDICT_PASS ? COUNT_HOST : COUNT_PASSED);
	}
	if (rule == RULE_OWN)
		return VERDICT_DROP | (c->work->flags & PKT_ICMP_ERROR ? DROP_NO_SESSION : DROP_NO_MAPPING);
	if (rule != NO_RULE)
		return open_forward(c, rule);
	if (c->port == PORT_INSIDE) {
		rule = match_source();
		if (rule != NO_RULE)
			return open_source(c, rule);
	}
	cube_decide(c, DECIDE_NO_RULE, 0);
	return VERDICT_CROSS | COUNT_PASSED;
}

#endif
