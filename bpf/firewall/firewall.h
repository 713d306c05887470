/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of the firewall.
 *
 * A packet of a known session passes. Any other is classified: each dimension of a rule (sender, receiver, service,
 * source port, kind) has a table that tells which rules the packet fulfils in that dimension, as a bitmap; the lowest
 * bit that all of them have is the rule. src/cubes/firewall/compile.ts makes the tables.
 *
 * There are two banks of them. The agent fills the idle one and then moves the word in `rule_bank`: a packet is judged
 * by the old rules or by the new ones, never by a mixture.
 */
#ifndef CUBEPLANE_FIREWALL_H
#define CUBEPLANE_FIREWALL_H

#include "session.h"
#include "generated/reasons.h"

#define PORT_OUTSIDE 0
#define PORT_INSIDE  1

#define INGRESS	   0 /* from outside to inside */
#define EGRESS	   1
#define DIRECTIONS 2
#define BANKS	   2

/* Of one direction. */
#define RULE_WORDS    80
#define MAX_RULES     (RULE_WORDS * 64)
#define SUMMARY_WORDS 2

/* State of a packet; a rule names those that it is for. */
#define STATE_NEW	  0
#define STATE_ESTABLISHED 1 /* of a session that is known */
#define STATE_RELATED	  2 /* ICMP error about such a session */
#define STATE_INVALID	  3 /* belongs to no session and opens none */
/* In the table of kinds only: New, asked of the rules behind a tier of policies that has passed the packet on. */
#define STATE_BEHIND_ADMIN    4
#define STATE_BEHIND_BASELINE 5

/* What a rule does. */
#define ACTION_DROP   0 /* what an empty table says */
#define ACTION_ALLOW  1
#define ACTION_REJECT 2
/* Of policies with a tier: the packet skips the rest of it. Never an answer. */
#define ACTION_PASS_ADMIN    3
#define ACTION_PASS_BASELINE 4
/* Would drop, but for audit: the packet skips all policies, and is told of where nothing else refuses it. Never an answer. */
#define ACTION_AUDIT 5
/* A packet may pass both tiers, or one and be audited. */
#define STAGES 3

/*
 * All that a packet of a known session needs of the rules, in one word:
 *   bit 0       their bank
 *   bits 1..6   direction * 3 + state: some rule of the direction names Established, Related, Invalid
 *   bits 7..63  their generation, a hash of them
 */
#define rules_bank(word)		   ((u32)(word)&1)
#define rules_generation(word)		   ((word) >> 7)
#define rules_name(word, direction, state) ((word) >> ((direction)*3 + (state)) & 1) /* state: not NEW */

/* key: 0. value: that word. writer: agent, last. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} rule_bank SEC(".maps");

/* ruleset.dimensions: which of them any rule of the direction restricts; the others are not looked up. */
#define DIM_SOURCE	(1 << 0)
#define DIM_DESTINATION (1 << 1)
#define DIM_SERVICE	(1 << 2)
#define DIM_SOURCE_PORT (1 << 3)

struct ruleset {
	u32 rules; /* 0: the default action at once */
	u8 dimensions;
	u8 default_action; /* ACTION_*, of new packets that no rule matches */
	u8 log;		   /* 1: what the default action refuses is logged */
	u8 pad;
};
SIZE_ASSERT(struct ruleset, 8);

/* key: bank * DIRECTIONS + direction. writer: agent, in the idle bank only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BANKS *DIRECTIONS);
	__type(key, u32);
	__type(value, struct ruleset);
} rulesets SEC(".maps");

/* Address dimensions. */
#define SIDE_SOURCE	 0
#define SIDE_DESTINATION 1

/* A prefix that rules speak of, or a marker: the beginning of longer ones, see address_lengths. */
struct address_key {
	addr_t addr; /* the first `length` bits */
	u16 table;   /* (bank * DIRECTIONS + direction) * 2 + SIDE_* */
	u8 length;   /* of 128 */
	u8 pad[5];
};
SIZE_ASSERT(struct address_key, 24);

#define NO_WORD 0xffffffff

struct address_row {
	u32 bitmap;
	u32 only; /* the one word of the bitmap that is not zero, NO_WORD: there are more */
	u64 word; /* that word */
};
SIZE_ASSERT(struct address_row, 16);

/* key: prefix or marker. value: the rules that it and all prefixes around it fulfil. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address_key);
	__type(value, struct address_row);
} addresses SEC(".maps");

#define FAMILY_V4 0
#define FAMILY_V6 1

/*
 * Lengths of prefixes in `addresses`, ascending. They are searched by halves (Waldvogel et al., 1997): a hit, for which
 * markers stand where a longer prefix begins, goes on with the longer half, a miss with the shorter one.
 */
struct address_lengths {
	struct address_row all; /* what no prefix holds */
	u8 count;
	u8 lengths[128];
	u8 pad[7];
};
SIZE_ASSERT(struct address_lengths, 152);

/* key: table * 2 + FAMILY_*. writer: agent, in the idle bank only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BANKS *DIRECTIONS * 2 * 2);
	__type(key, u32);
	__type(value, struct address_lengths);
} address_lengths SEC(".maps");

/* Tables that are indexed by 16 bits of the packet, as trees of two levels of pages. */
#define TABLE_SERVICE_TCP    0 /* destination port */
#define TABLE_SERVICE_UDP    1
#define TABLE_SERVICE_SCTP   2
#define TABLE_SERVICE_ICMP   3 /* type * 256 + code */
#define TABLE_SERVICE_ICMPV6 4
#define TABLE_SERVICE_OTHER  5 /* protocol */
#define TABLE_SOURCE_TCP     6 /* source port */
#define TABLE_SOURCE_UDP     7
#define TABLE_SOURCE_SCTP    8
#define TABLE_KIND	     9 /* STATE_* * 512 + (TCP: 256 + flags; else: protocol) */
#define TABLES		     10
#define PAGE		     256

struct page {
	u16 entries[PAGE]; /* of a first page: page; of a second: bitmap */
};
SIZE_ASSERT(struct page, 512);

/*
 * key: the first pages are (bank * DIRECTIONS + direction) * TABLES + TABLE_*, the second ones where these say.
 * writer: agent, in the idle bank only.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1320);
	__type(key, u32);
	__type(value, struct page);
} pages SEC(".maps");

struct bitmap {
	u64 summary[SUMMARY_WORDS]; /* bit w % 64 of word w / 64: words[w] is not zero */
	u64 words[RULE_WORDS];	    /* bit r % 64 of word r / 64: rule r is fulfilled */
};
SIZE_ASSERT(struct bitmap, 656);

/* key: bitmap. writer: agent, in the idle bank only. Equal ones are there once a bank. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 6656);
	__type(key, u32);
	__type(value, struct bitmap);
} bitmaps SEC(".maps");

struct rule {
	u53_t identity; /* of its name, or of what it says where it has none */
	u8 action;	/* ACTION_* */
	u8 log;		/* 1: to the agent's log */
	u8 pad[6];
};
SIZE_ASSERT(struct rule, 16);

/* Rules that one direction may have. */
const volatile u32 max_rules = 512;

/* key: (bank * DIRECTIONS + direction) * max_rules + rule. writer: agent, in the idle bank only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct rule_counter {
	u64 packets;
	u64 bytes;
};

/*
 * key: rule.identity. value: what it decided on this CPU. writer: this program.
 * Stays while rules are replaced, moved and taken back; rules that are gone make room for new ones.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, u53_t);
	__type(value, struct rule_counter);
} rule_counters SEC(".maps");

/* session.state.own */
#define SESSION_FROM_OUTSIDE (1 << 0) /* its first packet came from there */

struct session {
	struct session_state state;
	u16 opening; /* of its first packet: TCP flags, never 0, or the code of an ICMP message */
	u16 pad;
	u64 generation; /* of the rules that allowed it; after a change they are asked again */
	u53_t rule;	/* identity of the rule that allowed it; 0: the default action */
};
SIZE_ASSERT(struct session, 32);

/*
 * Both: key: tuple as of a packet from inside to outside, so that both directions find the one entry. value: session.
 * writer: this program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct cube_tuple);
	__type(value, struct session);
} established SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct cube_tuple);
	__type(value, struct session);
} embryonic SEC(".maps");

/* 1: a TCP or SCTP packet in the middle of a connection that is not known is Invalid, else New. */
const volatile u8 strict_handshake = 0;
/* 1: frames that are neither IP nor ARP pass. */
const volatile u8 pass_other_frames = 0;

static __always_inline void count(struct cube_ctx *c, u32 counter)
{
	cube_count(c, &counters, counter);
}

static __always_inline u64 rules_in_force(void)
{
	u32 zero = 0;
	u64 *word = bpf_map_lookup_elem(&rule_bank, &zero);

	return word ? *(volatile u64 *)word : 0;
}

#endif
