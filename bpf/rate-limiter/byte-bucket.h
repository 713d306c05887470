/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A token bucket of bytes in one word, shared by all CPUs: virtual scheduling (the "generic cell rate algorithm") as in
 * token-bucket.h, but exact. A packet passes while anything is in the bucket, and takes all that it is long, so the bucket may
 * owe the rest of it: the rate holds in the long run however large packets are, and no packet is too large for its burst.
 */
#ifndef CUBEPLANE_BYTE_BUCKET_H
#define CUBEPLANE_BYTE_BUCKET_H

#include "rate-limiter.h"

/* How often another CPU may come first; after that one the packet is paid for all the same. */
#define TRIES 8

/* `now`: ticks since boot. `take`: otherwise only asked. False: nothing is in the bucket. */
static __always_inline bool bucket_take_bytes(struct bucket *bucket, u64 bytes, u64 now, bool take)
{
	u64 cost = (bytes * bucket->per_byte + (1ULL << (PER_BYTE_SHIFT - 1))) >> PER_BYTE_SHIFT;
	u64 latest = now + bucket->tolerance;
	u64 full = *(volatile u64 *)&bucket->full;

#pragma unroll
	for (int i = 0; i < TRIES; i++) {
		u64 next, found;

		if (full >= latest)
			return false;
		if (!take)
			return true;
		next = (full > now ? full : now) + cost;
		found = __sync_val_compare_and_swap(&bucket->full, full, next);
		if (found == full)
			return true;
		full = found;
	}
	/* others have just moved it to now at least */
	__sync_fetch_and_add(&bucket->full, cost);
	return true;
}

#endif
