/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packet is on the wire. One of generic segmentation offload becomes several, each with the headers of the one:
 * skb->len counts them once, and skb->wire_len is right at the egress of a device only.
 */
#ifndef CUBEPLANE_WIRE_LENGTH_H
#define CUBEPLANE_WIRE_LENGTH_H

#include "header-length.h"

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
