/* SPDX-License-Identifier: GPL-2.0-only */
/* Where MAC addresses are: learned from the frames that they send, or said by static entries. */
#ifndef CUBEPLANE_BRIDGE_FDB_H
#define CUBEPLANE_BRIDGE_FDB_H

#include "bridge.h"

#define NO_PLACE -1

static __always_inline struct fdb_entry fdb_read(const struct fdb_entry *entry)
{
	u64 word = *(const volatile u64 *)entry;
	struct fdb_entry copy;

	__builtin_memcpy(&copy, &word, sizeof(copy));
	return copy;
}

static __always_inline bool fdb_holds(const struct fdb_entry *entry, u32 now)
{
	return entry->place >> 8 == settings.ports_tag && now - entry->seen <= settings.ageing;
}

/* Notes that the source is at the port that the frame came in by. Returns 0 or a drop reason. */
static __always_inline int fdb_learn(struct cube_ctx *c, const struct frame *f, u32 now)
{
	u32 port = c->port & (CUBE_PORTS - 1);
	struct fdb_entry fresh = {.seen = now, .place = place_of(port)}, old;
	struct fdb_entry *entry;
	u64 word;
	u32 *fixed;

	if (settings.has_static) {
		fixed = bpf_map_lookup_elem(&fdb_static, &f->src);
		if (fixed)
			return *fixed == port ? 0 : DROP_STATIC_ELSEWHERE;
	}
	if (!has_port(settings.learning, port))
		return 0;
	entry = bpf_map_lookup_elem(&fdb, &f->src);
	if (!entry) {
		count(c, cube_map_update(c, &fdb, &f->src, &fresh, BPF_ANY) ? COUNT_LEARN_FAILURES
									    : COUNT_LEARNED);
		return 0;
	}
	old = fdb_read(entry);
	if (likely(old.place == fresh.place && old.seen == now))
		return 0;
	if (!fdb_holds(&old, now))
		count(c, COUNT_LEARNED);
	else if (old.place != fresh.place)
		count(c, COUNT_MOVED);
	if (cube_is_dry(c))
		return 0;
	__builtin_memcpy(&word, &fresh, sizeof(word));
	*(volatile u64 *)entry = word;
	return 0;
}

/* The port where the destination is, or NO_PLACE. */
static __always_inline int fdb_find(struct cube_ctx *c, const struct frame *f, u32 now)
{
	struct fdb_entry *entry, found;
	u32 *fixed;
	u32 port;

	if (settings.has_static) {
		fixed = bpf_map_lookup_elem(&fdb_static, &f->dst);
		if (fixed) {
			cube_decide(c, DECIDE_STATIC_ENTRY, *fixed);
			return *fixed & (CUBE_PORTS - 1);
		}
	}
	entry = bpf_map_lookup_elem(&fdb, &f->dst);
	if (!entry)
		return NO_PLACE;
	found = fdb_read(entry);
	if (!fdb_holds(&found, now))
		return NO_PLACE;
	port = place_port(found.place);
	if (!has_port(f->vlan.members, port))
		return NO_PLACE;
	cube_decide(c, DECIDE_LEARNED, port);
	return port;
}

#endif
