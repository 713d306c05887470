/* SPDX-License-Identifier: GPL-2.0-only */
/* Backends of services, by a number that sessions keep. For programs of any kind. */
#ifndef CUBEPLANE_BACKEND_H
#define CUBEPLANE_BACKEND_H

#include "types.h"

/* backend.flags */
#define BACKEND_LIVE  (1 << 0)
#define BACKEND_READY (1 << 1) /* takes new connections of some service */

struct backend {
	addr_t addr;
	be16_t port;
	u8 proto;
	u8 flags;	/* BACKEND_*; 0: the row is free */
	u32 generation; /* raised when the row becomes free: a session of another one is not of this
			   backend */
	u32 deadline;	/* coarse second from which sessions end, 0: never. Set when nobody lists the
			 backend any more */
	u32 departures; /* raised when a service lists the backend no longer while another one does;
			   odd: one is about to. In 16 bits, 0: never */
};
SIZE_ASSERT(struct backend, 32);

/* key: backend id. value: backend. writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct backend);
} backends SEC(".maps");

static __always_inline struct backend *backend_of(u32 id, u32 generation, u32 now)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	if (!b || b->generation != generation || !(b->flags & BACKEND_LIVE))
		return NULL;
	if (unlikely(b->deadline) && (s32)(now - b->deadline) >= 0)
		return NULL;
	return b;
}

#endif
