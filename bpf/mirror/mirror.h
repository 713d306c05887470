/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps and constants of the mirror. src/cubes/mirror/desired.ts says what stands in them. */
#ifndef CUBEPLANE_MIRROR_H
#define CUBEPLANE_MIRROR_H

#include "clone.h"
#include "packet-match.h"
#include "generated/reasons.h"

#define ROWS	256
#define OUTSIDE 0
#define INSIDE	1

#define FIRST_COPY 2  /* number of the first port for copies */
#define COPY_PORTS 32 /* at most */
#define WHOLE	   0xffff

struct row {
	struct packet_match match;
	u32 sample; /* copied when a random number is not above it; ~0: always */
	u16 last;   /* byte of the frame that is copied, counted from 0; WHOLE: all */
	u8 rule;    /* place in the spec */
	u8 port;    /* that copies leave by, from FIRST_COPY on */
};
SIZE_ASSERT(struct row, 104);

/* key: number of the row; those of a rule follow each other. writer: agent, before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS);
	__type(key, u32);
	__type(value, struct row);
} rules SEC(".maps");

/*
 * key: how many copies deep the packet is itself (CUBE_F_COPY_DEPTH): a copy may come by here again before the packet that
 * it is of goes on. value: the work area of the packet whose copies are on their way. writer: this program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, (CUBE_F_COPY_DEPTH >> CUBE_F_COPY_SHIFT) + 1);
	__type(key, u32);
	__type(value, struct cube_work);
} kept SEC(".maps");

struct mirror_settings {
	u32 rows; /* in `rules` */
};

/* A value with which the verifier sees every path; an instance has its own. */
const volatile struct mirror_settings settings = {.rows = ROWS};

#endif
