/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers that a cube makes out of the packet it was given: ICMP and ICMPv6 errors, TCP resets,
 * echo replies. Each turns the packet around in place and the work area with it, so that what
 * follows is one cube_output(), usually at c->port, where the packet came in.
 *
 * Checksum offload. A packet of a local sender may be CHECKSUM_PARTIAL: the kernel or a card
 * sums from csum_start to the end and writes the result into the checksum field, after us and
 * without asking. A program cannot see that state, so the answers are right in both:
 *
 * - An ICMP error quotes the packet up to the end of its TCP (20 bytes) or other (8 bytes)
 *   header, which keeps csum_start and the checksum field inside, and gives the quoted checksum
 *   field the value that such a sum would write there again: the ICMP checksum then holds before
 *   and after.
 * - A RST has its checksum where that of the packet was and holds the pseudo header's sum there;
 *   its window is chosen so that this is at the same time the complete checksum.
 *
 * So the quotation ends there, and not at the 576 (RFC 1812 4.3.2.3) or 1280 (RFC 4443 2.4(c))
 * bytes that an error might have; every quotation holds the ports and the TCP sequence number,
 * which is what receivers look at. A packet whose headers are too long, or whose offloaded
 * checksum lies deeper (SCTP, a tunnel inside), gets no answer.
 *
 * All packet pointers are invalid after any function of these files.
 */
#ifndef CUBEPLANE_REPLY_H
#define CUBEPLANE_REPLY_H

#include "icmp-error.h"
#include "tcp-reset.h"
#include "echo-reply.h"

#endif
