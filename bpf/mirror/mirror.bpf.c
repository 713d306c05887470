// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mirror: what comes in by one of its two ports leaves by the other one, and copies of what rules match leave by
 * further ports before. Nothing that happens to a copy happens to the packet.
 */
#include "mirror.h"

#define NO_RULE 0xffff

struct trial {
	struct cube_ctx *c;
	struct packet_facts facts;
	u64 copies;  /* ports that get one */
	u32 matched; /* rules */
	u16 last;    /* rule that matched last: its other rows are not asked */
	u16 pad;
};

static long try_row(u32 index, struct trial *t)
{
	struct row *row = bpf_map_lookup_elem(&rules, &index);

	if (!row)
		return 1;
	if (row->rule == t->last || !packet_matches(&row->match, &t->facts))
		return 0;
	t->last = row->rule;
	t->matched++;
	if (row->sample != ~0U && bpf_get_prandom_u32() > row->sample) {
		cube_count(t->c, &counters, COUNT_NOT_SAMPLED);
		return 0;
	}
	cube_decide(t->c, DECIDE_COPIED, row->rule);
	t->copies |= 1ULL << (row->port & (CUBE_PORTS - 1));
	return 0;
}

/* Number of the one bit that is set. */
static __always_inline u32 bit_number(u64 bit)
{
	return !!(bit & 0xffffffff00000000) << 5 | !!(bit & 0xffff0000ffff0000) << 4 |
	       !!(bit & 0xff00ff00ff00ff00) << 3 | !!(bit & 0xf0f0f0f0f0f0f0f0) << 2 |
	       !!(bit & 0xcccccccccccccccc) << 1 | !!(bit & 0xaaaaaaaaaaaaaaaa);
}

static long send_copy(u32 round, struct trial *t)
{
	u64 bit = t->copies & -t->copies;

	if (!bit)
		return 1;
	t->copies &= ~bit;
	cube_count(t->c, &counters, cube_clone(t->c, bit_number(bit)) ? COUNT_COPY_FAILURES : COUNT_COPIES);
	return 0;
}

/* A function of its own, for its stack. */
static __noinline int send_copies(struct cube_ctx *c, struct trial *t)
{
	struct cube_work kept = *c->work; /* copies may write it anew on their way */

	bpf_loop(CUBE_PORTS, send_copy, t, 0);
	*c->work = kept;
	return 0;
}

CUBE(mirror)
{
	struct trial t = {.c = c, .last = NO_RULE};

	if (unlikely(c->port > INSIDE))
		return cube_drop(c, DROP_FROM_COPY_PORT);
	packet_facts(c, &t.facts);
	bpf_loop(settings.rows, try_row, &t, 0);
	if (t.matched)
		cube_count(c, &counters, COUNT_MATCHED);
	if (t.copies)
		send_copies(c, &t);
	return cube_output(c, c->port == OUTSIDE ? INSIDE : OUTSIDE);
}
