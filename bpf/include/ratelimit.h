/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Token bucket for packets that we make ourselves: ICMP errors and RSTs. One bucket a source
 * prefix, IPv4 /24 and IPv6 /64, so that one sender can neither use up the answers for all others
 * nor turn us into an amplifier (RFC 1812 4.3.2.8, RFC 4443 2.4(f)).
 */
#ifndef CUBEPLANE_RATELIMIT_H
#define CUBEPLANE_RATELIMIT_H

#include "cube.h"
#include "prefix.h"
#include "token-bucket.h"

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
	if (bucket && cube_is_dry(c))
		full = *bucket; /* looked at, not taken from */
	if (bucket)
		return bucket_take(cube_is_dry(c) ? &full : bucket, interval, reply_limit.tolerance, now);
	full += interval;
	if (!cube_is_dry(c))
		bpf_map_update_elem(&reply_buckets, &key, &full, BPF_ANY);
	return true;
}

#endif
