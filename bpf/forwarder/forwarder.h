/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and constants of the forwarder. src/cubes/forwarder/desired.ts says what stands in them. */
#ifndef CUBEPLANE_FORWARDER_H
#define CUBEPLANE_FORWARDER_H

#include "packet-match.h"
#include "punt.h"
#include "generated/reasons.h"

#define ROWS  512
#define RULES 256

#define ACTION_OUTPUT 1
#define ACTION_DROP   2
#define ACTION_PUNT   3

struct row {
	struct packet_match match;
	u16 rule;  /* place in the spec */
	u8 action; /* ACTION_* */
	u8 port;   /* ACTION_OUTPUT */
	u32 pad;
};
SIZE_ASSERT(struct row, 104);

/* key: place in the order of trial. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS);
	__type(key, u32);
	__type(value, struct row);
} rules SEC(".maps");

struct rule_counter {
	u64 packets;
	u64 bytes;
};

/* key: row.rule. writer: this cube. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RULES);
	__type(key, u32);
	__type(value, struct rule_counter);
} rule_counters SEC(".maps");

struct forwarder_settings {
	u32 rows;	   /* in `rules` */
	u8 default_action; /* ACTION_* */
	u8 default_port;
	u8 pad[2];
};

/* Values with which the verifier sees every path; an instance has its own. */
const volatile struct forwarder_settings settings = {.rows = ROWS, .default_action = ACTION_OUTPUT};

#endif
