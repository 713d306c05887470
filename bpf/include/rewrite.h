/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one place where a packet's addresses and ports are changed. Checksums follow every offload
 * state: address changes carry BPF_F_PSEUDO_HDR (a CHECKSUM_PARTIAL packet holds only the pseudo
 * header's sum), port changes do not. All packet pointers are invalid after any function of this
 * file.
 */
#ifndef CUBEPLANE_REWRITE_H
#define CUBEPLANE_REWRITE_H

#include <linux/in.h>
#include <linux/in6.h>
#include "rewrite-plain.h"

#ifndef BPF_F_IPV6
#define BPF_F_IPV6                                                                                           \
	(1ULL << 7) /* linux 6.16: an IPv6 address change, which leaves CHECKSUM_COMPLETE as it is */
#endif

/* Offset of the checksum in the L4 header, or -1: none (SCTP's CRC does not cover addresses). */
static __always_inline int rewrite_checksum_off(u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMPV6:
		return 2;
	}
	return -1;
}

static __always_inline u64 rewrite_checksum_flags(const struct cube_work *w, u8 proto)
{
	u64 flags = proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	return w->flags & PKT_IPV6 ? flags | BPF_F_IPV6 : flags;
}

static __always_inline s64 rewrite_diff(const struct cube_work *w, const addr_t *old, const addr_t *new)
{
	if (w->flags & PKT_IPV4)
		return bpf_csum_diff((be32_t *)&old->words[3], 4, (be32_t *)&new->words[3], 4, 0);
	return bpf_csum_diff((be32_t *)old->words, 16, (be32_t *)new->words, 16, 0);
}

/*
 * Address in the IP header at l3, with the IPv4 header's checksum. IPv6 has none there: where no other field of the packet
 * makes up for the change, a CHECKSUM_COMPLETE sum has to follow it. That is so in a later fragment, for the L4 checksum
 * stands in the first one, and over a protocol whose checksum does not cover addresses.
 */
static __always_inline long rewrite_l3(struct cube_ctx *c, u32 l3, u32 side, const addr_t *addr, s64 diff)
{
	if (c->work->flags & PKT_IPV4) {
		be32_t v4 = addr->words[3];

		return bpf_l3_csum_replace(c->skb, l3 + IPV4_CHECKSUM_OFF, 0, diff, 0)
			   ?: bpf_skb_store_bytes(c->skb,
						  l3 + (side == REWRITE_DST ? IPV4_DST_OFF : IPV4_SRC_OFF),
						  &v4, 4, 0);
	}
	if (unlikely(c->work->flags & PKT_FRAG_LATER || rewrite_checksum_off(c->work->l4_proto) < 0))
		return bpf_skb_store_bytes(c->skb, l3 + (side == REWRITE_DST ? IPV6_DST_OFF : IPV6_SRC_OFF),
					   addr, 16, BPF_F_RECOMPUTE_CSUM);
	return bpf_skb_store_bytes(c->skb, l3 + (side == REWRITE_DST ? IPV6_DST_OFF : IPV6_SRC_OFF), addr, 16,
				   0);
}

/* The ICMP error's own address on one side; the quoted packet stays. */
static __always_inline long rewrite_outer(struct cube_ctx *c, u32 side, const addr_t *addr, s64 diff)
{
	struct cube_work *w = c->work;
	long error = 0;

	if (w->flags & PKT_IPV6)
		error = bpf_l4_csum_replace(c->skb, w->l4_off + 2, 0, diff, BPF_F_PSEUDO_HDR | BPF_F_IPV6);
	if (!error)
		error = rewrite_l3(c, w->l3_off, side, addr, diff);
	if (side == REWRITE_DST)
		w->outer_dst = *addr;
	else
		w->outer_src = *addr;
	return error;
}

/*
 * ICMP error (RFC 792, RFC 4443 3): the quoted packet travelled the other way, so what is our
 * source is its destination. The outer address changes only where it is the one replaced: an error
 * may come from a router on the way, whose own address stays.
 */
static __always_inline long rewrite_error(struct cube_ctx *c, u32 side, const addr_t *addr, be16_t port)
{
	struct cube_work *w = c->work;
	addr_t old = side == REWRITE_DST ? w->tuple.dst : w->tuple.src;
	be16_t old_port = side == REWRITE_DST ? w->tuple.dport : w->tuple.sport;
	addr_t outer = side == REWRITE_DST ? w->outer_dst : w->outer_src;
	u32 inner_side = side == REWRITE_DST ? REWRITE_SRC : REWRITE_DST;
	s64 diff = rewrite_diff(w, &old, addr);
	u32 icmp_sum = w->l4_off + 2;
	long error;

	error = rewrite_l3(c, w->inner_l3_off, inner_side, addr, diff);
	/* IPv4: the quoted address and the quoted header's checksum cancel out in the ICMP checksum */
	if (!error && w->flags & PKT_IPV6)
		error = bpf_l4_csum_replace(c->skb, icmp_sum, 0, diff, 0);
	if (!error && w->flags & PKT_INNER_L4 && port != old_port) {
		bool is_echo = w->tuple.proto == IPPROTO_ICMP || w->tuple.proto == IPPROTO_ICMPV6;
		u32 off = is_echo ? 4 : inner_side == REWRITE_DST ? 2 : 0;

		if (w->flags & PKT_PORTS || is_echo)
			error = bpf_l4_csum_replace(c->skb, icmp_sum, old_port, port, 2)
				    ?: bpf_skb_store_bytes(c->skb, w->inner_l4_off + off, &port, 2, 0);
	}
	if (!error && addr_equal(&outer, &old))
		error = rewrite_outer(c, side, addr, diff);
	return error;
}

/*
 * Gives an ICMP error another sender, whatever it quotes: that of a router whose address must not be seen. Returns as
 * cube_rewrite().
 */
static __always_inline long cube_rewrite_error_source(struct cube_ctx *c, const addr_t *addr)
{
	addr_t old = c->work->outer_src;

	return rewrite_outer(c, REWRITE_SRC, addr, rewrite_diff(c->work, &old, addr));
}

/* The tuple follows what has been written into the packet. */
static __always_inline void rewrite_tuple(struct cube_work *w, u32 side, const addr_t *addr, be16_t port)
{
	if (side == REWRITE_DST) {
		w->tuple.dst = *addr;
		w->tuple.dport = port;
	} else {
		w->tuple.src = *addr;
		w->tuple.sport = port;
	}
}

/* cube_rewrite() of a packet that rewrite_plain() has left alone. */
static __always_inline long cube_rewrite_other(struct cube_ctx *c, u32 side, const addr_t *addr, be16_t port)
{
	struct cube_work *w = c->work;
	const addr_t *old = side == REWRITE_DST ? &w->tuple.dst : &w->tuple.src;
	be16_t old_port = side == REWRITE_DST ? w->tuple.dport : w->tuple.sport;
	u32 l4 = w->l4_off;
	u8 proto = w->l4_proto;
	int sum_off = rewrite_checksum_off(proto);
	long error = 0;
	s64 diff;

	if (unlikely(w->flags & PKT_ICMP_ERROR)) {
		error = rewrite_error(c, side, addr, port);
	} else {
		diff = rewrite_diff(w, old, addr);
		if (likely(!(w->flags & PKT_FRAG_LATER))) {
			u64 flags = rewrite_checksum_flags(w, proto);

			if (sum_off >= 0)
				error = bpf_l4_csum_replace(c->skb, l4 + sum_off, 0, diff,
							    flags | BPF_F_PSEUDO_HDR);
			if (!error && port != old_port && w->flags & (PKT_PORTS | PKT_ECHO)) {
				u32 off = w->flags & PKT_ECHO ? 4 : side == REWRITE_DST ? 2 : 0;

				if (w->flags & PKT_ECHO)
					sum_off = 2;
				if (sum_off >= 0)
					error = bpf_l4_csum_replace(c->skb, l4 + sum_off, old_port, port,
								    (flags & BPF_F_MARK_MANGLED_0) | 2);
				if (!error)
					error = bpf_skb_store_bytes(c->skb, l4 + off, &port, 2, 0);
			}
		}
		if (!error)
			error = rewrite_l3(c, w->l3_off, side, addr, diff);
	}
	rewrite_tuple(w, side, addr, port);
	return error;
}

/*
 * Changes one side of the packet (REWRITE_SRC, REWRITE_DST) to addr:port, in the packet and in its
 * tuple. port is ignored where there is none; an echo identifier may be changed on the side that
 * holds it. addr must be of the packet's own family, and must not point into the work area. Returns
 * 0 or a negative errno: then the packet is not fit to be sent.
 */
static __always_inline long cube_rewrite(struct cube_ctx *c, u32 side, const addr_t *addr, be16_t port)
{
	if (unlikely(!rewrite_plain(c->skb, addr, side, port)))
		return cube_rewrite_other(c, side, addr, port);
	rewrite_tuple(c->work, side, addr, port);
	return 0;
}

#endif
