/* SPDX-License-Identifier: GPL-2.0-only */
/* What connected sockets were given in the place of a service's address. */
#ifndef CUBEPLANE_SOCKET_LB_PEER_H
#define CUBEPLANE_SOCKET_LB_PEER_H

#include "types.h"

/* An address that a process names, or is told. */
struct place {
	addr_t addr;
	be16_t port;
	u8 proto; /* IPPROTO_* */
	u8 pad[5];
};
SIZE_ASSERT(struct place, 24);

/* What a socket is connected to. */
struct peer {
	struct place frontend; /* as its process named it */
	struct place backend;
	u32 id; /* of the backend, with its generation */
	u32 generation;
};
SIZE_ASSERT(struct peer, 56);

/* key: a socket connected to a service. value: peer. writer: this program. It goes with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct peer);
} peers SEC(".maps");

#endif
