/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the DDoS mitigator does with a packet, for either hook: it needs the parsed packet and the cube ABI's calls, and
 * never touches the packet itself.
 *
 * Order: the lists of sources (an allowed one passes everything else), of destinations, then the buckets, so that a packet that
 * is refused by a list takes no token from anybody.
 */
#ifndef CUBEPLANE_DDOS_CHECK_H
#define CUBEPLANE_DDOS_CHECK_H

#include "ddos-mitigator.h"

/* LIST_DENY, LIST_ALLOW or 0. A full-length prefix is the most specific there is, so the trie is asked only without one. */
static __always_inline u32 list_lookup(void *hosts, void *prefixes, const addr_t *addr, bool v4,
				       bool has_hosts, bool has_prefixes)
{
	u32 *found = NULL;

	if (has_hosts)
		found = bpf_map_lookup_elem(hosts, addr);
	if (!found && has_prefixes) {
		struct prefix_key key = {.length = 128, .addr = *addr};

		found = bpf_map_lookup_elem(prefixes, &key);
		/* every IPv4 prefix is longer than those that hold all mapped addresses */
		if (found && v4 && *found & LIST_V6)
			return 0;
	}
	return found ? *found & (LIST_DENY | LIST_ALLOW) : 0;
}

/* The last mixing of MurmurHash3: every bit of the address reaches every bit of the bucket's number. */
static __always_inline u32 v4_hash(be32_t v4)
{
	u32 hash = v4;

	hash = (hash ^ hash >> 16) * 0x85ebca6b;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35;
	return hash ^ hash >> 16;
}

#define V4_DENIED    1
#define V4_UNLISTED  2
#define V4_ELSEWHERE 3 /* ask source_hosts */

/* What the buckets say of an IPv4 source. No slot is compared by a branch: which one it is cannot be foretold. */
static __always_inline u32 v4_lookup(be32_t v4)
{
	u32 index = v4_hash(v4) & source_v4_mask;
	const struct v4_bucket *bucket = bpf_map_lookup_elem(&source_v4, &index);
	u64 found = 0;

	if (!bucket || !v4)
		return V4_ELSEWHERE;
	for (int i = 0; i < V4_SLOTS; i++)
		found |= (u64)(bucket->addrs[i] ^ v4) - 1; /* the top bit: they are equal */
	if (found >> 63)
		return V4_DENIED;
	return bucket->elsewhere ? V4_ELSEWHERE : V4_UNLISTED;
}

/* Takes a token of the bucket of a key, which is made full when there is none. */
static __always_inline bool take_token(const struct cube_ctx *c, void *buckets, const void *key, u64 interval,
				       u64 tolerance, u64 now)
{
	u64 *bucket = bpf_map_lookup_elem(buckets, key);
	u64 full = now + interval;

	if (!bucket) {
		cube_map_update(c, buckets, key, &full, BPF_ANY);
		return true;
	}
	if (cube_is_dry(c)) {
		full = *bucket;
		return bucket_take(&full, interval, tolerance, now);
	}
	return bucket_take(bucket, interval, tolerance, now);
}

/* A request for a connection: the only segment that makes a server take up state (RFC 9293 3.10.7.2, RFC 4987). */
static __always_inline bool is_syn(const struct cube_work *w)
{
	return w->tuple.proto == IPPROTO_TCP && (w->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	       !(w->flags & (PKT_FRAG_LATER | PKT_ICMP_ERROR));
}

/* As list_lookup(), of sources. */
static __always_inline u32 source_lookup(const addr_t *addr, bool v4, u32 has)
{
	bool has_hosts = has & HAS_SOURCE_HOSTS;

	if (v4 && has_hosts) {
		u32 said = v4_lookup(addr->words[3]);

		if (said == V4_DENIED)
			return LIST_DENY;
		has_hosts = said == V4_ELSEWHERE;
	}
	return list_lookup(&source_hosts, &source_prefixes, addr, v4, has_hosts,
			   has & (v4 ? HAS_SOURCE_PREFIXES_V4 : HAS_SOURCE_PREFIXES_V6));
}

/* 0: the packet may pass, else the reason why not. */
static __always_inline u32 check_packet(struct cube_ctx *c)
{
	const struct cube_work *w = c->work;
	bool v4 = w->flags & PKT_IPV4;
	u32 zero = 0, has, listed;
	u32 *word;

	if (unlikely(!(w->flags & PKT_IP)))
		return 0; /* ARP and the like name no source that a list could speak of */
	word = bpf_map_lookup_elem(&lists, &zero);
	has = word ? *(volatile u32 *)word : 0;
	listed = source_lookup(packet_src(w), v4, has);
	if (listed == LIST_ALLOW) {
		cube_decide(c, DECIDE_SOURCE_ALLOWED, 0);
		cube_count(c, &counters, COUNT_ALLOWED);
		return 0;
	}
	if (listed == LIST_DENY) {
		cube_decide(c, DECIDE_SOURCE_DENIED, 0);
		return DROP_SOURCE_DENIED;
	}
	if (list_lookup(&destination_hosts, &destination_prefixes, packet_dst(w), v4,
			has & HAS_DESTINATION_HOSTS,
			has & (v4 ? HAS_DESTINATION_PREFIXES_V4 : HAS_DESTINATION_PREFIXES_V6))) {
		cube_decide(c, DECIDE_DESTINATION_DENIED, 0);
		return DROP_DESTINATION_DENIED;
	}
	cube_decide(c, DECIDE_UNLISTED, 0);
	if (!source_rate.interval && !syn_rate.interval)
		return 0;

	u64 now = bpf_ktime_get_coarse_ns();

	if (source_rate.interval) {
		addr_t source = *packet_src(w);

		if (!v4)
			source.halves[1] = 0;
		if (!take_token(c, &source_buckets, &source, source_rate.interval, source_rate.tolerance,
				now))
			return DROP_SOURCE_RATE_EXCEEDED;
	}
	if (syn_rate.interval && is_syn(w)) {
		struct syn_key key = {.addr = w->tuple.dst, .port = w->tuple.dport};

		cube_count(c, &counters, COUNT_SYNS);
		if (!take_token(c, &syn_buckets, &key, syn_rate.interval, syn_rate.tolerance, now))
			return DROP_SYN_RATE_EXCEEDED;
	}
	return 0;
}

static __always_inline int mitigate(struct cube_ctx *c)
{
	u32 reason;

	if (c->port != OUTSIDE)
		return cube_output(c, OUTSIDE);
	reason = check_packet(c);
	if (reason)
		return cube_drop(c, reason);
	cube_count(c, &counters, COUNT_PASSED);
	return cube_output(c, INSIDE);
}

#endif
