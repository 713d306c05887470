/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VLAN tags (IEEE 802.1Q). The kernel takes the tag of a received frame into the skb's metadata before programs see it,
 * and a device that cannot send it from there puts it back into the frame: so a tag is changed without moving a byte.
 * A frame with its tag still inside has it taken off first.
 */
#ifndef CUBEPLANE_BRIDGE_VLAN_H
#define CUBEPLANE_BRIDGE_VLAN_H

#include "bridge.h"

/* Takes off a tag that is still inside the frame. Returns its control information, or a negative number. */
static __noinline int vlan_take_inner(struct cube_ctx *c)
{
	struct cube_work *w = c->work;
	be16_t tci;

	if (bpf_skb_load_bytes(c->skb, ETH_HLEN, &tci, sizeof(tci)) || bpf_skb_vlan_pop(c->skb))
		return -1;
	w->l3_off -= 4;
	w->l4_off -= 4;
	w->inner_l3_off -= 4;
	w->inner_l4_off -= 4;
	return bpf_ntohs(tci);
}

/*
 * Finds out which VLAN the frame is in and whether its port is too. Fills all of *f but the addresses.
 * Returns 0 or a drop reason.
 */
static __always_inline int vlan_admit(struct cube_ctx *c, struct frame *f)
{
	struct __sk_buff *skb = c->skb;
	u32 port = c->port & (CUBE_PORTS - 1);
	bool stacked = c->work->ether_type == ETH_P_8021Q || c->work->ether_type == ETH_P_8021AD;
	struct vlan *v;
	int tci = 0;
	u32 vid;

	f->tagged = 0;
	/* a service tag (802.1ad) is another network's business */
	if (skb->vlan_present && skb->vlan_proto != bpf_htons(ETH_P_8021Q))
		return DROP_UNSUPPORTED;
	/* the kernel takes a tag off only when it can bring up the one behind it */
	if (unlikely(stacked) && skb->len < c->work->l3_off + 4U)
		return DROP_MALFORMED;
	if (skb->vlan_present) {
		tci = skb->vlan_tci;
		f->tagged = 1;
	} else if (unlikely(c->work->l3_off != ETH_HLEN)) {
		tci = vlan_take_inner(c);
		if (tci < 0)
			return DROP_REWRITE_FAILED;
	}
	f->priority = tci & VLAN_PCP_DEI;
	vid = tci & VLAN_VID;
	/*
	 * An access port takes no tag but that of priority (VLAN id 0). A second one behind it would be the first one
	 * where the frame leaves a trunk in its native VLAN, and lead into a VLAN of the sender's choice.
	 */
	if (has_port(settings.access, port) && (vid || stacked))
		return DROP_VLAN_NOT_ALLOWED;
	if (!vid)
		vid = settings.native[port];
	v = bpf_map_lookup_elem(&vlans, &vid);
	if (!vid || !v || !has_port(v->members, port))
		return DROP_VLAN_NOT_ALLOWED;
	f->vlan = *v;
	f->src.vlan = vid;
	f->dst.vlan = vid;
	return 0;
}

/* Lets the frame carry the tag of its VLAN, or none. Returns 0 or a negative number. */
static __always_inline int vlan_set_tag(struct cube_ctx *c, struct frame *f, bool tagged)
{
	u16 vid = f->dst.vlan & VLAN_VID;

	if (tagged != !!f->tagged) {
		if (tagged ? bpf_skb_vlan_push(c->skb, bpf_htons(ETH_P_8021Q), f->priority | vid)
			   : bpf_skb_vlan_pop(c->skb))
			return -1;
		f->tagged = tagged;
	} else if (tagged && unlikely((c->skb->vlan_tci & VLAN_VID) != vid)) {
		/* a tag of priority at a trunk: it gets the number of the native VLAN */
		if (bpf_skb_vlan_pop(c->skb) ||
		    bpf_skb_vlan_push(c->skb, bpf_htons(ETH_P_8021Q), f->priority | vid))
			return -1;
	}
	c->work->vlan = tagged ? vid : 0;
	return 0;
}

#endif
