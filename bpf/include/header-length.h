/* SPDX-License-Identifier: GPL-2.0-only */
/* How long the headers are that each segment of a packet of generic segmentation offload will have. */
#ifndef CUBEPLANE_HEADER_LENGTH_H
#define CUBEPLANE_HEADER_LENGTH_H

#include "cube.h"
#include "headers.h"

/* Bytes from the start of the frame to the payload. Of a tunnel that a pod makes itself: to that of the outer packet. */
static __always_inline u32 header_length(const struct cube_ctx *c)
{
	const struct cube_work *w = c->work;
	u8 offset = 0;

	if (w->l4_proto == IPPROTO_UDP)
		return w->l4_off + 8;
	if (w->l4_proto == IPPROTO_TCP && !hook_load(c->skb, w->l4_off + 12, &offset, sizeof(offset)))
		return w->l4_off + (offset >> 4) * 4;
	return w->l4_off;
}

#endif
