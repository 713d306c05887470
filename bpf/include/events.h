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
#define EVENT_DROP     4 /* reason `value` */

struct cube_event {
	u64 time; /* ns since boot */
	u64 object;
	u32 slot; /* 0: entry */
	u32 value;
	u8 kind; /* EVENT_* */
	u8 hops;
	u16 length; /* bytes of the packet */
	u32 flags;  /* PKT_* */
	struct cube_tuple tuple;
};
SIZE_ASSERT(struct cube_event, 72);

static __noinline int cube_report(struct __sk_buff *skb, u32 slot, u32 kind, u32 value, u64 object)
{
	u32 zero = 0;
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);
	struct cube_event *event;

	if (!skb || !w)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time = bpf_ktime_get_ns();
	event->object = object;
	event->slot = slot;
	event->value = value;
	event->kind = kind;
	event->hops = skb->cb[CB_HOPS];
	event->length = skb->len;
	event->flags = w->flags;
	event->tuple = w->tuple;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
