/* SPDX-License-Identifier: GPL-2.0-only */
/* Which of the packets that come in are told about: those that match the filter of the node, within a rate. */
#ifndef CUBEPLANE_ENTRY_TRACE_H
#define CUBEPLANE_ENTRY_TRACE_H

#include "cube.h"
#include "token-bucket.h"

static __always_inline bool masked_equal(const addr_t *a, const addr_t *want, const addr_t *mask)
{
	return (a->halves[0] & mask->halves[0]) == want->halves[0] &&
	       (a->halves[1] & mask->halves[1]) == want->halves[1];
}

/* Returns CUBE_F_TRACE and a number that tells the packet from others that are under way, or 0. */
static __noinline u32 trace_mark(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct trace_filter *f = bpf_map_lookup_elem(&trace_filter, &zero);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);
	const struct cube_tuple *t;

	if (!skb || !f || !w)
		return 0;
	t = &w->tuple;
	if (f->ifindex && f->ifindex != skb->ifindex)
		return 0;
	if (f->proto && f->proto != w->l4_proto && f->proto != t->proto)
		return 0;
	if (f->port && f->port != t->sport && f->port != t->dport)
		return 0;
	if (!(masked_equal(&t->src, &f->host, &f->host_mask) &&
	      masked_equal(&t->dst, &f->peer, &f->peer_mask)) &&
	    !(masked_equal(&t->dst, &f->host, &f->host_mask) &&
	      masked_equal(&t->src, &f->peer, &f->peer_mask)))
		return 0;
	if (!bucket_take(&f->full, f->interval, f->tolerance, bpf_ktime_get_ns()))
		return 0;
	return CUBE_F_TRACE | bpf_get_prandom_u32() << TRACE_NUMBER;
}

#endif
