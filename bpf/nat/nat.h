/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of the NAT.
 *
 * A packet: sessions by its tuple and the port that it came in by. Without one, and when it opens one: forward rules by
 * its destination, then, from the inside, source rules. Where the host has the outside addresses, too, what is left from the
 * outside is told apart by services and by what source rules name. src/cubes/nat/desired.ts says what stands in the rules' maps.
 */
#ifndef CUBEPLANE_NAT_H
#define CUBEPLANE_NAT_H

#include <asm-generic/errno-base.h>
#include "session.h"
#include "generated/reasons.h"

#define PORT_OUTSIDE 0
#define PORT_INSIDE  1

/* session.state.own */
#define HALF_REPLY     (1 << 0) /* of packets to the initiator */
#define HALF_TO_INSIDE (1 << 1) /* its packets leave by the port inside */

/*
 * One direction of a session: what its packets are when they leave. The key of the other half is this, turned around,
 * with the port that they leave by; see halves.h.
 */
struct session {
	struct session_state state;
	be16_t sport; /* echo: the identifier on the side that holds it, 0 on the other */
	be16_t dport;
	addr_t src;
	addr_t dst;
};
SIZE_ASSERT(struct session, 48);

/* Both: key: tuple of the packet as it comes in, pad[0] = port it came in by. value: one half of a session. writer: this
 * program. Established halves are evicted by nobody: their ports are claimed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
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

/* A set of rules of one kind: bit i is rule i. A lower one comes first. */
#define RULE_WORDS 3
#define RULE_OWN   (RULE_WORDS * 64 - 1) /* forward rules: an outside address, and no other rule has it */

struct rule_set {
	u64 words[RULE_WORDS];
};

/* match_key.field */
#define MATCH_FORWARD_DESTINATION 1
#define MATCH_FORWARD_SOURCE	  2
#define MATCH_FORWARD_SERVICE	  3
#define MATCH_SOURCE		  4
#define MATCH_DESTINATION	  5
#define MATCH_PROTOCOL		  6
#define MATCH_EXCLUSION		  7
#define MATCH_INSIDE		  8

struct match_key {
	u32 length; /* bits behind it that count: 32 + prefix length of 128, of services 24, 32 or 32 + bits of port */
	u8 field; /* MATCH_* */
	u8 pad[2];
	u8 kind; /* addresses: 4 or 6, because ::/0 holds the mapped IPv4 addresses; services: IPPROTO_* */
	addr_t addr; /* services: the port in network order, then zeros */
};
SIZE_ASSERT(struct match_key, 24);

/* key: what a packet has in one field. value: the rules that take it there, those of shorter prefixes included. writer:
 * agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct match_key);
	__type(value, struct rule_set);
} matches SEC(".maps");

#define SOURCE_EXCLUDE 0 /* packets pass unchanged */
#define SOURCE_POOL    1 /* packets get a source of the pool */
#define SOURCE_ROUTED  2 /* packets get the source that the host's routes say, else one of the pool */

struct source_rule {
	u32 type;     /* SOURCE_* */
	u32 base[2];  /* places in pool: IPv4, IPv6 */
	u32 count[2]; /* never 0 for a family that the rule takes */
};
SIZE_ASSERT(struct source_rule, 20);

/* key: rule. value: what it does. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct source_rule);
} source_rules SEC(".maps");

/* key: place. value: an outside address. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, addr_t);
} pool SEC(".maps");

struct forward_rule {
	addr_t target;
	u16 first;	 /* host order: first port of the rule … */
	u16 port;	 /* … becomes this one of the target, the second the one behind it, and so on */
	u8 changes_port; /* 0: the port stays, if there is one */
	u8 pad[3];
};
SIZE_ASSERT(struct forward_rule, 24);

/* key: rule. value: where its packets go. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, u32);
	__type(value, struct forward_rule);
} forward_rules SEC(".maps");

struct service_key {
	addr_t addr;
	be16_t port;
	u8 proto; /* IPPROTO_* */
	u8 pad[5];
};
SIZE_ASSERT(struct service_key, 24);

/* key: where clients on the outside reach a Service. value: nothing. writer: agent. Looked at by who discriminates only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct service_key);
	__type(value, u32);
} services SEC(".maps");

/* What the rules use at all, and the range of ports that are claimed (host order). */
#define DISCRIMINATES_PLAIN 2 /* and has no forward rules */

struct nat_options {
	u16 first_port;
	u16 port_count;
	u8 forwards; /* there are outside addresses or forward rules */
	u8 forward_sources;
	u8 forward_services;
	u8 sources; /* there are source rules */
	u8 destinations;
	u8 protocols;
	u8 exclusions;
	u8 discriminates; /* not 0: shares its outside addresses with the host, see discriminate() */
};
SIZE_ASSERT(struct nat_options, 12);

const volatile struct nat_options nat_options = {
    .first_port = 49152,
    .port_count = 16384,
    .forwards = 1,
    .forward_sources = 1,
    .forward_services = 1,
    .sources = 1,
    .destinations = 1,
    .protocols = 1,
    .exclusions = 1,
    .discriminates = 1,
};

/* Not 0: pods of other nodes come in by the port outside, too, without a tunnel. */
const volatile u32 nodes_are_routed = 0;

/* What is written into the packet before it goes out. */
struct translation {
	addr_t src;
	addr_t dst;
	be16_t sport;
	be16_t dport;
	u32 port; /* by which it leaves */
};
SIZE_ASSERT(struct translation, 40);

/* Keys and halves of the session in hand: too much for the stack of a program with functions. */
struct scratch {
	struct cube_tuple key;
	struct cube_tuple other_key;
	struct session half;
	struct session other;
	struct translation out; /* of VERDICT_TRANSLATE */
};

/* One per CPU. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *get_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/*
 * The context inside a global function: the verifier goes through such a function once, and not again on each path that
 * leads to it, but it lets no pointer in that is part of a struct. False: there is no packet.
 */
static __always_inline bool get_context(struct __sk_buff *skb, struct cube_ctx *c)
{
	u32 zero = 0;

	c->skb = skb;
	c->port = skb->cb[CB_PORT] & (CUBE_PORTS - 1);
	c->flags = skb->cb[CB_FLAGS];
	c->work = bpf_map_lookup_elem(&work, &zero);
	return c->work;
}

static __always_inline void count(struct cube_ctx *c, u32 counter)
{
	cube_count(c, &counters, counter);
}

/* What becomes of a packet: functions decide, and the main program, which alone may make tail calls, does it. */
#define VERDICT_NONE	  0
#define VERDICT_TRANSLATE 0x100
#define VERDICT_CROSS	  0x200	 /* + COUNT_*: unchanged, out of the other port */
#define VERDICT_REFUSE	  0x400	 /* + drop reason: the sender gets a RST */
#define VERDICT_DROP	  0x800	 /* + drop reason */
#define VERDICT_PASS	  0x1000 /* + COUNT_*: unchanged, to the host's stack */
#define VERDICT_REACH	  0x2000 /* to the inside itself: crosses, with a session if it opens one */
#define VERDICT_ECHO	  0x4000 /* + drop reason: an echo request gets its answer */
#define VERDICT_VALUE	  0xff

#endif
