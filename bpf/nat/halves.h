/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two halves of a session. Each says how packets leave, and the packets of the other direction come in just so, turned
 * around: so the key of either half follows from the other half, and one function serves both directions and every kind of
 * translation, also of both addresses at once.
 *
 * The half of the replies is a claim on a port. It is only ever made by BPF_NOEXIST, or over one whose session has expired
 * as a whole. While a session is embryonic, a flood may push out either half; so each of its packets looks for the other
 * one and makes it again, by BPF_NOEXIST too, and where somebody else has the claim by then, the session is over.
 */
#ifndef CUBEPLANE_NAT_HALVES_H
#define CUBEPLANE_NAT_HALVES_H

#include "nat.h"

/* By how much the times of two halves may differ, and more: an entry is free when the other half has expired, too. */
#define HALVES_APART (2 << SESSION_SYNC_SHIFT)

/* Fills other_key and other from key and half. */
static __always_inline void mirror(struct scratch *x)
{
	x->other_key.src = x->half.dst;
	x->other_key.dst = x->half.src;
	x->other_key.sport = x->half.dport;
	x->other_key.dport = x->half.sport;
	x->other_key.proto = x->key.proto;
	x->other_key.pad[0] = x->half.state.own & HALF_TO_INSIDE ? PORT_INSIDE : PORT_OUTSIDE;
	x->other_key.pad[1] = x->other_key.pad[2] = 0;
	x->other.state = x->half.state;
	x->other.state.own = (x->half.state.own & HALF_REPLY ? 0 : HALF_REPLY) |
			     (x->key.pad[0] == PORT_INSIDE ? HALF_TO_INSIDE : 0);
	x->other.src = x->key.dst;
	x->other.dst = x->key.src;
	x->other.sport = x->key.dport;
	x->other.dport = x->key.sport;
}

/* Fills the scratch from the packet's tuple and its half. */
static __always_inline struct scratch *describe(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x = get_scratch();

	if (!x)
		return NULL;
	x->key = c->work->tuple;
	x->half = *s;
	mirror(x);
	return x;
}

static __always_inline bool same_half(const struct session *a, const struct session *b)
{
	return a->sport == b->sport && a->dport == b->dport && addr_equal(&a->src, &b->src) &&
	       addr_equal(&a->dst, &b->dst);
}

/* Whether nobody holds the entry any more. */
static __always_inline bool is_free(const struct session *s, u8 proto, u32 now)
{
	return session_is_expired(&s->state, proto, now - HALVES_APART);
}

/*
 * Claims other_key in the embryonic table. Embryonic first, then a look at the established ones: a session that is
 * promoted meanwhile is in at least one of them at every moment. Global: see get_context().
 */
__noinline int claim(struct __sk_buff *skb)
{
	struct cube_ctx context = {}, *c = &context;
	struct scratch *x = get_scratch();
	struct session *other;
	long error;
	u32 now;

	if (!x || !get_context(skb, c))
		return -ENOMEM;
	now = x->half.state.seen;
	error = cube_map_update(c, &embryonic, &x->other_key, &x->other, BPF_NOEXIST);
	if (error == -EEXIST) {
		other = bpf_map_lookup_elem(&embryonic, &x->other_key);
		if (other && !same_half(other, &x->other) && !is_free(other, x->key.proto, now))
			return error;
		error = cube_map_update(c, &embryonic, &x->other_key, &x->other, BPF_ANY);
	}
	if (error)
		return error;
	other = bpf_map_lookup_elem(&established, &x->other_key);
	if (!other)
		return 0;
	if (same_half(other, &x->other)) {
		/* ours: promoted this moment, on another CPU; or left over from the same session before */
		if (session_is_expired(&other->state, x->key.proto, now))
			cube_map_delete(c, &established, &x->other_key);
		return 0;
	}
	if (is_free(other, x->key.proto, now)) {
		cube_map_delete(c, &established, &x->other_key);
		return 0;
	}
	cube_map_delete(c, &embryonic, &x->other_key);
	return -EEXIST;
}

/* Removes the half that the packet's tuple is the key of, and the other one if it is still of the same session. */
static __noinline void end_session(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x =
	    describe(c, s); /* before anything is deleted: its memory may have another owner then */
	struct session *other;

	if (!x)
		return;
	cube_forget(c, &x->other_key);
	cube_map_delete(c, &established, &x->key);
	cube_map_delete(c, &embryonic, &x->key);
	other = bpf_map_lookup_elem(&established, &x->other_key);
	if (other && same_half(other, &x->other))
		cube_map_delete(c, &established, &x->other_key);
	other = bpf_map_lookup_elem(&embryonic, &x->other_key);
	if (other && same_half(other, &x->other))
		cube_map_delete(c, &embryonic, &x->other_key);
}

/*
 * The other half, in the same table: adds flags, keeps it as fresh as this one, makes it again where it is missing. Returns
 * 0, -EEXIST where somebody else has its place, or another error.
 */
static __noinline long sync_other(struct cube_ctx *c, const struct session *s, u32 is_established)
{
	struct scratch *x = describe(c, s);
	struct session *other;

	if (!x)
		return -ENOMEM;
	other = is_established ? bpf_map_lookup_elem(&established, &x->other_key)
			       : bpf_map_lookup_elem(&embryonic, &x->other_key);
	if (unlikely(!other || !same_half(other, &x->other))) {
		if (other && !is_free(other, x->key.proto, x->half.state.seen))
			return -EEXIST;
		if (is_established)
			return cube_map_update(c, &established, &x->other_key, &x->other,
					       other ? BPF_ANY : BPF_NOEXIST);
		/* pushed out: another session may have claimed the port, and be established by now */
		return claim(c->skb);
	}
	if (!cube_is_dry(c)) {
		other->state.seen = x->half.state.seen;
		other->state.flags |= x->half.state.flags;
	}
	return 0;
}

/* Whether the session lives, although this half looks expired: the other one may have been used since. */
static __noinline bool revive(struct cube_ctx *c, struct session *s, u32 is_established, u32 now)
{
	struct scratch *x = describe(c, s);
	struct session *other;

	if (!x)
		return false;
	other = is_established ? bpf_map_lookup_elem(&established, &x->other_key)
			       : bpf_map_lookup_elem(&embryonic, &x->other_key);
	return other && same_half(other, &x->other) && !session_is_expired(&other->state, x->key.proto, now);
}

/* Writes what a reply on an embryonic session proves into the other half, that of the initiator. */
static __noinline void note_reply(struct cube_ctx *c, struct session *s, u32 proof)
{
	struct scratch *x = describe(c, s);
	struct session *forward;

	if (!x)
		return;
	forward = bpf_map_lookup_elem(&embryonic, &x->other_key);
	if (!forward || !same_half(forward, &x->other))
		return;
	forward->state.proof = proof;
	forward->state.flags |= SESSION_REPLIED;
	s->state.proof = proof;
	s->state.flags |= SESSION_REPLIED;
}

/*
 * Moves a confirmed session to the established table: the claim first, as it can be refused. Where the table is full, the
 * session stays where it is.
 */
static __noinline long promote(struct cube_ctx *c, const struct session *s)
{
	struct scratch *x = describe(c, s);
	struct session *other;
	long error;

	if (!x)
		return -ENOMEM;
	x->half.state.flags |= SESSION_ESTABLISHED;
	x->other.state.flags |= SESSION_ESTABLISHED;
	error = cube_map_update(c, &established, &x->other_key, &x->other, BPF_NOEXIST);
	if (error == -EEXIST) {
		other = bpf_map_lookup_elem(&established, &x->other_key);
		if (other && !same_half(other, &x->other) &&
		    !is_free(other, x->key.proto, x->half.state.seen))
			return error;
		error = cube_map_update(c, &established, &x->other_key, &x->other, BPF_ANY);
	}
	if (error)
		return error;
	error = cube_map_update(c, &established, &x->key, &x->half, BPF_ANY);
	if (error) {
		cube_map_delete(c, &established, &x->other_key);
		return error;
	}
	cube_map_delete(c, &embryonic, &x->key);
	cube_map_delete(c, &embryonic, &x->other_key);
	return 0;
}

#endif
