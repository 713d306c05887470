/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What programs tell the flow log of the node: connections that are let through for the first time, and packets that end.
 * While nobody listens, these packets cost one look at `flow_config`, and all others nothing.
 */
#ifndef CUBEPLANE_FLOW_H
#define CUBEPLANE_FLOW_H

#include "context.h"
#include "events.h"
#include "maps.h"
#include "token-bucket.h"

/* Verdicts; also which bit of flow_config.verdicts asks for them. */
#define FLOW_FORWARDED 0 /* the first packet of a connection */
#define FLOW_DROPPED   1 /* also one that was answered instead */
#define FLOW_AUDIT     2 /* it passes; `reason` is what it would have been dropped for, `object` by whom */

struct flow_event {
	u64 time; /* ns since boot */
	u64 object; /* of a drop as in cube_drop_by(), else the rule or backend that the session was opened by */
	u32 slot;    /* 0: entry */
	u32 ifindex; /* device that it came in by */
	u32 length;  /* bytes of the packet */
	u32 flags;   /* PKT_* */
	u16 reason;  /* of a drop */
	u8 verdict;  /* FLOW_* */
	u8 port;     /* of the cube, by which it came in */
	u8 tcp_flags;
	u8 icmp_type;
	u8 icmp_code;
	u8 l4_proto;		 /* of the packet itself: of an ICMP error ICMP */
	struct cube_tuple tuple; /* its addresses are those that the packet itself has */
};
SIZE_ASSERT(struct flow_event, 80);

/* A function of its own so that the struct is in the object's BTF, where user space reads its layout. */
static __noinline void flow_fill(hook_t *skb, struct flow_event *event)
{
	u32 zero = 0;
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!skb || !event || !w)
		return;
	event->ifindex = hook_ifindex(skb);
	event->length = hook_length(skb);
	event->flags = w->flags;
	event->port = event->slot ? hook_cb(skb, CB_PORT) : 0;
	event->tcp_flags = w->tcp_flags;
	event->icmp_type = w->icmp_type;
	event->icmp_code = w->icmp_code;
	event->l4_proto = w->l4_proto;
	event->tuple = w->tuple;
	event->tuple.src = *packet_src(w);
	event->tuple.dst = *packet_dst(w);
}

/* A function of its own: what calls it is inlined wherever a packet may end. */
static __noinline int flow_tell(hook_t *skb, u32 slot, u32 verdict, u32 reason, u64 object)
{
	u32 zero = 0;
	struct flow_config *config = bpf_map_lookup_elem(&flow_config, &zero);
	struct flow_limit *limit;
	struct flow_event *event;
	u64 now;

	if (!skb || !config || likely(!(config->verdicts >> (verdict & 31) & 1)))
		return 0;
	limit = bpf_map_lookup_elem(&flow_limits, &zero);
	if (!limit)
		return 0;
	now = bpf_ktime_get_ns();
	if (!bucket_take(&limit->full, config->interval, config->tolerance, now)) {
		limit->suppressed++;
		return 0;
	}
	event = bpf_ringbuf_reserve(&flow_events, sizeof(*event), 0);
	if (!event) {
		limit->suppressed++;
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = now;
	event->object = object;
	event->slot = slot;
	event->reason = reason;
	event->verdict = verdict;
	flow_fill(skb, event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
