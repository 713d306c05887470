// SPDX-License-Identifier: GPL-2.0-only
/*
 * The forwarder: the first rule that a packet matches says where it goes. Rules are tried one after the other: a row costs
 * a few comparisons, and there are at most 512 of them.
 */
#include "forwarder.h"

#define NO_ROW 0xffffffff

struct trial {
	struct packet_facts facts;
	u32 found; /* row, or NO_ROW */
};

static long try_row(u32 index, struct trial *t)
{
	struct row *row = bpf_map_lookup_elem(&rules, &index);

	if (!row)
		return 1;
	if (!packet_matches(&row->match, &t->facts))
		return 0;
	t->found = index;
	return 1;
}

static __always_inline void count_rule(const struct cube_ctx *c, u32 rule)
{
	struct rule_counter *counter = bpf_map_lookup_elem(&rule_counters, &rule);

	if (!counter || cube_is_dry(c))
		return;
	counter->packets++;
	counter->bytes += c->skb->len;
}

CUBE(forwarder)
{
	u32 action = settings.default_action, port = settings.default_port, reason = DROP_DROPPED_BY_DEFAULT;
	u64 code = RULES; /* that of the default action */
	struct trial t = {.found = NO_ROW};
	struct row *row;

	packet_facts(c, &t.facts);
	bpf_loop(settings.rows, try_row, &t, 0);
	row = bpf_map_lookup_elem(&rules, &t.found);
	if (row) {
		action = row->action;
		port = row->port;
		reason = DROP_DROPPED_BY_RULE;
		code = row->rule;
		count_rule(c, code);
		cube_count(c, &counters, COUNT_MATCHED);
		cube_decide(c, DECIDE_MATCHED, code);
	} else {
		cube_count(c, &counters, COUNT_UNMATCHED);
		cube_decide(c, DECIDE_DEFAULT_ACTION, 0);
	}
	if (action == ACTION_PUNT)
		return cube_punt(c, code, 0);
	if (action != ACTION_OUTPUT)
		return cube_drop(c, reason);
	return cube_output(c, port);
}
