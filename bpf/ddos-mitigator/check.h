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
	listed = list_lookup(&source_hosts, &source_prefixes, packet_src(w), v4, has & HAS_SOURCE_HOSTS,
			     has & (v4 ? HAS_SOURCE_PREFIXES_V4 : HAS_SOURCE_PREFIXES_V6));
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
