/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of the types that cross between C and user space. The codec generator reads them from BTF:
 * a typedef's name, not its width, tells it the byte order and the text form.
 */
#ifndef CUBEPLANE_TYPES_H
#define CUBEPLANE_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

/* Network byte order, as in the packet. */
typedef __u16 be16_t;
typedef __u32 be32_t;

/* A u64 that stays below 2^53: user space reads it as a plain number. */
typedef __u64 u53_t;

/*
 * An IPv6 address, or an IPv4 address mapped into ::ffff:0:0/96 (RFC 4291 2.5.5.2), in network
 * order. One shape for both families, so that every key of every map holds either.
 */
typedef struct {
	union {
		u8 bytes[16];
		be32_t words[4];
		u64 halves[2];
	};
} addr_t;

typedef struct {
	u8 bytes[6];
} mac_t;

#define SIZE_ASSERT(type, size) _Static_assert(sizeof(type) == (size), #type " has grown or shrunk")

SIZE_ASSERT(addr_t, 16);
SIZE_ASSERT(mac_t, 6);

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ADDR_V4_MARK bpf_htonl(0x0000ffff)

/* In the two stores in which an address is read again: a load that spans two stores waits for both to reach the cache. */
static __always_inline void addr_set_v4(addr_t *addr, be32_t v4)
{
	addr->halves[0] = 0;
	addr->halves[1] = (u64)v4 << 32 | ADDR_V4_MARK;
}

static __always_inline bool addr_is_v4(const addr_t *addr)
{
	return addr->halves[0] == 0 && addr->words[2] == ADDR_V4_MARK;
}

static __always_inline bool addr_equal(const addr_t *a, const addr_t *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

/*
 * A MAC as a number: its bytes from the lowest on. Read two bytes at a time, and volatile: left to itself the compiler reads
 * byte by byte, and puts them together again.
 */
static __always_inline u64 mac_value(const mac_t *mac)
{
	const volatile u16 *words = (const volatile u16 *)mac;

	return words[0] | (u64)words[1] << 16 | (u64)words[2] << 32;
}

static __always_inline bool mac_equal(const mac_t *a, const mac_t *b)
{
	const volatile u16 *left = (const volatile u16 *)a, *right = (const volatile u16 *)b;

	return !((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left[2] ^ right[2]));
}

#endif
