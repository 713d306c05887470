/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which rule a packet is for: aggregated bit vectors (Baboescu and Varghese, 2001). The cost does not grow with the
 * number of rules but with the lookups, one a dimension; of the bitmaps only those words are read that have a bit in all
 * dimensions by their summaries, mostly one.
 */
#ifndef CUBEPLANE_FIREWALL_CLASSIFY_H
#define CUBEPLANE_FIREWALL_CLASSIFY_H

#include "firewall.h"
#include "prefix.h"

/* What is classified: a packet, or the first packet of a session of which this is another. */
struct question {
	addr_t src;
	addr_t dst;
	u16 sport; /* host order */
	u16 dport; /* host order; ICMP: type * 256 + code */
	u8 proto;
	u8 direction;
	u8 state;
	u8 tcp_flags;
	u32 bank;
	u32 is_untyped; /* a later fragment of an ICMP message: nothing but its protocol is known */
};
SIZE_ASSERT(struct question, 48);

struct answer {
	u53_t rule; /* identity, 0: none matched */
	u8 action;
	u8 log;
	u8 matched; /* 0: no rule */
	u8 pad[5];
};
SIZE_ASSERT(struct answer, 16);

struct classify_scratch {
	struct question question;
	struct answer answer;
	struct address_key key;
	struct address_row found;
	u64 audited; /* identity of the rule that would have dropped the packet, 0: none */
};

/* One per CPU: too much for the stack of a program with functions. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct classify_scratch);
} classify_scratch SEC(".maps");

static __always_inline struct classify_scratch *get_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&classify_scratch, &zero);
}

/*
 * Index of the lowest bit of a word that is not zero: the number of bits below it. The machine has no instruction for
 * it; without branches, because the verifier would follow all of them in every round of the loop.
 */
static __always_inline u32 lowest_bit(u64 word)
{
	u64 below = (word & -word) - 1;

	below -= below >> 1 & 0x5555555555555555;
	below = (below & 0x3333333333333333) + (below >> 2 & 0x3333333333333333);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return below * 0x0101010101010101 >> 56;
}

static __always_inline const struct bitmap *bitmap_at(u32 index)
{
	return bpf_map_lookup_elem(&bitmaps, &index);
}

/*
 * Fills x->found for one of the addresses of the question, by at most 8 lookups; mostly by one or two, as many as it takes
 * to halve the lengths in use. Returns 0, or -1. Global, as classify().
 */
__noinline int find_address(struct classify_scratch *x, u32 table)
{
	const struct address_lengths *list;
	const addr_t *addr;
	struct prefix_key prefix;
	u32 index, from = 0, to;

	if (!x)
		return -1;
	addr = table & SIDE_DESTINATION ? &x->question.dst : &x->question.src;
	index = table * 2 + (addr_is_v4(addr) ? FAMILY_V4 : FAMILY_V6);
	list = bpf_map_lookup_elem(&address_lengths, &index);
	if (!list)
		return -1;
	x->found = list->all;
	x->key.table = table;
	to = list->count;
	for (int i = 0; i < 8 && from < to; i++) {
		u32 middle = (from + to) / 2;
		const struct address_row *row;

		x->key.length = list->lengths[middle & 127];
		prefix_of(addr, x->key.length, &prefix);
		__builtin_memcpy(&x->key.addr, &prefix.addr, sizeof(addr_t));
		row = bpf_map_lookup_elem(&addresses, &x->key);
		if (row) {
			x->found = *row;
			from = middle + 1;
		} else {
			to = middle;
		}
	}
	return 0;
}

static __always_inline const struct bitmap *table_bitmap(u32 base, u32 table, u32 value)
{
	u32 index = base * TABLES + table;
	const struct page *page = bpf_map_lookup_elem(&pages, &index);

	if (!page)
		return NULL;
	index = page->entries[value >> 8 & (PAGE - 1)];
	page = bpf_map_lookup_elem(&pages, &index);
	return page ? bitmap_at(page->entries[value & (PAGE - 1)]) : NULL;
}

static __always_inline u32 service_table(u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return TABLE_SERVICE_TCP;
	case IPPROTO_UDP:
		return TABLE_SERVICE_UDP;
	case IPPROTO_SCTP:
		return TABLE_SERVICE_SCTP;
	case IPPROTO_ICMP:
		return TABLE_SERVICE_ICMP;
	case IPPROTO_ICMPV6:
		return TABLE_SERVICE_ICMPV6;
	}
	return TABLE_SERVICE_OTHER;
}

/*
 * The first rule that all bitmaps have, or MAX_RULES. Not static, as is classify(): the verifier goes through a global
 * function once, and not for each call.
 */
__noinline int first_rule(const struct bitmap *a, const struct bitmap *b, const struct bitmap *s,
			  const struct bitmap *p, const struct bitmap *k)
{
	u64 low, high;

	if (!a || !b || !s || !p || !k)
		return MAX_RULES;
	low = a->summary[0] & b->summary[0] & s->summary[0] & p->summary[0] & k->summary[0];
	high = a->summary[1] & b->summary[1] & s->summary[1] & p->summary[1] & k->summary[1];
	for (int i = 0; i < RULE_WORDS && low | high; i++) {
		u32 w = low ? lowest_bit(low) : 64 + lowest_bit(high);
		u64 word;

		if (low)
			low &= low - 1;
		else
			high &= high - 1;
		if (w >= RULE_WORDS)
			break;
		word = a->words[w] & b->words[w] & s->words[w] & p->words[w] & k->words[w];
		if (word)
			return w * 64 + lowest_bit(word);
	}
	return MAX_RULES;
}

/* Returns 0 with x->answer filled, or -1: a table of the rule set is not whole. */
__noinline int classify(struct classify_scratch *x)
{
	struct question *q;
	const struct bitmap *kind, *source, *destination, *service, *source_port;
	const struct ruleset *set;
	const struct rule *rule;
	u32 base, index, table, only = NO_WORD;
	u64 word = ~0ULL;
	bool is_tcp;

	if (!x)
		return -1;
	q = &x->question;
	base = (q->bank & 1) * DIRECTIONS + (q->direction & 1);
	set = bpf_map_lookup_elem(&rulesets, &base);
	if (!set)
		return -1;
	x->answer = (struct answer){.action = set->default_action, .log = set->log};
	if (!set->rules)
		return 0;
	is_tcp = q->proto == IPPROTO_TCP;
	kind =
	    table_bitmap(base, TABLE_KIND, q->state << 9 | is_tcp << 8 | (is_tcp ? q->tcp_flags : q->proto));
	source = destination = service = source_port = kind;
	/* A prefix of few rules says their word itself: then nothing else is read of its bitmap, and one word of the
	 * others. */
	if (set->dimensions & DIM_SOURCE) {
		if (find_address(x, base * 2 + SIDE_SOURCE))
			return -1;
		only = x->found.only;
		word = x->found.word;
		if (only == NO_WORD)
			source = bitmap_at(x->found.bitmap);
	}
	if (set->dimensions & DIM_DESTINATION) {
		if (find_address(x, base * 2 + SIDE_DESTINATION))
			return -1;
		if (x->found.only == NO_WORD) {
			destination = bitmap_at(x->found.bitmap);
		} else {
			if (only != NO_WORD && (only != x->found.only || !(word & x->found.word)))
				return 0;
			word = only == NO_WORD ? x->found.word : word & x->found.word;
			only = x->found.only;
		}
	}
	if (set->dimensions & DIM_SERVICE) {
		table = q->is_untyped ? TABLE_SERVICE_OTHER : service_table(q->proto);
		service = table_bitmap(base, table, table == TABLE_SERVICE_OTHER ? q->proto : q->dport);
	}
	/* of packets without ports, the kind excludes rules with source ports */
	if (set->dimensions & DIM_SOURCE_PORT &&
	    (is_tcp || q->proto == IPPROTO_UDP || q->proto == IPPROTO_SCTP)) {
		table = is_tcp			  ? TABLE_SOURCE_TCP
			: q->proto == IPPROTO_UDP ? TABLE_SOURCE_UDP
						  : TABLE_SOURCE_SCTP;
		source_port = table_bitmap(base, table, q->sport);
	}
	if (!kind || !source || !destination || !service || !source_port)
		return -1;
	if (only < RULE_WORDS) {
		word &= source->words[only] & destination->words[only] & service->words[only] &
			source_port->words[only] & kind->words[only];
		index = word ? only * 64 + lowest_bit(word) : MAX_RULES;
	} else {
		index = first_rule(source, destination, service, source_port, kind);
	}
	if (index >= MAX_RULES)
		return 0;
	index += base * max_rules;
	rule = bpf_map_lookup_elem(&rules, &index);
	if (!rule)
		return -1;
	x->answer =
	    (struct answer){.rule = rule->identity, .action = rule->action, .log = rule->log, .matched = 1};
	return 0;
}

/* Counts the packet to the rule that decided. */
static __always_inline void count_rule(const struct cube_ctx *c, u64 identity)
{
	struct rule_counter *counter;

	if (cube_is_dry(c))
		return;
	counter = bpf_map_lookup_elem(&rule_counters, &identity);
	if (likely(counter)) {
		counter->packets++;
		counter->bytes += c->skb->len;
	} else {
		struct rule_counter first = {1, c->skb->len};

		bpf_map_update_elem(&rule_counters, &identity, &first, BPF_NOEXIST);
	}
}

#endif
