/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two hooks of the kernel that programs run at, TC and XDP, behind the same few names: what parses a packet or decides
 * about it is written once. A source that defines CUBE_XDP before its includes is for XDP.
 */
#ifndef CUBEPLANE_HOOK_H
#define CUBEPLANE_HOOK_H

#include <linux/pkt_cls.h>
#include "types.h"

#ifdef CUBE_XDP

typedef struct xdp_md hook_t;

/* With fragments: such a program takes packets larger than a page and leaves segmentation to the other end of a veth pair. */
#define HOOK_SECTION "xdp.frags"
#define HOOK_DROP    XDP_DROP
/* On to TC, and from there to the host's stack. */
#define HOOK_PASS XDP_PASS

static __always_inline long hook_load(hook_t *packet, u32 off, void *to, u32 length)
{
	return bpf_xdp_load_bytes(packet, off, to, length);
}

/* Bytes of the packet. */
static __always_inline u32 hook_length(hook_t *packet)
{
	return bpf_xdp_get_buff_len(packet);
}

/* Interface that the packet came in by. */
static __always_inline u32 hook_ifindex(hook_t *packet)
{
	return packet->ingress_ifindex;
}

/* Whether a device took an 802.1Q tag off the frame. A card that does so leaves it to the skb that does not exist yet. */
static __always_inline bool hook_vlan(hook_t *packet, u16 *tci)
{
	return false;
}

#else

typedef struct __sk_buff hook_t;

#define HOOK_SECTION "tc"
#define HOOK_DROP    TC_ACT_SHOT
/* TCX_NEXT and TC_ACT_UNSPEC: the host's stack and other people's programs on the interface go on with it. */
#define HOOK_PASS    TC_ACT_UNSPEC

static __always_inline long hook_load(hook_t *packet, u32 off, void *to, u32 length)
{
	return bpf_skb_load_bytes(packet, off, to, length);
}

static __always_inline u32 hook_length(hook_t *packet)
{
	return packet->len;
}

static __always_inline u32 hook_ifindex(hook_t *packet)
{
	return packet->ifindex;
}

static __always_inline bool hook_vlan(hook_t *packet, u16 *tci)
{
	if (!packet->vlan_present)
		return false;
	*tci = packet->vlan_tci;
	return true;
}

#endif
#endif
