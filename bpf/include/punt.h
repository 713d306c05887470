/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slow path: packets and log records for the agent. Each cube has a rate of its own for either, so that no flood at
 * one of them starves the others; what is over it is counted in `punt_counters`, as is what the agent was too slow for.
 */
#ifndef CUBEPLANE_PUNT_H
#define CUBEPLANE_PUNT_H

#include "cube.h"
#include "token-bucket.h"

/* May be set by the cube's type; of one instance, all CPUs together. */
const volatile struct rate_limit punt_limit = {
    .interval = 1000000, /* 1,000 a second, 100 at once */
    .tolerance = 99000000,
};
const volatile struct rate_limit log_limit = {
    .interval = 10000000, /* 100 a second, 100 at once */
    .tolerance = 990000000,
};

/* Bytes of the packet in a log record: all headers, mostly. */
#define PUNT_LOG_BYTES 128

#define PUNT_SENT    0
#define PUNT_LIMITED DROP_PUNT_LIMITED
#define PUNT_LOST    DROP_PUNT_LOST

/* Returns PUNT_*. A function of its own, because its arguments are few and its body is long. */
static __noinline int punt_send(struct __sk_buff *skb, u32 kind, u32 code, u64 metadata)
{
	u32 zero = 0, index = cube.slot * PUNT_KINDS + (kind & (PUNT_KINDS - 1));
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);
	struct punt_record *r = bpf_map_lookup_elem(&punt_scratch, &zero);
	struct punt_counter *counter = bpf_map_lookup_elem(&punt_counters, &index);
	u64 *bucket = bpf_map_lookup_elem(&punt_buckets, &index);
	u64 now = bpf_ktime_get_ns();
	bool is_log = kind == PUNT_LOG;
	u32 most = is_log ? PUNT_LOG_BYTES : PUNT_BYTES;
	u32 length;

	if (!skb || !w || !r || !counter || !bucket)
		return PUNT_LOST;
	if (!bucket_take(bucket, is_log ? log_limit.interval : punt_limit.interval,
			 is_log ? log_limit.tolerance : punt_limit.tolerance, now)) {
		counter->limited++;
		return PUNT_LIMITED;
	}
	length = skb->len < most ? skb->len : most;
	if (length == 0 || length > PUNT_BYTES || bpf_skb_load_bytes(skb, 0, r->packet, length))
		length = 0;
	r->head.time = now;
	r->head.metadata = metadata;
	r->head.slot = cube.slot;
	r->head.code = code;
	r->head.epoch = skb->cb[CB_EPOCH];
	r->head.length = skb->len;
	r->head.flags = w->flags;
	r->head.ifindex = skb->ifindex;
	r->head.captured = length;
	r->head.ether_type = w->ether_type;
	r->head.l3_off = w->l3_off;
	r->head.kind = kind;
	r->head.port = skb->cb[CB_PORT];
	r->head.tuple = w->tuple;
	if (bpf_ringbuf_output(&punts, r, sizeof(r->head) + length, 0)) {
		counter->lost++;
		return PUNT_LOST;
	}
	counter->sent++;
	return PUNT_SENT;
}

/* As cube_punt(), for who ends the packet by itself: returns the drop reason that it has to be counted by. */
static __always_inline u32 cube_hand_over(struct cube_ctx *c, u32 kind, u32 code, u64 metadata)
{
	int reason = cube_is_dry(c) ? PUNT_SENT : punt_send(c->skb, kind, code, metadata);

	return reason ? reason : DROP_PUNTED;
}

/*
 * Ends the packet here and hands it to the agent, which gives it to the cube's type (`punted` of
 * src/cubes/cube-type.ts) together with `code` and `metadata`. Counted as the drop Punted, PuntLimited or PuntLost.
 * Packets of more than PUNT_BYTES arrive cut off. A dry run reports Punted and hands over nothing.
 */
static __always_inline int cube_punt(struct cube_ctx *c, u32 code, u64 metadata)
{
	return cube_drop(c, cube_hand_over(c, PUNT_PACKET, code, metadata));
}

/* Writes a record to the agent's log; the packet goes on. Nothing in a dry run. */
static __always_inline void cube_log(struct cube_ctx *c, u32 code, u64 object)
{
	if (!cube_is_dry(c))
		punt_send(c->skb, PUNT_LOG, code, object);
}

/*
 * What the agent gave with a packet that it sent straight into this cube (`packets` of a PuntAnswer). False: the packet does
 * not come from the agent.
 */
static __always_inline bool cube_metadata(const struct cube_ctx *c, u64 *metadata)
{
	u32 zero = 0;
	struct inject_request *r;

	if (likely(!(c->flags & CUBE_F_INJECTED)) || c->hops != 1)
		return false;
	r = bpf_map_lookup_elem(&injected, &zero);
	if (!r)
		return false;
	*metadata = r->metadata;
	return true;
}

#endif
