/* SPDX-License-Identifier: GPL-2.0-only */
/* Headers as they stand in the packet, their numbers, and the clock that all timeouts are counted
 * by. */
#ifndef CUBEPLANE_HEADERS_H
#define CUBEPLANE_HEADERS_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include "types.h"

#define IP_MF	       0x2000
#define IP_OFFSET      0x1fff
#define EXT_HOPOPTS    0
#define EXT_ROUTING    43
#define EXT_FRAGMENT   44
#define EXT_DSTOPTS    60
#define EXT_MH	       135
#define EXT_AH	       51
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO      8
#define ICMP_UNREACH   3
#define ICMP_QUENCH    4
#define ICMP_REDIRECT  5
#define ICMP_EXCEEDED  11
#define ICMP_PARAMETER 12

#define ICMPV6_ECHO	  128
#define ICMPV6_ECHO_REPLY 129

struct ipv4_header {
	u8 version_ihl;
	u8 tos;
	be16_t total_length;
	be16_t id;
	be16_t fragment;
	u8 ttl;
	u8 protocol;
	be16_t checksum;
	be32_t src;
	be32_t dst;
};
SIZE_ASSERT(struct ipv4_header, 20);

struct ipv6_header {
	be32_t version_class_flow;
	be16_t payload_length;
	u8 next_header;
	u8 hop_limit;
	addr_t src;
	addr_t dst;
};
SIZE_ASSERT(struct ipv6_header, 40);

struct arp_header { /* Ethernet and IPv4 (RFC 826) */
	be16_t hardware;
	be16_t protocol;
	u8 hardware_length;
	u8 protocol_length;
	be16_t operation;
	mac_t sender_mac;
	u8 sender_ip[4];
	mac_t target_mac;
	u8 target_ip[4];
};
SIZE_ASSERT(struct arp_header, 28);

/* The first eight bytes of every L4 header that we know. */
struct l4_head {
	be16_t words[4];
};

static __always_inline u32 coarse_seconds(void)
{
	/* 2^30 ns = 1.07 s: a shift instead of a division; all timeouts are counted in this unit */
	return bpf_ktime_get_coarse_ns() >> 30;
}

static __always_inline bool icmp4_is_error(u8 type)
{
	return type == ICMP_UNREACH || type == ICMP_EXCEEDED || type == ICMP_PARAMETER || type == ICMP_QUENCH;
}

#endif
