/* SPDX-License-Identifier: GPL-2.0-only */
/* What is known of flows (flow-cache.h). A part of maps.h, which includes it. */
#ifndef CUBEPLANE_FLOW_MAPS_H
#define CUBEPLANE_FLOW_MAPS_H

/* Cubes of one record. */
#define FLOW_STEPS 6
/* Counters of its own that a cube may count in one packet. */
#define FLOW_COUNTS 4

/* One cube on the way. */
struct flow_step {
	u8 slot;
	u8 in; /* ports */
	u8 out;
	u8 pad;
	u8 counts[FLOW_COUNTS]; /* COUNT_* + 1; 0: none */
};
SIZE_ASSERT(struct flow_step, 8);

struct flow_record {
	/* what a packet is compared with, in one cache line */
	struct cube_tuple tuple; /* as it comes in */
	u64 frame;		 /* its first bytes: destination, and two of the source */
	u32 ifindex;		 /* that it comes in by */
	u32 second; /* coarse, in which it came, and its kind << FLOW_TYPE_SHIFT; with FLOW_OPEN until it has left */
	u32 version; /* flow_version() of what it met */
	u32 stamp;
	/* what becomes of it, in two more */
	addr_t src; /* as it leaves */
	addr_t dst;
	be16_t sport;
	be16_t dport;
	u32 flags;    /* PKT_* as it leaves */
	u32 target;   /* ifindex of the device that it leaves by; EDGE_POD: of the pod's */
	u32 mtu;      /* bytes of IP packet, of the narrowest route on the way; 0: there was none */
	u16 counters; /* row of attachment_counters of the interface that it comes in by */
	u8 edge;      /* EDGE_POD, _TUNNEL, _NEIGH or _ROUTE */
	u8 ttl;	      /* by so much it is lowered; while open what it was */
	u8 steps;
	u8 tries; /* packets of this second that have left none */
	u8 is_proof; /* the sender of a packet that is as this one has been checked; not where a tunnel says who sent it */
	u8 pad;
	struct flow_step step[FLOW_STEPS];
	addr_t
	    hop; /* next hop; EDGE_TUNNEL: its other end; EDGE_POD: mac_value() of the pod's in the first half */
	u32 vni;       /* EDGE_TUNNEL */
	be32_t source; /* of the frame's source what `frame` has not */
};
SIZE_ASSERT(struct flow_record, 192);

#define FLOW_OPEN	(1U << 31)
#define FLOW_TYPE_SHIFT 28 /* pkt_type has three bits; seconds last nine years */

/*
 * key: first record of the CPU + hash of the tuple, of as many as flow_state says; or the number that differs in the lowest bit.
 * value: the record. A CPU reads and writes its own alone. writer: entry, cubes. Sized by the agent. Of this kind for its place in memory: an element of a map that has one for each
 * CPU costs one cache line more, and begins anywhere in one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* begins at a page */
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_record);
} flow_records SEC(".maps");

struct flow_state {
	u32 generation; /* moved after each write to a map of the node or of a cube */
	u32 mask; /* records of a CPU less one; 0: nothing is recorded, and every packet asks every cube */
};
SIZE_ASSERT(struct flow_state, 8);

/* key: 0. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_state);
} flow_state SEC(".maps");

#define FLOW_PLACES 16384

/* What is known of all tuples with one hash. CPUs write it without asking each other: the worst is a record less, or one that holds until its second ends. */
struct flow_place {
	u32 stamp; /* another number than a record has: what was known is over */
	u32 seen; /* of whom packets came last: hash and second but for the lowest bits, which count them up to FLOW_SEEN */
};
SIZE_ASSERT(struct flow_place, 8);

/* key: hash of a tuple. writer: entry, cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_PLACES);
	__type(key, u32);
	__type(value, struct flow_place);
} flow_places SEC(".maps");

struct flow_cpu {
	u64 jiffies; /* when `second` was asked for */
	u32 second;  /* coarse_seconds() */
	u32 pad;
	u64 replayed; /* packets that went by a record */
	u64 kept;     /* records */
};
SIZE_ASSERT(struct flow_cpu, 32);

/* key: 0. writer: entry and cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_cpu);
} flow_cpu SEC(".maps");

#endif
