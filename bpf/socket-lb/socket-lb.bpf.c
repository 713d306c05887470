// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socket load balancer: a process that names a service gets a socket to one of its backends, and is told the service's
 * address. There is no packet yet, so nothing is translated later, and a backend on the node itself can be reached.
 *
 *   calls.h    what becomes of connect, send, receive, getpeername, bind
 *   choose.h   which backend
 */
#include "calls.h"
#include "reclaim.h"

static __always_inline struct place place_v4(struct bpf_sock_addr *ctx)
{
	struct place p = {.port = ctx->user_port, .proto = ctx->protocol};

	addr_set_v4(&p.addr, ctx->user_ip4);
	return p;
}

/* Also an IPv4-mapped address, by which IPv6 sockets talk IPv4: it is the form that all tables have. */
static __always_inline struct place place_v6(struct bpf_sock_addr *ctx)
{
	struct place p = {.port = ctx->user_port, .proto = ctx->protocol};

	p.addr.words[0] = ctx->user_ip6[0];
	p.addr.words[1] = ctx->user_ip6[1];
	p.addr.words[2] = ctx->user_ip6[2];
	p.addr.words[3] = ctx->user_ip6[3];
	return p;
}

#define CALL(kind, family, write, handle)                                                                    \
	SEC("cgroup/" #kind #family)                                                                         \
	int kind##family(struct bpf_sock_addr *ctx)                                                          \
	{                                                                                                    \
		struct place p = place_v##family(ctx);                                                       \
		int verdict;                                                                                 \
                                                                                                             \
		if (!cgroup_is_ours(ctx))                                                                    \
			return CALL_PASS;                                                                    \
		verdict = handle(ctx, &p);                                                                   \
		if (verdict == PLACE_CHANGED) {                                                              \
			write(ctx, &p);                                                                      \
			return CALL_PASS;                                                                    \
		}                                                                                            \
		return verdict == CALL_FAIL ? CALL_FAIL : CALL_PASS;                                         \
	}

/* Whoever is only told an address may not fail: the verifier wants to see that. */
#define TOLD(kind, family, write, handle)                                                                    \
	SEC("cgroup/" #kind #family)                                                                         \
	int kind##family(struct bpf_sock_addr *ctx)                                                          \
	{                                                                                                    \
		struct place p = place_v##family(ctx);                                                       \
                                                                                                             \
		if (cgroup_is_ours(ctx) && handle(ctx, &p) == PLACE_CHANGED)                                 \
			write(ctx, &p);                                                                      \
		return CALL_PASS;                                                                            \
	}

static __always_inline void write_v4(struct bpf_sock_addr *ctx, const struct place *p)
{
	ctx->user_ip4 = p->addr.words[3];
	ctx->user_port = p->port;
}

static __always_inline void write_v6(struct bpf_sock_addr *ctx, const struct place *p)
{
	ctx->user_ip6[0] = p->addr.words[0];
	ctx->user_ip6[1] = p->addr.words[1];
	ctx->user_ip6[2] = p->addr.words[2];
	ctx->user_ip6[3] = p->addr.words[3];
	ctx->user_port = p->port;
}

CALL(connect, 4, write_v4, on_connect)
CALL(connect, 6, write_v6, on_connect)
CALL(bind, 4, write_v4, on_bind)
CALL(bind, 6, write_v6, on_bind)
CALL(sendmsg, 4, write_v4, on_send)
CALL(sendmsg, 6, write_v6, on_send)
TOLD(recvmsg, 4, write_v4, on_receive)
TOLD(recvmsg, 6, write_v6, on_receive)
TOLD(getpeername, 4, write_v4, on_getpeername)
TOLD(getpeername, 6, write_v6, on_getpeername)

static __always_inline bool is_sent_flow_over(const struct flow_key *key, const struct flow *f, u32 now)
{
	return is_flow_over(f->seen, now);
}

static __always_inline bool is_reply_over(const struct flow_key *key, const struct reply *r, u32 now)
{
	return is_flow_over(r->seen, now);
}

/* The longest affinity that a frontend may have (a day), in coarse seconds; a shorter one is checked where it is used. */
#define AFFINITY_MOST 80467

static __always_inline bool is_affinity_over(const struct affinity_key *key, const struct affinity *a,
					     u32 now)
{
	return (s32)(now - a->seen) > AFFINITY_MOST;
}

RECLAIM(reclaim_flows, flows, struct flow_key, struct flow, is_sent_flow_over)
RECLAIM(reclaim_replies, replies, struct flow_key, struct reply, is_reply_over)
RECLAIM(reclaim_affinity, affinity, struct affinity_key, struct affinity, is_affinity_over)

char _license[] SEC("license") = "GPL";
