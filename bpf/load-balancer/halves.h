/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two halves of a session: how the key of one follows from the other, and how a pair is made,
 * promoted, refreshed and removed.
 *
 * The reverse half is a claim: no two sessions may have the same, or replies would go astray. It is
 * therefore only ever made by BPF_NOEXIST, or over an entry that has expired. An LRU may still take
 * either half; the one that is left makes the other again at its next refresh, by BPF_NOEXIST too,
 * and where somebody else has the claim by then the session is over.
 */
#ifndef CUBEPLANE_LOAD_BALANCER_HALVES_H
#define CUBEPLANE_LOAD_BALANCER_HALVES_H

#include "load-balancer.h"

/* Key of the reverse half of a session whose forward tuple is t. */
static __always_inline void reverse_key(const struct cube_work *w, const struct cube_tuple *t,
					const struct session *forward, const struct backend *b,
					struct cube_tuple *key)
{
	key->src = b->addr;
	key->dst = forward->state.own & SESSION_HAIRPIN	     ? hairpin_address(w)
		   : forward->state.own & SESSION_MASQUERADE ? masquerade_address(w)
							     : t->src;
	key->sport = b->port;
	key->dport = forward->port;
	key->proto = t->proto;
	key->pad[0] = TUPLE_REVERSE;
	key->pad[1] = key->pad[2] = 0;
}

/* Key of the forward half of a session whose reply has the tuple t. */
static __always_inline void forward_key(const struct cube_tuple *t, const struct session *reverse,
					struct cube_tuple *key)
{
	key->src = reverse->state.own & SESSION_HAIRPIN	     ? t->src
		   : reverse->state.own & SESSION_MASQUERADE ? reverse->client
							     : t->dst;
	key->dst = reverse->frontend;
	key->sport = reverse->port;
	key->dport = reverse->frontend_port;
	key->proto = t->proto;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
}

static __always_inline void reverse_half(const struct cube_tuple *t, const struct session *forward,
					 struct session *reverse)
{
	*reverse = *forward;
	reverse->port = t->sport;
	reverse->frontend = t->dst;
	reverse->frontend_port = t->dport;
	if (forward->state.own & SESSION_MASQUERADE)
		reverse->client = t->src;
}

static __always_inline bool same_session(const struct session *a, const struct session *b)
{
	return a->port == b->port && a->frontend_port == b->frontend_port &&
	       addr_equal(&a->frontend, &b->frontend) && addr_equal(&a->client, &b->client);
}

/* Whether two halves of one key are of one session with one backend. */
static __always_inline bool same_half(const struct session *a, const struct session *b)
{
	return same_session(a, b) && a->backend == b->backend && a->generation == b->generation;
}

/* Whether a half lives that is not of the session whose half `own` is. */
static __always_inline bool is_foreign(const struct session *half, const struct session *own, u8 proto,
				       u32 now)
{
	return half && !same_half(half, own) && !session_is_expired(&half->state, proto, now);
}

/* Removes a half, unless the key is another session's by now. */
static __noinline void drop_half(struct cube_ctx *c, const struct cube_tuple *key, const struct session *own)
{
	struct session *half = bpf_map_lookup_elem(&established, key);

	cube_forget(c, key);
	if (half && same_half(half, own))
		cube_map_delete(c, &established, key);
	half = bpf_map_lookup_elem(&embryonic, key);
	if (half && same_half(half, own))
		cube_map_delete(c, &embryonic, key);
}

/*
 * Claims the reverse tuple in the embryonic table. Embryonic first, then a look at the established
 * ones: a session that is promoted meanwhile is in at least one of them at every moment.
 */
static __noinline long claim_reverse(struct cube_ctx *c, const struct cube_tuple *key,
				     const struct session *half)
{
	struct session *other;
	u32 now = half->state.seen;
	long error = cube_map_update(c, &embryonic, key, half, BPF_NOEXIST);

	if (error == -EEXIST) {
		other = bpf_map_lookup_elem(&embryonic, key);
		if (other && !same_session(other, half) &&
		    !session_is_expired(&other->state, key->proto, now))
			return error;
		error = cube_map_update(c, &embryonic, key, half, BPF_ANY);
	}
	if (error)
		return error;
	other = bpf_map_lookup_elem(&established, key);
	if (!other)
		return 0;
	if (same_session(other, half) || session_is_expired(&other->state, key->proto, now)) {
		cube_map_delete(c, &established, key);
		return 0;
	}
	cube_map_delete(c, &embryonic, key);
	return -EEXIST;
}

/* Moves a confirmed session to the established table: reverse half first, as it can be refused. */
static __always_inline long promote(struct cube_ctx *c, struct scratch *x)
{
	struct session *other;
	long error;

	x->half.state.flags |= SESSION_ESTABLISHED;
	reverse_half(&x->forward, &x->half, &x->back);
	other = bpf_map_lookup_elem(&embryonic, &x->reverse);
	if (is_foreign(other, &x->back, x->forward.proto, x->half.state.seen))
		return -EEXIST;
	error = cube_map_update(c, &established, &x->reverse, &x->back, BPF_NOEXIST);
	if (error == -EEXIST) {
		other = bpf_map_lookup_elem(&established, &x->reverse);
		if (is_foreign(other, &x->back, x->forward.proto, x->half.state.seen))
			return error;
		error = cube_map_update(c, &established, &x->reverse, &x->back, BPF_ANY);
	}
	if (error)
		return error;
	error = cube_map_update(c, &established, &x->forward, &x->half, BPF_ANY);
	if (error)
		return error;
	cube_map_delete(c, &embryonic, &x->forward);
	cube_map_delete(c, &embryonic, &x->reverse);
	return 0;
}

/*
 * The other half of a session, in the same table: adds flags, keeps it as fresh as this one, makes
 * it again where it was pushed out. `missing` is what it would be. -EEXIST: another session has the key.
 */
static __noinline long sync_half(struct cube_ctx *c, const struct cube_tuple *key,
				 const struct session *missing)
{
	bool is_established = missing->state.flags & SESSION_ESTABLISHED;
	u32 now = missing->state.seen;
	struct session *half = bpf_map_lookup_elem(&established, key);
	struct session *other = bpf_map_lookup_elem(&embryonic, key);

	if (!is_established) {
		struct session *swap = half;

		half = other;
		other = swap;
	}
	if (likely(half && same_half(half, missing))) {
		if (!cube_is_dry(c)) {
			half->state.seen = now;
			half->state.flags |= missing->state.flags;
		}
		return 0;
	}
	if (is_foreign(half, missing, key->proto, now) || is_foreign(other, missing, key->proto, now))
		return -EEXIST;
	if (half || other) { /* what has expired */
		cube_map_delete(c, &established, key);
		cube_map_delete(c, &embryonic, key);
	}
	return is_established ? cube_map_update(c, &established, key, missing, BPF_NOEXIST)
			      : cube_map_update(c, &embryonic, key, missing, BPF_NOEXIST);
}

#endif
