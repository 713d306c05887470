// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load balancer: translates service addresses to those of backends on packets from its client
 * side, and replies from the `server` side back. What is not for a service passes unchanged,
 * also ICMP echo to a service's address: a service is ports, not a host.
 *
 *   client.h   client side: sessions, new connections
 *   pick.h     who serves a new connection
 *   server.h   replies
 *   halves.h   how the two halves of a session hang together
 */
#define CUBE_WRITES
#include "client.h"
#include "server.h"
#include "reply.h"
#include "reclaim.h"

static __always_inline int from_client(struct cube_ctx *c, struct translation *t)
{
	struct cube_work *w = c->work;
	struct session *s = bpf_map_lookup_elem(&established, &w->tuple);
	int verdict = VERDICT_NONE;

	if (likely(s))
		verdict = follow(c, s, true, t);
	else if (unlikely(is_hairpin_address(w, &w->tuple.dst)))
		verdict = reply(c, false, t); /* of a backend to itself: it never came by the server side */
	return verdict == VERDICT_NONE ? begin(c, t) : verdict;
}

static __always_inline int from_server(struct cube_ctx *c, struct translation *t)
{
	/* what this very cube has sent to a backend that is a pod of this node is no reply: nothing to look up */
	int verdict = c->work->translated_by == cube.slot ? VERDICT_NONE : reply(c, true, t);

	if (verdict != VERDICT_NONE)
		return verdict;
	count(c, COUNT_PASSED);
	cube_settle(c);
	cube_decide(c, DECIDE_NOT_FOR_SERVICE, 0);
	return verdict_output(PORT_CLIENT);
}

/*
 * Turns the packet into a RST or an ICMP error that speaks for the service. False: no answer is
 * made, the packet is to be dropped for its reason.
 */
static __always_inline bool refuse(struct cube_ctx *c, u32 reason)
{
	addr_t from = *packet_dst(c->work);
	int answer = c->work->tuple.proto == IPPROTO_TCP ? tcp_reset(c)
							 : icmp_error(c, ERROR_PORT_UNREACHABLE, 0, &from);

	if (answer == REPLY_LIMITED)
		count(c, COUNT_REJECT_SUPPRESSED);
	if (answer != REPLY_READY)
		return false;
	count(c, COUNT_REJECTED);
	cube_decide(c, DECIDE_REFUSED, 0);
	cube_count_drop(c, reason, 0);
	return true;
}

/* An error for a backend that does not see its client: from where the client seems to be, as another node asks of its tunnels. */
static __noinline long hide_sender(struct cube_ctx *c, const addr_t *addr)
{
	if (!(c->work->flags & PKT_ICMP_ERROR) || addr_equal(&c->work->outer_src, addr))
		return 0;
	return cube_rewrite_error_source(c, addr);
}

CUBE(load_balancer)
{
	struct cube_work *w = c->work;
	bool is_server = c->port == PORT_SERVER;
	struct translation t = {};
	int verdict;

	if (unlikely(!(w->flags & PKT_IP))) {
		count(c, COUNT_PASSED);
		return cube_output(c, is_server ? PORT_CLIENT : PORT_SERVER);
	}
	if (unlikely(cube_lacks_ports(c)))
		return cube_drop(c, DROP_FRAGMENT_WITHOUT_FIRST);
	verdict = is_server ? from_server(c, &t) : from_client(c, &t);
	if (likely(verdict & VERDICT_OUTPUT)) {
		if (t.dst_changes && cube_rewrite(c, REWRITE_DST, &t.dst, t.dport))
			return cube_drop(c, DROP_REWRITE_FAILED);
		if (t.src_changes && cube_rewrite(c, REWRITE_SRC, &t.src, t.sport))
			return cube_drop(c, DROP_REWRITE_FAILED);
		if (unlikely(t.hides_sender) && hide_sender(c, &t.src))
			return cube_drop(c, DROP_REWRITE_FAILED);
		return cube_output(c, verdict & VERDICT_VALUE);
	}
	if (verdict & VERDICT_REFUSE && refuse(c, verdict & VERDICT_VALUE))
		return cube_output(c, c->port);
	return cube_drop(c, verdict & VERDICT_VALUE);
}

static __always_inline bool is_session_over(const struct cube_tuple *key, const struct session *s, u32 now)
{
	return session_is_expired(&s->state, key->proto, now);
}

RECLAIM(reclaim_established, established, struct cube_tuple, struct session, is_session_over)
RECLAIM(reclaim_embryonic, embryonic, struct cube_tuple, struct session, is_session_over)

/* The longest affinity that a frontend may have (a day), in coarse seconds; a shorter one is checked where it is used. */
#define AFFINITY_MOST 80467

static __always_inline bool is_affinity_over(const struct affinity_key *key, const struct affinity *a,
					     u32 now)
{
	return (s32)(now - a->seen) > AFFINITY_MOST;
}

RECLAIM(reclaim_affinity, affinity, struct affinity_key, struct affinity, is_affinity_over)
