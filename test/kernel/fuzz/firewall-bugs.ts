// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that a firewall's author might make. */
export const FIREWALL_BUGS: readonly Bug[] = [
  {
    what: 'the search for prefixes leaves a length out',
    file: 'firewall/classify.h',
    from: '\t\t\tto = middle;',
    to: '\t\t\tto = middle ? middle - 1 : 0;',
  },
  {
    what: 'services are looked up by the source port',
    file: 'firewall/classify.h',
    from: 'TABLE_SERVICE_OTHER ? q->proto : q->dport',
    to: 'TABLE_SERVICE_OTHER ? q->proto : q->sport',
  },
  {
    what: 'source ports are forgotten where many rules fit',
    file: 'firewall/classify.h',
    from: 's->words[w] & p->words[w] & k->words[w];',
    to: 's->words[w] & k->words[w];',
  },
  {
    what: 'a rule that opens with its first packet has no bytes',
    file: 'firewall/classify.h',
    from: 'first = {1, c->skb->len}',
    to: 'first = {1, 0}',
  },
  {
    what: 'source ports are compared in network byte order',
    file: 'firewall/judge.h',
    from: 'q->sport = bpf_ntohs(w->tuple.sport);',
    to: 'q->sport = w->tuple.sport;',
  },
  {
    what: 'type and code of ICMP messages are swapped',
    file: 'firewall/judge.h',
    from: 'w->icmp_type << 8 | w->icmp_code',
    to: 'w->icmp_code << 8 | w->icmp_type',
  },
  {
    what: 'changed rules are asked in the direction of the packet that comes, not of the first one',
    file: 'firewall/judge.h',
    from: 'q->direction = from_outside ? INGRESS : EGRESS;',
    to: 'q->direction = q->direction;',
  },
  {
    what: 'a session that changed rules refuse stays',
    file: 'firewall/judge.h',
    from: 'count(c, COUNT_REVOKED);\n\t\tend_session(c, key);',
    to: 'count(c, COUNT_REVOKED);',
  },
  {
    what: 'rules that have changed once are asked about every packet',
    file: 'firewall/judge.h',
    from: '*(volatile u64 *)&s->generation = rules_generation(word);',
    to: '',
  },
  {
    what: 'what an ICMP error is about is asked as if it were the connection itself',
    file: 'firewall/judge.h',
    from: 'return ask_about_state(c, STATE_RELATED, word);',
    to: 'return ask_about_state(c, STATE_ESTABLISHED, word);',
  },
  {
    what: 'a confirmed session stays among the embryonic ones',
    file: 'firewall/judge.h',
    from: 'cube_map_delete(c, &embryonic, key);\n\tcount(c, COUNT_PROMOTED);',
    to: 'count(c, COUNT_PROMOTED);',
  },
  {
    what: 'a packet of a session does not keep it alive',
    file: 'firewall/judge.h',
    from: '\tif (s->state.seen != now)\n\t\ts->state.seen = now;\n',
    to: '',
  },
  {
    what: 'any acknowledgement of a later byte confirms a session',
    file: 'include/session.h',
    from: 'bpf_ntohl(ack) == s->proof',
    to: 'bpf_ntohl(ack) >= s->proof',
  },
  {
    what: 'ARP needs the permission of other frames',
    file: 'firewall/firewall.bpf.c',
    from: '!(w->flags & PKT_ARP) && !pass_other_frames',
    to: '!pass_other_frames',
  },
  {
    what: 'answers go on to the receiver',
    file: 'firewall/firewall.bpf.c',
    from: 'return cube_output(c, c->port);',
    to: 'return cube_output(c, out);',
  },
  {
    what: 'a log names no rule',
    file: 'firewall/judge.h',
    from: 'cube_log(c, a->action, a->rule);',
    to: 'cube_log(c, a->action, 0);',
  },
];
