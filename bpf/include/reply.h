/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers that a cube makes out of the packet it was given: ICMP and ICMPv6 errors, TCP resets,
 *echo replies. Each turns the packet around in place and the work area with it, so that what
 *follows is one cube_output() (usually at c->port, where the packet came in):
 *
 *	if (icmp_error(c, ERROR_PORT_UNREACHABLE, 0, packet_dst(c->work)))
 *		return cube_drop(c, DROP_X);
 *	cube_count_drop(c, DROP_X);
 *	return cube_output(c, c->port);
 *
 * Checksum offload. A packet that comes from a local sender may be CHECKSUM_PARTIAL: the kernel or
 *a card will sum from csum_start to the end and write the result into the checksum field, after us
 *and without asking. A program cannot see that state, so the answers are right in both:
 *   - an ICMP error quotes the packet up to the end of its TCP (20 bytes) or other (8 bytes)
 *header, which keeps csum_start and the checksum field inside, and gives the quoted checksum field
 *the value that such a sum would write there again: the ICMP checksum then holds before and after;
 *   - a RST has its checksum where that of the packet was and holds the pseudo header's sum there;
 *its window is chosen so that this is at the same time the complete checksum. So the quotation ends
 *there, and not at the 576 (RFC 1812 4.3.2.3) or 1280 (RFC 4443 2.4(c)) bytes that the errors might
 *have; every quotation holds the ports and the TCP sequence number, which is what receivers look
 *at. A packet whose headers are too long or whose offloaded checksum lies deeper (SCTP, a tunnel
 *inside) gets no answer.
 *
 * All packet pointers are invalid after any function of this file.
 */
#ifndef CUBEPLANE_REPLY_H
#define CUBEPLANE_REPLY_H

#include "parse.h"
#include "address.h"
#include "ratelimit.h"
#include "rewrite.h"

/* What the functions of this file return. */
#define REPLY_READY 0 /* the packet is the answer now */
#define REPLY_FORBIDDEN                                                                            \
	1		/* the RFCs allow no answer to it, or none can be made; it is unchanged    \
			 */
#define REPLY_LIMITED 2 /* over the limit for its sender; it is unchanged */
#define REPLY_FAILED                                                                               \
	3 /* the kernel refused a change: it may be half changed and must be dropped               \
	   */

/* Type and code for either family. */
#define ICMP_ERROR(type4, code4, type6, code6)                                                     \
	((u32)(type4) << 24 | (u32)(code4) << 16 | (u32)(type6) << 8 | (u32)(code6))

#define ERROR_NO_ROUTE	       ICMP_ERROR(3, 0, 1, 0)
#define ERROR_HOST_UNREACHABLE ICMP_ERROR(3, 1, 1, 3)
#define ERROR_PROTOCOL_UNREACHABLE                                                                 \
	ICMP_ERROR(3, 2, 4, 1) /* IPv6: parameter problem, info = pointer */
#define ERROR_PORT_UNREACHABLE ICMP_ERROR(3, 3, 1, 4)
#define ERROR_TOO_BIG	       ICMP_ERROR(3, 4, 2, 0) /* info = MTU */
#define ERROR_PROHIBITED       ICMP_ERROR(3, 13, 1, 1)
#define ERROR_TIME_EXCEEDED    ICMP_ERROR(11, 0, 3, 0)

#define REPLY_TTL	  64
#define REPLY_TOS_CONTROL 0xc0 /* internetwork control (RFC 1812 4.3.2.5) */

#define REPLY_MAX_L3	104 /* bytes of quoted IP header with options or extension headers */
#define REPLY_MAX_L4	20
#define ETHER_BROADCAST 1 /* skb->pkt_type, linux/if_packet.h */
#define ETHER_MULTICAST 2

static __always_inline be16_t checksum_fold(s64 sum)
{
	u64 s = (u64)sum & 0xffffffff;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

/* Sum of the pseudo header of either family, for checksums that cover it. length: of the L4 part.
 */
static __always_inline s64 pseudo_header_sum(bool v4, const addr_t *src, const addr_t *dst,
					     u8 proto, u32 length)
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

static __always_inline void ipv4_write(struct ipv4_header *ip, u8 tos, u32 length, u8 proto,
				       be32_t src, be32_t dst)
{
	*ip = (struct ipv4_header){
	    .version_ihl = 0x45,
	    .tos = tos,
	    .total_length = bpf_htons(length),
	    .fragment =
		bpf_htons(0x4000), /* DF: so its identification may be anything (RFC 6864) */
	    .ttl = REPLY_TTL,
	    .protocol = proto,
	    .src = src,
	    .dst = dst,
	};
	ip->checksum = checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)ip, sizeof(*ip), 0));
}

static __always_inline void ipv6_write(struct ipv6_header *ip, u32 payload, u8 proto,
				       const addr_t *src, const addr_t *dst)
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

/* Whether any answer may go to the sender: one host, spoken to alone (RFC 1122 3.2.2, RFC
 * 4443 2.4(e)). */
static __always_inline bool may_reply(const struct cube_ctx *c)
{
	const struct cube_work *w = c->work;
	u32 type = c->skb->pkt_type;

	return w->flags & PKT_IP && !(w->flags & (PKT_FRAG_LATER | PKT_MULTICAST)) &&
	       w->l3_off == ETH_HLEN && type != ETHER_BROADCAST && type != ETHER_MULTICAST &&
	       addr_is_host(packet_src(w));
}

/* The packet's length by its IP header; jumbograms and large GSO packets say 0 there. */
static __always_inline u32 packet_length(const struct cube_ctx *c)
{
	return c->work->ip_len ?: c->skb->len - c->work->l3_off;
}

/* The tuple the other way round. */
static __always_inline void reverse_tuple(struct cube_tuple *t)
{
	addr_t src = t->src;
	be16_t sport = t->sport;

	t->src = t->dst;
	t->sport = t->dport;
	t->dst = src;
	t->dport = sport;
}

struct icmp_header {
	u8 type;
	u8 code;
	be16_t checksum;
	be32_t info;
};
SIZE_ASSERT(struct icmp_header, 8);

/* An ICMP error as it is written: the IPv4 header lies at the end of the IPv6 header's room. */
struct error_buffer {
	union {
		struct ipv6_header v6;
		struct {
			u8 pad[20];
			struct ipv4_header v4;
		};
	};
	struct icmp_header icmp;
	u8 l3[REPLY_MAX_L3]; /* quoted IP header, then zeros */
	u8 l4[REPLY_MAX_L4]; /* quoted L4 header, then zeros */
	u32 pad0;
};
SIZE_ASSERT(struct error_buffer, 176);

/* key: 0. value: the ICMP error being made, too large for a stack that others share. writer: this
 * cube. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct error_buffer);
} reply_scratch SEC(".maps");

#define ERROR_SUMMED (sizeof(struct icmp_header) + REPLY_MAX_L3 + REPLY_MAX_L4)

/*
 * The value x of a quoted checksum field with which sum + x + x = 0: what a late sum over the
 * quoted L4 header writes into the field is then what stands there. sum: of that header with the
 * field zero.
 */
static __always_inline be16_t neutral_checksum(s64 sum)
{
	u32 rest = checksum_fold(sum); /* = -sum */

	return rest & 1 ? (rest + 0xffff) / 2 : rest / 2;
}

static __always_inline long error_quote(struct __sk_buff *skb, const struct cube_work *w,
					struct error_buffer *b, u32 l3_length, u32 l4_length)
{
	be16_t *field = NULL;

	if (l3_length < sizeof(struct ipv4_header) || l3_length > REPLY_MAX_L3 ||
	    bpf_skb_load_bytes(skb, w->l3_off, b->l3, l3_length))
		return -1;
	if (l4_length == REPLY_MAX_L4) {
		if (bpf_skb_load_bytes(skb, w->l4_off, b->l4, REPLY_MAX_L4))
			return -1;
		field = (be16_t *)&b->l4[16];
	} else if (l4_length == 8) {
		if (bpf_skb_load_bytes(skb, w->l4_off, b->l4, 8))
			return -1;
		if (w->l4_proto == IPPROTO_UDP)
			field = (be16_t *)&b->l4[6];
	} else if (l4_length) {
		/* the packet ends within its L4 header, so it has no checksum that could be written
		 * later */
		if (l4_length > REPLY_MAX_L4 ||
		    bpf_skb_load_bytes(skb, w->l4_off, b->l4, l4_length))
			return -1;
	}
	if (field && *field) { /* a zero UDP checksum is none, and is never offloaded */
		*field = 0;
		*field = neutral_checksum(bpf_csum_diff(NULL, 0, (be32_t *)b->l4, REPLY_MAX_L4, 0));
	}
	return 0;
}

/* The work area describes the error from here on, as parse_packet() would. */
static __always_inline void error_describe(struct cube_work *w, const addr_t *from, u32 l3_length,
					   u32 l4_length, u32 length, u8 type, u8 code)
{
	u32 family = w->flags & PKT_IP;
	u32 ports = w->flags & PKT_PORTS;

	w->outer_dst = w->tuple.src;
	w->outer_src = *from;
	reverse_tuple(&w->tuple);
	w->flags = family | PKT_ICMP_ERROR | (l4_length >= 8 ? PKT_INNER_L4 | ports : 0);
	w->l4_proto = family & PKT_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	w->l4_off = w->l3_off +
		    (family & PKT_IPV4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header));
	w->inner_l3_off = w->l4_off + sizeof(struct icmp_header);
	w->inner_l4_off = w->inner_l3_off + l3_length;
	w->ip_len = length;
	w->frag_id = 0;
	w->tcp_flags = 0;
	w->ttl = REPLY_TTL;
	w->icmp_type = type;
	w->icmp_code = code;
	w->tos = family & PKT_IPV4 ? REPLY_TOS_CONTROL : 0;
	w->next_hop = (addr_t){};
}

/*
 * Turns the packet into an ICMP or ICMPv6 error to its sender.
 *   error  ERROR_*
 *   info   second word of the ICMP header, host order: the MTU of ERROR_TOO_BIG, else 0
 *   from   source of the error: an address of this cube, or packet_dst() to speak for the
 * destination Returns REPLY_*. c->work is only changed with REPLY_READY.
 */
static __noinline __attribute__((unused)) int icmp_error(struct cube_ctx *c, u32 error, u32 info,
							 const addr_t *from)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	u32 zero = 0;
	struct error_buffer *b = bpf_map_lookup_elem(&reply_scratch, &zero);
	u8 proto = w->l4_proto;
	bool v4 = w->flags & PKT_IPV4;
	u32 outer = v4 ? sizeof(b->v4) : sizeof(b->v6);
	u32 length = packet_length(c);
	u32 l3_length = w->l4_off - w->l3_off;
	u32 l4_length, total;
	addr_t source = *from;
	addr_t sender = *packet_src(w);

	/* none about errors and redirects, and none about what is no echo: it may be an error
	 * unknown to us */
	if (!b || !may_reply(c) || w->flags & PKT_ICMP_ERROR ||
	    ((proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) && !(w->flags & PKT_ECHO)))
		return REPLY_FORBIDDEN;
	l4_length = length > l3_length ? length - l3_length : 0;
	if (l4_length > (proto == IPPROTO_TCP ? 20 : 8))
		l4_length = proto == IPPROTO_TCP ? 20 : 8;
	__builtin_memset(b, 0, sizeof(*b));
	if (error_quote(skb, w, b, l3_length, l4_length))
		return REPLY_FORBIDDEN;
	if (!rate_allow(c, &sender))
		return REPLY_LIMITED;

	total = outer + sizeof(b->icmp) + l3_length + l4_length;
	b->icmp.type = v4 ? error >> 24 : error >> 8;
	b->icmp.code = v4 ? error >> 16 : error;
	b->icmp.info = bpf_htonl(info);
	if (v4) {
		ipv4_write(&b->v4, REPLY_TOS_CONTROL, total, IPPROTO_ICMP, source.words[3],
			   sender.words[3]);
		b->icmp.checksum =
		    checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&b->icmp, ERROR_SUMMED, 0));
	} else {
		s64 sum = pseudo_header_sum(false, &source, &sender, IPPROTO_ICMPV6, total - outer);

		ipv6_write(&b->v6, total - outer, IPPROTO_ICMPV6, &source, &sender);
		b->icmp.checksum =
		    checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&b->icmp, ERROR_SUMMED, sum));
	}

	/* cutting the packet also takes it out of GSO; the room at the MAC layer moves csum_start
	 * along */
	if (bpf_skb_change_tail(skb, w->l3_off + l3_length + l4_length, 0) ||
	    bpf_skb_adjust_room(skb, outer + sizeof(b->icmp), BPF_ADJ_ROOM_MAC, 0))
		return REPLY_FAILED;
	if (l3_length < sizeof(struct ipv4_header) || l3_length > REPLY_MAX_L3)
		return REPLY_FAILED; /* known already; the verifier forgot */
	if (v4 ? bpf_skb_store_bytes(skb, ETH_HLEN, &b->v4,
				     sizeof(b->v4) + sizeof(b->icmp) + l3_length,
				     BPF_F_RECOMPUTE_CSUM)
	       : bpf_skb_store_bytes(skb, ETH_HLEN, &b->v6,
				     sizeof(b->v6) + sizeof(b->icmp) + l3_length,
				     BPF_F_RECOMPUTE_CSUM))
		return REPLY_FAILED;
	if (l4_length && l4_length <= REPLY_MAX_L4 &&
	    bpf_skb_store_bytes(skb, ETH_HLEN + outer + sizeof(b->icmp) + l3_length, b->l4,
				l4_length, BPF_F_RECOMPUTE_CSUM))
		return REPLY_FAILED;
	if (swap_macs(skb))
		return REPLY_FAILED;
	error_describe(w, &source, l3_length, l4_length, total, b->icmp.type, b->icmp.code);
	return REPLY_READY;
}

struct tcp_header {
	be16_t sport;
	be16_t dport;
	be32_t seq;
	be32_t ack;
	u8 offset; /* header length in words, upper half */
	u8 flags;
	be16_t window;
	be16_t checksum;
	be16_t urgent;
};
SIZE_ASSERT(struct tcp_header, 20);

/* As error_buffer. */
struct reset_buffer {
	union {
		struct ipv6_header v6;
		struct {
			u8 pad[20];
			struct ipv4_header v4;
		};
	};
	struct tcp_header tcp;
	u32 pad0;
};
SIZE_ASSERT(struct reset_buffer, 64);

/*
 * Turns a TCP segment into the RST that a host without such a connection sends (RFC 9293 3.10.7.1),
 * from the segment's destination to its source. A RST is never answered. Returns REPLY_*. c->work
 * is only changed with REPLY_READY.
 */
static __noinline __attribute__((unused)) int tcp_reset(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	struct reset_buffer b = {};
	struct tcp_header in;
	bool v4 = w->flags & PKT_IPV4;
	u32 l3_length = v4 ? sizeof(b.v4) : sizeof(b.v6);
	addr_t src = w->tuple.dst;
	addr_t dst = w->tuple.src;
	u32 segment, headers;
	s64 pseudo;

	/* behind options the segment would begin elsewhere than its offloaded checksum counts from
	 */
	if (!may_reply(c) || w->flags & (PKT_ICMP_ERROR | PKT_FRAGMENT | PKT_OPTIONS) ||
	    w->l4_proto != IPPROTO_TCP || w->tcp_flags & TCP_RST ||
	    bpf_skb_load_bytes(skb, w->l4_off, &in, sizeof(in)))
		return REPLY_FORBIDDEN;
	headers = l3_length + (in.offset >> 4) * 4;
	segment = packet_length(c);
	if (segment < headers || in.offset >> 4 < 5)
		return REPLY_FORBIDDEN;
	segment = segment - headers + !!(in.flags & TCP_SYN) + !!(in.flags & TCP_FIN);
	if (!rate_allow(c, &dst))
		return REPLY_LIMITED;

	b.tcp.sport = in.dport;
	b.tcp.dport = in.sport;
	b.tcp.offset = 5 << 4;
	if (in.flags & TCP_ACK) {
		b.tcp.seq = in.ack;
		b.tcp.flags = TCP_RST;
	} else {
		b.tcp.ack = bpf_htonl(bpf_ntohl(in.seq) + segment);
		b.tcp.flags = TCP_RST | TCP_ACK;
	}
	pseudo = pseudo_header_sum(v4, &src, &dst, IPPROTO_TCP, sizeof(b.tcp));
	b.tcp.checksum = ~checksum_fold(pseudo);
	/* window = -(2 * pseudo + all other fields); the field is one of the terms here */
	b.tcp.window =
	    checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&b.tcp, sizeof(b.tcp), pseudo));
	if (v4)
		ipv4_write(&b.v4, 0, l3_length + sizeof(b.tcp), IPPROTO_TCP, src.words[3],
			   dst.words[3]);
	else
		ipv6_write(&b.v6, sizeof(b.tcp), IPPROTO_TCP, &src, &dst);
	if (bpf_skb_change_tail(skb, ETH_HLEN + l3_length + sizeof(b.tcp), 0) ||
	    (v4 ? bpf_skb_store_bytes(skb, ETH_HLEN, &b.v4, sizeof(b.v4) + sizeof(b.tcp),
				      BPF_F_RECOMPUTE_CSUM)
		: bpf_skb_store_bytes(skb, ETH_HLEN, &b.v6, sizeof(b.v6) + sizeof(b.tcp),
				      BPF_F_RECOMPUTE_CSUM)) ||
	    swap_macs(skb))
		return REPLY_FAILED;
	reverse_tuple(&w->tuple);
	w->ip_len = l3_length + sizeof(b.tcp);
	w->tcp_flags = b.tcp.flags;
	w->ttl = REPLY_TTL;
	w->tos = 0;
	w->next_hop = (addr_t){};
	return REPLY_READY;
}

/*
 * Turns an echo request into its reply (RFC 792, RFC 4443 4.2). The caller knows that the
 * destination is its own. Not limited: it is as long as the request and goes to its sender. A
 * fragmented request cannot be put together here, and one with IPv4 options would need them
 * reversed: both are forbidden. Returns REPLY_*. c->work is only changed with REPLY_READY.
 */
static __noinline __attribute__((unused)) int echo_reply(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	bool v4 = w->flags & PKT_IPV4;
	u8 request = v4 ? ICMP_ECHO : 128, reply = v4 ? ICMP_ECHOREPLY : 129;
	u8 ttl = REPLY_TTL;
	long failed;

	if (!may_reply(c) || !(w->flags & PKT_ECHO) || w->icmp_type != request ||
	    w->flags & (PKT_FRAGMENT | PKT_OPTIONS))
		return REPLY_FORBIDDEN;
	/* exchanging the addresses leaves every sum as it is; the type's change goes into the
	 * checksum */
	failed = bpf_l4_csum_replace(skb, w->l4_off + 2, bpf_htons(request << 8 | w->icmp_code),
				     bpf_htons(reply << 8 | w->icmp_code), 2)
		     ?: bpf_skb_store_bytes(skb, w->l4_off, &reply, 1, 0);
	if (!failed && v4) {
		be32_t ends[2] = {w->tuple.dst.words[3], w->tuple.src.words[3]};

		failed = bpf_skb_store_bytes(skb, w->l3_off + IPV4_SRC_OFF, ends, sizeof(ends), 0)
				 ?: bpf_l3_csum_replace(skb, w->l3_off + IPV4_CHECKSUM_OFF,
							bpf_htons(w->ttl << 8),
							bpf_htons(ttl << 8), 2)
				 ?: bpf_skb_store_bytes(skb, w->l3_off + 8, &ttl, 1, 0);
	} else if (!failed) {
		addr_t ends[2] = {w->tuple.dst, w->tuple.src};

		failed =
		    bpf_skb_store_bytes(skb, w->l3_off + IPV6_SRC_OFF, ends, sizeof(ends), 0)
			?: bpf_skb_store_bytes(skb, w->l3_off + 7, &ttl, 1, BPF_F_RECOMPUTE_CSUM);
	}
	if (failed || swap_macs(skb))
		return REPLY_FAILED;
	reverse_tuple(&w->tuple);
	w->ttl = REPLY_TTL;
	w->icmp_type = reply;
	w->next_hop = (addr_t){};
	return REPLY_READY;
}

#endif
