/* SPDX-License-Identifier: GPL-2.0-only */
/* IPv6 extension headers (RFC 8200 4). */
#ifndef CUBEPLANE_EXTENSIONS_H
#define CUBEPLANE_EXTENSIONS_H

#include "headers.h"
#include "hook.h"
#include "packet.h"
#include "generated/reasons.h"

#define MAX_EXTENSION_HEADERS 6

/*
 * Walks IPv6 extension headers from *off on (RFC 8200 4.1). Sets *proto to the first header that is
 * none, *off to where it begins, *frag to the fragment field (host order) and *id when there is
 * one. Returns 0 or a drop reason.
 */
static __always_inline int parse_extensions(hook_t *skb, u32 *off, u8 *proto, u16 *frag, u32 *id, u32 *flags)
{
	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		u8 head[8];
		u8 next = *proto;

		if (next != EXT_HOPOPTS && next != EXT_ROUTING && next != EXT_FRAGMENT &&
		    next != EXT_DSTOPTS && next != EXT_AH && next != EXT_MH)
			return 0;
		if (i == MAX_EXTENSION_HEADERS)
			return DROP_EXTENSION_HEADERS;
		if (hook_load(skb, *off, head, sizeof(head)))
			return DROP_MALFORMED;
		*flags |= PKT_OPTIONS;
		*proto = head[0];
		if (next == EXT_FRAGMENT) {
			*frag = bpf_ntohs(*(be16_t *)&head[2]);
			*id = *(be32_t *)&head[4];
			*off += 8;
			if (*frag & 0xfff8) /* later fragment: what follows is no header */
				return 0;
		} else if (next == EXT_AH) {
			*off += (head[1] + 2) * 4;
		} else {
			*off += (head[1] + 1) * 8;
		}
	}
	return 0;
}

#endif
