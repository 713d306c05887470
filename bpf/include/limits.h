/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes of the cube ABI, for programs of every hook. */
#ifndef CUBEPLANE_LIMITS_H
#define CUBEPLANE_LIMITS_H

#define CUBE_ABI	 1
#define CUBE_SLOTS	 256 /* slot 0 is the entry program: its ports are the kinds of attachment */
#define CUBE_XDP_SLOT	 255 /* stands for the entry program at XDP, with the same ports; no cube's */
#define CUBE_PORTS	 64
#define CUBE_BANKS	 2
#define CUBE_DROPS	 64
#define CUBE_COUNTERS	 32
#define CUBE_ATTACHMENTS 4096

#endif
