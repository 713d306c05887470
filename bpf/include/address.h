/* SPDX-License-Identifier: GPL-2.0-only */
/* What kind of address an address is (RFC 6890, RFC 4291). */
#ifndef CUBEPLANE_ADDRESS_H
#define CUBEPLANE_ADDRESS_H

#include "types.h"

static __always_inline bool addr_is_zero(const addr_t *addr)
{
	return (addr->halves[0] | addr->halves[1]) == 0;
}

/* fe80::/10. The IPv4 counterpart 169.254.0.0/16 is left to the routes: clouds serve metadata
 * there. */
static __always_inline bool addr_is_link_local(const addr_t *addr)
{
	return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

/* "This network" 0/8, loopback, and everything from multicast upwards. v4 in network order. */
static __always_inline bool v4_is_special(be32_t v4)
{
	u32 top = bpf_ntohl(v4) >> 24;

	return top == 0 || top == 127 || top >= 224;
}

/* :: and ::1, multicast. */
static __always_inline bool v6_is_special(const addr_t *addr)
{
	return addr->bytes[0] == 0xff ||
	       (addr->halves[0] == 0 && addr->words[2] == 0 && bpf_ntohl(addr->words[3]) <= 1);
}

/*
 * Names one host, as the source of every packet must that is forwarded or answered (RFC
 * 1122 3.2.1.3, RFC 1812 5.3.7, RFC 4291 2.5).
 */
static __always_inline bool addr_is_host(const addr_t *addr)
{
	return addr_is_v4(addr) ? !v4_is_special(addr->words[3]) : !v6_is_special(addr);
}

#endif
