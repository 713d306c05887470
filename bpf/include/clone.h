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

#define CLONE_NO_INTERFACE (-6) /* ENXIO */

/*
 * Sends a copy of the packet, as it is now, out of the interface that a port is linked to. The packet itself stays with
 * the cube; pointers into it are invalid afterwards. A dry run reports the output and sends nothing.
 *
 * The copy runs the egress programs of the interface before this returns, and whatever they lead to on this CPU writes
 * the per-CPU areas anew: c->work is only to be trusted afterwards when the caller has kept it.
 *
 * Returns 0, CLONE_NO_INTERFACE when the port leads to none, or what the kernel gave for a copy that it did not send.
 */
static __always_inline long cube_clone(struct cube_ctx *c, u32 port)
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
	error = bpf_clone_redirect(c->skb, edge_target(edge), 0);
	if (error)
		return error;
	counter = bpf_map_lookup_elem(&port_counters, &port);
	if (counter) {
		counter->tx_packets++;
		counter->tx_bytes += length;
	}
	return 0;
}

#endif
