/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of the load balancer.
 *
 * A client's packet: sessions by its tuple; without one, frontends by destination, then picks, then
 * backends. A reply: sessions by its tuple, marked as reverse.
 */
#ifndef CUBEPLANE_LOAD_BALANCER_H
#define CUBEPLANE_LOAD_BALANCER_H

#include <asm-generic/errno-base.h>
#include "session.h"
#include "service.h"
#include "generated/reasons.h"

#define PORT_SERVER 0 /* side of the backends */
#define PORT_CLIENT 1 /* the one other port */

/* session.state.own */
#define SESSION_HAIRPIN	    (1 << 0) /* client and backend are one: its source is hidden from itself */
#define SESSION_PORT_CHANGE (1 << 1) /* the backend sees another source port */
#define SESSION_MASQUERADE  (1 << 2) /* the backend sees a source of this node */
#define SESSION_TAKEN	    (1 << 3) /* forward half, embryonic: the backend has a connection that looks like it */

/* cube_tuple.pad[0] of the key of a reverse half. */
#define TUPLE_REVERSE 1

struct session {
	struct session_state state; /* mark: of UDP, departures of the backend that it has heard of */
	u32 backend;		    /* id */
	u32 generation;
	be16_t port;	      /* forward half: client's port as the backend sees it; reverse: its own */
	be16_t frontend_port; /* reverse half only, as frontend */
	addr_t frontend;
	addr_t client; /* reverse half of SESSION_MASQUERADE only */
};
SIZE_ASSERT(struct session, 56);

/* Both: key: tuple of the packet as it comes in, pad[0] = TUPLE_REVERSE for replies. value: one
 * half of a session. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__type(key, struct cube_tuple);
	__type(value, struct session);
} established SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct cube_tuple);
	__type(value, struct session);
} embryonic SEC(".maps");

struct affinity_key {
	addr_t client;
	u32 group;
	u32 pad;
};
SIZE_ASSERT(struct affinity_key, 24);

/* key: client of a frontend. value: its backend. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinity SEC(".maps");

struct source_range_key {
	u32 length; /* bits behind it that count: 96 + prefix length of 128 */
	u32 group;
	u32 family; /* 4 or 6: ::/0 and its like hold the mapped IPv4 addresses, and mean none of them */
	u32 pad;
	addr_t addr;
};
SIZE_ASSERT(struct source_range_key, 32);

/* key: clients that may use a frontend. value: 1. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_range_key);
	__type(value, u32);
} source_ranges SEC(".maps");

/* Keys and halves of the session in hand: too much for the stack of a program with functions. */
struct scratch {
	struct cube_tuple forward;
	struct cube_tuple reverse;
	struct session half;
	struct session back;
};

/* One per CPU. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *get_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* What a backend that reaches itself sees as the source. */
struct hairpin_addresses {
	addr_t v4;
	addr_t v6;
};

const volatile struct hairpin_addresses hairpin = {};

/* What backends see of the clients of FRONTEND_MASQUERADE; zero: of a family that has none. */
const volatile struct hairpin_addresses masquerade = {};

static __always_inline void count(struct cube_ctx *c, u32 counter)
{
	cube_count(c, &counters, counter);
}

static __always_inline addr_t hairpin_address(const struct cube_work *w)
{
	const volatile addr_t *from = w->flags & PKT_IPV4 ? &hairpin.v4 : &hairpin.v6;
	addr_t addr;

	addr.halves[0] = from->halves[0];
	addr.halves[1] = from->halves[1];
	return addr;
}

static __always_inline addr_t masquerade_address(const struct cube_work *w)
{
	const volatile addr_t *from = w->flags & PKT_IPV4 ? &masquerade.v4 : &masquerade.v6;
	addr_t addr;

	addr.halves[0] = from->halves[0];
	addr.halves[1] = from->halves[1];
	return addr;
}

static __always_inline bool can_masquerade(const struct cube_work *w)
{
	const volatile addr_t *from = w->flags & PKT_IPV4 ? &masquerade.v4 : &masquerade.v6;

	return from->halves[0] | from->halves[1];
}

static __always_inline bool is_hairpin_address(const struct cube_work *w, const addr_t *addr)
{
	if (w->flags & PKT_IPV4)
		return addr->words[3] == hairpin.v4.words[3];
	return addr->halves[1] == hairpin.v6.halves[1] && addr->halves[0] == hairpin.v6.halves[0];
}

#endif
