/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Removing rows that are over, in the kernel: programs that the agent runs now and then, one for a map (`reclaim` of the map's
 * declaration in src/cubes/<type>/type.ts). Packets go on meanwhile. Nothing is over because it was reclaimed: who looks a
 * row up checks its time.
 *
 *	static __always_inline bool is_over(const struct key *key, const struct value *value, u32 now) { ... }
 *	RECLAIM(reclaim_sessions, sessions, struct key, struct value, is_over)
 */
#ifndef CUBEPLANE_RECLAIM_H
#define CUBEPLANE_RECLAIM_H

#include "types.h"

/* The walk ends at so many removed rows, and the next one removes more: deleting is the dear part. */
#define RECLAIM_MOST 65536

/* Context of such a program; user space reads the first two words. */
struct reclaim_result {
	u64 seen; /* rows that were looked at */
	u64 removed;
	u32 now; /* as coarse_seconds(), which is not for programs of this type */
	u32 pad;
};
SIZE_ASSERT(struct reclaim_result, 24);

struct bpf_map;

/* The counts stand in the context, of whose values the verifier assumes nothing: counts on the stack would be another state
 * at each step of the walk. */
struct reclaim_walk {
	struct reclaim_result *result;
};

/* `is_over` gets key, value and the coarse second. */
#define RECLAIM(name, map, key_type, value_type, is_over)                                                    \
	static long name##_row(struct bpf_map *m, key_type *key, value_type *value,                          \
			       struct reclaim_walk *walk)                                                    \
	{                                                                                                    \
		struct reclaim_result *r = walk->result;                                                     \
                                                                                                             \
		r->seen++;                                                                                   \
		if (!is_over(key, value, r->now))                                                            \
			return 0;                                                                            \
		if (!bpf_map_delete_elem(m, key))                                                            \
			r->removed++;                                                                        \
		return r->removed >= RECLAIM_MOST;                                                           \
	}                                                                                                    \
                                                                                                             \
	SEC("syscall")                                                                                       \
	int name(struct reclaim_result *result)                                                              \
	{                                                                                                    \
		struct reclaim_walk walk = {.result = result};                                               \
                                                                                                             \
		result->seen = 0;                                                                            \
		result->removed = 0;                                                                         \
		result->now = bpf_ktime_get_ns() >> 30;                                                      \
		bpf_for_each_map_elem(&map, name##_row, &walk, 0);                                           \
		return 0;                                                                                    \
	}

#endif
