/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MACs of next hops on ports behind which no table of the kernel has them: those that lead through another cube, as a Bridge,
 * to an Ethernet segment. The agent asks and keeps the table (src/cubes/router/neighbours.ts); here it is looked up, packets
 * without a MAC are handed over, and what neighbours say of themselves is passed on.
 */
#ifndef CUBEPLANE_ROUTER_RESOLVE_H
#define CUBEPLANE_ROUTER_RESOLVE_H

#include "router.h"
#include "punt.h"

/* One bit for each port that resolves. Zero, and the verifier takes all of this out of the program. */
const volatile u64 resolving_ports = 0;

/* Codes of records. */
#define PUNT_UNRESOLVED 1 /* packet; metadata: see next_hop_word() */
#define PUNT_STALE	2 /* log: it was sent to a MAC that is due for a check; metadata as above */
#define PUNT_HEARD	3 /* log: ARP or neighbour discovery of a neighbour in the table */

/* What the agent wants of a packet that it sends in again (metadata). */
#define RESUME_SEND	   1 /* the MAC is known now */
#define RESUME_UNREACHABLE 2 /* nobody answered */
#define RESUME_DISCARD	   3 /* more wait than there is room for */

#define NEIGHBOUR_INCOMPLETE 1 /* asked for */
#define NEIGHBOUR_RESOLVED   2
#define NEIGHBOUR_FAILED     3 /* nobody has answered of late */
#define NEIGHBOUR_STATIC     4 /* of the spec */

struct neighbour_key {
	addr_t addr;
	u32 port;
	u32 pad0;
};
SIZE_ASSERT(struct neighbour_key, 24);

/* All seconds are coarse_seconds(). */
struct neighbour {
	mac_t mac;
	u8 state; /* NEIGHBOUR_* */
	u8 pad0;
	u32 stale_at; /* from then on its use is told to the agent, which checks the MAC */
	u32 used;     /* second of the last packet to it; writer: program */
	u32 told_at;  /* second that `told` records of packets to it were written in; writer: program */
	u32 told;
};
SIZE_ASSERT(struct neighbour, 24);

/* key: address and port. value: neighbour. writer: agent, but for the members that say otherwise. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct neighbour_key);
	__type(value, struct neighbour);
} neighbours SEC(".maps");

struct heard_count {
	u32 second; /* that `records` of what the neighbour said were written in */
	u32 records;
};

/*
 * key: as neighbours, of those that have said something. value: heard_count. writer: program. Apart from the rows of the
 * agent, who writes one anew after what it has heard: a host that says something else each time would never be over its limit.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct neighbour_key);
	__type(value, struct heard_count);
} heard_counts SEC(".maps");

/* Records of each kind that one neighbour may cause in a second: one that is flooded leaves room for the others. */
#define RECORDS_A_SECOND 8

/* Two CPUs at once may let one more pass. */
static __always_inline bool may_record(u32 *second, u32 *records, u32 now, u32 most)
{
	if (*second != now) {
		*second = now;
		*records = 0;
	}
	if (*records >= most)
		return false;
	(*records)++;
	return true;
}

static __always_inline bool may_hear(const struct cube_ctx *c, const struct neighbour_key *key)
{
	struct heard_count first = {.second = coarse_seconds(), .records = 1};
	struct heard_count *count = bpf_map_lookup_elem(&heard_counts, key);

	if (count)
		return may_record(&count->second, &count->records, first.second, RECORDS_A_SECOND);
	cube_map_update(c, &heard_counts, key, &first, BPF_ANY);
	return true;
}

static __always_inline bool port_resolves(u32 port)
{
	return resolving_ports && resolving_ports >> (port & (CUBE_PORTS - 1)) & 1;
}

/* A packet that a cube before has written the MACs of is none that this router has. */
static __always_inline bool needs_neighbour(const struct cube_ctx *c, u32 port)
{
	return port_resolves(port) && !(c->work->flags & PKT_FRAME_READY);
}

/*
 * Tells the agent the next hop, which has no room in the metadata: port, and the length of the prefix whose route has the
 * gateway; 255: the destination itself.
 */
static __always_inline u64 next_hop_word(u32 port, bool is_direct, u32 length)
{
	return port | (is_direct ? 255 : length) << 8;
}

/* Writes the MACs for the next hop on the port. Returns 0, or the reason for which the packet ends here. */
static __noinline u32 resolve(struct cube_ctx *c, u32 port, u32 length)
{
	struct cube_work *w = c->work;
	struct neighbour_key key = {.port = port};
	bool is_direct = addr_is_zero(&w->next_hop);
	u64 hop = next_hop_word(port, is_direct, length);
	u32 now = coarse_seconds();
	struct neighbour *n;
	u64 mac;

	key.addr = is_direct ? *packet_dst(w) : w->next_hop;
	n = bpf_map_lookup_elem(&neighbours, &key);
	if (!n || n->state == NEIGHBOUR_INCOMPLETE) {
		cube_decide(c, DECIDE_UNRESOLVED, hop);
		if (n && !cube_is_dry(c) && !may_record(&n->told_at, &n->told, now, RECORDS_A_SECOND))
			return DROP_NEIGHBOUR_QUEUE_FULL;
		return cube_hand_over(c, PUNT_PACKET, PUNT_UNRESOLVED, hop);
	}
	cube_decide(c, DECIDE_NEIGHBOUR, hop);
	if (n->state == NEIGHBOUR_FAILED)
		return DROP_NEIGHBOUR_UNREACHABLE;
	mac = mac_value(&n->mac);
	if (!cube_is_dry(c)) {
		if (n->used != now)
			n->used = now;
		if (n->state == NEIGHBOUR_RESOLVED && (s32)(now - n->stale_at) >= 0 &&
		    may_record(&n->told_at, &n->told, now, 1))
			punt_send(c->skb, PUNT_LOG, PUNT_STALE, hop);
	}
	if (cube_set_macs(c, mac, cube_gateway()))
		return DROP_REWRITE_FAILED;
	w->flags |= PKT_FRAME_READY;
	return 0;
}

#define ND_TARGET_OFF 8 /* in solicitations and advertisements (RFC 4861 4.3, 4.4) */

struct nd_option {
	u8 type; /* 1: source link-layer address */
	u8 length;
	mac_t mac;
};
SIZE_ASSERT(struct nd_option, 8);

/* What ARP or neighbour discovery tells. */
struct heard {
	addr_t address; /* of whom */
	mac_t mac;	/* of a request, with has_mac */
	bool is_answer;
	bool has_mac; /* false: the agent has to look for it */
};

/* Returns 0 when it tells something of a neighbour. */
static __always_inline int heard_arp(const struct cube_ctx *c, struct heard *h)
{
	struct cube_work *w = c->work;
	be16_t operation;

	if (bpf_skb_load_bytes(c->skb, ETH_HLEN + offsetof(struct arp_header, operation), &operation,
			       sizeof(operation)) ||
	    bpf_skb_load_bytes(c->skb, ETH_HLEN + offsetof(struct arp_header, sender_mac), &h->mac,
			       sizeof(h->mac)))
		return -1;
	h->address = w->tuple.src;
	h->is_answer = operation == bpf_htons(2);
	h->has_mac = true;
	return 0;
}

/* As heard_arp(). The MAC of the frame tells nothing: the option does (RFC 4861 7.2.3), which is the first one, mostly. */
static __always_inline int heard_discovery(const struct cube_ctx *c, struct heard *h)
{
	struct cube_work *w = c->work;
	struct nd_option option;

	if (w->icmp_type == ND_ADVERTISEMENT) {
		h->is_answer = true;
		/* neighbours of IPv4 have mapped addresses, which nobody may speak of here */
		return bpf_skb_load_bytes(c->skb, w->l4_off + ND_TARGET_OFF, &h->address,
					  sizeof(h->address)) ||
		       addr_is_v4(&h->address);
	}
	if (w->icmp_type != ND_SOLICITATION ||
	    w->l4_off + ND_LENGTH + sizeof(option) > w->l3_off + w->ip_len ||
	    bpf_skb_load_bytes(c->skb, w->l4_off + ND_LENGTH, &option, sizeof(option)))
		return -1;
	h->address = w->tuple.src;
	h->mac = option.mac;
	h->has_mac = option.type == 1 && option.length == 1;
	return 0;
}

/*
 * ARP or neighbour discovery from somebody whose address is in the table: the agent hears of answers, and of requests that
 * tell something new (RFC 826, RFC 4861 7.2.3). Others teach nothing: entries are made by packets to a neighbour alone.
 * Returns 0, or for an answer the reason for which it ends here.
 */
static __noinline u32 hear_neighbour(struct cube_ctx *c)
{
	struct neighbour_key key = {.port = c->port};
	struct heard h = {};
	struct neighbour *n;

	if (c->work->l3_off != ETH_HLEN ||
	    (c->work->flags & PKT_ARP ? heard_arp(c, &h) : heard_discovery(c, &h)))
		return 0;
	key.addr = h.address;
	n = bpf_map_lookup_elem(&neighbours, &key);
	if (!n || n->state == NEIGHBOUR_STATIC)
		return 0;
	if (!h.is_answer && n->state == NEIGHBOUR_RESOLVED && h.has_mac && mac_equal(&n->mac, &h.mac))
		return 0;
	if (!cube_is_dry(c) && !may_hear(c, &key))
		return h.is_answer ? DROP_PUNT_LIMITED : 0;
	/* as a log, whose rate no flood of packets without a MAC takes away */
	u32 reason = cube_hand_over(c, PUNT_LOG, PUNT_HEARD, 0);

	return h.is_answer ? reason : 0;
}

#endif
