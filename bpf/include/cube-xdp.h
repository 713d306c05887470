/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is particular to cubes at XDP. There they are a prefix of the chain: they see what an interface receives before TC
 * does, and drop it, send it back out of the interface, or let it go on to TC, which knows nothing of them. Nothing that
 * leaves by the interface comes by here.
 */
#ifndef CUBEPLANE_CUBE_XDP_H
#define CUBEPLANE_CUBE_XDP_H

/* Ends in the verdict of an edge: another cube at XDP, TC, or the interface that the packet came in by. */
static __always_inline int cube_follow(struct cube_ctx *c, u64 edge)
{
	hook_t *packet = c->skb;

	switch (edge_kind(edge)) {
	case EDGE_CUBE:
		cube_cb(c)[CB_PORT] = edge_port(edge);
		bpf_tail_call(packet, &xdp_slots, edge_target(edge));
		return cube_drop(c, DROP_TAIL_CALL_FAILED);
	case EDGE_PASS:
		return cube_is_dry(c) ? HOOK_DROP : HOOK_PASS;
	case EDGE_DEVICE:
		if (cube_is_dry(c))
			return HOOK_DROP;
		return edge_target(edge) == packet->ingress_ifindex ? XDP_TX
								    : cube_drop(c, DROP_REDIRECT_FAILED);
	case EDGE_CUT:
		return cube_drop(c, DROP_CHAIN_NOT_PROGRAMMED);
	default:
		return cube_drop(c, DROP_NO_EDGE);
	}
}

#endif
