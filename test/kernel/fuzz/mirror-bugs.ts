// SPDX-License-Identifier: Apache-2.0
import { MATCH_BUGS } from './match-bugs.ts';
import type { Bug } from './planted.ts';

const file = 'mirror/mirror.bpf.c';
const clone = 'include/clone.h';

/** Mistakes that a mirror's author might make. */
export const MIRROR_BUGS: readonly Bug[] = [
  ...MATCH_BUGS.slice(0, 3),
  {
    what: 'packets leave by the port that they came by',
    file,
    from: 'c->port == OUTSIDE ? INSIDE : OUTSIDE',
    to: 'c->port == OUTSIDE ? OUTSIDE : INSIDE',
  },
  {
    what: 'what comes in by the first port for copies passes',
    file,
    from: 'if (unlikely(c->port > INSIDE))',
    to: 'if (unlikely(c->port > FIRST_COPY))',
  },
  {
    what: 'of several rules the shortest copy holds',
    file,
    from: 't->last[copy] < row->last',
    to: 't->last[copy] > row->last',
  },
  {
    what: 'of several rules the last one says how long the copy is',
    file,
    from: 'if (!(t->copies & 1U << copy) || t->last[copy] < row->last)',
    to: 'if (true)',
  },
  {
    what: 'headers are cut',
    file,
    from: 'if (most && most < t->headers)',
    to: 'if (false)',
  },
  {
    what: 'a copy is a byte too long',
    file,
    from: 't->last[copy] + 1;',
    to: 't->last[copy] + 2;',
  },
  {
    what: 'each row of a rule is a match',
    file,
    from: 'if (row->rule == t->rule ||',
    to: 'if (',
  },
  {
    what: 'all are copied but one in so many',
    file,
    from: 'bpf_get_prandom_u32() > row->sample',
    to: 'bpf_get_prandom_u32() < row->sample',
  },
  {
    what: 'the next cube finds what the copies left behind',
    file,
    from: '*c->work = *work;\n}',
    to: 'c->work->tuple = work->tuple;\n}',
  },
  {
    what: 'copies and failures are confused',
    file,
    from: 'error ? COUNT_COPY_FAILURES : COUNT_COPIES',
    to: 'error ? COUNT_COPIES : COUNT_COPY_FAILURES',
  },
  {
    what: 'one port gets a copy, the others none',
    file,
    from: 'COUNT_COPIES);\n\treturn 0;',
    to: 'COUNT_COPIES);\n\treturn 1;',
  },
  {
    what: 'ports from 18 on are taken for those from 2 on',
    file,
    from: 'cube_clone_cut(t->c, FIRST_COPY + copy, most)',
    to: 'cube_clone_cut(t->c, FIRST_COPY + (copy & 15), most)',
  },
  {
    what: 'TCP has a header of eight bytes',
    file: clone,
    from: 'w->l4_proto == IPPROTO_TCP ? TCP_HEADER : L4_HEADER',
    to: 'L4_HEADER',
  },
  {
    what: 'later fragments have ports',
    file: clone,
    from: 'if (w->flags & PKT_FRAG_LATER)\n\t\treturn w->l4_off;',
    to: '',
  },
  {
    what: 'a copy that was cut counts whole',
    file: clone,
    from: 'counter->tx_bytes += length;',
    to: 'counter->tx_bytes += c->skb->len;',
  },
  {
    what: 'after a copy that was cut the packet is of another graph',
    file: clone,
    from: 'skb->cb[CB_CUT_LENGTH] = epoch;',
    to: 'skb->cb[CB_CUT_LENGTH] = length | (epoch & 2);',
  },
];
