/* SPDX-License-Identifier: GPL-2.0-only */
/* Which other node a source belongs to. */
#ifndef CUBEPLANE_OVERLAY_SOURCE_H
#define CUBEPLANE_OVERLAY_SOURCE_H

#include "prefix.h"

/* The node that may send from this source by its tunnel; NULL: none, it is of no other node's pod. */
static __always_inline const struct overlay_source *overlay_source_of(const struct node_config *config,
								      const addr_t *source, bool is_v4)
{
	const u8 *lengths = is_v4 ? config->source_lengths_v4 : config->source_lengths_v6;

	for (int i = 0; i < PREFIX_LENGTHS; i++) {
		struct prefix_key prefix;
		const struct overlay_source *owner;

		if (!lengths[i])
			break;
		prefix_of(source, lengths[i], &prefix);
		owner = bpf_map_lookup_elem(&overlay_sources, &prefix);
		if (owner)
			return owner;
	}
	return NULL;
}

#endif
