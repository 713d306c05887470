/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services as cubes know them, and the pick of a backend: frontends by destination, then picks, then backends. The agent
 * writes all of it (src/cubes/load-balancer). For programs of any hook.
 */
#ifndef CUBEPLANE_SERVICE_H
#define CUBEPLANE_SERVICE_H

#include "backend.h"

struct frontend_key {
	addr_t addr;
	be16_t port;
	u8 proto; /* IPPROTO_* */
	u8 pad[5];
};
SIZE_ASSERT(struct frontend_key, 24);

/* frontend.flags */
#define FRONTEND_MAGLEV	    (1 << 0) /* picked by hash: packets without a session, too */
#define FRONTEND_REJECT	    (1 << 1) /* no backends: answer, do not be silent */
#define FRONTEND_RANGES	    (1 << 2) /* clients must be in source_ranges */
#define FRONTEND_LOCAL	    (1 << 3) /* only backends of this node; without one: drop (KEP-1669) */
#define FRONTEND_MASQUERADE (1 << 4) /* clients get a source of this node, so that answers come back here */
#define FRONTEND_MASQUERADE_HOST                                                                             \
	(1 << 5) /* only where the host itself is the backend: it would answer by its own routes */

struct frontend {
	union {
		struct {
			u32 base; /* its segment in picks; both are written as one word, which never
				     tears */
			u32 size; /* 0: no backends */
		};
		u64 segment;
	};
	u32 group;    /* what shares affinity and source ranges: one port of one service */
	u32 affinity; /* how long a client keeps its backend, in coarse seconds; 0: not at all */
	u8 flags;     /* FRONTEND_* */
	u8 pad[7];
};
SIZE_ASSERT(struct frontend, 24);

/* key: service address. value: frontend. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

/* key: place; the frontend says which are its own. value: backend id. writer: agent, never in a
 * segment that a frontend points to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1048576);
	__type(key, u32);
	__type(value, u32);
} picks SEC(".maps");

struct backend_counter {
	u64 sessions; /* new ones that it was picked for */
};
SIZE_ASSERT(struct backend_counter, 8);

/* key: backend id. value: backend_counter. writer: this program; the agent zeroes what belongs to a row that becomes free. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct backend_counter);
} backend_counters SEC(".maps");

struct affinity {
	u32 backend;
	u32 generation;
	u32 seen; /* coarse second of the last new connection */
};
SIZE_ASSERT(struct affinity, 12);

/* A walk over a segment, for the backend `id`. */
struct pick_walk {
	u32 base;
	u32 id;
	u32 found;
};

static long is_pick(u32 nth, struct pick_walk *walk)
{
	u32 place = walk->base + nth;
	u32 *id = bpf_map_lookup_elem(&picks, &place);

	if (!id)
		return 1;
	walk->found = *id == walk->id;
	return walk->found;
}

/*
 * Whether a backend takes new connections of this frontend: its row tells of all services together. Who has an
 * affinity asks, and a UDP client after a departure, and finds it within about as many steps as there are backends.
 */
static __noinline bool is_among(u64 segment, u32 id)
{
	struct pick_walk walk = {.base = segment, .id = id};

	bpf_loop(segment >> 32, is_pick, &walk, 0);
	return walk.found;
}

/*
 * Whether a UDP client may stay with its backend after one of its departures, which is to say that this frontend is not what the
 * backend has left, nor gone. A backend that takes nobody's new connections is draining: it keeps those that it has. UDP alone, as with
 * kube-proxy: what TCP has begun goes on where it is.
 */
static __noinline bool may_stay(const struct frontend *f, const struct backend *b, u32 id)
{
	return f && (!(b->flags & BACKEND_READY) || is_among(*(volatile u64 *)&f->segment, id));
}

/* What a client that stays remembers, read before it asks, so that it asks again after the next departure and the one that is going
 * on. A new client knows of none: what it picked may have departed meanwhile. */
static __always_inline u32 departures_of(const struct backend *b)
{
	return *(volatile u32 *)&b->departures & ~1u;
}

/*
 * The backend at a place of a segment that is not empty: that which the hash falls on, or the `nth` behind it. NULL: the
 * place holds none, which no state of the tables is meant to lead to.
 */
static __always_inline struct backend *pick_at(u64 segment, u32 hash, u32 nth, u32 *id)
{
	u32 base = segment, size = segment >> 32;
	u32 place = ((u64)hash * size >> 32) + nth;
	struct backend *b;
	u32 *pick;

	if (place >= size)
		place -= size;
	place += base;
	pick = bpf_map_lookup_elem(&picks, &place);
	if (!pick)
		return NULL;
	*id = *pick;
	b = bpf_map_lookup_elem(&backends, id);
	return b && b->flags & BACKEND_LIVE ? b : NULL;
}

#endif
