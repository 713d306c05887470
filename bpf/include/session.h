/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One session machine for every cube that remembers connections: balancer, NAT, firewall.
 *
 * A session has two halves, one for each direction, so that a packet costs one lookup. Each half
 * holds a session_state. The forward half is that of the initiator's packets. Halves live in one of
 * two tables:
 *   embryonic    not confirmed by the initiator; a flood may push entries out
 *   established  confirmed: a forged source cannot get here
 * Confirmed is
 *   TCP   the initiator acknowledges the SYN-ACK: it echoes a sequence number it can only have read
 *   SCTP  the initiator's packet carries the tag of the INIT-ACK (RFC 9260 8.5)
 *   UDP   the initiator sends again after a reply
 * and of a connection that was met in its middle, whose SYN-ACK or INIT-ACK nobody here has seen,
 *   TCP   the initiator acknowledges after a reply
 *   SCTP  it sends again after a reply, but such as a host without the association gives, too
 * because a live server answers every SYN of a flood, so that the reply alone proves nothing.
 *
 * FIN and RST (RFC 9293 3.10.7.4) only shorten the timeout: a session is never deleted on a packet
 * that may be forged. A SYN reopens one that is closing.
 */
#ifndef CUBEPLANE_SESSION_H
#define CUBEPLANE_SESSION_H

#include <linux/in.h>
#include "parse.h"
#include "cube.h"
#include "clock.h"

/* All in the unit of coarse_seconds(), 2^30 ns. */
struct session_timeouts {
	u32 tcp_syn;
	u32 tcp_established;
	u32 tcp_closing; /* after FIN or RST */
	u32 udp;
	u32 udp_stream; /* after the initiator has answered a reply */
	u32 sctp;
	u32 icmp;
	u32 pad;
};
SIZE_ASSERT(struct session_timeouts, 32);

const volatile struct session_timeouts session_timeouts = {
    .tcp_syn = 56,
    .tcp_established = 80466,
    .tcp_closing = 112,
    .udp = 28,
    .udp_stream = 168,
    .sctp = 3353,
    .icmp = 28,
};

/* session_state.flags */
#define SESSION_ESTABLISHED (1 << 0)
#define SESSION_REPLIED	    (1 << 1) /* the other side has answered */
#define SESSION_FIN	    (1 << 2) /* from the initiator */
#define SESSION_FIN_REPLY   (1 << 3) /* from the other side */
#define SESSION_RST	    (1 << 4) /* from either */
#define SESSION_MIDSTREAM   (1 << 5) /* TCP without its SYN, SCTP without its INIT: no proof is to come */
#define SESSION_CLOSING	    (SESSION_FIN | SESSION_FIN_REPLY | SESSION_RST)

/* The other half is looked at, and kept alive, when `seen` enters another span of 2^3 units. */
#define SESSION_SYNC_SHIFT 3

struct session_state {
	u32 seen;  /* coarse_seconds() of the last packet */
	u32 proof; /* forward half, embryonic: TCP acknowledgement number (host order) or SCTP tag
		      that confirms the session */
	u8 flags;  /* SESSION_* */
	u8 own;	   /* the cube's own flags */
	u16 mark;  /* the cube's own */
};
SIZE_ASSERT(struct session_state, 12);

/* In the TCP header (RFC 9293 3.1). */
#define TCP_SEQ_OFF 4
#define TCP_ACK_OFF 8

/* Common header and the first chunk's head of an SCTP packet (RFC 9260 3.1, 3.2). */
struct sctp_header {
	be16_t source;
	be16_t dest;
	be32_t tag;
	be32_t checksum;
	u8 chunk;
	u8 chunk_flags;
	be16_t chunk_length;
	be32_t initiate_tag; /* of INIT and INIT ACK */
};
SIZE_ASSERT(struct sctp_header, 20);

#define SCTP_INIT	       1
#define SCTP_INIT_ACK	       2
#define SCTP_ABORT	       6
#define SCTP_SHUTDOWN	       7
#define SCTP_SHUTDOWN_ACK      8
#define SCTP_SHUTDOWN_COMPLETE 14

static __always_inline u32 session_timeout(u8 proto, u8 flags)
{
	switch (proto) {
	case IPPROTO_TCP:
		if (flags & SESSION_CLOSING)
			return session_timeouts.tcp_closing;
		return flags & SESSION_ESTABLISHED ? session_timeouts.tcp_established
						   : session_timeouts.tcp_syn;
	case IPPROTO_UDP:
		return flags & SESSION_ESTABLISHED ? session_timeouts.udp_stream : session_timeouts.udp;
	case IPPROTO_SCTP:
		if (flags & SESSION_CLOSING)
			return session_timeouts.tcp_closing;
		return flags & SESSION_ESTABLISHED ? session_timeouts.sctp : session_timeouts.tcp_syn;
	}
	return session_timeouts.icmp;
}

/* `seen` may lie after `now`: another CPU has just written it. */
static __always_inline bool session_is_expired(const struct session_state *s, u8 proto, u32 now)
{
	return (s32)(now - s->seen) > (s32)session_timeout(proto, s->flags);
}

/* Whether the packet asks for a new connection. */
static __always_inline bool session_opens(const struct cube_ctx *c, u8 chunk)
{
	const struct cube_work *w = c->work;

	if (w->flags & (PKT_FRAG_LATER | PKT_ICMP_ERROR))
		return false;
	switch (w->tuple.proto) {
	case IPPROTO_TCP:
		return (w->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	case IPPROTO_SCTP:
		return chunk == SCTP_INIT;
	}
	return true;
}

/* Type of the first chunk of an SCTP packet; 0 (DATA) for all else. */
static __always_inline u8 session_chunk(const struct cube_ctx *c)
{
	const struct cube_work *w = c->work;
	u8 chunk = 0;

	if (w->tuple.proto != IPPROTO_SCTP || w->flags & (PKT_FRAG_LATER | PKT_ICMP_ERROR))
		return 0;
	if (bpf_skb_load_bytes(c->skb, w->l4_off + offsetof(struct sctp_header, chunk), &chunk, 1))
		return 0;
	return chunk;
}

/* SESSION_* that this packet adds to both halves. */
static __always_inline u8 session_events(const struct cube_work *w, u8 chunk, bool reply)
{
	if (w->tuple.proto == IPPROTO_TCP) {
		if (w->tcp_flags & TCP_RST)
			return SESSION_RST;
		if (w->tcp_flags & TCP_FIN)
			return reply ? SESSION_FIN_REPLY : SESSION_FIN;
		return 0;
	}
	if (w->tuple.proto != IPPROTO_SCTP)
		return 0;
	if (chunk == SCTP_ABORT)
		return SESSION_RST;
	if (chunk == SCTP_SHUTDOWN || chunk == SCTP_SHUTDOWN_ACK || chunk == SCTP_SHUTDOWN_COMPLETE)
		return reply ? SESSION_FIN_REPLY : SESSION_FIN;
	return 0;
}

/*
 * What a reply on an embryonic session tells that only its initiator will know: the number that
 * acknowledges the reply. Written to the forward half. False: this reply proves nothing.
 */
static __always_inline bool session_proof(const struct cube_ctx *c, const struct session_state *s, u8 chunk,
					  u32 *proof)
{
	const struct cube_work *w = c->work;

	if (w->flags & (PKT_FRAG_LATER | PKT_ICMP_ERROR))
		return false;
	if (w->tuple.proto == IPPROTO_TCP) {
		be32_t tcp[3]; /* seq, ack, data offset and flags */
		u32 length;

		if (w->tcp_flags & TCP_RST || !(w->tcp_flags & TCP_ACK) ||
		    bpf_skb_load_bytes(c->skb, w->l4_off + TCP_SEQ_OFF, tcp, sizeof(tcp)))
			return false;
		length = packet_length(c) - (w->l4_off - w->l3_off) - (bpf_ntohl(tcp[2]) >> 28) * 4;
		/* SYN and FIN take a number each (RFC 9293 3.4) */
		*proof =
		    bpf_ntohl(tcp[0]) + (w->tcp_flags & TCP_SYN ? 1 : length) + !!(w->tcp_flags & TCP_FIN);
		return true;
	}
	if (w->tuple.proto == IPPROTO_SCTP) {
		struct sctp_header sctp;

		if (s->flags & SESSION_MIDSTREAM) {
			/* with these two a host answers that knows of no association (RFC 9260 8.4) */
			*proof = 0;
			return chunk != SCTP_ABORT && chunk != SCTP_SHUTDOWN_COMPLETE;
		}
		if (chunk != SCTP_INIT_ACK || bpf_skb_load_bytes(c->skb, w->l4_off, &sctp, sizeof(sctp)))
			return false;
		*proof = sctp.initiate_tag;
		return true;
	}
	*proof = 0;
	return true;
}

/* Whether the initiator's packet confirms an embryonic session. */
static __always_inline bool session_confirms(const struct cube_ctx *c, const struct session_state *s)
{
	const struct cube_work *w = c->work;

	if (!(s->flags & SESSION_REPLIED) || w->flags & PKT_ICMP_ERROR)
		return false;
	if (w->flags & PKT_FRAG_LATER)
		return w->tuple.proto == IPPROTO_UDP;
	if (w->tuple.proto == IPPROTO_TCP) {
		be32_t ack;

		if ((w->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK)
			return false;
		if (s->flags & SESSION_MIDSTREAM)
			return true;
		return !bpf_skb_load_bytes(c->skb, w->l4_off + TCP_ACK_OFF, &ack, sizeof(ack)) &&
		       bpf_ntohl(ack) == s->proof;
	}
	if (w->tuple.proto == IPPROTO_SCTP) {
		be32_t tag;

		return !bpf_skb_load_bytes(c->skb, w->l4_off + offsetof(struct sctp_header, tag), &tag,
					   sizeof(tag)) &&
		       (s->flags & SESSION_MIDSTREAM || tag == s->proof);
	}
	return true;
}

/* Whether a half that is being used should look after the other one, too. */
static __always_inline bool session_syncs(const struct session_state *s, u32 now)
{
	return (s->seen ^ now) >> SESSION_SYNC_SHIFT;
}

#endif
