// SPDX-License-Identifier: Apache-2.0
import type { Paths } from './flow-cache-subject.ts';
import type { Bug } from './planted.ts';

const replay = 'entry/replay.h';
const entry = 'entry/tcx.bpf.c';

/** Mistakes in what is known of flows, and in what cubes say of it. `object`: that the mistake gets into. */
export const FLOW_CACHE_BUGS: readonly (Bug & { readonly object: keyof Paths })[] = [
  {
    object: 'tcx',
    what: 'a SYN, FIN or RST does not end what is known',
    file: replay,
    from: 'r->stamp == look->stamp && ',
    to: '',
  },
  {
    object: 'tcx',
    what: 'the agent is not heard',
    file: replay,
    from: 'return *(volatile u32 *)&state->generation << 1 | (epoch & 1);',
    to: 'return epoch & 1;',
  },
  {
    object: 'tcx',
    what: 'another graph is not seen',
    file: replay,
    from: '<< 1 | (epoch & 1);',
    to: '<< 1;',
  },
  {
    object: 'tcx',
    what: 'a flow in its second place is noted in its first',
    file: replay,
    from: '\t\t\tlook->number ^= 1;\n',
    to: '',
  },
  {
    object: 'tcx',
    what: "the second place is anybody's",
    file: replay,
    from: 'look->is_of_tuple = same_tuple(&other->tuple, &w->tuple);',
    to: 'look->is_of_tuple = true;',
  },
  {
    object: 'tcx',
    what: 'the last hop is passed with a TTL of 1',
    file: replay,
    from: 'c->work->ttl > r->ttl &&',
    to: 'c->work->ttl >= r->ttl &&',
  },
  {
    object: 'tcx',
    what: 'the MTU of the way is forgotten',
    file: replay,
    from: '(r->mtu && exceeds_mtu(c, r->mtu))',
    to: 'false',
  },
  {
    object: 'tcx',
    what: 'frames for others are taken',
    file: replay,
    from: ' | skb->pkt_type << FLOW_TYPE_SHIFT;',
    to: ';',
  },
  {
    object: 'tcx',
    what: 'any TCP packet goes by what is known',
    file: replay,
    from: '(w->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) == TCP_ACK);',
    to: 'w->tcp_flags & TCP_ACK);',
  },
  {
    object: 'tcx',
    what: 'the last of the counters of a cube is left out',
    file: replay,
    from: 'map && k < FLOW_COUNTS && step->counts[k]; k++)',
    to: 'map && k + 1 < FLOW_COUNTS && step->counts[k + 1]; k++)',
  },
  {
    object: 'tcx',
    what: 'the first cube is not counted',
    file: replay,
    from: 'for (u32 i = 0; i < FLOW_STEPS && i < r->steps; i++)',
    to: 'for (u32 i = 1; i < FLOW_STEPS && i < r->steps; i++)',
  },
  {
    object: 'tcx',
    what: 'a tunnel is not asked who sent it',
    file: entry,
    from: 'look.record->is_proof && ',
    to: '',
  },
  {
    object: 'tcx',
    what: 'half of the source MAC is enough',
    file: replay,
    from: 'r->source == look->source && ',
    to: '',
  },
  {
    object: 'tcx',
    what: 'the interface does not count what is known',
    file: entry,
    from: 'entry_count(skb, look.record->counters)',
    to: 'NULL',
  },
  {
    object: 'tcx',
    what: 'the TTL stays',
    file: replay,
    from: 'return r->ttl ? replay_ttl(c, r->ttl) : 0;',
    to: 'return 0;',
  },
  {
    object: 'tcx',
    what: 'the source of an answer stays',
    file: replay,
    from: 'r->sport != w->tuple.sport || !addr_equal(&r->src, &w->tuple.src)',
    to: 'r->sport != w->tuple.sport',
  },
  {
    object: 'router',
    what: 'the router says nothing of its MTU',
    file: 'router/route.h',
    from: '\tflow_limit(c, route->mtu);\n',
    to: '',
  },
  {
    object: 'firewall',
    what: 'a packet that was asked about again stands for those that are not',
    file: 'firewall/judge.h',
    from: '\tcube_unsettle(c);\n',
    to: '',
  },
  {
    object: 'load-balancer',
    what: 'a new connection is settled',
    file: 'load-balancer/client.h',
    from: '\tif (is_established)\n\t\tcube_settle(c);\n\telse if (session_confirms',
    to: '\tcube_settle(c);\n\tif (!is_established && session_confirms',
  },
];
