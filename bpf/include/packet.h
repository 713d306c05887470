/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packet is, once parsed: the record that the entry program fills and every cube of the
 * chain reads. It lives in a per-CPU array and not in skb->cb, which is too small and not ours
 * before the entry.
 */
#ifndef CUBEPLANE_PACKET_H
#define CUBEPLANE_PACKET_H

#include "types.h"

/*
 * The five-tuple of a packet as sessions see it, in network byte order.
 *   TCP, UDP, SCTP  ports of the header
 *   ICMP echo       request: sport = identifier, dport = 0; reply: sport = 0, dport = identifier
 *   ICMP error      the reversed tuple of the quoted packet: the error travels as a reply to it
 * would later fragment  ports of its first fragment, when that was seen ARP             sender and
 * target protocol address, proto 0
 */
struct cube_tuple {
	addr_t src;
	addr_t dst;
	be16_t sport;
	be16_t dport;
	u8 proto;
	u8 pad[3];
};
SIZE_ASSERT(struct cube_tuple, 40);

/* Packet flags (cube_work.flags). */
#define PKT_IPV4	    (1 << 0)
#define PKT_IPV6	    (1 << 1)
#define PKT_ARP		    (1 << 2)
#define PKT_ND		    (1 << 3) /* ICMPv6 133..136 with hop limit 255 (RFC 4861 6.1, 7.1) */
#define PKT_FRAG_FIRST	    (1 << 4)
#define PKT_FRAG_LATER	    (1 << 5)  /* no L4 header in it: never touch L4 */
#define PKT_FRAG_UNRESOLVED (1 << 6)  /* later fragment whose first was not seen: ports are 0 */
#define PKT_ICMP_ERROR	    (1 << 7)  /* tuple is the reversed inner one; outer_src, outer_dst are valid */
#define PKT_PORTS	    (1 << 8)  /* tuple.sport and dport are ports (TCP, UDP, SCTP) */
#define PKT_ECHO	    (1 << 9)  /* ICMP or ICMPv6 echo request or reply */
#define PKT_OPTIONS	    (1 << 10) /* IPv4 options or IPv6 extension headers are present */
#define PKT_INNER_L4	    (1 << 11) /* ICMP error that quotes at least the ports of its packet */
#define PKT_MULTICAST	    (1 << 12) /* destination is multicast or IPv4 limited broadcast */
#define PKT_FRAME_READY                                                                                      \
	(1 << 13) /* a cube wrote both MACs: an edge with neighbour resolution sends it as it is */
#define PKT_SERVICE_SOURCE                                                                                   \
	(1 << 14) /* a LoadBalancer gave it the address of its service back: a NAT leaves its source alone */
#define PKT_HOST_ROUTE                                                                                       \
	(1 << 15) /* an edge with neighbour resolution asks the host's own routes for the next hop */
#define PKT_OVERLAY_NODE                                                                                     \
	(1                                                                                                   \
	 << 16) /* came by a tunnel from an address of the node that sent it; a Router that forwards it takes it off */
#define PKT_IP	     (PKT_IPV4 | PKT_IPV6)
#define PKT_FRAGMENT (PKT_FRAG_FIRST | PKT_FRAG_LATER)

/* TCP flags as they stand in byte 13 of the header (RFC 9293 3.1). */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct cube_work {
	struct cube_tuple tuple;
	addr_t outer_src; /* ICMP errors only: addresses of the error itself */
	addr_t outer_dst;
	addr_t next_hop;      /* set by Router for an edge with neighbour resolution; zero: the
				 destination, or with PKT_HOST_ROUTE what the host's routes say */
	addr_t tunnel_remote; /* set by Router for a tunnel edge: address of the other VTEP */
	u32 tunnel_vni;
	u32 flags;	  /* PKT_* */
	u32 frag_id;	  /* fragments: identification, network order, IPv4's in the low 16 bits */
	u16 l3_off;	  /* bytes from skb->data: 14, or 18 behind a VLAN tag in the frame */
	u16 l4_off;	  /* of the packet's own L4 header, behind options and extension headers */
	u16 inner_l3_off; /* ICMP errors: of the quoted IP header */
	u16 inner_l4_off;
	u16 ether_type; /* host order */
	u16 vlan;	/* VLAN id, 0 when untagged */
	u16 ip_len;	/* bytes from l3_off to the end of the packet by its IP header; 0 for jumbograms */
	u8 tcp_flags;
	u8 ttl;	     /* TTL or hop limit */
	u8 l4_proto; /* of the packet itself: for an ICMP error ICMP, while tuple.proto is the
			quoted one */
	u8 icmp_type;
	u8 icmp_code;
	u8 tos; /* IPv4 TOS or IPv6 traffic class */
	u8 translated_by; /* slot of the LoadBalancer that has sent it on to a backend; 0: none, or turned around since */
};

/* Addresses that the packet is sent between, whatever its tuple says. */
static __always_inline const addr_t *packet_src(const struct cube_work *w)
{
	return w->flags & PKT_ICMP_ERROR ? &w->outer_src : &w->tuple.src;
}

static __always_inline const addr_t *packet_dst(const struct cube_work *w)
{
	return w->flags & PKT_ICMP_ERROR ? &w->outer_dst : &w->tuple.dst;
}

#endif
