/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames for all ports of a VLAN, or for nobody who is known. All but one of the ports get a copy; the last one gets the
 * frame itself, which costs less. It is a port that is linked to a cube, if there is one: best one that is no end of the
 * segment, because copies of copies go only so deep (clone.h).
 */
#ifndef CUBEPLANE_BRIDGE_FLOOD_H
#define CUBEPLANE_BRIDGE_FLOOD_H

#include "vlan.h"

/* Whether the port may flood another frame of the kind now; takes its token when it may. */
static __noinline bool storm_allows(struct cube_ctx *c, u32 kind)
{
	u32 index = (c->port & (CUBE_PORTS - 1)) * FLOOD_KINDS + (kind & (FLOOD_KINDS - 1));
	struct rate_limit *limit = bpf_map_lookup_elem(&storm_limits, &index);
	u64 *bucket = bpf_map_lookup_elem(&storm_buckets, &index);
	u64 full;

	if (!limit || !bucket || !limit->interval)
		return true;
	if (cube_is_dry(c)) {
		full = *bucket; /* looked at, not taken from */
		bucket = &full;
	}
	return bucket_take(bucket, limit->interval, limit->tolerance, bpf_ktime_get_ns());
}

/* Number of the one bit that is set. */
static __always_inline u32 bit_number(u64 bit)
{
	return !!(bit & 0xffffffff00000000) << 5 | !!(bit & 0xffff0000ffff0000) << 4 |
	       !!(bit & 0xff00ff00ff00ff00) << 3 | !!(bit & 0xf0f0f0f0f0f0f0f0) << 2 |
	       !!(bit & 0xcccccccccccccccc) << 1 | !!(bit & 0xaaaaaaaaaaaaaaaa);
}

struct flood_loop {
	struct cube_ctx *c;
	const struct cube_work *work; /* of the frame as it is */
	u64 ports;		      /* still to be sent to */
};

static long flood_copy(u32 round, struct flood_loop *loop)
{
	u64 bit = loop->ports & -loop->ports;
	struct cube_ctx *c = loop->c;

	if (!bit)
		return 1;
	loop->ports &= ~bit;
	count(c, cube_clone(c, bit_number(bit)) ? COUNT_COPY_FAILURES : COUNT_COPIES);
	*c->work = *loop->work;
	return 0;
}

/* Sends a copy of the frame as it is to each port of the set. */
static __always_inline void flood_copies(struct cube_ctx *c, const struct cube_work *work, u64 ports)
{
	struct flood_loop loop = {.c = c, .work = work, .ports = ports};

	bpf_loop(CUBE_PORTS, flood_copy, &loop, 0);
}

/*
 * Sends copies to all but one of the ports that take the frame. Returns 0, and in *last the port that the frame itself,
 * with or without tag as it is now, is to be sent by; or a drop reason.
 */
static __always_inline int flood(struct cube_ctx *c, struct frame *f, u32 kind, u32 *last)
{
	u64 self = 1ULL << (c->port & (CUBE_PORTS - 1));
	u64 targets = f->vlan.members & settings.flood[kind & (FLOOD_KINDS - 1)] & ~self;
	struct cube_work kept;
	u64 untagged, group, final;
	bool ends_tagged;

	if (settings.isolated & self)
		targets &= ~settings.isolated;
	if (!targets)
		return DROP_NOWHERE_TO_FLOOD;
	if (settings.limited & self && !storm_allows(c, kind))
		return DROP_STORM_CONTROL;
	cube_decide(c, DECIDE_FLOODED, f->dst.vlan);
	count(c, COUNT_FLOODED);
	untagged = targets & f->vlan.untagged;
	final = targets & settings.bridges ? targets & settings.bridges : targets & settings.cubes;
	final &= -final;
	/* ports whose frames carry the tag as this one does come first, so that it changes once at most */
	if (final)
		ends_tagged = !(final & untagged);
	else
		ends_tagged = f->tagged ? !untagged : untagged != targets;
	group = ends_tagged ? targets & ~untagged : untagged;
	if (!final)
		final = group;
	final &= -final;
	kept = *c->work;
	if (targets != group) {
		if (vlan_set_tag(c, f, !ends_tagged))
			return DROP_REWRITE_FAILED;
		kept.vlan = c->work->vlan;
		flood_copies(c, &kept, targets & ~group);
	}
	if (vlan_set_tag(c, f, ends_tagged))
		return DROP_REWRITE_FAILED;
	kept.vlan = c->work->vlan;
	if (group != final)
		flood_copies(c, &kept, group & ~final);
	*last = bit_number(final);
	return 0;
}

#endif
