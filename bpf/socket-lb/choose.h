/* SPDX-License-Identifier: GPL-2.0-only */
/* Which backend a socket gets. */
#ifndef CUBEPLANE_SOCKET_LB_CHOOSE_H
#define CUBEPLANE_SOCKET_LB_CHOOSE_H

#include "socket-lb.h"

/* A backend on its way into a socket. */
struct choice {
	struct place backend;
	u32 id;
	u32 generation;
	u32 now;
	u32 departures; /* as in flow */
};
SIZE_ASSERT(struct choice, 40);

static __always_inline void choose(struct choice *c, const struct backend *b, u32 id, u8 proto)
{
	c->backend = (struct place){.addr = b->addr, .port = b->port, .proto = proto};
	c->id = id;
	c->generation = b->generation;
}

static __always_inline struct affinity_key affinity_of(struct bpf_sock_addr *ctx, const struct frontend *f,
						       const struct place *to)
{
	return (struct affinity_key){
	    .netns = bpf_get_netns_cookie(ctx),
	    .group = f->group,
	    .family = addr_is_v4(&to->addr) ? 4 : 6,
	};
}

static __noinline bool choose_by_affinity(struct bpf_sock_addr *ctx, const struct frontend *f,
					  const struct place *to, struct choice *c)
{
	struct affinity_key key = affinity_of(ctx, f, to);
	struct affinity *a = bpf_map_lookup_elem(&affinity, &key);
	struct backend *b;
	u32 id;

	if (!a || c->now - a->seen > f->affinity)
		return false;
	id = a->backend;
	b = backend_of(id, a->generation, c->now);
	if (!b || !(b->flags & BACKEND_READY) || !is_among(*(volatile u64 *)&f->segment, id))
		return false;
	choose(c, b, id, to->proto);
	return true;
}

static __noinline void remember_affinity(struct bpf_sock_addr *ctx, const struct frontend *f,
					 const struct place *to, const struct choice *c)
{
	struct affinity_key key = affinity_of(ctx, f, to);
	struct affinity value = {.backend = c->id, .generation = c->generation, .seen = c->now};

	bpf_map_update_elem(&affinity, &key, &value, BPF_ANY);
}

/* Whether the answers of the chosen backend would look like those to another service on this socket. */
static __always_inline bool is_taken(const struct flow_key *key, const struct choice *c)
{
	struct flow_key answer = {.socket = key->socket, .place = c->backend};
	struct reply *other;

	if (!key->socket) /* it is to be connected: it has one peer */
		return false;
	other = bpf_map_lookup_elem(&replies, &answer);
	return other && !is_flow_over(other->seen, c->now) && !place_equal(&other->frontend, &key->place);
}

/* Chooses the backend at a place of a segment. Returns 0, or 1 where it is taken, or -1 where there is none. */
static __noinline int choose_at(u64 segment, u32 hash, u32 nth, const struct flow_key *key, struct choice *c)
{
	u32 id = 0;
	struct backend *b = pick_at(segment, hash, nth, &id);

	if (!b)
		return -1;
	choose(c, b, id, key->place.proto);
	return is_taken(key, c);
}

/* The first place, from a random one on, that is not taken. Returns as choose_at(). */
static __noinline int choose_at_random(u64 segment, const struct flow_key *key, struct choice *c)
{
	u32 hash = bpf_get_prandom_u32(), size = segment >> 32;
	int error = choose_at(segment, hash, 0, key, c);

	if (error > 0 && size > 1)
		error = choose_at(segment, hash, 1, key, c);
	if (error > 0 && size > 2)
		error = choose_at(segment, hash, 2, key, c);
	if (error > 0 && size > 3)
		error = choose_at(segment, hash, 3, key, c);
	return error;
}

/*
 * Chooses a backend of a frontend. `key` has the cookie of a socket that is not connected, which must tell the answers of its
 * services apart. Returns 0, or the reason for which there is none.
 */
static __noinline int choose_backend(struct bpf_sock_addr *ctx, const struct frontend *f,
				     const struct flow_key *key, struct choice *c)
{
	u64 segment = *(volatile u64 *)&f->segment;
	struct backend_counter *counter;
	int is_shared;
	u32 id;

	if (!(segment >> 32))
		return f->flags & FRONTEND_LOCAL ? DROP_NO_LOCAL_BACKEND : DROP_NO_BACKEND;
	if (f->affinity && choose_by_affinity(ctx, f, &key->place, c)) {
		cgroup_count(COUNT_AFFINITY_HITS);
		is_shared = is_taken(key, c);
	} else {
		is_shared = choose_at_random(segment, key, c);
	}
	if (is_shared < 0)
		return DROP_BACKEND_INVALID;
	if (is_shared)
		cgroup_count(COUNT_SHARED_BACKENDS);
	if (f->affinity)
		remember_affinity(ctx, f, &key->place, c);
	id = c->id;
	counter = bpf_map_lookup_elem(&backend_counters, &id);
	if (counter)
		__sync_fetch_and_add(&counter->sessions, 1);
	return 0;
}

/* What the process is told where there is no backend. A call cannot be met with silence: an error stands for it. */
static __always_inline int fail_for(const struct frontend *f, int reason)
{
	bool is_refused = reason == DROP_NO_BACKEND && f->flags & FRONTEND_REJECT;

	return cgroup_fail(reason, is_refused ? ECONNREFUSED : EHOSTUNREACH);
}

#endif
