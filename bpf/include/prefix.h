/* SPDX-License-Identifier: GPL-2.0-only */
/* Prefixes of either family as keys of hash maps and LPM tries. */
#ifndef CUBEPLANE_PREFIX_H
#define CUBEPLANE_PREFIX_H

#include "maps.h"

/* The first `length` (0..128) bits of an address, the rest zero, in network order. */
static __always_inline void prefix_of(const addr_t *addr, u32 length, struct prefix_key *key)
{
	/* a shift by 64 is undefined, so lengths 0 and 64 are cases of their own */
	u64 high = length >= 64 ? ~0ULL : length ? ~0ULL << (64 - length) : 0;
	u64 low = length > 64 ? ~0ULL << ((128 - length) & 63) : 0;

	key->length = length;
	high = addr->halves[0] & bpf_cpu_to_be64(high);
	low = addr->halves[1] & bpf_cpu_to_be64(low);
	/* the key is aligned to 4 bytes only */
	__builtin_memcpy(&key->addr.words[0], &high, sizeof(high));
	__builtin_memcpy(&key->addr.words[2], &low, sizeof(low));
}

#endif
