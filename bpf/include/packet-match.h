/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of a packet against a row of a rule list: for cubes with few rules, which try them one after the other. Every
 * member is a comparison under a mask, so that a row costs the same whatever it says. src/cubes/packet-match.ts makes the
 * rows; a rule with several prefixes or ports is several rows.
 */
#ifndef CUBEPLANE_PACKET_MATCH_H
#define CUBEPLANE_PACKET_MATCH_H

#include "cube.h"

/* What a row needs of a packet (packet_match.needs). */
#define NEEDS_IP    (1 << 0)
#define NEEDS_V4    (1 << 1)
#define NEEDS_V6    (1 << 2)
#define NEEDS_PORTS (1 << 3) /* its own TCP, UDP or SCTP ports */

struct packet_match {
	addr_t src;
	addr_t src_mask;
	addr_t dst;
	addr_t dst_mask;
	u64 ports; /* bit a port of the cube that the packet may come in by */
	u32 mark;
	u32 mark_mask;
	u16 sport_first; /* host order, as the next three */
	u16 sport_last;
	u16 dport_first;
	u16 dport_last;
	u8 proto; /* of the packet itself: ICMP for an ICMP error */
	u8 proto_mask;
	u8 dscp; /* six bits */
	u8 dscp_mask;
	u32 needs; /* NEEDS_* */
};
SIZE_ASSERT(struct packet_match, 96);

/* What rows are compared with; filled once a packet. */
struct packet_facts {
	addr_t src; /* addresses that the packet itself is sent between, also of an ICMP error */
	addr_t dst;
	u64 port; /* one bit */
	u32 mark;
	u32 has; /* NEEDS_* that it meets */
	u16 sport;
	u16 dport;
	u8 proto;
	u8 dscp;
	u8 pad[2];
};

static __always_inline void packet_facts(const struct cube_ctx *c, struct packet_facts *f)
{
	const struct cube_work *w = c->work;

	f->src = *packet_src(w);
	f->dst = *packet_dst(w);
	f->port = 1ULL << (c->port & (CUBE_PORTS - 1));
	f->mark = c->skb->mark;
	f->has = (w->flags & PKT_IP ? NEEDS_IP : 0) | (w->flags & PKT_IPV4 ? NEEDS_V4 : 0) |
		 (w->flags & PKT_IPV6 ? NEEDS_V6 : 0);
	/* a later fragment has the ports of its first one, when that was seen */
	if (w->flags & PKT_PORTS && !(w->flags & PKT_ICMP_ERROR))
		f->has |= NEEDS_PORTS;
	f->sport = bpf_ntohs(w->tuple.sport);
	f->dport = bpf_ntohs(w->tuple.dport);
	f->proto = w->l4_proto;
	f->dscp = w->tos >> 2;
	f->pad[0] = f->pad[1] = 0;
}

static __always_inline bool packet_matches(const struct packet_match *m, const struct packet_facts *f)
{
	u64 differs;

	if (!(m->ports & f->port) || m->needs & ~f->has)
		return false;
	differs = ((m->mark ^ f->mark) & m->mark_mask) | ((m->proto ^ f->proto) & m->proto_mask) |
		  ((m->dscp ^ f->dscp) & m->dscp_mask) |
		  ((m->src.halves[0] ^ f->src.halves[0]) & m->src_mask.halves[0]) |
		  ((m->src.halves[1] ^ f->src.halves[1]) & m->src_mask.halves[1]) |
		  ((m->dst.halves[0] ^ f->dst.halves[0]) & m->dst_mask.halves[0]) |
		  ((m->dst.halves[1] ^ f->dst.halves[1]) & m->dst_mask.halves[1]);
	if (differs)
		return false;
	return !(m->needs & NEEDS_PORTS) || (f->sport >= m->sport_first && f->sport <= m->sport_last &&
					     f->dport >= m->dport_first && f->dport <= m->dport_last);
}

#endif
