/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copies of a packet, for cubes that send it more than once: a bridge that floods, a mirror.
 *
 * A copy can only go to an interface: another cube is reached by a tail call, which takes the packet itself and does
 * not return. So a cube sends copies first and lets the packet go last, by cube_output().
 */
#ifndef CUBEPLANE_CLONE_H
#define CUBEPLANE_CLONE_H

#include "cube.h"
#include "headers.h"

#define CLONE_NO_INTERFACE (-6) /* ENXIO */

/*
 * What `cb` of a copy holds between cube_clone_cut() and `copies`, the program at the egress of the interface, which cuts
 * the copy there: the kernel cuts no packet that somebody else looks at too, and the copy is one's own only then.
 */
#define CB_COPY_MAGIC	0	   /* COPY_MAGIC */
#define CB_COPY_IFINDEX 1	   /* of the interface that it leaves by */
#define CB_COPY_LENGTH	2	   /* bytes of frame that stay */
#define COPY_MAGIC	0x43554243 /* "CUBC" */

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
	u32 magic = skb->cb[CB_COPY_MAGIC], port = skb->cb[CB_COPY_IFINDEX], epoch = skb->cb[CB_COPY_LENGTH];
	long error;

	skb->cb[CB_COPY_MAGIC] = COPY_MAGIC;
	skb->cb[CB_COPY_IFINDEX] = ifindex;
	skb->cb[CB_COPY_LENGTH] = length;
	error = bpf_clone_redirect(skb, ifindex, 0);
	skb->cb[CB_COPY_MAGIC] = magic;
	skb->cb[CB_COPY_IFINDEX] = port;
	skb->cb[CB_COPY_LENGTH] = epoch;
	return error;
}

/*
 * Sends a copy of the packet, as it is now, out of the interface that a port is linked to; of a longer one the first `most`
 * bytes, 0: all. What may be cut needs the port among `copyPorts` of the cube's type. The packet itself stays with
 * the cube; pointers into it are invalid afterwards. A dry run reports the output and sends nothing.
 *
 * The copy runs the egress programs of the interface before this returns, and whatever they lead to on this CPU writes
 * the per-CPU areas anew: c->work is only to be trusted afterwards when the caller has kept it.
 *
 * Returns 0, CLONE_NO_INTERFACE when the port leads to none, or what the kernel gave for a copy that it did not send.
 */
static __always_inline long cube_clone_cut(struct cube_ctx *c, u32 port, u32 most)
{
	u32 index = edge_index(c->epoch, cube.slot, port & (CUBE_PORTS - 1));
	u64 *edge_word = bpf_map_lookup_elem(&edges, &index);
	struct port_counter *counter;
	u32 length = c->skb->len;
	u64 edge;
	long error;

	if (!edge_word)
		return CLONE_NO_INTERFACE;
	edge = *(volatile u64 *)edge_word;
	if (edge_kind(edge) != EDGE_DEVICE && edge_kind(edge) != EDGE_NEIGH)
		return CLONE_NO_INTERFACE;
	port &= CUBE_PORTS - 1;
	if (cube_is_reported(c))
		cube_report(c->skb, cube.slot, EVENT_OUTPUT, port, edge);
	if (cube_is_dry(c))
		return 0;
	if (most && length > most) {
		length = copy_length(c->skb, edge_target(edge), most);
		error = clone_marked(c->skb, edge_target(edge), length);
	} else {
		error = bpf_clone_redirect(c->skb, edge_target(edge), 0);
	}
	if (error)
		return error;
	counter = bpf_map_lookup_elem(&port_counters, &port);
	if (counter) {
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
