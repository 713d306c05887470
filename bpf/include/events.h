/* SPDX-License-Identifier: GPL-2.0-only */
/* What programs tell user space of traced packets and dry runs. */
#ifndef CUBEPLANE_EVENTS_H
#define CUBEPLANE_EVENTS_H

#include "context.h"
#include "maps.h"

/* Kinds of event in the ring buffer. */
#define EVENT_HOP      1 /* packet entered the cube by port `value` */
#define EVENT_DECISION 2 /* cube's own code `value`, object `object` */
#define EVENT_OUTPUT   3 /* left by port `value`, edge `object` */
#define EVENT_DROP     4 /* reason `value`; in a cube by `object`, 0: of which nothing more is known */
#define EVENT_ENTER    5 /* came in at the interface `object`, an attachment of kind `value` */
#define EVENT_PASS     6 /* left to the host's stack, PASS_* `value` */

#define PASS_NOT_ATTACHED 1 /* the interface is none of ours */
#define PASS_HOST_ADDRESS 2 /* the destination is the host itself, on an interface that it shares */
#define PASS_FAIL_OPEN	  3 /* no chain is programmed, and the failure policy is Open */
#define PASS_CUBE	  4 /* the cube has no use for it, on an interface that the host shares */

struct cube_event {
	u64 time; /* ns since boot */
	u64 object;
	u32 slot; /* 0: entry */
	u32 value;
	u32 flags;   /* PKT_* */
	u32 mark;    /* CUBE_F_* of the packet, and from TRACE_NUMBER on what tells it from others */
	u32 length;  /* bytes of the packet */
	u32 ifindex; /* device that it came in by */
	u8 kind;     /* EVENT_* */
	u8 hops;
	u8 tcp_flags;
	u8 icmp_type;
	u32 pad0;
	struct cube_tuple tuple;
	addr_t via; /* EVENT_OUTPUT: next hop or other end of the tunnel; zero: the destination itself */
};
SIZE_ASSERT(struct cube_event, 104);

/* One of the words CB_* of the packet. */
#ifdef CUBE_XDP
static __always_inline u32 hook_cb(hook_t *skb, u32 word)
{
	u32 zero = 0;
	struct xdp_packet *packet = bpf_map_lookup_elem(&xdp_packet, &zero);

	return packet ? packet->cb[word] : 0;
}
#else
#define hook_cb(skb, word) ((skb)->cb[word])
#endif

/* A function of its own so that the struct is in the object's BTF, where user space reads its layout. */
static __noinline void event_fill(hook_t *skb, struct cube_event *event)
{
	u32 zero = 0;
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!skb || !event || !w)
		return;
	event->time = bpf_ktime_get_ns();
	event->hops = hook_cb(skb, CB_HOPS);
	event->mark = hook_cb(skb, CB_FLAGS);
	event->length = hook_length(skb);
	event->ifindex = hook_ifindex(skb);
	event->flags = w->flags;
	event->tcp_flags = w->tcp_flags;
	event->icmp_type = w->icmp_type;
	event->tuple = w->tuple;
	if (event->kind == EVENT_OUTPUT)
		event->via = edge_kind(event->object) == EDGE_TUNNEL ? w->tunnel_remote : w->next_hop;
}

static __noinline int cube_report(hook_t *skb, u32 slot, u32 kind, u32 value, u64 object)
{
	struct cube_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->object = object;
	event->slot = slot;
	event->value = value;
	event->kind = kind;
	event_fill(skb, event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
