/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of each kind of call. The programs read the address out of their context into a `place`, in which IPv4 is
 * mapped into IPv6 as everywhere, and write it back when a function here returns PLACE_CHANGED.
 */
#ifndef CUBEPLANE_SOCKET_LB_CALLS_H
#define CUBEPLANE_SOCKET_LB_CALLS_H

#include "choose.h"

#define PLACE_CHANGED 2 /* beside CALL_PASS and CALL_FAIL */

static __always_inline struct frontend *frontend_at(const struct place *p)
{
	struct frontend_key key = {.addr = p->addr, .port = p->port, .proto = p->proto};

	return bpf_map_lookup_elem(&frontends, &key);
}

/* What a socket was given in the place of a service, if that is the peer `at`. */
static __always_inline const struct peer *peer_at(struct bpf_sock_addr *ctx, const struct place *at)
{
	struct bpf_sock *sk = ctx->sk;
	struct peer *peer = sk ? bpf_sk_storage_get(&peers, sk, NULL, 0) : NULL;

	return peer && place_equal(&peer->backend, at) ? peer : NULL;
}

/*
 * A process that names the backend itself has no service there any more. Another peer needs nothing: it is not what was
 * given; and if the call fails, a UDP socket goes on as it was.
 */
static __always_inline void forget_peer_at(struct bpf_sock_addr *ctx, const struct place *to)
{
	struct bpf_sock *sk = ctx->sk;

	if (sk && peer_at(ctx, to))
		bpf_sk_storage_delete(&peers, sk);
}

/* connect(): of TCP, and of UDP, which says where send() goes and whom it hears. */
static __noinline int on_connect(struct bpf_sock_addr *ctx, struct place *to)
{
	struct flow_key key = {.place = *to};
	struct choice c = {.now = coarse_seconds()};
	struct bpf_sock *sk = ctx->sk;
	struct peer peer = {}, *stored;
	struct frontend *f;
	int reason;

	if (to->proto != IPPROTO_TCP && to->proto != IPPROTO_UDP)
		return CALL_PASS;
	f = frontend_at(to);
	if (!f) {
		forget_peer_at(ctx, to);
		return CALL_PASS;
	}
	reason = choose_backend(ctx, f, &key, &c);
	if (reason)
		return fail_for(f, reason);
	peer.frontend = *to;
	peer.backend = c.backend;
	peer.id = c.id;
	peer.generation = c.generation;
	stored = sk ? bpf_sk_storage_get(&peers, sk, &peer, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (stored)
		*stored = peer;
	else
		cgroup_count(COUNT_UNTRACKED);
	cgroup_count(COUNT_CONNECTED);
	*to = c.backend;
	return PLACE_CHANGED;
}

/* send() of an IPv6 socket that is connected to an IPv4 address comes as sendto() to its peer. */
static __always_inline bool is_to_peer(struct bpf_sock_addr *ctx, const struct place *to)
{
	struct bpf_sock *sk = ctx->sk;

	return sk && sk->state == BPF_TCP_ESTABLISHED && addr_is_v4(&to->addr) &&
	       sk->dst_ip4 == to->addr.words[3] && sk->dst_port == to->port;
}

/* sendto() and sendmsg() of UDP with an address. */
static __noinline int on_send(struct bpf_sock_addr *ctx, struct place *to)
{
	struct flow_key key = {.place = *to};
	struct choice c = {.now = coarse_seconds()};
	struct frontend *f = frontend_at(to);
	struct backend *b = NULL;
	struct flow *flow;
	int reason;

	if (!f || is_to_peer(ctx, to))
		return CALL_PASS;
	key.socket = bpf_get_socket_cookie(ctx);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && !is_flow_over(flow->seen, c.now)) {
		b = backend_of(flow->backend, flow->generation, c.now);
		if (b) {
			c.departures = departures_of(b);
			if (unlikely(b->departures != flow->departures) && !may_stay(f, b, flow->backend)) {
				c.departures = 0;
				b = NULL;
			}
		}
		if (!b)
			cgroup_count(COUNT_REPICKED);
	}
	if (b) {
		choose(&c, b, flow->backend, to->proto);
	} else {
		reason = choose_backend(ctx, f, &key, &c);
		if (reason)
			return fail_for(f, reason);
		cgroup_count(COUNT_FLOWS);
	}
	if (!b || flow->seen != c.now || flow->departures != c.departures) {
		struct flow now = {c.id, c.generation, c.now, c.departures};
		struct reply reply = {.frontend = *to, .seen = c.now};

		bpf_map_update_elem(&flows, &key, &now, BPF_ANY);
		key.place = c.backend;
		if (bpf_map_update_elem(&replies, &key, &reply, BPF_ANY))
			cgroup_count(COUNT_UNTRACKED);
	}
	cgroup_count(COUNT_SENT);
	*to = c.backend;
	return PLACE_CHANGED;
}

/* recvfrom() and recvmsg() of UDP by whoever wants to know the sender. A connected socket hears its peer. */
static __noinline int on_receive(struct bpf_sock_addr *ctx, struct place *from)
{
	struct flow_key key = {.place = *from};
	struct bpf_sock *sk = ctx->sk;
	const struct peer *peer = sk && sk->state == BPF_TCP_ESTABLISHED ? peer_at(ctx, from) : NULL;
	struct reply *reply;

	if (peer) {
		*from = peer->frontend;
	} else {
		key.socket = bpf_get_socket_cookie(ctx);
		reply = bpf_map_lookup_elem(&replies, &key);
		if (!reply)
			return CALL_PASS;
		*from = reply->frontend;
	}
	cgroup_count(COUNT_RECEIVED);
	return PLACE_CHANGED;
}

static __noinline int on_getpeername(struct bpf_sock_addr *ctx, struct place *whom)
{
	const struct peer *peer = peer_at(ctx, whom);

	if (!peer)
		return CALL_PASS;
	*whom = peer->frontend;
	cgroup_count(COUNT_PEER_NAMES);
	return PLACE_CHANGED;
}

/* The loopback address of a family, on which every node port stands that the node serves (frontends.ts). */
static __always_inline struct place loopback(const struct place *p, bool v6)
{
	struct place l = {.port = p->port, .proto = p->proto};

	if (v6)
		l.addr.words[3] = bpf_htonl(1);
	else
		addr_set_v4(&l.addr, bpf_htonl(0x7f000001));
	return l;
}

/*
 * bind(): a process that gets the address and port of a service would hear nobody, for who asks there is sent to the service. It
 * is told so at once. Of a wildcard, node ports are what it would share.
 */
static __noinline int on_bind(struct bpf_sock_addr *ctx, struct place *at)
{
	struct place v4 = loopback(at, false), v6 = loopback(at, true);
	bool any_v4 = addr_is_v4(&at->addr) && !at->addr.words[3];
	bool any_v6 = !(at->addr.halves[0] | at->addr.halves[1]);

	if (!at->port || (at->proto != IPPROTO_TCP && at->proto != IPPROTO_UDP))
		return CALL_PASS;
	if (frontend_at(at) || ((any_v4 || any_v6) && frontend_at(&v4)) || (any_v6 && frontend_at(&v6)))
		return cgroup_fail(DROP_PORT_OF_SERVICE, EADDRINUSE);
	return CALL_PASS;
}

#endif
