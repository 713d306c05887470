/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and rows of the rate limiter. src/cubes/rate-limiter/image.ts fills them. */
#ifndef CUBEPLANE_RATE_LIMITER_H
#define CUBEPLANE_RATE_LIMITER_H

#include "types.h"

#define OUTSIDE 0
#define INSIDE	1 /* port: where the addresses with limits are */

/* Two buckets a limit, side by side. */
#define INGRESS	   0 /* towards the address */
#define EGRESS	   1
#define DIRECTIONS 2

/*
 * Time is counted in ticks of 1/16 ns, so that the price of a small packet at a high rate is no rounding error: 64 bytes at
 * 100 Gbit/s are 82 ticks. 2^64 ticks are 36 years.
 */
#define TICK_SHIFT 4

/* Of a direction without a limit all words are 0. Alone in its cache line: other pods are other CPUs' business. */
struct bucket {
	u64 per_byte;  /* ticks that a byte takes, times 2^PER_BYTE_SHIFT */
	u64 tolerance; /* ticks that the burst takes: as far `full` may be ahead */
	u64 full;      /* tick since boot at which the bucket is full again. writer: this cube */
	u64 pad[5];
};
SIZE_ASSERT(struct bucket, 64);

#define PER_BYTE_SHIFT 16

/* key: address with a limit; those of one pod have one number. value: number of the limit. writer: agent, after its
 * buckets. Rows are added before others leave, so it has room for twice as many. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, addr_t);
	__type(value, u32);
} limits SEC(".maps");

/* key: number of the limit * DIRECTIONS + direction. writer: agent, where `full` is 0; then this cube. Mappable, because only
 * then do values begin at a page, and so no bucket lies in two lines. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2048);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct drop_counter {
	u53_t packets;
	u53_t bytes; /* as the bucket counts them */
};

/* key: as that of buckets. value: what was dropped. writer: this cube; zeros by the agent where the limit is a new one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, struct drop_counter);
} limit_drops SEC(".maps");

#endif
