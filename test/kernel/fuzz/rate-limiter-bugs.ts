// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

const file = 'rate-limiter/rate-limiter.bpf.c';
const bucket = 'rate-limiter/byte-bucket.h';
const wire = 'rate-limiter/wire-length.h';

/** Mistakes that a rate limiter's author might make. */
export const RATE_LIMITER_BUGS: readonly Bug[] = [
  {
    what: 'the peer is limited, not the address',
    file,
    from: 'egress ? packet_src(c->work) : packet_dst(c->work)',
    to: 'egress ? packet_dst(c->work) : packet_src(c->work)',
  },
  {
    what: 'both directions share a bucket',
    file,
    from: '(egress ? EGRESS : INGRESS);',
    to: 'INGRESS;',
  },
  {
    what: 'neighbour discovery is limited, too',
    file,
    from: ' || c->work->flags & PKT_ND',
    to: '',
  },
  {
    what: 'a dry run takes its bytes',
    file,
    from: '!cube_is_dry(c))) {',
    to: 'true)) {',
  },
  {
    what: 'what is dropped is counted in packets alone',
    file,
    from: '__sync_fetch_and_add(&counter->bytes, bytes);',
    to: '',
  },
  {
    what: 'a drop at the egress is told as one at the ingress',
    file,
    from: 'egress ? DROP_EGRESS_RATE_EXCEEDED : DROP_INGRESS_RATE_EXCEEDED',
    to: 'DROP_INGRESS_RATE_EXCEEDED',
  },
  {
    what: 'a bucket that was full long ago gives all the time since',
    file: bucket,
    from: '(full > now ? full : now) + cost',
    to: 'full + cost',
  },
  {
    what: 'a packet has to fit into the burst',
    file: bucket,
    from: 'if (full >= latest)',
    to: 'if ((full > now ? full : now) + cost > latest)',
  },
  {
    what: 'a packet that is over makes the next ones wait',
    file: bucket,
    from: 'if (full >= latest)\n\t\t\treturn false;',
    to: 'if (full >= latest) {\n\t\t\t__sync_fetch_and_add(&bucket->full, cost);\n\t\t\treturn false;\n\t\t}',
  },
  {
    what: 'a packet to be segmented counts its headers once',
    file: wire,
    from: 'return length + (length - header - 1) / size * header;',
    to: 'return length;',
  },
  {
    what: 'a last segment that is whole is one too many',
    file: wire,
    from: '(length - header - 1) / size',
    to: '(length - header) / size',
  },
  {
    what: 'the options of TCP are no headers',
    file: 'include/header-length.h',
    from: 'return w->l4_off + (offset >> 4) * 4;',
    to: 'return w->l4_off + 20;',
  },
];
