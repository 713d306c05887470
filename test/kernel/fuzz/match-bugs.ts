// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

const file = 'include/packet-match.h';

/** Mistakes in what a packet is compared by, which forwarder and mirror share. */
export const MATCH_BUGS: readonly Bug[] = [
  {
    what: 'source ports are compared in network byte order',
    file,
    from: 'f->sport = bpf_ntohs(w->tuple.sport);',
    to: 'f->sport = w->tuple.sport;',
  },
  {
    what: 'an ICMP error is of the protocol that it quotes',
    file,
    from: 'f->proto = w->l4_proto;',
    to: 'f->proto = w->tuple.proto;',
  },
  {
    what: 'an ICMP error comes from whom the packet went to that it quotes',
    file,
    from: 'f->src = *packet_src(w);',
    to: 'f->src = w->tuple.src;',
  },
  {
    what: 'the code point is the lower six bits',
    file,
    from: 'f->dscp = w->tos >> 2;',
    to: 'f->dscp = w->tos & 0x3f;',
  },
  {
    what: 'ARP is IP',
    file,
    from: 'f->has = (w->flags & PKT_IP ? NEEDS_IP : 0)',
    to: 'f->has = (w->flags & (PKT_IP | PKT_ARP) ? NEEDS_IP : 0)',
  },
  {
    what: 'prefixes of IPv6 without bits are for IPv4 too',
    file,
    from: '(w->flags & PKT_IPV6 ? NEEDS_V6 : 0)',
    to: '(w->flags & PKT_IP ? NEEDS_V6 : 0)',
  },
  {
    what: 'later fragments have no ports',
    file,
    from: 'if (w->flags & PKT_PORTS &&',
    to: 'if (w->flags & PKT_PORTS && !(w->flags & PKT_FRAG_LATER) &&',
  },
  {
    what: 'the last port of a range is not in it',
    file,
    from: 'f->dport <= m->dport_last',
    to: 'f->dport < m->dport_last',
  },
  {
    what: 'of the mark all bits are looked at',
    file,
    from: '((m->mark ^ f->mark) & m->mark_mask)',
    to: '(m->mark_mask ? m->mark ^ f->mark : 0)',
  },
  {
    what: 'of destinations the upper half is compared alone',
    file,
    from: ' |\n\t\t  ((m->dst.halves[1] ^ f->dst.halves[1]) & m->dst_mask.halves[1]);',
    to: ';',
  },
];
