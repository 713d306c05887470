// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bridge: joins its ports to one Ethernet network a VLAN (IEEE 802.1Q, as an independent-learning VLAN bridge). It
 * carries whatever an Ethernet frame may carry and looks at MAC addresses and tags alone.
 *
 *   bridge.h  maps
 *   vlan.h    which VLAN a frame is in, and its tag
 *   fdb.h     where addresses are
 *   flood.h   frames for more than one port
 *
 * - No spanning tree: rings of bridges are refused when objects are read (src/dataplane/broadcast-loops.ts). Frames to
 *   the group addresses that bridges keep to themselves (802.1Q 8.6.3: spanning tree, LLDP, LACP) are not forwarded; on
 *   an interface the host gets them.
 * - No multicast snooping: a multicast goes to all ports of its VLAN.
 * - A frame larger than the MTU of its port is a counted drop where it goes to one port; of a flooded frame the interface
 *   drops its copy.
 */
#include "fdb.h"
#include "flood.h"

struct ethernet {
	mac_t dst;
	mac_t src;
};

static __always_inline bool mac_is_group(const mac_t *mac)
{
	return mac->bytes[0] & 1;
}

static __always_inline bool mac_is_broadcast(const mac_t *mac)
{
	return *(const u16 *)&mac->bytes[0] == 0xffff && *(const u16 *)&mac->bytes[2] == 0xffff &&
	       *(const u16 *)&mac->bytes[4] == 0xffff;
}

static __always_inline bool mac_is_zero(const mac_t *mac)
{
	return !(*(const u16 *)&mac->bytes[0] | *(const u16 *)&mac->bytes[2] | *(const u16 *)&mac->bytes[4]);
}

/* 01:80:c2:00:00:00 to 0f */
static __always_inline bool mac_is_reserved(const mac_t *mac)
{
	return mac->bytes[0] == 0x01 && mac->bytes[1] == 0x80 && mac->bytes[2] == 0xc2 &&
	       mac->bytes[3] == 0 && mac->bytes[4] == 0 && mac->bytes[5] < 0x10;
}

/* Whether a frame, or each segment of it, is too large for the port. */
static __always_inline bool exceeds_mtu(struct cube_ctx *c, u32 port)
{
	const struct cube_work *w = c->work;
	u32 mtu = settings.mtu[port & (CUBE_PORTS - 1)];
	u32 segment = c->skb->gso_size;

	if (likely(!mtu || c->skb->len <= mtu + w->l3_off))
		return false;
	if (!segment)
		return true;
	/* headers up to the payload: TCP's are at most 60 bytes and mostly 32; the device has the last word */
	return segment + w->l4_off - w->l3_off + 20 > mtu;
}

CUBE(bridge)
{
	u32 now = coarse_seconds(), port = 0;
	const struct ethernet *head = (void *)(long)c->skb->data;
	struct ethernet ethernet;
	struct frame f = {};
	int reason, found;
	u32 kind;

	if ((void *)(head + 1) > (void *)(long)c->skb->data_end)
		return cube_drop(c, DROP_MALFORMED);
	ethernet = *head;
	if (unlikely(mac_is_reserved(&ethernet.dst)))
		return cube_pass(c);
	if (unlikely(mac_is_group(&ethernet.src) || mac_is_zero(&ethernet.src)))
		return cube_drop(c, DROP_INVALID_SOURCE_MAC);
	reason = vlan_admit(c, &f);
	if (reason)
		return cube_drop(c, reason);
	f.src.mac = ethernet.src;
	f.dst.mac = ethernet.dst;
	reason = fdb_learn(c, &f, now);
	if (reason)
		return cube_drop(c, reason);

	found = NO_PLACE;
	kind = FLOOD_UNKNOWN;
	if (unlikely(mac_is_group(&ethernet.dst)))
		kind = mac_is_broadcast(&ethernet.dst) ? FLOOD_BROADCAST : FLOOD_MULTICAST;
	else
		found = fdb_find(c, &f, now);
	if (likely(found != NO_PLACE)) {
		port = found;
		if (unlikely(port == c->port))
			return cube_drop(c, DROP_SAME_PORT);
		if (unlikely(has_port(settings.isolated, port) && has_port(settings.isolated, c->port)))
			return cube_drop(c, DROP_ISOLATED);
		if (unlikely(exceeds_mtu(c, port)))
			return cube_drop(c, DROP_MTU);
		if (vlan_set_tag(c, &f, !has_port(f.vlan.untagged, port)))
			return cube_drop(c, DROP_REWRITE_FAILED);
		count(c, COUNT_FORWARDED);
	} else {
		reason = flood(c, &f, kind, &port);
		if (reason)
			return cube_drop(c, reason);
	}
	return cube_output(c, port);
}
