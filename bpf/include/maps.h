/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps that all programs of a node share. They are pinned by the agent and reused by name at every
 * load.
 */
#ifndef CUBEPLANE_MAPS_H
#define CUBEPLANE_MAPS_H

#include "hook.h"
#include "limits.h"
#include "packet.h"

#define POD_ADDRESSES  4
#define PREFIX_LENGTHS 4

/* key: slot of a cube. value: its program. writer: agent. The only prog array of this ABI in TC. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CUBE_SLOTS);
	__type(key, u32);
	__type(value, u32);
} slots SEC(".maps");

/*
 * An edge in one word, so that an update never tears:
 *   bits 0..31   target: slot of a cube, or ifindex
 *   bits 32..47  port of the peer cube
 *   bits 48..55  EDGE_*
 *   bits 56..63  zero
 */
#define EDGE_NONE   0 /* counted drop, reason NoEdge */
#define EDGE_CUBE   1 /* tail call into a slot */
#define EDGE_DEVICE 2 /* frame out of an interface as it is */
#define EDGE_POD    3 /* node-wide pod map decides the interface */
#define EDGE_NEIGH  4 /* packet out of an interface, the kernel's neighbour table gives the MACs */
#define EDGE_TUNNEL 5 /* over the collect-metadata device, to work->tunnel_remote */
#define EDGE_STACK  6 /* into the host's stack, as if received on the target interface */
#define EDGE_PASS   7 /* on to the host's stack from the interface it came in by: no chain ends there */
#define EDGE_CUT    8 /* counted drop: the transparent cube that belongs here is not programmed */
#define EDGE_ROUTE  9 /* as NEIGH, by that of the interfaces at its port that the host's routes say */

#define edge_target(edge) ((u32)(edge))
#define edge_port(edge)	  ((u32)((edge) >> 32) & 0xffff)
#define edge_kind(edge)	  ((u32)((edge) >> 48) & 0xff)

/* key: (bank * CUBE_SLOTS + slot) * CUBE_PORTS + port. value: edge. writer: agent, in the idle bank
 * only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CUBE_BANKS *CUBE_SLOTS *CUBE_PORTS);
	__type(key, u32);
	__type(value, u64);
} edges SEC(".maps");

#define edge_index(epoch, slot, port)                                                                        \
	((((epoch) & (CUBE_BANKS - 1)) * CUBE_SLOTS + (slot)) * CUBE_PORTS + (port))

struct node_config {
	u32 epoch;	     /* its lowest bit is the bank in use; written alone, as one word */
	u32 overlay_ifindex; /* collect-metadata VXLAN device, 0 without one */
	u32 overlay_vni;
	u32 tracing; /* 1: the entry looks at trace_filter; written alone, as one word */
	u8 source_lengths_v4[PREFIX_LENGTHS]; /* prefix lengths (of 128) in overlay_sources, longest
						 first, 0 ends */
	u8 source_lengths_v6[PREFIX_LENGTHS];
};

/* key: 0. value: node_config. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct node_config);
} node_config SEC(".maps");

/* Kinds of attachment; also the port of slot 0 that its packets leave by. Interfaces: from 8 on,
 * one each. */
#define ATTACH_POD	 1
#define ATTACH_OVERLAY	 2
#define ATTACH_STACK	 3
#define ATTACH_COPIES	 4 /* none of a packet: its edge names the device by which copies come to cubes */
#define ATTACH_INTERFACE 8

#define FAIL_CLOSED 0
#define FAIL_OPEN   1

/* attachment.flags */
#define ATTACH_ALL                                                                                           \
	1 /* interfaces: packets for the host's own addresses go to the chain, too, which tells them apart */

struct attachment {
	u16 port;     /* of slot 0: ATTACH_* */
	u16 counters; /* index into attachment_counters */
	u8 failure;   /* FAIL_*: what happens while no chain takes the packet */
	u8 addresses_count;
	mac_t mac; /* pods: the only source MAC accepted; interfaces: their own */
	u32 flags;
	addr_t addresses[POD_ADDRESSES]; /* pods: the only source addresses accepted */
};
SIZE_ASSERT(struct attachment, 80);

/* key: ifindex that the entry program sits on. value: what it is. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CUBE_ATTACHMENTS);
	__type(key, u32);
	__type(value, struct attachment);
} attachments SEC(".maps");

struct attachment_counter {
	u64 packets;
	u64 bytes;
	u64 drops; /* refused by the entry program itself */
};

/* key: attachment.counters. writer: entry program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_ATTACHMENTS);
	__type(key, u32);
	__type(value, struct attachment_counter);
} attachment_counters SEC(".maps");

/* key: drop reason. value: packets that the entry program dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_DROPS);
	__type(key, u32);
	__type(value, u64);
} entry_drops SEC(".maps");

struct pod {
	u32 ifindex; /* host end of the pod's veth pair */
	mac_t mac;   /* of the pod's end */
	u16 pad;
};
SIZE_ASSERT(struct pod, 12);

/* key: address of a pod of this node. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CUBE_ATTACHMENTS *POD_ADDRESSES);
	__type(key, addr_t);
	__type(value, struct pod);
} pods SEC(".maps");

/* A prefix of either family: length counts from the 128-bit form (10.0.0.0/8 is 104). Also an LPM
 * key. */
struct prefix_key {
	u32 length;
	addr_t addr;		       /* host bits are zero */
} __attribute__((packed, aligned(4))); /* an LPM key has no hole between length and address */
SIZE_ASSERT(struct prefix_key, 20);

struct overlay_source {
	addr_t remote; /* VTEP that may send packets with such a source */
};

/* key: prefix of another node's pods. writer: agent, from the tunnel routes of the node's routers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct overlay_source);
} overlay_sources SEC(".maps");

/*
 * key: address of the host itself. value: nothing. writer: agent. On an interface that the host shares with a
 * chain, packets for these are the host's, unless the attachment has ATTACH_ALL.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CUBE_ATTACHMENTS);
	__type(key, addr_t);
	__type(value, u32);
} host_addresses SEC(".maps");

struct fragment_key {
	addr_t src;
	addr_t dst;
	u32 id;
	u8 proto;
	u8 pad[3];
};

struct fragment {
	be16_t sport;
	be16_t dport;
	u32 seen; /* coarse seconds since boot: an older record than FRAGMENT_SECONDS is none (RFC
		     791 3.2) */
};

/* key: a fragmented datagram. value: ports of its first fragment. writer: entry program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* One per CPU: the parsed packet that is under way there. A packet never leaves its CPU inside a
 * chain. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cube_work);
} work SEC(".maps");

/* Events of traced packets and dry runs, newest lost when full. reader: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

/* Which packets a live trace tells about. */
struct trace_filter {
	addr_t host;	  /* network order; bits outside the mask are zero */
	addr_t host_mask; /* of either address; zero: any */
	addr_t peer;	  /* the other address then */
	addr_t peer_mask;
	u64 interval; /* ns between packets in the long run */
	u64 tolerance;
	u64 full;    /* the bucket: ns since boot when it is full again. writer: entry program */
	u32 ifindex; /* device that the packet came in by; 0: any */
	be16_t port; /* either port; 0: any */
	u8 proto;    /* of the packet itself, or quoted by an ICMP error; 0: any */
	u8 pad;
};
SIZE_ASSERT(struct trace_filter, 96);

/* key: 0. writer: agent. Looked at only while node_config.tracing is set. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct trace_filter);
} trace_filter SEC(".maps");

/* What the flow log wants to hear. */
struct flow_config {
	u64 interval; /* ns between two events in the long run, of one CPU */
	u64 tolerance;
	u32 verdicts; /* bit FLOW_*; 0: nothing. Written last, alone, as one word */
	u32 pad;
};
SIZE_ASSERT(struct flow_config, 24);

/* key: 0. writer: agent. Looked at when a connection is new or a packet ends (flow.h). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_config);
} flow_config SEC(".maps");

struct flow_limit {
	u64 full;	/* the bucket: ns since boot when it is full again */
	u64 suppressed; /* over the rate, or the ring was full */
};

/* key: 0. One per CPU, so that no flood at one of them makes the others wait for a word. writer: programs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_limit);
} flow_limits SEC(".maps");

/* Events of the flow log, newest lost when full. reader: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} flow_events SEC(".maps");

/* Kinds of record in `punts`; also which bucket and which counters of a cube. */
#define PUNT_PACKET 0 /* the packet ended here, the agent has it */
#define PUNT_LOG    1 /* the packet went on */
#define PUNT_KINDS  2
#define PUNT_BYTES  2048 /* of the packet at most */

/* Head of a record in `punts`; `captured` bytes of the packet follow, from its Ethernet header on. */
struct punt_event {
	u64 time;	/* ns since boot */
	u64 metadata;	/* the cube's own; of a log the object that it speaks of */
	u32 slot;	/* of the cube */
	u32 code;	/* the cube's own */
	u32 epoch;	/* of the graph that the packet is under */
	u32 length;	/* bytes of the packet */
	u32 flags;	/* PKT_* */
	u32 ifindex;	/* where the packet came in */
	u16 captured;	/* bytes of the packet behind this head */
	u16 ether_type; /* host order */
	u16 l3_off;	/* bytes from the Ethernet header */
	u8 kind;	/* PUNT_* */
	u8 port;	/* of the cube, by which it came in */
	struct cube_tuple tuple;
};
SIZE_ASSERT(struct punt_event, 88);

struct punt_record {
	struct punt_event head;
	u8 packet[PUNT_BYTES];
};

/* Packets and log records for the agent, newest lost when full. reader: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} punts SEC(".maps");

/* One per CPU: the record that is being made there, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct punt_record);
} punt_scratch SEC(".maps");

/* key: slot * PUNT_KINDS + kind. value: token bucket, ns since boot when it is full again. writer: cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CUBE_SLOTS *PUNT_KINDS);
	__type(key, u32);
	__type(value, u64);
} punt_buckets SEC(".maps");

/* Behind the last byte of a packet that the agent sends into the graph (bpf/entry/inject.bpf.c). */
struct inject_request {
	u64 metadata; /* in: for the cube, see cube_metadata(); out: of several interfaces at the port the one to leave by, or 0 */
	u32 magic;
	u8 slot;
	u8 port;
	u8 direction;
	u8 pad;
};
SIZE_ASSERT(struct inject_request, 16);

/* One per CPU: of the packet under way there that has CUBE_F_INJECTED. writer: inject_receive. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct inject_request);
} injected SEC(".maps");

struct punt_counter {
	u64 sent;
	u64 limited; /* over the cube's rate */
	u64 lost;    /* the ring buffer was full: the agent is too slow, or not there */
};

/* key: slot * PUNT_KINDS + kind. writer: cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CUBE_SLOTS *PUNT_KINDS);
	__type(key, u32);
	__type(value, struct punt_counter);
} punt_counters SEC(".maps");

#ifndef CUBE_XDP

#include "flow-maps.h"

#else

/* key: slot of a cube at XDP. value: its program. writer: agent. Slots are numbered with those of TC: no number is used twice. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CUBE_SLOTS);
	__type(key, u32);
	__type(value, u32);
} xdp_slots SEC(".maps");

/* What TC keeps in skb->cb: CB_* */
struct xdp_packet {
	u32 cb[5];
};

/* One per CPU: the packet that is under way at XDP there. writer: entry program and cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct xdp_packet);
} xdp_packet SEC(".maps");

#endif

#endif
