/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers ARP requests and neighbour solicitations for addresses of the cube. Who includes it says which these are:
 *
 *	static __always_inline bool is_own_here(const struct cube_ctx *c, const addr_t *addr);
 */
#ifndef CUBEPLANE_NEIGHBOUR_H
#define CUBEPLANE_NEIGHBOUR_H

#include "reply-write.h"

/* What the functions of this file return, or DROP_REWRITE_FAILED. */
#define NEIGHBOUR_ANSWERED 0   /* the packet is the answer; it goes out where it came in */
#define NEIGHBOUR_FOREIGN  256 /* not ours to answer; it is unchanged */
#define NEIGHBOUR_INVALID  257 /* malformed, or its sender claims the address */

/* Whether the address is the cube's at the port that the packet came in by. */
static __always_inline bool is_own_here(const struct cube_ctx *c, const addr_t *addr);

/* RFC 826, also for a probe (RFC 5227), whose sender address is zero. */
static __always_inline int answer_arp(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	struct {
		mac_t dst;
		mac_t src;
		be16_t type;
		struct arp_header arp;
	} reply;
	mac_t own;
	be32_t ip;

	if (w->l3_off != ETH_HLEN || bpf_skb_load_bytes(skb, 0, &reply, sizeof(reply)))
		return NEIGHBOUR_INVALID;
	if (reply.arp.operation != bpf_htons(1) || !is_own_here(c, &w->tuple.dst))
		return NEIGHBOUR_FOREIGN;
	/* an answer to a group address, or to somebody who claims to be us, helps nobody */
	if (reply.arp.sender_mac.bytes[0] & 1 || addr_equal(&w->tuple.src, &w->tuple.dst))
		return NEIGHBOUR_INVALID;
	own = cube_mac_here(c);
	reply.dst = reply.arp.sender_mac;
	reply.src = own;
	reply.arp.operation = bpf_htons(2);
	reply.arp.target_mac = reply.arp.sender_mac;
	reply.arp.sender_mac = own;
	ip = w->tuple.src.words[3];
	__builtin_memcpy(reply.arp.target_ip, &ip, sizeof(ip));
	ip = w->tuple.dst.words[3];
	__builtin_memcpy(reply.arp.sender_ip, &ip, sizeof(ip));
	if (bpf_skb_store_bytes(skb, 0, &reply, sizeof(reply), 0))
		return DROP_REWRITE_FAILED;
	turn_around(w);
	w->flags |= PKT_FRAME_READY;
	return NEIGHBOUR_ANSWERED;
}

#define ND_SOLICITATION	 135
#define ND_ADVERTISEMENT 136
#define ND_ROUTER	 0x80000000 /* flags of an advertisement (RFC 4861 4.4) */
#define ND_SOLICITED	 0x40000000
#define ND_OVERRIDE	 0x20000000
#define ND_MAX_OPTIONS	 8  /* units of 8 bytes */
#define ND_LENGTH	 24 /* of a solicitation without options */

struct nd_message {
	u8 type;
	u8 code;
	be16_t checksum;
	be32_t flags;
	addr_t target;
	u8 options[ND_MAX_OPTIONS * 8];
};
SIZE_ASSERT(struct nd_message, 88);

struct nd_advertisement {
	struct ipv6_header ip;
	u8 type;
	u8 code;
	be16_t checksum;
	be32_t flags;
	addr_t target;
	u8 option; /* 2: target link-layer address */
	u8 option_length;
	mac_t mac;
};
SIZE_ASSERT(struct nd_advertisement, 72);

/* Takes the sender's MAC out of the options, if it stands there. Returns whether they are
 * well-formed. */
static __always_inline bool nd_options(const struct nd_message *m, u32 length, mac_t *mac, bool *found)
{
	u32 off = 0;

	for (int i = 0; i < ND_MAX_OPTIONS; i++) {
		if (off >= length)
			return off == length;
		off &= 7 * 8; /* no change: length is at most 64; the verifier needs it */
		if (!m->options[off + 1])
			return false;
		if (m->options[off] == 1 && m->options[off + 1] == 1) {
			__builtin_memcpy(mac->bytes, &m->options[off + 2], sizeof(*mac));
			*found = true;
		}
		off += m->options[off + 1] * 8;
	}
	return off == length;
}

/* RFC 4861 7.1.1 says what is valid, 7.2.4 what the answer is. */
static __noinline __attribute__((unused)) int answer_solicitation(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	struct nd_message m = {};
	struct nd_advertisement a = {};
	u32 length = w->ip_len - sizeof(struct ipv6_header);
	bool probe = addr_is_zero(&w->tuple.src), found = false;
	mac_t mac;
	mac_t macs[2];
	s64 sum;

	if (w->icmp_type != ND_SOLICITATION)
		return NEIGHBOUR_FOREIGN;
	if (w->icmp_code || w->flags & PKT_OPTIONS || w->l3_off != ETH_HLEN || length < ND_LENGTH ||
	    length > sizeof(m) || bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(a.ip), &m, length) ||
	    bpf_skb_load_bytes(skb, sizeof(mac), &mac, sizeof(mac)))
		return NEIGHBOUR_INVALID;
	sum = pseudo_header_sum(false, &w->tuple.src, &w->tuple.dst, IPPROTO_ICMPV6, length);
	if (checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&m, sizeof(m), sum)))
		return NEIGHBOUR_INVALID;
	if (!nd_options(&m, length - ND_LENGTH, &mac, &found) || m.target.bytes[0] == 0xff)
		return NEIGHBOUR_INVALID;
	/* duplicate address detection: no MAC, and asked of the solicited-node group */
	if (probe && (found || !(w->flags & PKT_MULTICAST)))
		return NEIGHBOUR_INVALID;
	if (!is_own_here(c, &m.target))
		return NEIGHBOUR_FOREIGN;

	a.ip.version_class_flow = bpf_htonl(0x60000000);
	a.ip.payload_length = bpf_htons(sizeof(a) - sizeof(a.ip));
	a.ip.next_header = IPPROTO_ICMPV6;
	a.ip.hop_limit = 255;
	a.ip.src = m.target;
	a.ip.dst = w->tuple.src;
	a.type = ND_ADVERTISEMENT;
	a.flags = bpf_htonl(probe ? ND_ROUTER | ND_OVERRIDE : ND_ROUTER | ND_SOLICITED | ND_OVERRIDE);
	a.target = m.target;
	a.option = 2;
	a.option_length = 1;
	a.mac = cube_mac_here(c);
	if (probe) { /* to all nodes, ff02::1 */
		a.ip.dst = (addr_t){.words = {bpf_htonl(0xff020000), 0, 0, bpf_htonl(1)}};
		mac = (mac_t){{0x33, 0x33, 0, 0, 0, 1}};
	}
	length = sizeof(a) - sizeof(a.ip);
	sum = pseudo_header_sum(false, &a.ip.src, &a.ip.dst, IPPROTO_ICMPV6, length);
	a.checksum = checksum_fold(bpf_csum_diff(NULL, 0, (be32_t *)&a.type, length, sum));
	macs[0] = mac;
	macs[1] = a.mac;
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(a), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &a, sizeof(a), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return DROP_REWRITE_FAILED;
	w->tuple.src = a.ip.src;
	w->tuple.dst = a.ip.dst;
	w->ip_len = sizeof(a);
	w->icmp_type = ND_ADVERTISEMENT;
	w->flags = PKT_IPV6 | PKT_ND | PKT_FRAME_READY | (probe ? PKT_MULTICAST : 0);
	return NEIGHBOUR_ANSWERED;
}

#endif
