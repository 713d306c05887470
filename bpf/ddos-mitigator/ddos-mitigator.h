/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and rows of the DDoS mitigator, the same at both hooks. src/cubes/ddos-mitigator/image.ts fills them. */
#ifndef CUBEPLANE_DDOS_MITIGATOR_H
#define CUBEPLANE_DDOS_MITIGATOR_H

#include "generated/reasons.h"
#include "prefix.h"
#include "token-bucket.h"

#define OUTSIDE 0 /* port: packets that come in here are checked */
#define INSIDE	1 /* port: what is protected */

/* What a list says of an address (value of the lists). */
#define LIST_DENY  1
#define LIST_ALLOW 2
#define LIST_V6	   4 /* beside: an IPv6 prefix; ::/0 as a key holds the mapped IPv4 addresses too */

/* Which of the lists hold anything (value of `lists`). The others are not looked at: most nodes have no prefixes of
 * IPv6, and a lookup in an empty trie costs as much as the whole parsing of the packet. */
#define HAS_SOURCE_HOSTS	    (1 << 0)
#define HAS_SOURCE_PREFIXES_V4	    (1 << 1)
#define HAS_SOURCE_PREFIXES_V6	    (1 << 2)
#define HAS_DESTINATION_HOSTS	    (1 << 3)
#define HAS_DESTINATION_PREFIXES_V4 (1 << 4)
#define HAS_DESTINATION_PREFIXES_V6 (1 << 5)

/* key: 0. value: HAS_*. writer: agent, after the rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} lists SEC(".maps");

/* key: source address of a full-length prefix. value: LIST_*. writer: agent. Memory is taken as rows come. Asked for IPv6
 * sources, and for IPv4 ones whose bucket of source_v4 does not say it all. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, addr_t);
	__type(value, u32);
} source_hosts SEC(".maps");

/*
 * Denied IPv4 sources of full length, a cache line a bucket: a packet of a long list costs one line that no cache has, where
 * source_hosts costs several.
 */
#define V4_SLOTS 15

struct v4_bucket {
	be32_t addrs[V4_SLOTS]; /* 0: a free slot */
	u32 elsewhere;		/* further IPv4 addresses of this bucket: without room here, or allowed */
};
SIZE_ASSERT(struct v4_bucket, 64);

/* Buckets less one; their number is a power of two. */
const volatile u32 source_v4_mask = 0;

/*
 * key: v4_hash(). writer: agent, after source_hosts, which has all of these rows too. Mappable, because only then do values
 * begin at a page, and so no bucket lies in two lines.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct v4_bucket);
} source_v4 SEC(".maps");

/* key: shorter prefix of sources; the longest that matches decides. value: LIST_*. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, u32);
} source_prefixes SEC(".maps");

/* key: destination address of a full-length prefix. value: LIST_DENY. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, addr_t);
	__type(value, u32);
} destination_hosts SEC(".maps");

/* key: shorter prefix of destinations. value: LIST_DENY. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, u32);
} destination_prefixes SEC(".maps");

/* Interval 0: no such limit; the verifier then prunes it. */
const volatile struct rate_limit source_rate = {};
const volatile struct rate_limit syn_rate = {};

/* key: source, of IPv6 its /64. value: token bucket, ns since boot. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, addr_t);
	__type(value, u64);
} source_buckets SEC(".maps");

struct syn_key {
	addr_t addr;
	be16_t port;
	u8 pad[6];
};
SIZE_ASSERT(struct syn_key, 24);

/* key: destination of SYNs. value: token bucket, ns since boot. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct syn_key);
	__type(value, u64);
} syn_buckets SEC(".maps");

#endif
