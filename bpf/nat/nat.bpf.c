// SPDX-License-Identifier: GPL-2.0-only
/*
 * The NAT: source translation of what goes from its inside to its outside, with ports that it claims (RFC 4787, RFC 5382,
 * RFC 5508), and forwarding of outside addresses and ports to servers on the inside, also for clients on the inside. What no
 * rule takes crosses unchanged.
 *
 *   match.h    which rule takes a packet
 *   open.h     new sessions
 *   follow.h   packets of sessions that are there
 *   halves.h   how the two halves of a session hang together
 * It answers ARP, neighbour discovery and echo for the outside addresses. Where the host has them, too (`discriminates`), it does
 * not, and leaves to the host what is not for the inside.
 *
 * Decisions that a reader may wonder about:
 * - The mapping depends on the peer, too: one outside port serves a client for each peer, so that a range of ports is as
 * large for each peer.
 * - The port of SCTP stays, because its checksum could not follow; other protocols without ports have one session for each
 * peer and outside address.
 * - An ICMP error from a router on the inside gets the outside address of the session (RFC 5508 REQ-5); one from the
 * outside keeps its own.
 */
#define CUBE_WRITES
#include "open.h"
#include "neighbour.h"
#include "reclaim.h"
#include "reply.h"

/* Turns the packet into a RST that speaks for its destination. False: none is made, it is to be dropped for its reason. */
static __always_inline bool refuse(struct cube_ctx *c, u32 reason)
{
	int answer = c->work->tuple.proto == IPPROTO_TCP ? tcp_reset(c) : REPLY_FORBIDDEN;

	if (answer == REPLY_LIMITED)
		count(c, COUNT_REJECT_SUPPRESSED);
	if (answer != REPLY_READY)
		return false;
	count(c, COUNT_REJECTED);
	cube_decide(c, DECIDE_REFUSED, 0);
	cube_count_drop(c, reason, 0);
	return true;
}

/* Turns an echo request into its reply. False: it is no such request, or none is made, and it is to be dropped. */
static __always_inline bool answer_echo(struct cube_ctx *c)
{
	if (!is_echo_request(c))
		return false;
	if (!rate_allow(c, packet_src(c->work))) {
		count(c, COUNT_REJECT_SUPPRESSED);
		return false;
	}
	if (echo_reply(c) != REPLY_READY)
		return false;
	count(c, COUNT_ECHO_REPLIES);
	cube_decide(c, DECIDE_ECHO_REPLY, 0);
	return true;
}

/* Whether the packet is an answer to its sender now. */
static __always_inline bool answer(struct cube_ctx *c, int verdict)
{
	if (verdict & VERDICT_ECHO)
		return answer_echo(c);
	return verdict & VERDICT_REFUSE && refuse(c, verdict & VERDICT_VALUE);
}

/* Whether the packet changes nothing of an established session but its time, as nearly all do: follow() has no part in it. */
static __always_inline bool changes_nothing(const struct cube_ctx *c, const struct session *s, u32 now)
{
	const struct cube_work *w = c->work;
	u8 proto = w->tuple.proto;

	if (w->flags & PKT_ICMP_ERROR || cube_is_reported(c) || s->state.flags & SESSION_CLOSING ||
	    session_syncs(&s->state, now) || session_is_expired(&s->state, proto, now))
		return false;
	return proto == IPPROTO_UDP ||
	       (proto == IPPROTO_TCP && !(w->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)));
}

static __always_inline int decide(struct cube_ctx *c)
{
	struct session *s = bpf_map_lookup_elem(&established, &c->work->tuple);
	u32 now = packet_seconds();
	int verdict = VERDICT_NONE;

	if (likely(s) && likely(changes_nothing(c, s, now))) {
		if (s->state.seen != now)
			s->state.seen = now;
		cube_settle(c);
		return translate(c, s);
	}
	if (s)
		verdict = follow(c->skb, s, true);
	return verdict == VERDICT_NONE ? begin(c->skb) : verdict;
}

/* cube_rewrite_other() of one side, global: see get_context(). Returns 0 or a negative errno. */
__noinline int rewrite_side(struct __sk_buff *skb, const addr_t *addr, u32 side, u32 port)
{
	struct cube_ctx context = {}, *c = &context;

	if (!addr || !get_context(skb, c))
		return -EINVAL;
	return cube_rewrite_other(c, side, addr, port);
}

__noinline int rewrite_error_source(struct __sk_buff *skb, const addr_t *addr)
{
	struct cube_ctx context = {}, *c = &context;

	if (!addr || !get_context(skb, c))
		return -EINVAL;
	return cube_rewrite_error_source(c, addr);
}

/* cube_rewrite(), with what is rare in a function of its own. */
static __always_inline int rewrite(struct cube_ctx *c, const addr_t *addr, u32 side, be16_t port)
{
	if (unlikely(!rewrite_plain(c->skb, addr, side, port)))
		return rewrite_side(c->skb, addr, side, port);
	rewrite_tuple(c->work, side, addr, port);
	return 0;
}

/* Writes the translation into the packet. Returns 0 or a negative errno. */
static __always_inline int apply(struct cube_ctx *c, const struct translation *t)
{
	struct cube_work *w = c->work;
	int error = 0;

	if (t->dport != w->tuple.dport || !addr_equal(&t->dst, &w->tuple.dst)) {
		error = rewrite(c, &t->dst, REWRITE_DST, t->dport);
		w->next_hop = (addr_t){}; /* was that of the old destination */
	}
	if (!error && (t->sport != w->tuple.sport || !addr_equal(&t->src, &w->tuple.src)))
		error = rewrite(c, &t->src, REWRITE_SRC, t->sport);
	if (unlikely(!error && w->flags & PKT_ICMP_ERROR && c->port == PORT_INSIDE &&
		     t->port == PORT_OUTSIDE && !addr_equal(&w->outer_src, &t->src)))
		error = rewrite_error_source(c->skb, &t->src);
	return error;
}

/* What a NAT has no part in: the control traffic of one link. */
static __always_inline bool is_link_traffic(const struct cube_work *w)
{
	return !(w->flags & PKT_IP) || w->flags & (PKT_ND | PKT_MULTICAST) ||
	       (w->flags & PKT_IPV6 &&
		(addr_is_link_local(packet_src(w)) || addr_is_link_local(packet_dst(w))));
}

/* An outside address; where the host has it, too, the host answers for it. */
static __always_inline bool is_own_here(const struct cube_ctx *c, const addr_t *addr)
{
	return is_own(addr) && !(cube_is_shared(c) && bpf_map_lookup_elem(&host_addresses, addr));
}

/* answer_arp(), global: see get_context(). `flags`: of the context, for those of the packet speak of the next cube by now. */
__noinline int answer_arp_request(struct __sk_buff *skb, u32 flags)
{
	struct cube_ctx context = {}, *c = &context;

	if (!get_context(skb, c))
		return DROP_MALFORMED;
	c->flags = flags;
	return answer_arp(c);
}

/* Asked at the port outside who has an address: NEIGHBOUR_* or a drop reason. */
static __always_inline int answer_neighbour(struct cube_ctx *c)
{
	const struct cube_work *w = c->work;

	if (c->port != PORT_OUTSIDE || w->l3_off != ETH_HLEN || w->vlan)
		return NEIGHBOUR_FOREIGN;
	if (w->flags & PKT_ARP)
		return answer_arp_request(c->skb, c->flags);
	return w->flags & PKT_ND ? answer_solicitation(c) : NEIGHBOUR_FOREIGN;
}

#define PACKET_HOST 0 /* skb->pkt_type, linux/if_packet.h */

/*
 * At addresses that the host has, too: frames for other machines, which a switch flooded, and later fragments for the host whose
 * first one was not seen. The host puts together what is its own.
 */
static __always_inline bool is_others(const struct cube_ctx *c)
{
	if (!nat_options.discriminates || c->port != PORT_OUTSIDE)
		return false;
	return c->skb->pkt_type != PACKET_HOST ||
	       (cube_lacks_ports(c) && bpf_map_lookup_elem(&host_addresses, packet_dst(c->work)));
}

/* The answer of a Service, whose address it has from a LoadBalancer. A forward rule may lead to a Service, too. */
static __always_inline bool answers_service(const struct cube_ctx *c)
{
	return nat_options.discriminates == DISCRIMINATES_PLAIN && c->port == PORT_INSIDE &&
	       c->work->flags & PKT_SERVICE_SOURCE;
}

static __always_inline int cross_service(struct cube_ctx *c)
{
	cube_decide(c, DECIDE_SERVICE, 0);
	return VERDICT_CROSS | COUNT_PASSED;
}

static __always_inline u32 opposite(u32 port)
{
	return port == PORT_INSIDE ? PORT_OUTSIDE : PORT_INSIDE;
}

CUBE(nat)
{
	struct cube_work *w = c->work;
	u32 port;
	int verdict;

	if (unlikely(is_link_traffic(w))) {
		int answer = answer_neighbour(c);

		if (answer == NEIGHBOUR_ANSWERED) {
			count(c, COUNT_NEIGHBOUR_REPLIES);
			cube_decide(c, DECIDE_NEIGHBOUR_REPLY, 0);
			return cube_output(c, c->port);
		}
		if (answer != NEIGHBOUR_FOREIGN)
			return cube_drop(c, answer == NEIGHBOUR_INVALID ? DROP_NEIGHBOUR_INVALID : answer);
		if (cube_is_shared(c))
			return cube_pass(c);
		count(c, COUNT_PASSED);
		return cube_output(c, opposite(c->port));
	}
	if (unlikely(is_others(c))) {
		count(c, COUNT_HOST);
		return cube_pass(c);
	}
	if (unlikely(cube_lacks_ports(c)))
		return cube_drop(c, DROP_FRAGMENT_WITHOUT_FIRST);
	w->tuple.pad[0] = c->port;
	verdict = answers_service(c) ? cross_service(c) : decide(c);
	w->tuple.pad[0] = 0;
	if (likely(verdict & VERDICT_TRANSLATE)) {
		struct scratch *x = get_scratch();

		if (!x || apply(c, &x->out))
			return cube_drop(c, DROP_REWRITE_FAILED);
		port = x->out.port;
	} else if (verdict & VERDICT_CROSS) {
		/* by what the agent has written alone: there is no session, and whoever makes one says so */
		count(c, verdict & VERDICT_VALUE);
		cube_settle(c);
		port = opposite(c->port);
	} else if (verdict & VERDICT_PASS) {
		count(c, verdict & VERDICT_VALUE);
		return cube_pass(c);
	} else {
		if (!answer(c, verdict))
			return cube_drop(c, verdict & VERDICT_VALUE);
		port = c->port;
	}
	if (nat_options.discriminates && port == PORT_OUTSIDE && addr_is_zero(&w->next_hop))
		w->flags |= PKT_HOST_ROUTE;
	return cube_output(c, port);
}

static __always_inline bool is_session_over(const struct cube_tuple *key, const struct session *s, u32 now)
{
	return is_free(s, key->proto, now);
}

RECLAIM(reclaim_established, established, struct cube_tuple, struct session, is_session_over)
RECLAIM(reclaim_embryonic, embryonic, struct cube_tuple, struct session, is_session_over)
