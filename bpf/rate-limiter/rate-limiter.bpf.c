// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rate limiter: what an address behind the port inside sends and gets is held to its rate, by dropping what is over.
 * It holds nothing back. Addresses without a limit cost one lookup.
 */
#include "byte-bucket.h"
#include "cube.h"
#include "wire-length.h"
#include "generated/reasons.h"

static __always_inline void count_drop(const struct cube_ctx *c, u32 number, u32 bytes)
{
	struct drop_counter *counter = bpf_map_lookup_elem(&limit_drops, &number);

	if (!counter || cube_is_dry(c))
		return;
	__sync_fetch_and_add(&counter->packets, 1);
	__sync_fetch_and_add(&counter->bytes, bytes);
}

CUBE(rate_limiter)
{
	bool egress = c->port == INSIDE;
	u32 out = egress ? OUTSIDE : INSIDE;
	struct bucket *bucket;
	u32 *limit, number, bytes;

	/* without ARP and neighbour discovery there would be nothing to limit */
	if (unlikely(!(c->work->flags & PKT_IP) || c->work->flags & PKT_ND))
		return cube_output(c, out);
	limit = bpf_map_lookup_elem(&limits, egress ? packet_src(c->work) : packet_dst(c->work));
	if (!limit)
		return cube_output(c, out);
	number = *limit * DIRECTIONS + (egress ? EGRESS : INGRESS);
	bucket = bpf_map_lookup_elem(&buckets, &number);
	if (!bucket || !bucket->per_byte)
		return cube_output(c, out);
	bytes = wire_length(c);
	if (bucket_take_bytes(bucket, bytes, bpf_ktime_get_ns() << TICK_SHIFT, !cube_is_dry(c))) {
		cube_decide(c, DECIDE_WITHIN_LIMIT, number);
		cube_count(c, &counters, COUNT_LIMITED);
		return cube_output(c, out);
	}
	cube_decide(c, DECIDE_OVER_LIMIT, number);
	count_drop(c, number, bytes);
	return cube_drop(c, egress ? DROP_EGRESS_RATE_EXCEEDED : DROP_INGRESS_RATE_EXCEEDED);
}
