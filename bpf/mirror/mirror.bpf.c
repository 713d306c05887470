// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mirror: what comes in by one of its two ports leaves by the other one, and copies of what rules match leave by
 * further ports before. Nothing that happens to a copy happens to the packet.
 */
#include "mirror.h"

#define NO_RULE 0xff

struct trial {
	struct cube_ctx *c;
	struct packet_facts facts;
	u32 copies;	      /* a bit a port that gets one, from FIRST_COPY on */
	u16 matched;	      /* rules */
	u16 rule;	      /* that matched last: its other rows are not asked */
	u16 headers;	      /* bytes that a copy has at least */
	u16 last[COPY_PORTS]; /* byte of the frame that a copy ends with; of ports in `copies` */
};

static long try_row(u32 index, struct trial *t)
{
	struct row *row = bpf_map_lookup_elem(&rules, &index);
	u32 copy;

	if (!row)
		return 1;
	if (row->rule == t->rule || !packet_matches(&row->match, &t->facts))
		return 0;
	t->rule = row->rule;
	t->matched++;
	if (row->sample != ~0U && bpf_get_prandom_u32() > row->sample) {
		cube_count(t->c, &counters, COUNT_NOT_SAMPLED);
		return 0;
	}
	cube_decide(t->c, DECIDE_COPIED, row->rule);
	copy = (row->port - FIRST_COPY) & (COPY_PORTS - 1);
	/* the longest that a rule wants */
	if (!(t->copies & 1U << copy) || t->last[copy] < row->last)
		t->last[copy] = row->last;
	t->copies |= 1U << copy;
	return 0;
}

/* By the top five bits of a de Bruijn sequence that is shifted so far: no branches, of which the verifier follows each way. */
static const u8 bit_numbers[COPY_PORTS] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
					   31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};

/* Number of the one bit that is set. */
static __always_inline u32 bit_number(u32 bit)
{
	return bit_numbers[bit * 0x077cb531 >> 27];
}

static __always_inline struct cube_work *kept_work(const struct cube_ctx *c)
{
	u32 depth = (c->flags & CUBE_F_COPY_DEPTH) >> CUBE_F_COPY_SHIFT;

	return bpf_map_lookup_elem(&kept, &depth);
}

static long send_copy(u32 round, struct trial *t)
{
	u32 bit = t->copies & -t->copies, copy = bit_number(bit) & (COPY_PORTS - 1), most;
	struct cube_work *work = kept_work(t->c);
	long error;

	if (!bit || !work)
		return 1;
	t->copies &= ~bit;
	most = t->last[copy] == WHOLE ? 0 : t->last[copy] + 1;
	if (most && most < t->headers)
		most = t->headers;
	*t->c->work = *work; /* a copy for a cube takes it along, and may write it anew */
	error = cube_clone_cut(t->c, FIRST_COPY + copy, most);
	cube_count(t->c, &counters, error ? COUNT_COPY_FAILURES : COUNT_COPIES);
	return 0;
}

static __always_inline void send_copies(struct cube_ctx *c, struct trial *t)
{
	struct cube_work *work = kept_work(c);

	if (!work)
		return;
	*work = *c->work;
	t->headers = copy_headers(c->work);
	bpf_loop(COPY_PORTS, send_copy, t, 0);
	*c->work = *work;
}

CUBE(mirror)
{
	struct trial t = {.c = c, .rule = NO_RULE};

	if (unlikely(c->port > INSIDE))
		return cube_drop(c, DROP_FROM_COPY_PORT);
	packet_facts(c, &t.facts);
	/* The verifier refuses a loop that it knows to run zero times: it removes the function and keeps the call. */
	if (settings.rows)
		bpf_loop(settings.rows, try_row, &t, 0);
	if (t.matched)
		cube_count(c, &counters, COUNT_MATCHED);
	if (t.copies)
		send_copies(c, &t);
	return cube_output(c, c->port == OUTSIDE ? INSIDE : OUTSIDE);
}
