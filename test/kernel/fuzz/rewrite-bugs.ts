// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

const file = 'include/rewrite.h';
const plain = 'include/rewrite-plain.h';

/** Mistakes that are made again and again in programs that translate addresses. */
export const REWRITE_BUGS: readonly Bug[] = [
  {
    what: 'a UDP checksum of zero becomes one',
    file: plain,
    from: 'if (proto == IPPROTO_UDP && !sum)\n\t\treturn;',
    to: 'if (false)\n\t\treturn;',
  },
  {
    what: 'a UDP checksum that comes out as zero says that there is none',
    file: plain,
    from: 'if (proto == IPPROTO_UDP && !sum)\n\t\tsum = 0xffff;',
    to: '',
  },
  {
    what: 'the change of a port is not in the checksum',
    file: plain,
    from: 'sum = checksum_add(sum, diff + (u16)~old_port + port);',
    to: 'sum = checksum_add(sum, diff);',
  },
  {
    what: 'packets with options are taken for plain ones',
    file: plain,
    from: 'w->flags & (PKT_OPTIONS | PKT_FRAGMENT | PKT_ICMP_ERROR)',
    to: 'w->flags & (PKT_FRAGMENT | PKT_ICMP_ERROR)',
  },
  {
    what: 'tagged frames are taken for plain ones',
    file: plain,
    from: 'w->l3_off != ETH_HLEN || (proto',
    to: '(proto',
  },
  {
    what: 'later fragments lose bytes that look like ports',
    file,
    from: 'if (likely(!(w->flags & PKT_FRAG_LATER))) {',
    to: 'if (likely(true)) {',
  },
  {
    what: 'the address of a router on the way is replaced too',
    file,
    from: 'if (!error && addr_equal(&outer, &old))',
    to: 'if (!error && (addr_equal(&outer, &old) || true))',
  },
  {
    what: 'the quoted port stays',
    file,
    from: 'if (w->flags & PKT_PORTS || is_echo)',
    to: 'if (is_echo)',
  },
  {
    what: 'the checksum of an ICMPv6 error forgets the quoted address',
    file,
    from: 'error = bpf_l4_csum_replace(c->skb, icmp_sum, 0, diff, 0);',
    to: 'error = 0;',
  },
  {
    what: 'the quoted side is the wrong one',
    file,
    from: 'u32 inner_side = side == REWRITE_DST ? REWRITE_SRC : REWRITE_DST;',
    to: 'u32 inner_side = side;',
  },
  {
    what: 'an echo identifier changes without the checksum',
    file,
    from: '\t\t\t\tif (w->flags & PKT_ECHO)\n\t\t\t\t\tsum_off = 2;\n',
    to: '\t\t\t\tif (w->flags & PKT_ECHO)\n\t\t\t\t\tsum_off = -1;\n',
  },
];
