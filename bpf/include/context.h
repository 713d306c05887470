/* SPDX-License-Identifier: GPL-2.0-only */
/* What travels with a packet from program to program. */
#ifndef CUBEPLANE_CONTEXT_H
#define CUBEPLANE_CONTEXT_H

/*
 * skb->cb while a packet is inside a chain. The entry program writes all five words: what it finds
 * there belongs to somebody else and is never trusted.
 */
#define CB_MAGIC 0 /* CUBE_MAGIC; anything else: the packet did not come through an entry */
#define CB_PORT	 1 /* port of the current cube that the packet came in by */
#define CB_EPOCH 2 /* node_config.epoch at the entry: one packet sees one graph */
#define CB_HOPS	 3 /* cubes passed so far */
#define CB_FLAGS 4 /* CUBE_F_* */

#define CUBE_MAGIC    0x43554245 /* "CUBE" */
#define CUBE_MAX_HOPS 31 /* the 32nd cube counts the drop; the kernel ends a 34th tail call in silence */

#define CUBE_F_DRY   (1 << 0) /* change no state, send nothing: report only */
#define CUBE_F_TRACE (1 << 1) /* report each hop and decision */
#define CUBE_F_HOST_DEV                                                                                      \
	(1 << 2) /* straight from an Interface endpoint: the host's stack may have the packet */
#define CUBE_F_INJECTED (1 << 3) /* comes from the agent, straight into this cube */

/* How many copies of copies the packet is: 0 for one that no cube made (clone.h). */
#define CUBE_F_COPY_SHIFT 4
#define CUBE_F_COPY_DEPTH (3 << CUBE_F_COPY_SHIFT)

/* It is noted what becomes of the packet, in the record of `flow_records` whose number stands above (flow-cache.h); never with the two
 * that are reported. */
#define CUBE_F_RECORD	 (1 << 6)
#define CUBE_F_SETTLED	 (1 << 7) /* cube_settle(); never in cb */
#define FLOW_INDEX_SHIFT 16

#define TRACE_NUMBER 16 /* first bit of the number of a traced packet in cb[CB_FLAGS] */

#endif
