/* SPDX-License-Identifier: GPL-2.0-only */
/* ICMP and ICMPv6 errors to the sender of a packet; see reply.h. */
#ifndef CUBEPLANE_ICMP_ERROR_H
#define CUBEPLANE_ICMP_ERROR_H

#include "reply-write.h"

/* Type and code for either family. */
#define ICMP_ERROR(type4, code4, type6, code6)                                                               \
	((u32)(type4) << 24 | (u32)(code4) << 16 | (u32)(type6) << 8 | (u32)(code6))

#define ERROR_NO_ROUTE		   ICMP_ERROR(3, 0, 1, 0)
#define ERROR_HOST_UNREACHABLE	   ICMP_ERROR(3, 1, 1, 3)
#define ERROR_PROTOCOL_UNREACHABLE ICMP_ERROR(3, 2, 4, 1) /* IPv6: parameter problem, info = pointer */
#define ERROR_PORT_UNREACHABLE	   ICMP_ERROR(3, 3, 1, 4)
#define ERROR_TOO_BIG		   ICMP_ERROR(3, 4, 2, 0) /* info = MTU */
#define ERROR_PROHIBITED	   ICMP_ERROR(3, 13, 1, 1)
#define ERROR_TIME_EXCEEDED	   ICMP_ERROR(11, 0, 3, 0)

#define REPLY_MAX_L3 104 /* bytes of quoted IP header with options or extension headers */
#define REPLY_MAX_L4 20

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
		if (l4_length > REPLY_MAX_L4 || bpf_skb_load_bytes(skb, w->l4_off, b->l4, l4_length))
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
	turn_around(w);
	w->flags = family | PKT_ICMP_ERROR | (l4_length >= 8 ? PKT_INNER_L4 | ports : 0);
	w->l4_proto = family & PKT_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	w->l4_off = w->l3_off + (family & PKT_IPV4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header));
	w->inner_l3_off = w->l4_off + sizeof(struct icmp_header);
	w->inner_l4_off = w->inner_l3_off + l3_length;
	w->ip_len = length;
	w->frag_id = 0;
	w->tcp_flags = 0;
	w->ttl = REPLY_TTL;
	w->icmp_type = type;
	w->icmp_code = code;
	w->tos = family & PKT_IPV4 ? REPLY_TOS_CONTROL : 0;
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
		ipv4_write(&b->v4, REPLY_TOS_CONTROL, total, IPPROTO_ICMP, source.words[3], sender.words[3]);
		b->icmp.checksum = checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&b->icmp, ERROR_SUMMED, 0));
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
	if (v4 ? bpf_skb_store_bytes(skb, ETH_HLEN, &b->v4, sizeof(b->v4) + sizeof(b->icmp) + l3_length,
				     BPF_F_RECOMPUTE_CSUM)
	       : bpf_skb_store_bytes(skb, ETH_HLEN, &b->v6, sizeof(b->v6) + sizeof(b->icmp) + l3_length,
				     BPF_F_RECOMPUTE_CSUM))
		return REPLY_FAILED;
	if (l4_length && l4_length <= REPLY_MAX_L4 &&
	    bpf_skb_store_bytes(skb, ETH_HLEN + outer + sizeof(b->icmp) + l3_length, b->l4, l4_length,
				BPF_F_RECOMPUTE_CSUM))
		return REPLY_FAILED;
	if (swap_macs(skb))
		return REPLY_FAILED;
	error_describe(w, &source, l3_length, l4_length, total, b->icmp.type, b->icmp.code);
	w->flags |= answer_flags(c);
	return REPLY_READY;
}

#endif
