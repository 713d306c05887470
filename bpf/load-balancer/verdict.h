/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of a packet, as a number: functions decide, and the main program, which alone may
 * make tail calls, does it in one place.
 */
#ifndef CUBEPLANE_LOAD_BALANCER_VERDICT_H
#define CUBEPLANE_LOAD_BALANCER_VERDICT_H

#include "packet.h"

/* What is written into the packet before it goes out, and what a function says of it to the next. */
struct translation {
	addr_t src;
	addr_t dst;
	be16_t sport;
	be16_t dport;
	bool src_changes;
	bool dst_changes;
	bool hides_sender; /* of an error, whoever made it: becomes src */
	bool is_taken;	   /* the session that has ended could not have its client's own port */
};
SIZE_ASSERT(struct translation, 40);

#define VERDICT_NONE   0
#define VERDICT_OUTPUT 0x100 /* + port */
#define VERDICT_REFUSE 0x200 /* + drop reason: the sender gets a RST or an ICMP error */
#define VERDICT_DROP   0x400 /* + drop reason */
#define VERDICT_VALUE  0xff

static __always_inline int verdict_output(u32 port)
{
	return VERDICT_OUTPUT | port;
}

static __always_inline int verdict_refuse(u32 reason)
{
	return VERDICT_REFUSE | reason;
}

static __always_inline int verdict_drop(u32 reason)
{
	return VERDICT_DROP | reason;
}

#endif
