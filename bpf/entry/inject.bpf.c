// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets that the agent sends into the graph. `inject_send` is run by the agent with BPF_PROG_TEST_RUN and hands the packet
 * to the ingress of a device of the agent's own, where `inject_receive` sits: from there on it is a packet like any other,
 * and what becomes of it is carried out. What it is meant for stands behind its last byte, so that the packet itself may
 * be of any kind.
 */
#include "parse.h"
#include "cube.h"

#define INJECT_MAGIC 0x43554249 /* "CUBI" */
#define INJECT_IN    0		/* comes in by the port */
#define INJECT_OUT   1		/* leaves by the port, as if the cube had sent it */

#define PACKET_HOST	 0
#define PACKET_OTHERHOST 3

const volatile u32 inject_ifindex = 0;

SEC("tc")
int inject_send(struct __sk_buff *skb)
{
	return bpf_clone_redirect(skb, inject_ifindex, BPF_F_INGRESS);
}

static __always_inline int inject_out(struct cube_ctx *c, const struct inject_request *r)
{
	u32 index = edge_index(c->epoch, r->slot, r->port & (CUBE_PORTS - 1));
	u64 *edge = bpf_map_lookup_elem(&edges, &index);
	u64 way = edge ? *(volatile u64 *)edge : 0;
	u32 ifindex = r->metadata;

	if (!edge)
		return cube_drop(c, DROP_NO_EDGE);
	/* it has not come in by any of them, where it could go back */
	if (ifindex && edge_kind(way) == EDGE_ROUTE && cube_shares_port(edge_target(way), ifindex))
		return bpf_redirect(ifindex, 0);
	/* a frame that the agent made has its MACs */
	c->work->flags |= PKT_FRAME_READY;
	return cube_follow(c, way);
}

SEC("tc")
int inject_receive(struct __sk_buff *skb)
{
	u32 zero = 0, length = skb->len, reason;
	struct inject_request *r = bpf_map_lookup_elem(&injected, &zero);
	struct node_config *config = bpf_map_lookup_elem(&node_config, &zero);
	struct cube_ctx c = {.skb = skb, .work = bpf_map_lookup_elem(&work, &zero)};

	if (!r || !config || !c.work || length < ETH_HLEN + sizeof(*r) ||
	    bpf_skb_load_bytes(skb, length - sizeof(*r), r, sizeof(*r)) || r->magic != INJECT_MAGIC)
		return cube_drop(&c, DROP_MALFORMED);
	if (bpf_skb_change_tail(skb, length - sizeof(*r), 0))
		return cube_drop(&c, DROP_REWRITE_FAILED);
	if (skb->pkt_type == PACKET_OTHERHOST) /* the device's MAC is not the one that it was sent to */
		bpf_skb_change_type(skb, PACKET_HOST);
	reason = parse_packet(skb, c.work, false);
	if (reason)
		return cube_drop(&c, reason);
	c.epoch = *(volatile u32 *)&config->epoch;
	c.flags = CUBE_F_INJECTED;
	skb->cb[CB_MAGIC] = CUBE_MAGIC;
	skb->cb[CB_PORT] = r->port;
	skb->cb[CB_EPOCH] = c.epoch;
	skb->cb[CB_HOPS] = 0;
	skb->cb[CB_FLAGS] = r->direction == INJECT_OUT ? 0 : c.flags;
	if (r->direction == INJECT_OUT)
		return inject_out(&c, r);
	bpf_tail_call(skb, &slots, r->slot);
	return cube_drop(&c, DROP_TAIL_CALL_FAILED);
}

char _license[] SEC("license") = "GPL";
