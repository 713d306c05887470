/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a packet: its session, its state, the rules. */
#ifndef CUBEPLANE_FIREWALL_JUDGE_H
#define CUBEPLANE_FIREWALL_JUDGE_H

#include "classify.h"
#include "punt.h"

/* Verdicts: 0 passes, a DROP_* ends the packet, with REJECT its sender is told. */
#define PASSES	0
#define REJECT	0x100
#define NONE	-1 /* there is no session after all */
#define REOPENS -2 /* the session has begun to close, and the packet asks for a new one in its place */

static __always_inline void reversed_tuple(const struct cube_tuple *t, struct cube_tuple *reversed)
{
	reversed->src = t->dst;
	reversed->dst = t->src;
	reversed->sport = t->dport;
	reversed->dport = t->sport;
	reversed->proto = t->proto;
	reversed->pad[0] = reversed->pad[1] = reversed->pad[2] = 0;
}

/* The packet passes though a policy in audit mode refuses it. */
static __noinline int tell_audited(struct cube_ctx *c, const struct classify_scratch *x)
{
	if (!c || !x)
		return 0;
	count(c, COUNT_AUDITED);
	count_rule(c, x->audited);
	cube_decide(c, DECIDE_AUDITED_BY_RULE, x->audited);
	if (!cube_is_dry(c))
		flow_tell(c->skb, cube.slot, FLOW_AUDIT, DROP_DROPPED_BY_RULE, x->audited);
	return 0;
}

/* Asks the rules. Returns a verdict; x->answer says who decided, x->audited who would have. */
static __noinline int ask(struct cube_ctx *c, struct classify_scratch *x)
{
	struct answer *a;

	if (!x || classify(x))
		return DROP_RULE_SET_BROKEN;
	a = &x->answer;
	x->audited = 0;
	/* A tier of policies passes the packet on: the same question to the rules behind it; behind all with audit. */
	for (int i = 1; i < STAGES && a->action >= ACTION_PASS_ADMIN; i++) {
		if (unlikely(a->action == ACTION_AUDIT))
			x->audited = a->rule;
		x->question.state =
		    a->action == ACTION_PASS_ADMIN ? STATE_BEHIND_ADMIN : STATE_BEHIND_BASELINE;
		if (classify(x))
			return DROP_RULE_SET_BROKEN;
		x->question.state = STATE_NEW;
	}
	if (a->action >= ACTION_PASS_ADMIN)
		return DROP_RULE_SET_BROKEN;
	count(c, COUNT_CLASSIFIED);
	if (a->matched)
		count_rule(c, a->rule);
	else if (x->question.state == STATE_INVALID)
		return DROP_INVALID_STATE;
	else if (x->question.state != STATE_NEW)
		return PASSES; /* rules that name the state have had their say */
	if (!a->matched)
		cube_decide(c, DECIDE_DEFAULT_ACTION, 0);
	else if (a->action == ACTION_ALLOW)
		cube_decide(c, DECIDE_ALLOWED_BY_RULE, a->rule);
	else
		cube_decide(c, a->action == ACTION_DROP ? DECIDE_DROPPED_BY_RULE : DECIDE_REJECTED_BY_RULE,
			    a->rule);
	if (a->log && (a->matched || a->action != ACTION_ALLOW)) {
		cube_log(c, a->action, a->rule);
		count(c, COUNT_LOGGED);
	}
	if (a->action == ACTION_ALLOW) {
		if (unlikely(x->audited))
			tell_audited(c, x);
		return PASSES;
	}
	if (a->action == ACTION_REJECT)
		return REJECT | (a->matched ? DROP_REJECTED_BY_RULE : DROP_REJECTED_BY_DEFAULT);
	return a->matched ? DROP_DROPPED_BY_RULE : DROP_DROPPED_BY_DEFAULT;
}

/* The packet itself, in this state. */
static __always_inline void ask_about_packet(const struct cube_ctx *c, struct classify_scratch *x, u8 state,
					     u64 word)
{
	const struct cube_work *w = c->work;
	struct question *q = &x->question;

	q->src = *packet_src(w);
	q->dst = *packet_dst(w);
	q->proto = w->l4_proto;
	q->direction = c->port == PORT_OUTSIDE ? INGRESS : EGRESS;
	q->state = state;
	q->bank = rules_bank(word);
	q->tcp_flags = w->tcp_flags;
	q->is_untyped = 0;
	if (q->proto == IPPROTO_ICMP || q->proto == IPPROTO_ICMPV6) {
		q->sport = 0;
		q->dport = w->icmp_type << 8 | w->icmp_code;
		q->is_untyped = w->flags & PKT_FRAG_LATER;
	} else {
		q->sport = bpf_ntohs(w->tuple.sport);
		q->dport = bpf_ntohs(w->tuple.dport);
	}
}

/* The packet that opened the session of `key`. */
static __always_inline void ask_about_opening(struct classify_scratch *x, const struct cube_tuple *key,
					      const struct session *s, u64 word)
{
	bool from_outside = s->state.own & SESSION_FROM_OUTSIDE;
	struct question *q = &x->question;

	q->src = from_outside ? key->dst : key->src;
	q->dst = from_outside ? key->src : key->dst;
	q->proto = key->proto;
	q->direction = from_outside ? INGRESS : EGRESS;
	q->state = STATE_NEW;
	q->bank = rules_bank(word);
	q->tcp_flags = key->proto == IPPROTO_TCP ? s->opening : 0;
	q->is_untyped = 0;
	if (q->proto == IPPROTO_ICMP || q->proto == IPPROTO_ICMPV6) {
		q->sport = 0;
		q->dport = (q->proto == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO) << 8 | (s->opening & 0xff);
	} else {
		q->sport = bpf_ntohs(from_outside ? key->dport : key->sport);
		q->dport = bpf_ntohs(from_outside ? key->sport : key->dport);
	}
}

/* What a session remembers: of one that audit alone let through who refuses it. */
static __always_inline u64 allowed_by(const struct classify_scratch *x)
{
	return x->audited ?: x->answer.rule;
}

static __noinline void end_session(struct cube_ctx *c, const struct cube_tuple *key)
{
	if (!key)
		return;
	cube_forget(c, key);
	cube_forget_answers(c, key);
	cube_map_delete(c, &established, key);
	cube_map_delete(c, &embryonic, key);
}

/* The rules have changed since the session was allowed. Returns PASSES, or the verdict on this packet. */
static __noinline int ask_again(struct cube_ctx *c, const struct cube_tuple *key, struct session *s, u64 word)
{
	struct classify_scratch *x = get_scratch();
	int verdict;

	if (!key || !s || !x)
		return DROP_RULE_SET_BROKEN;
	cube_unsettle(c);
	ask_about_opening(x, key, s, word);
	verdict = ask(c, x);
	if (verdict != PASSES) {
		count(c, COUNT_REVOKED);
		end_session(c, key);
		return verdict;
	}
	count(c, COUNT_RECLASSIFIED);
	if (!cube_is_dry(c)) {
		s->rule = allowed_by(x);
		*(volatile u64 *)&s->generation = rules_generation(word);
	}
	return PASSES;
}

static __noinline int ask_named(struct cube_ctx *c, u8 state, u64 word)
{
	struct classify_scratch *x = get_scratch();

	if (!x)
		return DROP_RULE_SET_BROKEN;
	ask_about_packet(c, x, state, word);
	return ask(c, x);
}

/* Packets in a state that passes by itself, or is dropped, unless a rule names the state. */
static __always_inline int ask_about_state(struct cube_ctx *c, u8 state, u64 word)
{
	u32 direction = c->port == PORT_OUTSIDE ? INGRESS : EGRESS;

	if (unlikely(rules_name(word, direction, state)))
		return ask_named(c, state, word);
	return state == STATE_INVALID ? DROP_INVALID_STATE : PASSES;
}

/* Moves a session that its initiator has confirmed. */
static __noinline void promote(struct cube_ctx *c, const struct cube_tuple *key, const struct session *s)
{
	struct session moved;

	if (!key || !s)
		return;
	moved = *s;
	moved.state.flags |= SESSION_ESTABLISHED;
	if (cube_map_update(c, &established, key, &moved, BPF_ANY))
		return;
	cube_map_delete(c, &embryonic, key);
	count(c, COUNT_PROMOTED);
}

/*
 * A packet of a session that is there. NONE: the session is over, and the packet is looked at as if it had never been.
 * REOPENS: so it is, but the session stays until rules have let the packet through, which may be forged.
 */
static __always_inline int follow(struct cube_ctx *c, const struct cube_tuple *key, struct session *s,
				  u64 word, bool is_established)
{
	struct cube_work *w = c->work;
	u32 now = packet_seconds();
	bool reply = (c->port == PORT_OUTSIDE) != (s->state.own & SESSION_FROM_OUTSIDE);
	u8 chunk, events;
	int verdict;

	if (unlikely(session_is_expired(&s->state, key->proto, now))) {
		count(c, COUNT_EXPIRED);
		end_session(c, key);
		return NONE;
	}
	chunk = session_chunk(c);
	if (unlikely((key->proto == IPPROTO_TCP || key->proto == IPPROTO_SCTP) &&
		     s->state.flags & SESSION_CLOSING && session_opens(c, chunk)))
		return REOPENS;
	if (unlikely(s->generation != rules_generation(word))) {
		verdict = ask_again(c, key, s, word);
		if (verdict != PASSES)
			return verdict;
	}
	if (unlikely(w->flags & PKT_ICMP_ERROR)) {
		count(c, COUNT_RELATED);
		return ask_about_state(c, STATE_RELATED, word);
	}
	verdict = ask_about_state(c, STATE_ESTABLISHED, word);
	if (unlikely(verdict != PASSES))
		return verdict;
	count(c, COUNT_KNOWN);
	cube_decide(c, DECIDE_KNOWN_SESSION, s->rule);
	if (unlikely(cube_is_dry(c)))
		return PASSES;
	events = session_events(w, chunk, reply) & ~s->state.flags;
	if (unlikely(events))
		s->state.flags |= events;
	if (s->state.seen != now)
		s->state.seen = now;
	if (is_established) {
		/* rules that name the state count their packets */
		if (likely(!rules_name(word, c->port == PORT_OUTSIDE ? INGRESS : EGRESS, STATE_ESTABLISHED)))
			cube_settle(c);
		return PASSES;
	}
	if (reply) {
		u32 proof = 0;

		if (session_proof(c, &s->state, chunk, &proof)) {
			s->state.proof = proof;
			s->state.flags |= SESSION_REPLIED;
		}
	} else if (session_confirms(c, &s->state)) {
		promote(c, key, s);
	}
	return PASSES;
}

/* The state of a packet without a session. */
static __always_inline u8 state_without_session(const struct cube_ctx *c, u8 chunk)
{
	const struct cube_work *w = c->work;

	if (w->flags & PKT_ICMP_ERROR)
		return STATE_INVALID;
	switch (w->l4_proto) {
	case IPPROTO_TCP:
		if (session_opens(c, chunk))
			return STATE_NEW;
		/* a RST opens nothing; without ACK, or with SYN and FIN, it is no packet of any connection (RFC 9293
		 * 3.10.7) */
		if (strict_handshake || w->tcp_flags & TCP_RST || !(w->tcp_flags & TCP_ACK) ||
		    (w->tcp_flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
			return STATE_INVALID;
		return STATE_NEW;
	case IPPROTO_SCTP:
		if (chunk == SCTP_ABORT || (strict_handshake && chunk != SCTP_INIT))
			return STATE_INVALID;
		return STATE_NEW;
	case IPPROTO_ICMP:
		return w->icmp_type == ICMP_ECHOREPLY ? STATE_INVALID : STATE_NEW;
	case IPPROTO_ICMPV6:
		return w->icmp_type == 129 ? STATE_INVALID : STATE_NEW;
	}
	return STATE_NEW;
}

/* Whether an answer to the packet can be told from others: ICMP other than echo has no identifier. */
static __always_inline bool keeps_session(const struct cube_work *w)
{
	return (w->l4_proto != IPPROTO_ICMP && w->l4_proto != IPPROTO_ICMPV6) || w->flags & PKT_ECHO;
}

static __noinline int open_session(struct cube_ctx *c, const struct cube_tuple *key, u64 word, bool reopens)
{
	struct cube_work *w = c->work;
	struct classify_scratch *x = get_scratch();
	struct session s = {};
	u8 chunk = session_chunk(c);
	int verdict;

	if (!key || !x)
		return DROP_RULE_SET_BROKEN;
	/* without its headers it cannot be classified; the first fragment was, and left a session if it passed */
	if (w->flags & PKT_FRAG_LATER)
		return DROP_FRAGMENT_REFUSED;
	if (state_without_session(c, chunk) == STATE_INVALID)
		return ask_about_state(c, STATE_INVALID, word);
	ask_about_packet(c, x, STATE_NEW, word);
	verdict = ask(c, x);
	if (verdict != PASSES || !keeps_session(w))
		return verdict;
	s.state.seen = packet_seconds();
	s.state.flags = session_events(w, chunk, false);
	if (!session_opens(c, chunk))
		s.state.flags |= SESSION_MIDSTREAM;
	s.state.own = c->port == PORT_OUTSIDE ? SESSION_FROM_OUTSIDE : 0;
	s.opening = w->tuple.proto == IPPROTO_TCP ? w->tcp_flags : w->icmp_code;
	s.generation = rules_generation(word);
	s.rule = allowed_by(x);
	if (cube_map_update(c, &embryonic, key, &s, BPF_ANY))
		return DROP_SESSION_TABLE_FULL;
	if (reopens)
		cube_map_delete(c, &established, key);
	/* answers may have belonged to the session before */
	cube_forget_answers(c, &w->tuple);
	count(c, COUNT_NEW_SESSIONS);
	if (likely(!x->audited))
		cube_tell_new(c, s.rule);
	return PASSES;
}

/* Not in the established table. */
static __noinline int begin(struct cube_ctx *c, const struct cube_tuple *key, u64 word, bool reopens)
{
	struct session *s;

	if (!key)
		return DROP_RULE_SET_BROKEN;
	s = bpf_map_lookup_elem(&embryonic, key);
	if (s) {
		int verdict = follow(c, key, s, word, false);

		if (verdict >= PASSES)
			return verdict;
		reopens |= verdict == REOPENS;
	}
	return open_session(c, key, word, reopens);
}

static __always_inline int judge(struct cube_ctx *c)
{
	u64 word = rules_in_force();
	struct cube_tuple reversed;
	const struct cube_tuple *key = &c->work->tuple;
	struct session *s;
	int verdict = NONE;

	if (c->port == PORT_OUTSIDE) {
		reversed_tuple(key, &reversed);
		key = &reversed;
	}
	s = bpf_map_lookup_elem(&established, key);
	if (likely(s))
		verdict = follow(c, key, s, word, true);
	return verdict < PASSES ? begin(c, key, word, verdict == REOPENS) : verdict;
}

#endif
