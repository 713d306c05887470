// SPDX-License-Identifier: Apache-2.0
import { MATCH_BUGS } from './match-bugs.ts';
import type { Bug } from './planted.ts';

const file = 'forwarder/forwarder.bpf.c';

/** Mistakes that a forwarder's author might make. */
export const FORWARDER_BUGS: readonly Bug[] = [
  ...MATCH_BUGS,
  {
    what: 'ports from 32 on are taken for those from 0 on',
    file: 'include/packet-match.h',
    from: 'f->port = 1ULL << (c->port & (CUBE_PORTS - 1));',
    to: 'f->port = 1ULL << (c->port & 31);',
  },
  {
    what: 'the last rule that matches decides, not the first',
    file,
    from: 't->found = index;\n\treturn 1;',
    to: 't->found = index;\n\treturn 0;',
  },
  {
    what: 'the last row is not tried',
    file,
    from: 'bpf_loop(settings.rows,',
    to: 'bpf_loop(settings.rows - (settings.rows > 0),',
  },
  {
    what: 'without a match the first rule decides',
    file,
    from: '.found = NO_ROW}',
    to: '.found = settings.rows ? 0 : NO_ROW}',
  },
  {
    what: 'rules are counted and handed over by their row',
    file,
    from: 'code = row->rule;',
    to: 'code = t.found & (RULES - 1);',
  },
  {
    what: 'a rule counts what the IP header says, not the frame',
    file,
    from: 'counter->bytes += c->skb->len;',
    to: 'counter->bytes += c->work->ip_len;',
  },
  {
    what: 'drops of a rule count as drops by default',
    file,
    from: 'reason = DROP_DROPPED_BY_RULE;',
    to: 'reason = DROP_DROPPED_BY_DEFAULT;',
  },
  {
    what: 'the default action leaves by port 0, whatever it says',
    file,
    from: 'port = settings.default_port,',
    to: 'port = 0,',
  },
];
