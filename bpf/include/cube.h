/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cube ABI: what a program must do to be a cube, and all that it needs to. docs/cube-abi.md
 * explains it.
 *
 *	CUBE(name)
 *	{
 *		... cube_output(c, PORT) or cube_drop(c, DROP_X) ...
 *	}
 *
 * A cube that writes into packets in place defines CUBE_WRITES before it includes anything: its MACs are written so, too,
 * which saves a call. In any other cube that would cost every packet more, for the right to write.
 *
 * cube_output() and everything that calls it are inlined into the main program: the kernel allows a
 * tail call with the caller's own stack frame only from there.
 */
#ifndef CUBEPLANE_CUBE_H
#define CUBEPLANE_CUBE_H

#include "events.h"
#include "flow.h"
#include "instance.h"
#include "maps.h"
#include "generated/reasons.h"

#define CUBE_PASS HOOK_PASS

/* A packet inside one cube; lives on the main program's stack. */
struct cube_ctx {
	hook_t *skb; /* at XDP an xdp_md */
	struct cube_work *work;
#ifdef CUBE_XDP
	u32 *cb; /* what skb->cb is in TC */
#endif
	u16 port; /* narrow: stack is dear */
	u16 hops;
	u32 epoch;
	u32 flags;
#ifndef CUBE_XDP
	u32 counts; /* COUNT_* + 1 of what this cube has counted, the last in the lowest byte; for flow-cache.h */
#endif
};

/* The words CB_* of the packet, and whether they are there. */
#ifdef CUBE_XDP
#define cube_cb(c) ((c)->cb)
static __always_inline bool cube_has_cb(struct cube_ctx *c)
{
	u32 zero = 0;
	struct xdp_packet *packet = bpf_map_lookup_elem(&xdp_packet, &zero);

	c->cb = packet ? packet->cb : NULL;
	return packet;
}
#else
#define cube_cb(c) ((c)->skb->cb)
static __always_inline bool cube_has_cb(const struct cube_ctx *c)
{
	return true;
}
#endif

static __always_inline bool cube_is_reported(const struct cube_ctx *c)
{
	return unlikely(c->flags & (CUBE_F_TRACE | CUBE_F_DRY));
}

static __always_inline bool cube_is_dry(const struct cube_ctx *c)
{
	return unlikely(c->flags & CUBE_F_DRY);
}

/* Bytes from the IP header to the end of the packet by it; jumbograms and large GSO packets say 0 there. */
static __always_inline u32 packet_length(const struct cube_ctx *c)
{
	return c->work->ip_len ?: hook_length(c->skb) - c->work->l3_off;
}

/* A decision worth telling: `value` is the cube's own EVENT code, `object` an id that user space
 * can name. */
static __always_inline void cube_decide(struct cube_ctx *c, u32 value, u64 object)
{
	if (cube_is_reported(c))
		cube_report(c->skb, cube.slot, EVENT_DECISION, value, object);
}

/*
 * Counts a packet that ends here for a reason and of which an answer to its sender is made
 * (reply.h). Without an answer it is cube_drop_by(). `object`: an id that user space can explain, as of the rule that
 * refused it; 0: none.
 */
static __always_inline void cube_count_drop(struct cube_ctx *c, u32 reason, u64 object)
{
	u64 *count;

	reason &= CUBE_DROPS - 1;
	count = bpf_map_lookup_elem(&drops, &reason);
	if (count && !cube_is_dry(c))
		(*count)++;
	if (cube_is_reported(c))
		cube_report(c->skb, cube.slot, EVENT_DROP, reason, object);
	if (!cube_is_dry(c))
		flow_tell(c->skb, cube.slot, FLOW_DROPPED, reason, object);
}

/* Tells the flow log of a connection that the cube lets through, by `object`, which user space can explain. */
static __always_inline void cube_tell_new(struct cube_ctx *c, u64 object)
{
	if (!cube_is_dry(c))
		flow_tell(c->skb, cube.slot, FLOW_FORWARDED, 0, object);
}

static __always_inline int cube_drop_by(struct cube_ctx *c, u32 reason, u64 object)
{
	cube_count_drop(c, reason, object);
	return HOOK_DROP;
}

/* Ends the packet with a reason that is counted. It and cube_drop_by() are the only ways in which a cube may end one. */
static __always_inline int cube_drop(struct cube_ctx *c, u32 reason)
{
	return cube_drop_by(c, reason, 0);
}

/* As bpf_map_update_elem(); a dry run writes nothing and succeeds. */
static __always_inline long cube_map_update(const struct cube_ctx *c, void *map, const void *key,
					    const void *value, u64 flags)
{
	if (cube_is_dry(c))
		return 0;
	return bpf_map_update_elem(map, key, value, flags);
}

static __always_inline long cube_map_delete(const struct cube_ctx *c, void *map, const void *key)
{
	if (cube_is_dry(c))
		return 0;
	return bpf_map_delete_elem(map, key);
}

/* Adds one to a counter of this CPU that the cube owns. */
static __always_inline void cube_count(struct cube_ctx *c, void *percpu_array, u32 index)
{
	u64 *count = bpf_map_lookup_elem(percpu_array, &index);

#ifndef CUBE_XDP
	c->counts = c->counts << 8 | ((index & 0xff) + 1);
#endif
	if (count && !cube_is_dry(c))
		(*count)++;
}

/* Cubes that need ports call it first: drops a later fragment whose first one was never seen. */
static __always_inline bool cube_lacks_ports(const struct cube_ctx *c)
{
	return c->work->flags & PKT_FRAG_UNRESOLVED;
}

#ifdef CUBE_XDP
#include "cube-xdp.h"
#else

#include "flow-cache.h"

/*
 * Whether the packet came straight from an Interface endpoint, which the host shares with the chain. Transparent cubes
 * on the way do not count.
 */
static __always_inline bool cube_is_shared(const struct cube_ctx *c)
{
	return c->flags & CUBE_F_HOST_DEV;
}

/*
 * Hands an unchanged packet to the host's stack, where that is allowed: on an Interface endpoint,
 * which the host shares with the chain. Elsewhere it is control traffic that nobody here handles: a
 * counted drop.
 */
static __always_inline int cube_pass(struct cube_ctx *c)
{
	if (cube_is_shared(c)) {
		if (cube_is_reported(c))
			cube_report(c->skb, cube.slot, EVENT_PASS, PASS_CUBE, 0);
		return cube_is_dry(c) ? TC_ACT_SHOT : CUBE_PASS;
	}
	return cube_drop(c, DROP_LINK_LOCAL_CONTROL);
}

/*
 * The MAC that the cube has at the port the packet came in by: on a shared interface the interface's own, which alone
 * a switch and the card know and no other node has.
 */
static __always_inline mac_t cube_mac_here(const struct cube_ctx *c)
{
	mac_t mac = cube.gateway_mac;
	u32 ifindex = c->skb->ifindex;
	struct attachment *a;

	if (cube_is_shared(c)) {
		a = bpf_map_lookup_elem(&attachments, &ifindex);
		if (a && (a->mac.bytes[0] | a->mac.bytes[1] | a->mac.bytes[2] | a->mac.bytes[3] |
			  a->mac.bytes[4] | a->mac.bytes[5]))
			mac = a->mac;
	}
	return mac;
}

/*
 * Says that until the end of the coarse second every packet of the flow would fare as this one, unless the agent writes to a map or
 * another packet says otherwise: what that means stands in flow-cache.h. The entry then does to them what was done to this one.
 * Counters of the cube's own count with them, if it counts no more than four in a packet.
 */
static __always_inline void cube_settle(struct cube_ctx *c)
{
	c->flags |= CUBE_F_SETTLED;
}

/* Says that the packet is not like the next one, whatever is said of it later: it has counted what that one will not, or turned another way. */
static __always_inline void cube_unsettle(struct cube_ctx *c)
{
	c->flags &= ~CUBE_F_RECORD;
}

/* A session is made or ended whose packets have this tuple, whatever a cube has in its pad: what is known of such packets is over. */
static __always_inline void cube_forget(const struct cube_ctx *c, const struct cube_tuple *t)
{
	if (!cube_is_dry(c))
		flow_forget(t);
}

/* The same for packets of the other direction. */
static __always_inline void cube_forget_answers(const struct cube_ctx *c, const struct cube_tuple *t)
{
	if (!cube_is_dry(c))
		flow_forget_hash(
		    flow_hash_of(&t->dst, &t->src, (u64)t->proto << 32 | (u32)t->sport << 16 | t->dport));
}

#include "last-edge.h"

/* Ends in the verdict of an edge. */
static __always_inline int cube_follow(struct cube_ctx *c, u64 edge)
{
	struct __sk_buff *skb = c->skb;

	switch (edge_kind(edge)) {
	case EDGE_CUBE:
		skb->cb[CB_PORT] = edge_port(edge);
		bpf_tail_call(skb, &slots, edge_target(edge));
		return cube_drop(c, DROP_TAIL_CALL_FAILED);
	case EDGE_POD:
		return cube_output_pod(c);
	case EDGE_TUNNEL:
		return cube_is_dry(c) ? TC_ACT_SHOT : cube_leave(c, leave_by_tunnel(c, edge_target(edge)));
	case EDGE_NEIGH:
		return cube_is_dry(c) ? TC_ACT_SHOT : cube_output_neighbour(c, edge_target(edge));
	case EDGE_ROUTE:
		return cube_is_dry(c) ? TC_ACT_SHOT
				      : cube_output_neighbour(c, cube_route(skb, c->work, edge_target(edge)));
	case EDGE_DEVICE:
		return cube_is_dry(c) ? TC_ACT_SHOT : bpf_redirect(edge_target(edge), 0);
	case EDGE_STACK:
		if (cube_is_dry(c))
			return TC_ACT_SHOT;
		if (cube_set_macs(c, cube_gateway(), cube_gateway()))
			return cube_drop(c, DROP_REWRITE_FAILED);
		return bpf_redirect(edge_target(edge), BPF_F_INGRESS);
	case EDGE_PASS:
		return cube_is_dry(c) ? TC_ACT_SHOT : CUBE_PASS;
	case EDGE_CUT:
		return cube_drop(c, DROP_CHAIN_NOT_PROGRAMMED);
	default:
		return cube_drop(c, DROP_NO_EDGE);
	}
}

#endif /* CUBE_XDP */

/* Sends the packet out of a port of this cube: to whatever the graph of the packet's epoch has
 * linked there. */
static __always_inline int cube_output(struct cube_ctx *c, u32 port)
{
	u32 index = edge_index(c->epoch, cube.slot, port & (CUBE_PORTS - 1));
	u64 *edge_word = bpf_map_lookup_elem(&edges, &index);
	struct port_counter *counter;
	u64 edge;

	if (!edge_word)
		return cube_drop(c, DROP_NO_EDGE);
	edge = *(volatile u64 *)edge_word;
	port &= CUBE_PORTS - 1;
	counter = bpf_map_lookup_elem(&port_counters, &port);
	if (counter && !cube_is_dry(c)) {
		counter->tx_packets++;
		counter->tx_bytes += hook_length(c->skb);
	}
	if (cube_is_reported(c))
		cube_report(c->skb, cube.slot, EVENT_OUTPUT, port, edge);
#ifndef CUBE_XDP
	if ((c->flags & (CUBE_F_RECORD | CUBE_F_SETTLED)) == (CUBE_F_RECORD | CUBE_F_SETTLED))
		flow_note(c->skb, edge, c->port | port << 8, c->counts);
#endif
	return cube_follow(c, edge);
}

/* Reads the packet's context and counts its arrival. Returns 0, or a drop reason for cube_drop(). */
static __always_inline int cube_begin(hook_t *skb, struct cube_ctx *c)
{
	u32 zero = 0;
	struct port_counter *counter;
	u32 port;

	c->skb = skb;
	c->work = bpf_map_lookup_elem(&work, &zero);
	if (!c->work || !cube_has_cb(c) || cube_cb(c)[CB_MAGIC] != CUBE_MAGIC)
		return DROP_MALFORMED;
	c->port = cube_cb(c)[CB_PORT] & (CUBE_PORTS - 1);
	c->epoch = cube_cb(c)[CB_EPOCH];
	c->flags = cube_cb(c)[CB_FLAGS];
	if (!cube.transparent)
		cube_cb(c)[CB_FLAGS] = c->flags & ~CUBE_F_HOST_DEV;
	c->hops = cube_cb(c)[CB_HOPS] + 1;
	cube_cb(c)[CB_HOPS] = c->hops;
	port = c->port;
	counter = bpf_map_lookup_elem(&port_counters, &port);
	if (counter && !cube_is_dry(c)) {
		counter->rx_packets++;
		counter->rx_bytes += hook_length(skb);
	}
	if (cube_is_reported(c))
		cube_report(skb, cube.slot, EVENT_HOP, c->port, 0);
	return c->hops > CUBE_MAX_HOPS ? DROP_HOP_LIMIT : 0;
}

/* Declares the main program of a cube; its body gets `struct cube_ctx *c` and returns a verdict of its hook. */
#define CUBE(name)                                                                                           \
	static __always_inline int name##_process(struct cube_ctx *c);                                       \
	SEC(HOOK_SECTION)                                                                                    \
	int name(hook_t *skb)                                                                                \
	{                                                                                                    \
		struct cube_ctx c = {};                                                                      \
		int reason = cube_begin(skb, &c);                                                            \
                                                                                                             \
		if (reason)                                                                                  \
			return cube_drop(&c, reason);                                                        \
		return name##_process(&c);                                                                   \
	}                                                                                                    \
	char _license[] SEC("license") = "GPL";                                                              \
	static __always_inline int name##_process(struct cube_ctx *c)

#endif
