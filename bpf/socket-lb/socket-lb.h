/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of the socket load balancer: those of services (service.h), and what a socket was given in the place of a
 * service's address, so that its process is told the service's.
 */
#ifndef CUBEPLANE_SOCKET_LB_H
#define CUBEPLANE_SOCKET_LB_H

#include <asm-generic/errno.h>
#include <linux/in.h>
#include "cube-cgroup.h"
#include "headers.h"
#include "peer.h"
#include "service.h"
#include "generated/reasons.h"

/* A UDP socket and one address that it sends to or hears from. */
struct flow_key {
	u64 socket; /* its cookie, never given to another one */
	struct place place;
};
SIZE_ASSERT(struct flow_key, 32);

struct flow {
	u32 backend; /* id */
	u32 generation;
	u32 seen;	/* coarse second of the last datagram sent */
	u32 departures; /* of the backend that it has heard of */
};
SIZE_ASSERT(struct flow, 16);

/* key: socket and frontend that it sends to without being connected. value: the backend that it keeps. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct reply {
	struct place frontend;
	u32 seen; /* as in flow */
	u32 pad;
};
SIZE_ASSERT(struct reply, 32);

/* key: socket and backend that it sends to without being connected. value: whose address the answers get. writer: this
 * program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct reply);
} replies SEC(".maps");

struct affinity_key {
	u64 netns; /* cookie: all processes of a network namespace are one client, for they share its addresses */
	u32 group;
	u32 family; /* 4 or 6: they have one address of each */
};
SIZE_ASSERT(struct affinity_key, 16);

/* key: client of a frontend. value: its backend. writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinity SEC(".maps");

/* How long an unconnected socket keeps a backend that it does not send to, in coarse seconds. */
const volatile u32 flow_timeout = 168;

static __always_inline bool place_equal(const struct place *a, const struct place *b)
{
	return a->port == b->port && a->proto == b->proto && addr_equal(&a->addr, &b->addr);
}

static __always_inline bool is_flow_over(u32 seen, u32 now)
{
	return (s32)(now - seen) > (s32)flow_timeout;
}

#endif
