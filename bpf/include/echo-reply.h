/* SPDX-License-Identifier: GPL-2.0-only */
/* Echo replies; see reply.h. */
#ifndef CUBEPLANE_ECHO_REPLY_H
#define CUBEPLANE_ECHO_REPLY_H

#include "reply-write.h"

/*
 * Whether echo_reply() can answer the packet. A fragmented request cannot be put together here, and one with IPv4 options
 * would need them reversed.
 */
static __always_inline bool is_echo_request(const struct cube_ctx *c)
{
	const struct cube_work *w = c->work;

	return may_reply(c) && w->flags & PKT_ECHO &&
	       w->icmp_type == (w->flags & PKT_IPV4 ? ICMP_ECHO : ICMPV6_ECHO) &&
	       !(w->flags & (PKT_FRAGMENT | PKT_OPTIONS));
}

/*
 * Turns an echo request into its reply (RFC 792, RFC 4443 4.2). The caller knows that the
 * destination is its own. Not limited by itself: it is as long as the request and goes to its sender.
 * Returns REPLY_*. c->work is only changed with REPLY_READY.
 */
static __noinline __attribute__((unused)) int echo_reply(struct cube_ctx *c)
{
	struct __sk_buff *skb = c->skb;
	struct cube_work *w = c->work;
	bool v4 = w->flags & PKT_IPV4;
	u8 request = v4 ? ICMP_ECHO : ICMPV6_ECHO, reply = v4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
	u8 ttl = REPLY_TTL;
	long failed;

	if (!is_echo_request(c))
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

		failed = bpf_skb_store_bytes(skb, w->l3_off + IPV6_SRC_OFF, ends, sizeof(ends), 0)
			     ?: bpf_skb_store_bytes(skb, w->l3_off + 7, &ttl, 1, BPF_F_RECOMPUTE_CSUM);
	}
	if (failed || swap_macs(skb))
		return REPLY_FAILED;
	turn_around(w);
	w->flags |= answer_flags(c);
	w->ttl = REPLY_TTL;
	w->icmp_type = reply;
	return REPLY_READY;
}

#endif
