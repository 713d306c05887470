/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Token bucket for packets that we make ourselves: ICMP errors and RSTs. One bucket a source
 * prefix, IPv4 /24 and IPv6 /64, so that one sender can neither use up the answers for all others
 * nor turn us into an amplifier (RFC 1812 4.3.2.8, RFC 4443 2.4(f)).
 *
 * A bucket is one word, the time at which it is full again (the "generic cell rate algorithm"): an
 * answer is allowed while that lies less than the tolerance ahead, and moves it one interval on.
 * Two CPUs that race may allow one answer too many.
 */
#ifndef CUBEPLANE_RATELIMIT_H
#define CUBEPLANE_RATELIMIT_H

#include "cube.h"
#include "prefix.h"

struct rate_limit {
	u64 interval;  /* ns between answers in the long run; 0: no answers at all */
	u64 tolerance; /* ns: (burst - 1) * interval */
};

const volatile struct rate_limit reply_limit = {
    .interval = 10000000, /* 100 a second, 50 at once */
    .tolerance = 490000000,
};

/* key: prefix of senders. value: ns since boot when the bucket is full again. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct prefix_key);
	__type(value, u64);
} reply_buckets SEC(".maps");

#define LIMIT_LENGTH_V4 (96 + 24)
#define LIMIT_LENGTH_V6 64

/* Whether an answer to this sender is within the limit; takes its token when it is. */
static __always_inline bool rate_allow(const struct cube_ctx *c, const addr_t *sender)
{
	u64 interval = reply_limit.interval;
	u64 now = bpf_ktime_get_ns();
	struct prefix_key key;
	u64 full = now, *bucket;

	if (!interval)
		return false;
	prefix_of(sender, addr_is_v4(sender) ? LIMIT_LENGTH_V4 : LIMIT_LENGTH_V6, &key);
	bucket = bpf_map_lookup_elem(&reply_buckets, &key);
	if (bucket) {
		full = *(volatile u64 *)bucket;
		if (full > now + reply_limit.tolerance)
			return false;
		if (full < now)
			full = now;
	}
	full += interval;
	if (cube_is_dry(c))
		return true;
	if (bucket)
		*(volatile u64 *)bucket = full;
	else
		bpf_map_update_elem(&reply_buckets, &key, &full, BPF_ANY);
	return true;
}

#endif
