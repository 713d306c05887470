/* SPDX-License-Identifier: GPL-2.0-only */
/* A new connection: may the client, who serves it, and is its way back free. */
#ifndef CUBEPLANE_LOAD_BALANCER_PICK_H
#define CUBEPLANE_LOAD_BALANCER_PICK_H

#include "halves.h"

#define PICKS_TRIED 4 /* backends, before the source port is changed */
#define PORTS_TRIED 16

static __always_inline u64 mix(u64 x)
{
	/* finalizer of splitmix64 */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/*
 * Hash on which all nodes agree. With affinity it is of the client's address alone, so that
 * a client keeps its backend on every node; but not of one whose affinity has ended here, which is to be
 * free to get another one.
 */
static __always_inline u32 tuple_hash(const struct cube_tuple *t, bool client_only)
{
	u64 h = mix(t->src.halves[0]) ^ t->src.halves[1];

	h = mix(h);
	if (!client_only)
		h = mix(h ^ ((u64)t->sport << 32 | (u64)t->dport << 16 | t->proto));
	h = mix(h ^ t->dst.halves[0]);
	return mix(h ^ t->dst.halves[1]) >> 32;
}

static __always_inline bool source_is_allowed(const struct frontend *f, const addr_t *client)
{
	struct source_range_key key = {
	    .length = 224, .group = f->group, .family = addr_is_v4(client) ? 4 : 6, .addr = *client};

	return !(f->flags & FRONTEND_RANGES) || bpf_map_lookup_elem(&source_ranges, &key);
}

#define AFFINITY_NONE  0
#define AFFINITY_ENDED 1 /* its time is over */
#define AFFINITY_KEPT  2

/* Fills id and generation of `s` from the affinity of the client. Returns AFFINITY_*. */
static __noinline u32 pick_by_affinity(const struct cube_ctx *c, const struct frontend *f, struct session *s)
{
	struct affinity_key key = {.client = c->work->tuple.src, .group = f->group};
	u32 now = s->state.seen;
	struct affinity *a = bpf_map_lookup_elem(&affinity, &key);
	struct backend *b;

	if (!a)
		return AFFINITY_NONE;
	if ((s32)(now - a->seen) > (s32)f->affinity)
		return AFFINITY_ENDED;
	b = backend_of(a->backend, a->generation, now);
	if (!b || !(b->flags & BACKEND_READY))
		return AFFINITY_NONE;
	s->backend = a->backend;
	s->generation = a->generation;
	return AFFINITY_KEPT;
}

/* Fills id and generation of `s` from the frontend's segment. `nth` differs at each try. */
static __noinline bool pick_from_segment(u64 segment, u32 hash, u32 nth, struct session *s)
{
	struct backend *b = pick_at(segment, hash, nth, &s->backend);

	if (!b)
		return false;
	s->generation = b->generation;
	return true;
}

/* SESSION_MASQUERADE where the backend is to see a source of this node. */
static __always_inline u32 hides_client(const struct cube_ctx *c, const struct frontend *f,
					const struct backend *b)
{
	if (likely(!(f->flags & (FRONTEND_MASQUERADE | FRONTEND_MASQUERADE_HOST))) ||
	    !can_masquerade(c->work))
		return 0;
	return f->flags & FRONTEND_MASQUERADE || bpf_map_lookup_elem(&host_addresses, &b->addr)
		   ? SESSION_MASQUERADE
		   : 0;
}

/* Claims the way back for the backend in `s`, by another source port where `port` says so. `own`: of state.own what is fixed. */
static __noinline long claim(struct cube_ctx *c, struct session *s, const struct backend *b, be16_t port,
			     u32 own)
{
	struct cube_work *w = c->work;
	struct scratch *x = get_scratch();

	if (!x)
		return -1;
	s->port = port;
	s->state.own = own;
	if (port != w->tuple.sport)
		s->state.own |= SESSION_PORT_CHANGE;
	if (!own && addr_equal(&b->addr, &w->tuple.src))
		s->state.own |= SESSION_HAIRPIN;
	reverse_key(w, &w->tuple, s, b, &x->reverse);
	reverse_half(&w->tuple, s, &x->back);
	/* answers may have passed as those of the backend itself, which are this session's from now on */
	cube_forget(c, &x->reverse);
	return claim_reverse(c, &x->reverse, &x->back);
}

#define PICKED_BY_AFFINITY -1

/*
 * Picks a backend and claims its way back. With SESSION_TAKEN in state.own it takes another source port, whoever it is.
 * Returns 0 or PICKED_BY_AFFINITY with `s` complete, or a drop reason.
 */
static __noinline int pick(struct cube_ctx *c, const struct frontend *f, struct session *s)
{
	const struct cube_tuple *t = &c->work->tuple;
	bool maglev = f->flags & FRONTEND_MAGLEV;
	u64 segment = *(volatile u64 *)&f->segment;
	struct backend *b = NULL;
	bool sticky = false, by_client = f->affinity, is_taken = s->state.own & SESSION_TAKEN;
	u32 hash;

	if (f->affinity) {
		u32 known = pick_by_affinity(c, f, s);

		sticky = known == AFFINITY_KEPT && is_among(segment, s->backend);
		by_client = known != AFFINITY_ENDED;
	}
	for (int i = 0; i < PICKS_TRIED; i++) {
		if (!sticky) {
			hash = maglev ? tuple_hash(t, by_client) : bpf_get_prandom_u32();
			if (!pick_from_segment(segment, hash, maglev ? i : 0, s))
				return DROP_BACKEND_INVALID;
		}
		b = bpf_map_lookup_elem(&backends, &s->backend);
		if (!b)
			return DROP_BACKEND_INVALID;
		if (t->proto == IPPROTO_SCTP && b->port != t->dport)
			return DROP_SCTP_PORT_CHANGE;
		if (!is_taken && !claim(c, s, b, t->sport, hides_client(c, f, b)))
			goto picked;
		count(c, COUNT_CONFLICTS);
		if (sticky || is_taken) /* the client stays with its backend: only a port can help */
			break;
	}
	if (t->proto == IPPROTO_SCTP)
		return DROP_REVERSE_CONFLICT;
	u32 port = bpf_get_prandom_u32();

	for (int i = 0; i < PORTS_TRIED; i++) {
		/* 1024..65535, wherever it began */
		u16 candidate = 1024 + (u16)(((u64)(port + i * 0x9e3779b9u) * 64512) >> 32);

		if (!claim(c, s, b, bpf_htons(candidate), hides_client(c, f, b))) {
			count(c, COUNT_SOURCE_PORT_CHANGED);
			goto picked;
		}
	}
	return DROP_REVERSE_CONFLICT;
picked:
	if (sticky)
		count(c, COUNT_AFFINITY_HITS);
	if (s->state.own & SESSION_HAIRPIN)
		count(c, COUNT_HAIRPINS);
	return sticky ? PICKED_BY_AFFINITY : 0;
}

/* Counts a new session of a backend; what is established costs nothing here. */
static __always_inline void count_pick(const struct cube_ctx *c, u32 id)
{
	struct backend_counter *counter = bpf_map_lookup_elem(&backend_counters, &id);

	if (counter && !cube_is_dry(c))
		__sync_fetch_and_add(&counter->sessions, 1);
}

static __noinline void remember_affinity(struct cube_ctx *c, const struct frontend *f,
					 const struct session *s)
{
	struct affinity_key key = {.client = c->work->tuple.src, .group = f->group};
	struct affinity value = {
	    .backend = s->backend,
	    .generation = s->generation,
	    .seen = s->state.seen,
	};

	cube_map_update(c, &affinity, &key, &value, BPF_ANY);
}

#endif
