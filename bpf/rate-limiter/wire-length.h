/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packet is on the wire. One of generic segmentation offload becomes several, each with the headers of the one:
 * skb->len counts them once, and skb->wire_len is right at the egress of a device only.
 */
#ifndef CUBEPLANE_WIRE_LENGTH_H
#define CUBEPLANE_WIRE_LENGTH_H

#include "cube.h"
#include "headers.h"

/* Bytes of the packet's headers, as every segment of it has them. Of a tunnel that a pod makes itself: of the outer packet. */
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

/* Bytes of all its frames, from the Ethernet header on, without checksum and preamble. */
static __always_inline u32 wire_length(const struct cube_ctx *c)
{
	u32 length = c->skb->len, size = c->skb->gso_size, header;

	if (likely(!size))
		return length;
	header = header_length(c);
	if (header >= length)
		return length;
	/* not gso_segs, which a packet from a guest or a raw socket leaves 0 */
	return length + (length - header - 1) / size * header;
}

#endif
