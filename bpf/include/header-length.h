/* SPDX-License-Identifier: GPL-2.0-only */
/* How long a packet is, and each segment that will be made of one of generic segmentation offload. */
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

/* Whether the packet, or a segment of it, is longer than mtu. */
static __always_inline bool exceeds_mtu(const struct cube_ctx *c, u32 mtu)
{
	struct __sk_buff *skb = c->skb;
	u32 gso = skb->gso_size;

	if (likely(skb->len - ETH_HLEN <= mtu))
		return false;
	if (!gso)
		return packet_length(c) > mtu;
	if (gso == 0xffff) /* GSO_BY_FRAGS (SCTP): the sender has cut it to its path's MTU */
		return false;
	return header_length(c) - ETH_HLEN + gso > mtu;
}

#endif
