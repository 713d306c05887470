/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets from the client side: towards a backend. */
#ifndef CUBEPLANE_LOAD_BALANCER_CLIENT_H
#define CUBEPLANE_LOAD_BALANCER_CLIENT_H

#include "pick.h"
#include "verdict.h"

/* Fills the scratch from the packet's tuple and the forward half `s`. */
static __always_inline struct scratch *describe(struct cube_ctx *c, const struct session *s,
						const struct backend *b)
{
	struct scratch *x = get_scratch();

	if (!x)
		return NULL;
	x->forward = c->work->tuple;
	x->half = *s;
	reverse_key(c->work, &x->forward, &x->half, b, &x->reverse);
	reverse_half(&x->forward, &x->half, &x->back);
	return x;
}

/* Ends both halves of a session that the tuple of the packet belongs to. */
static __noinline void end_session(struct cube_ctx *c, const struct session *s)
{
	u32 id = s->backend, generation = s->generation;
	struct backend *b = bpf_map_lookup_elem(&backends, &id);
	/* read all of `s` before anything is deleted: its memory may have another owner then */
	struct scratch *x = b ? describe(c, s, b) : NULL;

	cube_map_delete(c, &established, &c->work->tuple);
	cube_map_delete(c, &embryonic, &c->work->tuple);
	/* of a row that has been reused the reverse half is unknown; it expires by itself */
	if (x && b->generation == generation)
		drop_half(c, &x->reverse, &x->back);
}

static __noinline long sync_reverse(struct cube_ctx *c, const struct session *s, const struct backend *b)
{
	struct scratch *x = describe(c, s, b);

	return x ? sync_half(c, &x->reverse, &x->back) : -1;
}

static __noinline long confirm(struct cube_ctx *c, const struct session *s, const struct backend *b)
{
	struct scratch *x = describe(c, s, b);

	return x ? promote(c, x) : -1;
}

#include "direct.h"

static __always_inline int to_backend(struct cube_ctx *c, const struct session *s, const struct backend *b,
				      struct translation *t)
{
	u8 own = s->state.own;

	c->work->translated_by = cube.slot;
	t->dst = b->addr;
	t->dport = b->port;
	t->dst_changes = true;
	if (unlikely(own)) {
		t->src = own & SESSION_HAIRPIN	    ? hairpin_address(c->work)
			 : own & SESSION_MASQUERADE ? masquerade_address(c->work)
						    : c->work->tuple.src;
		t->sport = s->port;
		t->src_changes = true;
		t->hides_sender = own & SESSION_MASQUERADE;
	}
	count(c, COUNT_TRANSLATED);
	return verdict_output(own & SESSION_HAIRPIN ? PORT_CLIENT : PORT_SERVER);
}

/* Whether the service of a UDP session has let go of its backend, which lives on for another service. */
static __noinline bool has_departed(struct cube_ctx *c, struct session *s, const struct backend *b)
{
	struct cube_work *w = c->work;
	u16 departures = departures_of(b); /* before the look at what they are about */
	struct frontend_key key = {
	    .addr = w->tuple.dst,
	    .port = w->tuple.dport,
	    .proto = w->tuple.proto,
	};

	if (w->flags & PKT_ICMP_ERROR)
		return false;
	/* of one that asks the backend itself no service lets go */
	if (!(w->tuple.dport == b->port && addr_equal(&w->tuple.dst, &b->addr)) &&
	    !may_stay(bpf_map_lookup_elem(&frontends, &key), b, s->backend))
		return true;
	if (!cube_is_dry(c))
		s->state.mark = departures;
	return false;
}

/*
 * A packet of a session that is there. Returns a verdict, or VERDICT_NONE: the session is over, and
 * the packet is to be looked at as if it had never been.
 */
static __always_inline int follow(struct cube_ctx *c, struct session *s, bool is_established,
				  struct translation *t)
{
	struct cube_work *w = c->work;
	u32 now = packet_seconds();
	struct backend *b;
	u8 chunk, events;

	if (unlikely(session_is_expired(&s->state, w->tuple.proto, now))) {
		count(c, COUNT_EXPIRED);
		cube_unsettle(c);
		end_session(c, s);
		return VERDICT_NONE;
	}
	if (!is_established && unlikely(s->state.own & SESSION_TAKEN)) {
		t->is_taken = true;
		end_session(c, s);
		return VERDICT_NONE;
	}
	b = backend_of(s->backend, s->generation, now);
	if (unlikely(s->state.own & SESSION_MASQUERADE && !can_masquerade(w)))
		b = NULL; /* of a spec that had a source for it */
	cube_decide(c, DECIDE_SESSION, s->backend);
	chunk = session_chunk(c);
	if (unlikely(w->tuple.proto != IPPROTO_UDP && session_opens(c, chunk)) &&
	    (s->state.flags & SESSION_CLOSING || !b || (!is_established && !(b->flags & BACKEND_READY)))) {
		end_session(c, s);
		return VERDICT_NONE;
	}
	/* of streams both are 0 */
	if (likely(b) && unlikely((u16)b->departures != s->state.mark) && has_departed(c, s, b))
		b = NULL; /* of this service no longer */
	if (unlikely(!b)) {
		if (w->flags & PKT_ICMP_ERROR)
			return verdict_drop(DROP_BACKEND_GONE);
		end_session(c, s);
		if (w->tuple.proto != IPPROTO_UDP)
			return verdict_refuse(DROP_BACKEND_GONE);
		count(c, COUNT_REPICKED);
		cube_unsettle(c);
		return VERDICT_NONE;
	}
	if (unlikely(w->flags & PKT_ICMP_ERROR || cube_is_dry(c)))
		return to_backend(c, s, b, t);
	events = session_events(w, chunk, false) & ~s->state.flags;
	if (unlikely(events || session_syncs(&s->state, now))) {
		s->state.seen = now;
		s->state.flags |= events;
		if (sync_reverse(c, s, b) == -EEXIST) {
			end_session(c, s);
			return verdict_drop(DROP_REVERSE_CONFLICT);
		}
	}
	if (s->state.seen != now)
		s->state.seen = now;
	if (is_established)
		cube_settle(c);
	else if (session_confirms(c, &s->state)) {
		struct scratch *x;
		long error = confirm(c, s, b);

		if (error == -EEXIST) {
			end_session(c, s);
			return verdict_drop(DROP_REVERSE_CONFLICT);
		}
		x = get_scratch();
		if (!error && x) {
			/* `s` is deleted, and its memory may have another owner */
			count(c, COUNT_PROMOTED);
			return to_backend(c, &x->half, b, t);
		}
	}
	return to_backend(c, s, b, t);
}

/* A packet for a frontend, without a session. */
static __always_inline int open_session(struct cube_ctx *c, const struct frontend *f, struct translation *t)
{
	struct cube_work *w = c->work;
	struct session s = {};
	struct backend *b;
	u8 chunk = session_chunk(c);
	bool opens = session_opens(c, chunk);
	int reason;

	cube_decide(c, DECIDE_FRONTEND, 0);
	if (w->flags & PKT_ICMP_ERROR)
		return verdict_drop(DROP_NO_SESSION);
	if (!source_is_allowed(f, &w->tuple.src))
		return verdict_drop(DROP_SOURCE_NOT_ALLOWED);
	if (w->tuple.proto != IPPROTO_UDP && !opens && !(f->flags & FRONTEND_MAGLEV))
		return verdict_refuse(DROP_NO_SESSION);
	if (!(*(volatile u64 *)&f->segment >> 32)) {
		if (f->flags & FRONTEND_LOCAL)
			return verdict_drop(DROP_NO_LOCAL_BACKEND);
		return f->flags & FRONTEND_REJECT ? verdict_refuse(DROP_NO_BACKEND)
						  : verdict_drop(DROP_NO_BACKEND);
	}
	s.state.seen = packet_seconds();
	if (!opens)
		s.state.flags = SESSION_MIDSTREAM;
	s.state.flags |= session_events(w, chunk, false);
	s.state.own = t->is_taken ? SESSION_TAKEN : 0;
	reason = pick(c, f, &s);
	if (reason > 0)
		return verdict_drop(reason);
	b = bpf_map_lookup_elem(&backends, &s.backend);
	if (!b)
		return verdict_drop(DROP_BACKEND_INVALID);
	if (cube_map_update(c, &embryonic, &w->tuple, &s, BPF_ANY)) {
		end_session(c, &s);
		return verdict_drop(DROP_SESSION_TABLE_FULL);
	}
	if (f->affinity)
		remember_affinity(c, f, &s);
	count(c, COUNT_NEW_SESSIONS);
	count_pick(c, s.backend);
	cube_decide(c, reason ? DECIDE_AFFINITY : DECIDE_NEW_SESSION, s.backend);
	cube_tell_new(c, s.backend);
	return to_backend(c, &s, b, t);
}

/* No established session: an embryonic one, a new one, or a packet that is not for a service. */
static __noinline int begin(struct cube_ctx *c, struct translation *t)
{
	struct cube_work *w = c->work;
	struct frontend_key key = {
	    .addr = w->tuple.dst,
	    .port = w->tuple.dport,
	    .proto = w->tuple.proto,
	};
	struct frontend *f;
	struct session *s;

	if (w->flags & PKT_PORTS) {
		f = bpf_map_lookup_elem(&frontends, &key);
		if (f) {
			s = bpf_map_lookup_elem(&embryonic, &w->tuple);
			if (s) {
				int verdict = follow(c, s, false, t);

				if (verdict != VERDICT_NONE)
					return verdict;
			}
			return open_session(c, f, t);
		}
	}
	if (w->flags & PKT_PORTS && session_opens(c, session_chunk(c))) {
		struct session direct = {};
		int is_session = direct_session(c, &direct);
		struct backend *b;

		if (is_session < 0)
			return verdict_drop(DROP_REVERSE_CONFLICT);
		if (is_session) {
			u32 id = direct.backend;

			b = bpf_map_lookup_elem(&backends, &id);
			return b ? to_backend(c, &direct, b, t) : verdict_drop(DROP_BACKEND_INVALID);
		}
	}
	count(c, COUNT_PASSED);
	cube_settle(c);
	cube_decide(c, DECIDE_NOT_FOR_SERVICE, 0);
	return verdict_output(PORT_SERVER);
}

#endif
