/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rewriting of nearly all packets: a whole TCP or UDP packet in an untagged frame, without
 * options. Its headers lie at places known to the compiler, so all of it is written in place,
 * without a call.
 */
#ifndef CUBEPLANE_REWRITE_PLAIN_H
#define CUBEPLANE_REWRITE_PLAIN_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_core_read.h>
#include "cube.h"

#define REWRITE_SRC 0
#define REWRITE_DST 1

#define IPV4_CHECKSUM_OFF 10
#define IPV4_SRC_OFF	  12
#define IPV4_DST_OFF	  16
#define IPV6_SRC_OFF	  8
#define IPV6_DST_OFF	  24

#define CHECKSUM_COMPLETE 2 /* include/linux/skbuff.h */
#define CHECKSUM_PARTIAL  3

/* The one field of the kernel's own structure that we read; relocated at load (CO-RE). */
struct sk_buff {
	u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *skb) __ksym;

/*
 * State of the L4 checksum. PARTIAL: the field holds the pseudo header's sum, the rest is left to
 * the device. COMPLETE: the device has summed the packet into skb->csum, which has to follow our
 * changes.
 */
static __always_inline u8 checksum_state(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed);
}

/* What the change of an address adds to a sum in one's complement (RFC 1624): 32 bits, not folded
 * further. */
static __always_inline u32 address_diff(bool v4, const addr_t *old, const addr_t *new)
{
	u64 sum = 0;

	if (v4) {
		sum = (u64)(u32)~old->words[3] + new->words[3];
	} else {
		for (int i = 0; i < 4; i++)
			sum += (u64)(u32)~old->words[i] + new->words[i];
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + (sum >> 32);
}

static __always_inline u16 fold_sum(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* Adds to a field that holds the complement of a sum, as all finished checksums do. */
static __always_inline be16_t checksum_add(be16_t field, u32 diff)
{
	return ~fold_sum((u32)(u16)~field + (diff & 0xffff) + (diff >> 16));
}

/* l4 points at the L4 header, whose address-dependent sum changes by `diff`, and its port at
 * port_off to `port`. */
static __always_inline void plain_l4(u8 *l4, u32 proto, u8 state, u32 diff, u32 port_off, be16_t old_port,
				     be16_t port)
{
	be16_t *field = (be16_t *)(l4 + (proto == IPPROTO_UDP ? 6 : 16));
	be16_t sum = *field;

	*(be16_t *)(l4 + port_off) = port;
	if (proto == IPPROTO_UDP && !sum)
		return; /* IPv4's "no checksum" (RFC 768) */
	diff = (diff & 0xffff) + (diff >> 16);
	if (state == CHECKSUM_PARTIAL)
		sum = fold_sum((u32)sum + diff);
	else
		sum = checksum_add(sum, diff + (u16)~old_port + port);
	if (proto == IPPROTO_UDP && !sum)
		sum = 0xffff;
	*field = sum;
}

/*
 * Changes one side of a plain packet to *addr (of its own family) and port. 0: the packet is another kind, or its headers
 * are not linear; nothing has been changed then.
 */
static __always_inline int rewrite_plain_side(struct __sk_buff *skb, const addr_t *addr, u32 side, u32 port)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;
	u32 zero = 0;
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!w || !addr)
		return 0;
	const addr_t *old = side == REWRITE_DST ? &w->tuple.dst : &w->tuple.src;
	be16_t old_port = side == REWRITE_DST ? w->tuple.dport : w->tuple.sport;
	u32 port_off = side == REWRITE_DST ? 2 : 0;
	u32 proto = w->l4_proto;
	bool v4 = w->flags & PKT_IPV4;
	u8 state;
	u32 diff;

	if (w->l3_off != ETH_HLEN || (proto != IPPROTO_TCP && proto != IPPROTO_UDP) ||
	    w->flags & (PKT_OPTIONS | PKT_FRAGMENT | PKT_ICMP_ERROR))
		return 0;
	state = checksum_state(skb);
	if (state == CHECKSUM_COMPLETE)
		return 0;
	diff = address_diff(v4, old, addr);
	if (v4) {
		u8 *ip = data + ETH_HLEN;
		u8 *l4 = ip + 20;

		if (proto == IPPROTO_UDP ? l4 + 8 > end : l4 + 20 > end)
			return 0;
		*(be16_t *)(ip + IPV4_CHECKSUM_OFF) = checksum_add(*(be16_t *)(ip + IPV4_CHECKSUM_OFF), diff);
		*(be32_t *)(ip + (side == REWRITE_DST ? IPV4_DST_OFF : IPV4_SRC_OFF)) = addr->words[3];
		plain_l4(l4, proto, state, diff, port_off, old_port, port);
	} else {
		u8 *ip = data + ETH_HLEN;
		u8 *l4 = ip + 40;

		if (proto == IPPROTO_UDP ? l4 + 8 > end : l4 + 20 > end)
			return 0;
		u64 *halves = (u64 *)(ip + (side == REWRITE_DST ? IPV6_DST_OFF : IPV6_SRC_OFF));

		/* a memcpy() to an address that is known not to be aligned goes byte by byte */
		halves[0] = addr->halves[0];
		halves[1] = addr->halves[1];
		plain_l4(l4, proto, state, diff, port_off, old_port, port);
	}
	return 1;
}

/*
 * One for each side, which is a constant in it. Global functions: the verifier goes through each once, and not again on
 * every path of its callers.
 */
__noinline int rewrite_plain_dst(struct __sk_buff *skb, const addr_t *addr, u32 port)
{
	return rewrite_plain_side(skb, addr, REWRITE_DST, port);
}

__noinline int rewrite_plain_src(struct __sk_buff *skb, const addr_t *addr, u32 port)
{
	return rewrite_plain_side(skb, addr, REWRITE_SRC, port);
}

/* As rewrite_plain_side(); `side` is to be a constant. */
static __always_inline int rewrite_plain(struct __sk_buff *skb, const addr_t *addr, u32 side, u32 port)
{
	return side == REWRITE_DST ? rewrite_plain_dst(skb, addr, port) : rewrite_plain_src(skb, addr, port);
}

#endif
