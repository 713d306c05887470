// SPDX-License-Identifier: GPL-2.0-only
/*
 * The firewall: lets IPv4 and IPv6 packets pass between its two ports by ordered rules, and packets of connections that
 * it has let through without asking again. It changes no packet, only answers those that it rejects.
 *
 *   firewall.h  maps
 *   classify.h  rules
 *   judge.h     sessions and states
 *
 * Decisions that a reader may wonder about:
 * - A session is one entry, keyed by its tuple as seen from inside; both directions find it by one lookup.
 * - A session remembers the generation of the rules that allowed it. After a change the rules are asked again, at its
 *   next packet, about its first one.
 * - ARP and neighbour discovery always pass: without them nothing does.
 */
#include "judge.h"
#include "reclaim.h"
#include "reply.h"

/* Turns the packet into a RST or an ICMP error in the name of its receiver. False: there is no answer to it. */
static __always_inline bool refuse(struct cube_ctx *c, u32 reason, u64 rule)
{
	addr_t from = *packet_dst(c->work);
	int answer;

	/* nobody is told in the name of one who could not have said it (RFC 1122 3.2.1.3) */
	if (!addr_is_host(&from))
		return false;
	answer = c->work->l4_proto == IPPROTO_TCP ? tcp_reset(c) : icmp_error(c, ERROR_PROHIBITED, 0, &from);
	if (answer == REPLY_LIMITED)
		count(c, COUNT_REJECT_SUPPRESSED);
	if (answer != REPLY_READY)
		return false;
	count(c, COUNT_REJECTED);
	cube_count_drop(c, reason, rule);
	return true;
}

/* The rule that has refused the packet with this reason, 0: none has. */
static __always_inline u64 refused_by(u32 reason)
{
	const struct classify_scratch *x;

	if (reason != DROP_DROPPED_BY_RULE && reason != DROP_REJECTED_BY_RULE)
		return 0;
	x = get_scratch();
	return x ? x->answer.rule : 0;
}

CUBE(firewall)
{
	struct cube_work *w = c->work;
	u32 out = c->port == PORT_OUTSIDE ? PORT_INSIDE : PORT_OUTSIDE;
	int verdict;
	u64 rule;

	if (unlikely(!(w->flags & PKT_IP))) {
		if (!(w->flags & PKT_ARP) && !pass_other_frames)
			return cube_drop(c, DROP_NOT_IP);
		count(c, COUNT_CONTROL);
		return cube_output(c, out);
	}
	if (unlikely(w->flags & PKT_ND)) {
		count(c, COUNT_CONTROL);
		return cube_output(c, out);
	}
	if (unlikely(cube_lacks_ports(c)))
		return cube_drop(c, DROP_FRAGMENT_WITHOUT_FIRST);
	verdict = judge(c);
	if (likely(verdict == PASSES))
		return cube_output(c, out);
	rule = refused_by(verdict & ~REJECT);
	if (verdict & REJECT && refuse(c, verdict & ~REJECT, rule))
		return cube_output(c, c->port);
	return cube_drop_by(c, verdict & ~REJECT, rule);
}

static __always_inline bool is_session_over(const struct cube_tuple *key, const struct session *s, u32 now)
{
	return session_is_expired(&s->state, key->proto, now);
}

RECLAIM(reclaim_established, established, struct cube_tuple, struct session, is_session_over)
RECLAIM(reclaim_embryonic, embryonic, struct cube_tuple, struct session, is_session_over)
