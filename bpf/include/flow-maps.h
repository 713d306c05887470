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
	struct cube_tuple tuple; /* as the packet comes in */
	u64 frame;		 /* first bytes of the frame: destination, and two of the source */
	u32 ifindex;		 /* that it comes in by */
	u32 second;		 /* coarse, in which it came; with FLOW_OPEN until it has left */
	u32 generation;
	u32 epoch;
	u32 stamp;
	u32 mtu;    /* bytes of IP packet, of the narrowest route on the way; 0: there was none */
	u64 edge;   /* that it leaves by: EDGE_POD, _TUNNEL, _NEIGH or _ROUTE */
	addr_t src; /* as it leaves */
	addr_t dst;
	be16_t sport;
	be16_t dport;
	u32 flags;  /* PKT_* as it leaves */
	addr_t hop; /* next hop, or of a tunnel its other end */
	u64 mac;    /* EDGE_POD: mac_value() of the pod's */
	u32 target; /* EDGE_POD: ifindex of the pod's device */
	u32 vni;    /* EDGE_TUNNEL */
	u8 ttl;	    /* by so much it is lowered; while open what it was */
	u8 pkt_type;
	u8 steps;
	u8 tries; /* packets of this second that have left none */
	u8 pad[4];
	struct flow_step step[FLOW_STEPS];
};
SIZE_ASSERT(struct flow_record, 208);

#define FLOW_OPEN (1U << 31)

/* key: hash of the tuple; collisions push each other out. value: the record. One of each CPU. writer: entry, cubes. Sized by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_record);
} flow_cache SEC(".maps");

struct flow_state {
	u32 generation; /* moved after each write to a map of the node or of a cube */
	u32 mask; /* size of flow_cache less one; 0: nothing is recorded, and every packet asks every cube */
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

struct flow_counter {
	u64 replayed; /* packets that went by a record */
	u64 kept;     /* records */
};

/* key: 0. writer: entry and cubes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_counter);
} flow_counters SEC(".maps");

#endif
