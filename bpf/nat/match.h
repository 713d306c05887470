/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which rule takes a packet. Each field of the packet is looked up once and gives the set of rules that take it; what is
 * in all sets takes the packet, and the first of those is the rule. The cost does not depend on how many rules there are.
 */
#ifndef CUBEPLANE_NAT_MATCH_H
#define CUBEPLANE_NAT_MATCH_H

#include "nat.h"
#include "overlay-source.h"

#define NO_RULE (-1)

static __always_inline u8 family_of(const struct cube_work *w)
{
	return w->flags & PKT_IPV4 ? 4 : 6;
}

/* Leaves in the set the rules that take `addr` in a field. */
static __noinline bool narrow(struct rule_set *set, u32 field, u32 kind, const addr_t *addr)
{
	struct match_key key = {.length = 160, .field = field, .kind = kind, .addr = *addr};
	struct rule_set *found = bpf_map_lookup_elem(&matches, &key);
	u64 any = 0;

	if (!found)
		return false;
	for (int i = 0; i < RULE_WORDS; i++) {
		set->words[i] &= found->words[i];
		any |= set->words[i];
	}
	return any;
}

static __always_inline void all_rules(struct rule_set *set)
{
	for (int i = 0; i < RULE_WORDS; i++)
		set->words[i] = ~0ULL;
}

/* Place of the lowest bit of a word that is not zero, without a branch. */
static __always_inline u32 lowest_bit(u64 word)
{
	u64 below = (word & -word) - 1;

	/* the number of bits in `below`, in pairs, then in fours, then in bytes */
	below -= below >> 1 & 0x5555555555555555ULL;
	below = (below & 0x3333333333333333ULL) + (below >> 2 & 0x3333333333333333ULL);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return below * 0x0101010101010101ULL >> 56;
}

static __noinline int first_rule(const struct rule_set *set)
{
	for (int i = 0; i < RULE_WORDS; i++) {
		if (set->words[i])
			return i * 64 + lowest_bit(set->words[i]);
	}
	return NO_RULE;
}

static __always_inline struct cube_work *get_work(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&work, &zero);
}

/* The forward rule for the packet, RULE_OWN or NO_RULE. This and the next ones are global: see get_context(). */
__noinline int match_forward(void)
{
	const struct cube_work *w = get_work();
	struct rule_set set;
	addr_t addr;
	u8 family;

	if (!w)
		return NO_RULE;
	family = family_of(w);
	addr = *packet_dst(w);
	all_rules(&set);
	if (!nat_options.forwards || !narrow(&set, MATCH_FORWARD_DESTINATION, family, &addr))
		return NO_RULE;
	if (nat_options.forward_sources) {
		addr = *packet_src(w);
		if (!narrow(&set, MATCH_FORWARD_SOURCE, family, &addr))
			return NO_RULE;
	}
	if (nat_options.forward_services) {
		addr = (addr_t){};
		if (w->flags & PKT_PORTS && !(w->flags & PKT_ICMP_ERROR))
			addr.words[0] = w->tuple.dport; /* its first two bytes, of either byte order */
		if (!narrow(&set, MATCH_FORWARD_SERVICE, w->l4_proto, &addr))
			return NO_RULE;
	}
	return first_rule(&set);
}

/* The source rule for a packet from the inside, or NO_RULE. */
__noinline int match_source(void)
{
	const struct cube_work *w = get_work();
	struct rule_set set;
	addr_t addr;
	u8 family;

	if (!w)
		return NO_RULE;
	family = family_of(w);
	addr = *packet_src(w);
	all_rules(&set);
	if (!nat_options.sources || !narrow(&set, MATCH_SOURCE, family, &addr))
		return NO_RULE;
	if (nat_options.destinations) {
		addr = *packet_dst(w);
		if (!narrow(&set, MATCH_DESTINATION, family, &addr))
			return NO_RULE;
	}
	if (nat_options.protocols) {
		addr = (addr_t){};
		if (!narrow(&set, MATCH_PROTOCOL, w->l4_proto, &addr))
			return NO_RULE;
	}
	return first_rule(&set);
}

/* Whether the packet's peer on the outside is one that is spoken to without translation. */
__noinline int is_excluded(u32 port)
{
	const struct cube_work *w = get_work();
	struct rule_set set;
	addr_t addr;

	if (!w || !nat_options.exclusions)
		return false;
	addr = port == PORT_INSIDE ? *packet_dst(w) : *packet_src(w);
	all_rules(&set);
	return narrow(&set, MATCH_EXCLUSION, family_of(w), &addr);
}

/*
 * From the outside, of no session and no rule, at addresses that the host has, too: what is for a Service crosses, as a balancer
 * behind it knows where to, and what is for the inside itself. All else is the host's.
 */
__noinline int discriminate(void)
{
	const struct cube_work *w = get_work();
	struct service_key key = {};
	struct rule_set set;
	addr_t addr;

	if (!w)
		return VERDICT_PASS;
	/* of an error: the service whose answer it is about */
	key.addr = w->tuple.dst;
	key.port = w->tuple.dport;
	key.proto = w->tuple.proto;
	if (bpf_map_lookup_elem(&services, &key))
		return VERDICT_CROSS;
	addr = *packet_dst(w);
	all_rules(&set);
	return narrow(&set, MATCH_INSIDE, family_of(w), &addr) ? VERDICT_REACH : VERDICT_PASS;
}

/* Whether the packet has the address of a pod of another node. */
__noinline int is_of_pod_elsewhere(void)
{
	const struct cube_work *w = get_work();
	const struct node_config *config;
	u32 zero = 0;
	addr_t addr;

	config = bpf_map_lookup_elem(&node_config, &zero);
	if (!w || !config)
		return false;
	addr = *packet_src(w);
	return overlay_source_of(config, &addr, w->flags & PKT_IPV4) != NULL;
}

/*
 * What crosses from the outside comes from nobody who is not there: policies behind it believe the address of the node, and those of
 * pods. Returns 0 or a drop reason.
 */
__noinline int check_source(void)
{
	const struct cube_work *w = get_work();
	struct rule_set set;
	addr_t addr;

	if (!w)
		return DROP_MALFORMED;
	addr = *packet_src(w);
	all_rules(&set);
	if (bpf_map_lookup_elem(&host_addresses, &addr) || narrow(&set, MATCH_INSIDE, family_of(w), &addr))
		return DROP_SPOOFED_SOURCE;
	return !nodes_are_routed && is_of_pod_elsewhere() ? DROP_SPOOFED_OVERLAY_SOURCE : 0;
}

/* Whether it is an address of the port outside. */
static __noinline bool is_own(const addr_t *addr)
{
	struct match_key key = {
	    .length = 160,
	    .field = MATCH_FORWARD_DESTINATION,
	    .kind = addr_is_v4(addr) ? 4 : 6,
	    .addr = *addr,
	};
	struct rule_set *found = bpf_map_lookup_elem(&matches, &key);

	return found && found->words[RULE_OWN / 64] >> (RULE_OWN % 64) & 1;
}

#endif
