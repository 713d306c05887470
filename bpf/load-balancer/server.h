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

/* Writes what a reply on an embryonic session proves into the forward half. */
static __noinline void note_reply(struct cube_ctx *c, struct session *s, u32 proof)
{
	struct scratch *x = get_scratch();
	struct session *forward;

	if (!x)
		return;
	forward_key(&c->work->tuple, s, &x->forward);
	forward = bpf_map_lookup_elem(&embryonic, &x->forward);
	/* with another port it is a later session of the same client */
	if (!forward || forward->backend != s->backend || forward->generation != s->generation ||
	    forward->port != c->work->tuple.dport)
		return;
	forward->state.proof = proof;
	forward->state.flags |= SESSION_REPLIED;
	s->state.proof = proof;
	s->state.flags |= SESSION_REPLIED;
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

/* A packet of the reverse direction. Returns a verdict, or VERDICT_NONE: the session is over. */
static __always_inline int follow_reply(struct cube_ctx *c, struct session *s, bool is_established,
					struct translation *t)
{
	struct cube_work *w = c->work;
	u32 now = packet_seconds(), proof;
	u8 chunk, events;

	if (unlikely(session_is_expired(&s->state, w->tuple.proto, now))) {
		count(c, COUNT_EXPIRED);
		cube_unsettle(c);
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

/* Reverse translation; VERDICT_NONE for a packet that is no reply of a session. */
static __always_inline int reply(struct cube_ctx *c, struct translation *t)
{
	struct cube_work *w = c->work;
	struct session *s;
	int verdict = VERDICT_NONE;

	w->tuple.pad[0] = TUPLE_REVERSE;
	s = bpf_map_lookup_elem(&established, &w->tuple);
	if (likely(s)) {
		w->tuple.pad[0] = 0;
		return follow_reply(c, s, true, t);
	}
	s = bpf_map_lookup_elem(&embryonic, &w->tuple);
	w->tuple.pad[0] = 0;
	if (s)
		verdict = follow_reply(c, s, false, t);
	return verdict;
}

#endif
