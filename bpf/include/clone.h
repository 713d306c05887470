/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copies of a packet, for cubes that send it more than once: a bridge that floods, a mirror.
 *
 * A copy can only go to an interface: another cube is reached by a tail call, which takes the packet itself and does
 * not return. So a copy for a cube goes to the egress of a device of the agent's own, where `copies` (bpf/entry/tcx.bpf.c)
 * makes that tail call. All of it happens before the clone helper returns, on this CPU and under the same graph.
 */
#ifndef CUBEPLANE_CLONE_H
#define CUBEPLANE_CLONE_H

#include "cube.h"
#include "headers.h"

#define CLONE_NO_INTERFACE (-6)	 /* ENXIO */
#define CLONE_TOO_DEEP	   (-40) /* ELOOP: a copy of a copy of a copy of a copy */

/*
 * What `cb` of a copy holds between cube_clone_cut() and `copies`, the program at the egress of the interface, which cuts
 * the copy there: the kernel cuts no packet that somebody else looks at too, and the copy is one's own only then.
 */
#define CB_CUT_DEVICE 1		 /* of the interface that it leaves by */
#define CB_CUT_LENGTH 2		 /* bytes of frame that stay */
#define CUT_MAGIC     0x43554243 /* "CUBC" */

#define TCP_HEADER 20 /* bytes without options */
#define L4_HEADER  8  /* of the others, as far as a copy is to show them */

/*
 * Bytes of the headers, up to the fixed part of that of L4: the least that a copy shows. Asked before the first copy is
 * sent, see cube_clone_cut().
 */
static __always_inline u32 copy_headers(const struct cube_work *w)
{
	if (!(w->flags & PKT_IP))
		return 0;
	if (w->flags & PKT_FRAG_LATER)
		return w->l4_off;
	return w->l4_off + (w->l4_proto == IPPROTO_TCP ? TCP_HEADER : L4_HEADER);
}

/* A cut makes one frame of a packet of many segments: it must not be more than the interface takes. */
static __always_inline u32 copy_length(struct __sk_buff *skb, u32 ifindex, u32 most)
{
	u32 mtu = 0;

	if (!skb->gso_size || bpf_check_mtu(skb, ifindex, &mtu, 0, 0) < 0)
		return most;
	return most < mtu + ETH_HLEN ? most : mtu + ETH_HLEN;
}

/* Sends a copy that `copies` cuts. It has a `cb` of its own, made when the copy is; so ours is what it was again. */
static __always_inline long clone_marked(struct __sk_buff *skb, u32 ifindex, u32 length)
{
	u32 magic = skb->cb[CB_MAGIC], port = skb->cb[CB_CUT_DEVICE], epoch = skb->cb[CB_CUT_LENGTH];
	long error;

	skb->cb[CB_MAGIC] = CUT_MAGIC;
	skb->cb[CB_CUT_DEVICE] = ifindex;
	skb->cb[CB_CUT_LENGTH] = length;
	error = bpf_clone_redirect(skb, ifindex, 0);
	skb->cb[CB_MAGIC] = magic;
	skb->cb[CB_CUT_DEVICE] = port;
	skb->cb[CB_CUT_LENGTH] = epoch;
	return error;
}

/*
 * What `cb` of a copy for a cube holds until `copies` has it. Its other words stay what they are.
 */
#define CB_COPY_PLACE	 CB_PORT    /* bits 0..7 port, 8..15 slot, 16..31 hops */
#define CB_COPY_DEVICE	 CB_HOPS    /* ifindex of the device: elsewhere these words are somebody else's */
#define CUBE_COPY_MAGIC	 0x43554244 /* "CUBD", in CB_MAGIC */
#define CLONE_MOST_DEPTH 3	    /* each copy of a copy stands on the kernel's stack, 16 KB in all */

/* Sends a copy to the cube behind an edge; what becomes of it there is that cube's, a drop too. */
static __always_inline long clone_to_cube(struct cube_ctx *c, u64 edge)
{
	u32 index = edge_index(c->epoch, 0, ATTACH_COPIES);
	u64 *device = bpf_map_lookup_elem(&edges, &index);
	u32 port = c->skb->cb[CB_PORT], hops = c->skb->cb[CB_HOPS], flags = c->skb->cb[CB_FLAGS];
	u32 depth = (flags & CUBE_F_COPY_DEPTH) >> CUBE_F_COPY_SHIFT;
	u64 word;
	long error;

	if (!device)
		return CLONE_NO_INTERFACE;
	word = *(volatile u64 *)device;
	if (edge_kind(word) != EDGE_DEVICE)
		return CLONE_NO_INTERFACE;
	if (depth >= CLONE_MOST_DEPTH)
		return CLONE_TOO_DEEP;
	c->skb->cb[CB_MAGIC] = CUBE_COPY_MAGIC;
	c->skb->cb[CB_COPY_PLACE] = edge_port(edge) | edge_target(edge) << 8 | hops << 16;
	c->skb->cb[CB_COPY_DEVICE] = edge_target(word);
	c->skb->cb[CB_FLAGS] = flags + (1 << CUBE_F_COPY_SHIFT);
	error = bpf_clone_redirect(c->skb, edge_target(word), 0);
	/* the copy has a cb of its own since it was made */
	c->skb->cb[CB_MAGIC] = CUBE_MAGIC;
	c->skb->cb[CB_PORT] = port;
	c->skb->cb[CB_HOPS] = hops;
	c->skb->cb[CB_FLAGS] = flags;
	return error > 0 ? 0 : error; /* NET_XMIT_DROP: it was there, and has been dropped and counted */
}

/*
 * Sends a copy of the packet, as it is now, out of a port: to the interface or the cube that is linked there. The packet
 * itself stays with the cube; pointers into it are invalid afterwards. A cube finds the work area as it is now. A dry run
 * reports the output, follows copies to cubes, and sends nothing.
 *
 * `most`: of a longer packet an interface gets the first so many bytes, 0: all. The port is then to be named in `copyPorts`
 * by the cube's type. A cube gets the whole packet.
 *
 * The copy runs cubes and egress programs before this returns, and these write the per-CPU areas anew: c->work is only to
 * be trusted afterwards, and only to be handed on with another copy, when the caller has kept it and put it back.
 *
 * Returns 0, CLONE_*, or what the kernel gave for a copy that it did not send.
 */
static __always_inline long cube_clone_cut(struct cube_ctx *c, u32 port, u32 most)
{
	u32 index = edge_index(c->epoch, cube.slot, port & (CUBE_PORTS - 1));
	u64 *edge_word = bpf_map_lookup_elem(&edges, &index);
	struct port_counter *counter;
	u32 length = c->skb->len;
	bool to_cube;
	u64 edge;
	long error;

	if (!edge_word)
		return CLONE_NO_INTERFACE;
	edge = *(volatile u64 *)edge_word;
	to_cube = edge_kind(edge) == EDGE_CUBE;
	if (!to_cube && edge_kind(edge) != EDGE_DEVICE && edge_kind(edge) != EDGE_NEIGH)
		return CLONE_NO_INTERFACE;
	port &= CUBE_PORTS - 1;
	if (cube_is_reported(c))
		cube_report(c->skb, cube.slot, EVENT_OUTPUT, port, edge);
	if (!to_cube && cube_is_dry(c))
		return 0;
	if (to_cube) {
		error = clone_to_cube(c, edge);
	} else if (most && length > most) {
		length = copy_length(c->skb, edge_target(edge), most);
		error = clone_marked(c->skb, edge_target(edge), length);
	} else {
		error = bpf_clone_redirect(c->skb, edge_target(edge), 0);
	}
	if (error)
		return error;
	counter = bpf_map_lookup_elem(&port_counters, &port);
	if (counter && !cube_is_dry(c)) {
		counter->tx_packets++;
		counter->tx_bytes += length;
	}
	return 0;
}

/* cube_clone_cut() of the whole packet. */
static __always_inline long cube_clone(struct cube_ctx *c, u32 port)
{
	return cube_clone_cut(c, port, 0);
}

#endif
