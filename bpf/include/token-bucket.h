/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A token bucket in one word: the time at which it is full again (the "generic cell rate algorithm"). Something is
 * allowed while that lies less than the tolerance ahead, and moves it one interval on. Two CPUs that race may allow one
 * too many.
 */
#ifndef CUBEPLANE_TOKEN_BUCKET_H
#define CUBEPLANE_TOKEN_BUCKET_H

#include "types.h"

struct rate_limit {
	u64 interval;  /* ns between two in the long run; 0: none at all */
	u64 tolerance; /* ns: (burst - 1) * interval */
};

/* Takes a token; false: none is left. `now`: ns since boot. */
static __always_inline bool bucket_take(u64 *bucket, u64 interval, u64 tolerance, u64 now)
{
	u64 full = *(volatile u64 *)bucket;

	if (!interval || full > now + tolerance)
		return false;
	*(volatile u64 *)bucket = (full < now ? now : full) + interval;
	return true;
}

#endif
