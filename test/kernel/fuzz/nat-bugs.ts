// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that a NAT's author might make. */
export const NAT_BUGS: readonly Bug[] = [
  {
    what: 'the port behind the range is given, too',
    file: 'nat/open.h',
    from: 'nat_options.first_port + place',
    to: 'nat_options.first_port + place + 1',
  },
  {
    what: 'the port of an established session is given to another one',
    file: 'nat/halves.h',
    from: '\tif (is_free(other, x->key.proto, now)) {',
    to: '\tif (true) {',
  },
  {
    what: 'a SYN of the peer reopens a session that is closing',
    file: 'nat/follow.h',
    from: 'SESSION_CLOSING) && !is_reply && session_opens',
    to: 'SESSION_CLOSING) && session_opens',
  },
  {
    what: 'an ICMP error keeps its session alive',
    file: 'nat/follow.h',
    from: 'unlikely(w->flags & PKT_ICMP_ERROR || cube_is_dry(c))',
    to: 'unlikely(cube_is_dry(c))',
  },
  {
    what: 'any acknowledgement establishes a session',
    file: 'include/session.h',
    from: 'bpf_ntohl(ack) == s->proof',
    to: 'ack',
  },
  {
    what: 'the timeouts of UDP are mixed up',
    file: 'include/session.h',
    from: 'session_timeouts.udp_stream : session_timeouts.udp',
    to: 'session_timeouts.udp : session_timeouts.udp_stream',
  },
  {
    what: 'a FIN is not told to the other half',
    file: 'nat/halves.h',
    from: 'other->state.flags |= x->half.state.flags;',
    to: '',
  },
  {
    what: 'a half is over although the other one has been used since',
    file: 'nat/halves.h',
    from: 'return other && same_half(other, &x->other) && !session_is_expired',
    to: 'return !now && other && !session_is_expired',
  },
  {
    what: 'a session goes on whose port somebody else has',
    file: 'nat/follow.h',
    from: 'sync_other(c, s, is_established) == -EEXIST',
    to: 'sync_other(c, s, is_established) == -ENOENT',
  },
  {
    what: 'who loses a port takes the session of the next one with it',
    file: 'nat/halves.h',
    from: 'if (other && same_half(other, &x->other))\n\t\tcube_map_delete(c, &embryonic, &x->other_key);',
    to: 'if (other)\n\t\tcube_map_delete(c, &embryonic, &x->other_key);',
  },
  {
    what: 'errors tell the address of a router on the inside',
    file: 'nat/nat.bpf.c',
    from: 'c->port == PORT_INSIDE &&\n\t\t     t->port == PORT_OUTSIDE',
    to: 'c->port == PORT_OUTSIDE &&\n\t\t     t->port == PORT_OUTSIDE',
  },
  {
    what: 'exclusions are looked up by the wrong side',
    file: 'nat/match.h',
    from: 'port == PORT_INSIDE ? *packet_dst(w) : *packet_src(w)',
    to: 'port == PORT_INSIDE ? *packet_src(w) : *packet_dst(w)',
  },
  {
    what: 'all ports of a range become the first one',
    file: 'nat/open.h',
    from: 'f->port + (bpf_ntohs(w->tuple.dport) - f->first)',
    to: 'f->port',
  },
  {
    what: 'a client changes its outside address',
    file: 'nat/open.h',
    from: '(first + hop) % size',
    to: '(first + hop + (start & 1)) % size',
  },
  {
    what: 'SCTP gets another port',
    file: 'nat/open.h',
    from: 'w->tuple.proto != IPPROTO_SCTP && w->flags',
    to: 'w->flags',
  },
  {
    what: 'an echo reply opens a session',
    file: 'nat/open.h',
    from: '(PKT_ICMP_ERROR | PKT_FRAG_LATER) || is_echo_reply(w)',
    to: '(PKT_ICMP_ERROR | PKT_FRAG_LATER)',
  },
  {
    what: 'echo replies are answered',
    file: 'include/echo-reply.h',
    from: 'w->icmp_type == (w->flags & PKT_IPV4 ? ICMP_ECHO : ICMPV6_ECHO) &&',
    to: '',
  },
  {
    what: 'answers to echo are not limited',
    file: 'nat/nat.bpf.c',
    from: 'if (!rate_allow(c, packet_src(c->work))) {',
    to: 'if (false) {',
  },
  {
    what: 'the Service of an error is looked for at the error itself',
    file: 'nat/match.h',
    from: 'key.addr = w->tuple.dst;',
    to: 'key.addr = *packet_dst(w);\n\tif (w->flags & PKT_ICMP_ERROR)\n\t\treturn VERDICT_PASS;',
  },
  {
    what: 'what comes from an excluded peer crosses, also what is for the host',
    file: 'nat/open.h',
    from: '} else if (!is_shared) {',
    to: '} else {',
  },
  {
    what: 'who says outside that it is inside is believed',
    file: 'nat/open.h',
    from: 'int reason = check_source();',
    to: 'int reason = 0;',
  },
  {
    what: 'a client that speaks to the inside itself has no session',
    file: 'nat/open.h',
    from: 'if (!excluded && !(nodes_are_routed',
    to: 'if (!c && !(nodes_are_routed',
  },
  {
    what: 'frames for other machines open sessions',
    file: 'nat/nat.bpf.c',
    from: 'c->skb->pkt_type != PACKET_HOST ||',
    to: '',
  },
];
