/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fills a cube_work from a packet: Ethernet, one 802.1Q tag, ARP, IPv4 with options, IPv6 with
 * extension headers, TCP, UDP, SCTP, ICMP, ICMPv6, fragments, and the packet quoted in an ICMP
 * error. Called once a packet, by the entry program; cubes read the result.
 *
 * Headers are read in place where they are linear, as they are on the receive path of almost every
 * packet, and by hook_load() where not: its call costs more than all loads of a header.
 */
#ifndef CUBEPLANE_PARSE_H
#define CUBEPLANE_PARSE_H

#include "extensions.h"
#include "headers.h"
#include "hook.h"
#include "maps.h"
#include "generated/reasons.h"

#define FRAGMENT_SECONDS 30
#define TCP_FLAGS_END	 14 /* bytes of a TCP header up to and with its flags */

/*
 * Points at `length` (a constant) bytes of the packet, NULL where they are not linear. Valid until
 * the packet is changed.
 */
static __always_inline const void *packet_at(hook_t *skb, u32 off, u32 length)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	u32 bounded = off & 0x1ff;

	/* the verifier has to see the bound on the very register that is added to the pointer */
	asm volatile("" : "+r"(bounded));
	if (bounded != off || data + bounded + length > end)
		return NULL;
	return data + bounded;
}

/* Both ports, as they stand in the packet, and the protocol: in one store, as the hash of the tuple reads them again. */
static __always_inline void tuple_set_ports(struct cube_tuple *t, u32 ports, u8 proto)
{
	*(u64 *)&t->sport = (u64)proto << 32 | ports;
}

/* Ports or echo identifier of one L4 header, from its first eight bytes. Returns the PKT_* that
 * hold. */
static __always_inline u32 parse_tuple_l4(struct cube_tuple *t, const struct l4_head *h)
{
	switch (t->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		tuple_set_ports(t, *(const u32 *)h, t->proto);
		return PKT_PORTS;
	case IPPROTO_ICMP: {
		u8 type = *(const u8 *)h;

		if (type == ICMP_ECHO)
			t->sport = h->words[2];
		else if (type == ICMP_ECHOREPLY)
			t->dport = h->words[2];
		else
			return 0;
		return PKT_ECHO;
	}
	case IPPROTO_ICMPV6: {
		u8 type = *(const u8 *)h;

		if (type == ICMPV6_ECHO)
			t->sport = h->words[2];
		else if (type == ICMPV6_ECHO_REPLY)
			t->dport = h->words[2];
		else
			return 0;
		return PKT_ECHO;
	}
	}
	return 0;
}

/* The quoted packet of an ICMP error becomes the tuple, reversed; the error's own addresses go to
 * outer_*. */
static __always_inline int parse_quoted(hook_t *skb, struct cube_work *w)
{
	u32 off = w->l4_off + 8;
	struct cube_tuple *t = &w->tuple;
	struct l4_head head = {};
	u32 l4_off;
	u8 proto;
	u16 frag = 0;

	w->outer_src = t->src;
	w->outer_dst = t->dst;
	if (w->flags & PKT_IPV4) {
		struct ipv4_header ip;

		if (hook_load(skb, off, &ip, sizeof(ip)))
			return DROP_MALFORMED;
		if (ip.version_ihl >> 4 != 4 || (ip.version_ihl & 0xf) < 5)
			return DROP_MALFORMED;
		proto = ip.protocol;
		l4_off = off + (ip.version_ihl & 0xf) * 4;
		frag = bpf_ntohs(ip.fragment) & IP_OFFSET;
		addr_set_v4(&t->src, ip.dst);
		addr_set_v4(&t->dst, ip.src);
	} else {
		struct ipv6_header ip;
		u32 id, ignored = 0;

		if (hook_load(skb, off, &ip, sizeof(ip)))
			return DROP_MALFORMED;
		if (*(u8 *)&ip >> 4 != 6 || addr_is_v4(&ip.src) || addr_is_v4(&ip.dst))
			return DROP_MALFORMED;
		proto = ip.next_header;
		l4_off = off + sizeof(ip);
		if (parse_extensions(skb, &l4_off, &proto, &frag, &id, &ignored))
			return DROP_MALFORMED;
		frag &= 0xfff8;
		t->src = ip.dst;
		t->dst = ip.src;
	}
	w->inner_l3_off = off;
	w->inner_l4_off = l4_off;
	w->flags |= PKT_ICMP_ERROR;
	t->proto = proto;
	t->sport = 0;
	t->dport = 0;
	if (frag || hook_load(skb, l4_off, &head, sizeof(head)))
		return 0; /* quoted fragment, or too short a quotation: addresses only */
	w->flags |= PKT_INNER_L4;
	struct cube_tuple quoted = {.proto = proto};
	u32 kind = parse_tuple_l4(&quoted, &head);

	t->sport = quoted.dport;
	t->dport = quoted.sport;
	w->flags |= kind & PKT_PORTS;
	return 0;
}

static __always_inline int parse_l4(hook_t *skb, struct cube_work *w)
{
	struct l4_head head;

	switch (w->tuple.proto) {
	case IPPROTO_TCP: {
		const u8 *tcp = packet_at(skb, w->l4_off, TCP_FLAGS_END);
		u8 copy[TCP_FLAGS_END];

		if (unlikely(!tcp)) {
			if (hook_load(skb, w->l4_off, copy, sizeof(copy)))
				return DROP_MALFORMED;
			tcp = copy;
		}
		tuple_set_ports(&w->tuple, *(const u32 *)tcp, IPPROTO_TCP);
		w->tcp_flags = tcp[13];
		w->flags |= PKT_PORTS;
		return 0;
	}
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		break;
	default:
		return 0;
	}
	const struct l4_head *linear = packet_at(skb, w->l4_off, sizeof(head));

	if (likely(linear))
		head = *linear;
	else if (hook_load(skb, w->l4_off, &head, sizeof(head)))
		return DROP_MALFORMED;
	w->flags |= parse_tuple_l4(&w->tuple, &head);
	if (w->tuple.proto != IPPROTO_ICMP && w->tuple.proto != IPPROTO_ICMPV6)
		return 0;
	w->icmp_type = *(u8 *)&head;
	w->icmp_code = *((u8 *)&head + 1);
	if (w->flags & PKT_IPV4
		? (w->tuple.proto == IPPROTO_ICMP && icmp4_is_error(w->icmp_type))
		: (w->tuple.proto == IPPROTO_ICMPV6 && w->icmp_type >= 1 && w->icmp_type <= 4))
		return parse_quoted(skb, w);
	if (w->tuple.proto == IPPROTO_ICMPV6 && w->icmp_type >= 133 && w->icmp_type <= 136 && w->ttl == 255)
		w->flags |= PKT_ND;
	return 0;
}

/*
 * Ports of a fragmented datagram: written down at its first fragment, read at the later ones. Of an ICMP error it is the
 * error that is in fragments, not what it quotes.
 */
static __always_inline void parse_fragment(struct cube_work *w, bool dry)
{
	struct fragment_key key = {
	    .src = *packet_src(w),
	    .dst = *packet_dst(w),
	    .id = w->frag_id,
	    .proto = w->l4_proto,
	};

	if (w->flags & PKT_FRAG_FIRST) {
		struct fragment value = {
		    .sport = w->flags & PKT_ICMP_ERROR ? 0 : w->tuple.sport,
		    .dport = w->flags & PKT_ICMP_ERROR ? 0 : w->tuple.dport,
		    .seen = coarse_seconds(),
		};

		if (!dry)
			bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
		return;
	}
	struct fragment *first = bpf_map_lookup_elem(&fragments, &key);

	if (!first || coarse_seconds() - first->seen > FRAGMENT_SECONDS) {
		w->flags |= PKT_FRAG_UNRESOLVED;
		return;
	}
	w->tuple.sport = first->sport;
	w->tuple.dport = first->dport;
	if (w->tuple.proto == IPPROTO_TCP || w->tuple.proto == IPPROTO_UDP || w->tuple.proto == IPPROTO_SCTP)
		w->flags |= PKT_PORTS;
}

static __always_inline int parse_ipv4(hook_t *skb, struct cube_work *w, const struct ipv4_header *ip)
{
	u32 header = (ip->version_ihl & 0xf) * 4;
	u16 frag = bpf_ntohs(ip->fragment);
	u16 total = bpf_ntohs(ip->total_length);

	/* a total below the header or beyond the frame is malformed (RFC 1122 3.2.1.1); GSO frames
	 * may exceed 65535 with 0 */
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || (total && total < header) ||
	    w->l3_off + total > hook_length(skb))
		return DROP_MALFORMED;
	w->flags |= PKT_IPV4;
	if (header > sizeof(*ip))
		w->flags |= PKT_OPTIONS;
	addr_set_v4(&w->tuple.src, ip->src);
	addr_set_v4(&w->tuple.dst, ip->dst);
	w->tuple.proto = w->l4_proto = ip->protocol;
	w->ttl = ip->ttl;
	w->tos = ip->tos;
	w->ip_len = total;
	w->l4_off = w->l3_off + header;
	if ((ip->dst & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || ip->dst == 0xffffffff)
		w->flags |= PKT_MULTICAST;
	if (likely(!(frag & (IP_MF | IP_OFFSET))))
		return 0;
	w->frag_id = ip->id;
	w->flags |= frag & IP_OFFSET ? PKT_FRAG_LATER : PKT_FRAG_FIRST;
	return 0;
}

static __always_inline int parse_ipv6(hook_t *skb, struct cube_work *w, const struct ipv6_header *ip)
{
	u32 off = w->l3_off + sizeof(*ip);
	u8 proto = ip->next_header;
	u16 frag = 0;
	u16 payload = bpf_ntohs(ip->payload_length);
	int error;

	if (*(const u8 *)ip >> 4 != 6 || off + payload > hook_length(skb))
		return DROP_MALFORMED;
	/* mapped addresses stand for IPv4 in every key, so none may come from the wire (RFC
	 * 4291 2.5.5.2) */
	if (addr_is_v4(&ip->src) || addr_is_v4(&ip->dst))
		return DROP_MALFORMED;
	w->flags |= PKT_IPV6;
	w->tuple.src = ip->src;
	w->tuple.dst = ip->dst;
	w->ttl = ip->hop_limit;
	w->tos = bpf_ntohl(ip->version_class_flow) >> 20;
	w->ip_len = payload ? payload + sizeof(*ip) : 0;
	if (w->tuple.dst.bytes[0] == 0xff)
		w->flags |= PKT_MULTICAST;
	if (unlikely(proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_ICMPV6)) {
		u32 flags = 0, id = 0;

		error = parse_extensions(skb, &off, &proto, &frag, &id, &flags);
		if (error)
			return error;
		w->flags |= flags;
		w->frag_id = id;
		/* an atomic fragment (offset 0, no more) is a whole packet (RFC 6946) */
		if (frag & 0xfff8)
			w->flags |= PKT_FRAG_LATER;
		else if (frag & 1)
			w->flags |= PKT_FRAG_FIRST;
	}
	w->tuple.proto = w->l4_proto = proto;
	w->l4_off = off;
	return 0;
}

static __always_inline int parse_arp(hook_t *skb, struct cube_work *w)
{
	struct arp_header arp;

	if (hook_load(skb, w->l3_off, &arp, sizeof(arp)))
		return DROP_MALFORMED;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_length != 6 ||
	    arp.protocol_length != 4)
		return DROP_MALFORMED;
	w->flags |= PKT_ARP;
	addr_set_v4(&w->tuple.src, *(be32_t *)arp.sender_ip);
	addr_set_v4(&w->tuple.dst, *(be32_t *)arp.target_ip);
	return 0;
}

/*
 * Parses the whole packet into *w, which it clears first. dry: leave no trace in maps.
 * Returns 0, also for what is neither ARP nor IP (then none of PKT_ARP, PKT_IP is set), or a drop
 * reason.
 */
static __always_inline int parse_packet(hook_t *skb, struct cube_work *w, bool dry)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	u32 l3 = ETH_HLEN;
	u16 type, tci = 0;
	int error;

	__builtin_memset(w, 0, sizeof(*w));
	if (data + ETH_HLEN > end)
		return DROP_MALFORMED;
	type = bpf_ntohs(*(be16_t *)(data + 12));
	if (hook_vlan(skb, &tci))
		w->vlan = tci & 0xfff;
	else if (unlikely(type == ETH_P_8021Q)) {
		if (data + ETH_HLEN + 4 > end)
			return DROP_MALFORMED;
		w->vlan = bpf_ntohs(*(be16_t *)(data + 14)) & 0xfff;
		type = bpf_ntohs(*(be16_t *)(data + 16));
		l3 += 4;
	}
	w->ether_type = type;
	w->l3_off = l3;
	if (type == ETH_P_IP) {
		const struct ipv4_header *ip = packet_at(skb, l3, sizeof(*ip));
		struct ipv4_header copy;

		if (unlikely(!ip)) {
			if (hook_load(skb, l3, &copy, sizeof(copy)))
				return DROP_MALFORMED;
			ip = &copy;
		}
		error = parse_ipv4(skb, w, ip);
	} else if (type == ETH_P_IPV6) {
		const struct ipv6_header *ip = packet_at(skb, l3, sizeof(*ip));
		struct ipv6_header copy;

		if (unlikely(!ip)) {
			if (hook_load(skb, l3, &copy, sizeof(copy)))
				return DROP_MALFORMED;
			ip = &copy;
		}
		error = parse_ipv6(skb, w, ip);
	} else if (type == ETH_P_ARP) {
		return parse_arp(skb, w);
	} else {
		return 0;
	}
	if (error)
		return error;
	if (unlikely(w->flags & PKT_FRAG_LATER)) {
		parse_fragment(w, dry);
		return 0;
	}
	error = parse_l4(skb, w);
	if (error)
		return error;
	if (unlikely(w->flags & PKT_FRAG_FIRST))
		parse_fragment(w, dry);
	return 0;
}

#endif
