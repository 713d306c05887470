/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client that reaches a backend by the backend's own address, from the same port as a session that it has, or had a
 * moment ago, with that backend through a service: the answers to both look the same, and would all be translated.
 * A session that is closing makes room for the new connection. Beside one that is alive the connection becomes
 * a session of its own, with another source port.
 *
 * Looked at for what opens a TCP or SCTP connection, which can be told from the rest without a lookup, and for UDP, of which the entry
 * lets most packets go by what it knows of their flow.
 */
#ifndef CUBEPLANE_LOAD_BALANCER_DIRECT_H
#define CUBEPLANE_LOAD_BALANCER_DIRECT_H

#include "pick.h"
#include "verdict.h"

/* Each is free unless the client has a connection from it to the same backend. */
#define DIRECT_PORTS_TRIED 3

static __always_inline struct session *claimed(const struct cube_tuple *key)
{
	return bpf_map_lookup_elem(&established, key) ?: bpf_map_lookup_elem(&embryonic, key);
}

/* Returns 0 where the packet may pass as it is, 1 with `s` complete where it has become a session, or -1. */
static __noinline int direct_session(struct cube_ctx *c, struct session *s)
{
	struct cube_work *w = c->work;
	struct scratch *x = get_scratch();
	u32 now = packet_seconds();
	struct session *other;
	struct backend *b;

	if (!x)
		return -1;
	x->reverse = (struct cube_tuple){
	    .src = w->tuple.dst,
	    .dst = w->tuple.src,
	    .sport = w->tuple.dport,
	    .dport = w->tuple.sport,
	    .proto = w->tuple.proto,
	    .pad[0] = TUPLE_REVERSE,
	};
	other = claimed(&x->reverse);
	if (likely(!other))
		return 0;
	s->backend = other->backend;
	s->generation = other->generation;
	s->state.seen = now;
	b = backend_of(s->backend, s->generation, now);
	if (!b || other->state.flags & SESSION_CLOSING ||
	    session_is_expired(&other->state, w->tuple.proto, now)) {
		forward_key(&x->reverse, other, &x->forward);
		x->forward.src = w->tuple.src; /* the key's destination is the client */
		x->half = (struct session){
		    .backend = s->backend, .generation = s->generation, .port = w->tuple.sport};
		drop_half(c, &x->forward, &x->half);
		cube_map_delete(c, &established, &x->reverse);
		cube_map_delete(c, &embryonic, &x->reverse);
		return 0;
	}
	if (w->tuple.proto == IPPROTO_SCTP) /* its checksum cannot follow a change of ports */
		return -1;
	for (int i = 0; i < DIRECT_PORTS_TRIED; i++) {
		u16 candidate = 1024 + (u16)(((u64)bpf_get_prandom_u32() * 64512) >> 32);

		if (claim(c, s, b, bpf_htons(candidate), 0))
			continue;
		count(c, COUNT_SOURCE_PORT_CHANGED);
		return confirm(c, s, b) ? -1 : 1;
	}
	return -1;
}

#endif
