/* SPDX-License-Identifier: GPL-2.0-only */
/* What all answers of reply.h share: when one may be made, how its headers are written. */
#ifndef CUBEPLANE_REPLY_WRITE_H
#define CUBEPLANE_REPLY_WRITE_H

#include "parse.h"
#include "address.h"
#include "ratelimit.h"
#include "rewrite.h"

/* What the functions of this file return. */
#define REPLY_READY	0 /* the packet is the answer now */
#define REPLY_FORBIDDEN 1 /* the RFCs allow no answer to it, or none can be made; it is unchanged */
#define REPLY_LIMITED	2 /* over the limit for its sender; it is unchanged */
#define REPLY_FAILED	3 /* the kernel refused a change: it may be half changed and must be dropped */

#define REPLY_TTL	  64
#define REPLY_TOS_CONTROL 0xc0 /* internetwork control (RFC 1812 4.3.2.5) */

#define ETHER_BROADCAST 1 /* skb->pkt_type, linux/if_packet.h */
#define ETHER_MULTICAST 2

static __always_inline be16_t checksum_fold(s64 sum)
{
	u64 s = (u64)sum & 0xffffffff;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* Sum of the pseudo header of either family, for checksums that cover it. length: of the L4 part. */
static __always_inline s64 pseudo_header_sum(bool v4, const addr_t *src, const addr_t *dst, u8 proto,
					     u32 length)
{
	be32_t tail[2] = {bpf_htonl(length), bpf_htonl(proto)};
	s64 sum = bpf_csum_diff(NULL, 0, tail, sizeof(tail), 0);

	if (v4) {
		be32_t ends[2] = {src->words[3], dst->words[3]};

		return bpf_csum_diff(NULL, 0, ends, sizeof(ends), sum);
	}
	sum = bpf_csum_diff(NULL, 0, (be32_t *)src->words, 16, sum);
	return bpf_csum_diff(NULL, 0, (be32_t *)dst->words, 16, sum);
}

static __always_inline void ipv4_write(struct ipv4_header *ip, u8 tos, u32 length, u8 proto, be32_t src,
				       be32_t dst)
{
	*ip = (struct ipv4_header){
	    .version_ihl = 0x45,
	    .tos = tos,
	    .total_length = bpf_htons(length),
	    .fragment = bpf_htons(0x4000), /* DF: so its identification may be anything (RFC 6864) */
	    .ttl = REPLY_TTL,
	    .protocol = proto,
	    .src = src,
	    .dst = dst,
	};
	ip->checksum = checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)ip, sizeof(*ip), 0));
}

static __always_inline void ipv6_write(struct ipv6_header *ip, u32 payload, u8 proto, const addr_t *src,
				       const addr_t *dst)
{
	*ip = (struct ipv6_header){
	    .version_class_flow = bpf_htonl(0x60000000),
	    .payload_length = bpf_htons(payload),
	    .next_header = proto,
	    .hop_limit = REPLY_TTL,
	    .src = *src,
	    .dst = *dst,
	};
}

/* The frame goes back to where it came from; an edge that knows the next device's MAC writes it. */
static __always_inline long swap_macs(struct __sk_buff *skb)
{
	mac_t macs[2];

	return bpf_skb_load_bytes(skb, 0, &macs[1], sizeof(macs[1]))
		       ?: bpf_skb_load_bytes(skb, sizeof(macs[0]), &macs[0], sizeof(macs[0]))
		       ?: bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), BPF_F_INVALIDATE_HASH);
}

/*
 * PKT_* for the answer of a spliced cube next to an interface: the frame goes back as it is, since no router stands before
 * that cube who would know the next hop to a sender that is not on the link.
 */
static __always_inline u32 answer_flags(const struct cube_ctx *c)
{
	return cube.transparent && cube_is_shared(c) ? PKT_FRAME_READY : 0;
}

/* Whether any answer may go to the sender: one host, spoken to alone (RFC 1122 3.2.2, RFC
 * 4443 2.4(e)). */
static __always_inline bool may_reply(const struct cube_ctx *c)
{
	const struct cube_work *w = c->work;
	u32 type = c->skb->pkt_type;

	return w->flags & PKT_IP && !(w->flags & (PKT_FRAG_LATER | PKT_MULTICAST)) && w->l3_off == ETH_HLEN &&
	       type != ETHER_BROADCAST && type != ETHER_MULTICAST && addr_is_host(packet_src(w));
}

/* The tuple the other way round; who has led the packet here has no say in where its answer goes. */
static __always_inline void turn_around(struct cube_work *w)
{
	struct cube_tuple *t = &w->tuple;
	addr_t src = t->src;
	be16_t sport = t->sport;

	t->src = t->dst;
	t->sport = t->dport;
	t->dst = src;
	t->dport = sport;
	w->next_hop = (addr_t){};
	w->translated_by = 0;
}

#endif
