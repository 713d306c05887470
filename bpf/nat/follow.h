/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets of a session that is there. */
#ifndef CUBEPLANE_NAT_FOLLOW_H
#define CUBEPLANE_NAT_FOLLOW_H

#include "halves.h"

static __always_inline int translate(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x = get_scratch();
	struct translation *t;

	if (!x)
		return VERDICT_DROP | DROP_REWRITE_FAILED;
	t = &x->out;
	t->src = s->src;
	t->dst = s->dst;
	t->sport = s->sport;
	t->dport = s->dport;
	t->port = s->state.own & HALF_TO_INSIDE ? PORT_INSIDE : PORT_OUTSIDE;
	count(c, s->state.own & HALF_REPLY ? COUNT_REVERSE_TRANSLATED : COUNT_TRANSLATED);
	return VERDICT_TRANSLATE;
}

/* What a packet of an embryonic session changes beside its time. Returns whether the session is established now. */
static __noinline bool advance(struct cube_ctx *c, struct session *s, u32 chunk)
{
	u32 proof;
	long error;

	if (s->state.own & HALF_REPLY) {
		if (session_proof(c, &s->state, chunk, &proof) &&
		    (!(s->state.flags & SESSION_REPLIED) || s->state.proof != proof))
			note_reply(c, s, proof);
		return false;
	}
	if (!session_confirms(c, &s->state))
		return false;
	error = promote(c, s);
	count(c, error ? COUNT_PROMOTIONS_REFUSED : COUNT_PROMOTED);
	return !error;
}

/*
 * Whether the packet belongs to the half whose key its tuple is. An echo with the identifier 0 has the tuple of its reply, and of
 * ICMP that is neither echo nor error.
 */
static __always_inline bool is_of_half(const struct cube_ctx *c, bool is_reply)
{
	const struct cube_work *w = c->work;
	u8 request = w->flags & PKT_IPV4 ? ICMP_ECHO : ICMPV6_ECHO;
	u8 reply = w->flags & PKT_IPV4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
	u8 type = w->icmp_type;

	if (likely(w->tuple.proto != IPPROTO_ICMP && w->tuple.proto != IPPROTO_ICMPV6) ||
	    w->flags & PKT_FRAG_LATER)
		return true;
	if (!(w->flags & PKT_ICMP_ERROR))
		return type == (is_reply ? reply : request);
	/* it quotes a packet of the other half */
	return !(w->flags & PKT_INNER_L4) || (!bpf_skb_load_bytes(c->skb, w->inner_l4_off, &type, 1) &&
					      type == (is_reply ? request : reply));
}

/*
 * A packet whose tuple is the key of the half `s`. Returns a verdict, or VERDICT_NONE: the session is over, and the packet
 * is to be looked at as if it had never been.
 */
__noinline int follow(struct __sk_buff *skb, struct session *s, u32 is_established)
{
	struct cube_ctx context = {}, *c = &context;
	u32 now = packet_seconds();
	struct cube_work *w;
	u8 chunk, events;
	bool is_reply;

	if (!s || !get_context(skb, c))
		return VERDICT_DROP | DROP_MALFORMED;
	w = c->work;
	is_reply = s->state.own & HALF_REPLY;
	if (unlikely(!is_of_half(c, is_reply)))
		/* a request needs the place that the half has */
		return is_reply && w->flags & PKT_ECHO ? VERDICT_DROP | DROP_REVERSE_CONFLICT : VERDICT_NONE;
	if (unlikely(session_is_expired(&s->state, w->tuple.proto, now)) &&
	    !revive(c, s, is_established, now)) {
		count(c, COUNT_EXPIRED);
		end_session(c, s);
		return VERDICT_NONE;
	}
	cube_decide(c, is_reply ? DECIDE_REPLY : DECIDE_SESSION, 0);
	chunk = session_chunk(c);
	if (unlikely(s->state.flags & SESSION_CLOSING) && !is_reply && session_opens(c, chunk)) {
		end_session(c, s);
		return VERDICT_NONE;
	}
	if (unlikely(w->flags & PKT_ICMP_ERROR || cube_is_dry(c)))
		return translate(c, s);
	events = session_events(w, chunk, is_reply) & ~s->state.flags;
	if (unlikely(events || !is_established || session_syncs(&s->state, now))) {
		s->state.seen = now;
		s->state.flags |= events;
		if (sync_other(c, s, is_established) == -EEXIST) {
			end_session(c, s);
			return VERDICT_DROP | DROP_REVERSE_CONFLICT;
		}
	}
	if (s->state.seen != now)
		s->state.seen = now;
	if (unlikely(!is_established) && advance(c, s, chunk)) {
		/* `s` is deleted, and its memory may have another owner */
		struct scratch *x = get_scratch();

		if (x)
			return translate(c, &x->half);
	}
	return translate(c, s);
}

#endif
