/* SPDX-License-Identifier: GPL-2.0-only */
/* RST to the sender of a segment; see reply.h. */
#ifndef CUBEPLANE_TCP_RESET_H
#define CUBEPLANE_TCP_RESET_H

#include "reply-write.h"

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

	/* behind options the segment would begin elsewhere than its offloaded checksum counts from */
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
	b.tcp.window = checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&b.tcp, sizeof(b.tcp), pseudo));
	if (v4)
		ipv4_write(&b.v4, 0, l3_length + sizeof(b.tcp), IPPROTO_TCP, src.words[3], dst.words[3]);
	else
		ipv6_write(&b.v6, sizeof(b.tcp), IPPROTO_TCP, &src, &dst);
	if (bpf_skb_change_tail(skb, ETH_HLEN + l3_length + sizeof(b.tcp), 0) ||
	    (v4 ? bpf_skb_store_bytes(skb, ETH_HLEN, &b.v4, sizeof(b.v4) + sizeof(b.tcp),
				      BPF_F_RECOMPUTE_CSUM)
		: bpf_skb_store_bytes(skb, ETH_HLEN, &b.v6, sizeof(b.v6) + sizeof(b.tcp),
				      BPF_F_RECOMPUTE_CSUM)) ||
	    swap_macs(skb))
		return REPLY_FAILED;
	turn_around(w);
	w->flags |= answer_flags(c);
	w->ip_len = l3_length + sizeof(b.tcp);
	w->tcp_flags = b.tcp.flags;
	w->ttl = REPLY_TTL;
	w->tos = 0;
	return REPLY_READY;
}

#endif
