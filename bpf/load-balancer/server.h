/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets from the side of the backends: replies get the address of the service back. */
#ifndef CUBEPLANE_LOAD_BALANCER_SERVER_H
#define CUBEPLANE_LOAD_BALANCER_SERVER_H

#include "halves.h"
#include "verdict.h"

static __noinline long sync_forward(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x = get_scratch();

	if (!x)
		return -1;
	x->half = *s;
	forward_key(&c->work->tuple, &x->half, &x->forward);
	x->half.frontend.halves[0] = x->half.frontend.halves[1] = 0;
	x->half.client.halves[0] = x->half.client.halves[1] = 0;
	x->half.frontend_port = 0;
	x->half.port = c->work->tuple.dport; /* the client's port as the backend sees it */
	return sync_half(c, &x->forward, &x->half);
}

/* The forward half of an embryonic session to which the packet is a reply; NULL: it is gone. */
static __always_inline struct session *forward_of(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x = get_scratch();
	struct session *forward;

	if (!x)
		return NULL;
	forward_key(&c->work->tuple, s, &x->forward);
	forward = bpf_map_lookup_elem(&embryonic, &x->forward);
	/* with another port it is a later session of the same client */
	return forward && forward->backend == s->backend && forward->generation == s->generation &&
		       forward->port == c->work->tuple.dport
		   ? forward
		   : NULL;
}

/* Writes what a reply on an embryonic session proves into the forward half. */
static __noinline void note_reply(struct cube_ctx *c, struct session *s, u32 proof)
{
	struct session *forward = forward_of(c, s);

	if (!forward)
		return;
	forward->state.proof = proof;
	forward->state.flags |= SESSION_REPLIED;
	s->state.proof = proof;
	s->state.flags |= SESSION_REPLIED;
}

/*
 * Whether a backend speaks of a connection that nobody has opened through this session: of TCP without SYN and RST, before its SYN-ACK.
 * Its client reaches it by its own address, too, from the same port, and the answer to the session's SYN says where that connection
 * stands (RFC 9293 3.10.7.4, RFC 5961 4.2). As an answer of the service it would make the client reset it.
 */
static __always_inline bool is_of_another(const struct cube_work *w, const struct session *s)
{
	/* in one word: branches cost the verifier more than the processor */
	u32 differs = (w->tuple.proto ^ IPPROTO_TCP) | (w->flags & (PKT_FRAG_LATER | PKT_ICMP_ERROR)) |
		      (w->tcp_flags & (TCP_SYN | TCP_RST)) |
		      (s->state.flags & (SESSION_REPLIED | SESSION_MIDSTREAM));

	return !differs;
}

/* Gives the way back to the connection that has it already. At its next SYN the session gets another source port. */
static __noinline void give_way(struct cube_ctx *c, const struct session *s)
{
	struct session *forward = forward_of(c, s);
	struct scratch *x = get_scratch();

	if (forward && !cube_is_dry(c))
		forward->state.own |= SESSION_TAKEN;
	if (!x)
		return;
	x->reverse = c->work->tuple;
	x->reverse.pad[0] = TUPLE_REVERSE;
	cube_map_delete(c, &embryonic, &x->reverse);
}

static __always_inline int to_client(struct cube_ctx *c, const struct session *s, struct translation *t)
{
	t->src = s->frontend;
	t->sport = s->frontend_port;
	t->src_changes = true;
	if (unlikely(s->state.own)) {
		const struct cube_tuple *reply = &c->work->tuple;

		t->dst = s->state.own & SESSION_HAIRPIN	     ? reply->src
			 : s->state.own & SESSION_MASQUERADE ? s->client
							     : reply->dst;
		t->dport = s->port;
		t->dst_changes = true;
		if (s->state.own & SESSION_MASQUERADE)
			c->work->next_hop =
			    (addr_t){}; /* was that of the source which stood for the client */
	}
	c->work->flags |= PKT_SERVICE_SOURCE;
	count(c, COUNT_REVERSE_TRANSLATED);
	return verdict_output(PORT_CLIENT);
}

/* A packet of the reverse direction. Returns a verdict, or VERDICT_NONE: the session is over, or it is no reply of it. */
static __always_inline int follow_reply(struct cube_ctx *c, struct session *s, bool is_established,
					bool is_server, struct translation *t)
{
	struct cube_work *w = c->work;
	u32 now = packet_seconds(), proof;
	u8 chunk, events;

	if (unlikely(session_is_expired(&s->state, w->tuple.proto, now))) {
		count(c, COUNT_EXPIRED);
		cube_unsettle(c);
		return VERDICT_NONE;
	}
	if (is_server && !is_established && unlikely(is_of_another(w, s))) {
		cube_decide(c, DECIDE_OTHER_CONNECTION, s->backend);
		give_way(c, s);
		return VERDICT_NONE;
	}
	cube_decide(c, DECIDE_REPLY, s->backend);
	if (unlikely(w->flags & PKT_ICMP_ERROR || cube_is_dry(c)))
		return to_client(c, s, t);
	chunk = session_chunk(c);
	events = session_events(w, chunk, true) & ~s->state.flags;
	if (unlikely(events || session_syncs(&s->state, now))) {
		s->state.seen = now;
		s->state.flags |= events;
		if (sync_forward(c, s) == -EEXIST) {
			w->tuple.pad[0] = TUPLE_REVERSE;
			if (is_established)
				cube_map_delete(c, &established, &w->tuple);
			else
				cube_map_delete(c, &embryonic, &w->tuple);
			w->tuple.pad[0] = 0;
			return verdict_drop(DROP_REVERSE_CONFLICT);
		}
	}
	if (s->state.seen != now)
		s->state.seen = now;
	if (is_established)
		cube_settle(c);
	else if (session_proof(c, &s->state, chunk, &proof) &&
		 (!(s->state.flags & SESSION_REPLIED) || s->state.proof != proof))
		note_reply(c, s, proof);
	return to_client(c, s, t);
}

/*
 * Reverse translation; VERDICT_NONE for a packet that is no reply of a session. `is_server`, a constant: it comes from the side of the
 * backends. What a backend sends itself has a source that no other connection has.
 */
static __always_inline int reply(struct cube_ctx *c, bool is_server, struct translation *t)
{
	struct cube_work *w = c->work;
	struct session *s;
	int verdict = VERDICT_NONE;

	w->tuple.pad[0] = TUPLE_REVERSE;
	s = bpf_map_lookup_elem(&established, &w->tuple);
	if (likely(s)) {
		w->tuple.pad[0] = 0;
		return follow_reply(c, s, true, is_server, t);
	}
	s = bpf_map_lookup_elem(&embryonic, &w->tuple);
	w->tuple.pad[0] = 0;
	if (s)
		verdict = follow_reply(c, s, false, is_server, t);
	return verdict;
}

#endif
