// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that a load balancer's author might make. */
export const LOAD_BALANCER_BUGS: readonly Bug[] = [
  {
    what: 'a session is confirmed by any acknowledgement',
    file: 'include/session.h',
    from: 'bpf_ntohl(ack) == s->proof;',
    to: 'ack;',
  },
  {
    what: 'the FIN of a reply takes no sequence number',
    file: 'include/session.h',
    from: '(w->tcp_flags & TCP_SYN ? 1 : length) + !!(w->tcp_flags & TCP_FIN)',
    to: '(w->tcp_flags & TCP_SYN ? 1 : length)',
  },
  {
    what: 'a FIN is forgotten by the other half',
    file: 'load-balancer/halves.h',
    from: '		half->state.flags |= missing->state.flags;\n',
    to: '',
  },
  {
    what: 'a SYN does not reopen a session that is closing',
    file: 'load-balancer/client.h',
    from: '(s->state.flags & SESSION_CLOSING || !b ||',
    to: '(!b ||',
  },
  {
    what: 'a session stays when the row of its backend has another owner',
    file: 'include/backend.h',
    from: 'if (!b || b->generation != generation || !(b->flags & BACKEND_LIVE))',
    to: 'if (!b || !(b->flags & BACKEND_LIVE))',
  },
  {
    what: 'the time to drain never ends',
    file: 'include/backend.h',
    from: 'if (unlikely(b->deadline) && (s32)(now - b->deadline) >= 0)',
    to: 'if (unlikely(b->deadline) && (s32)(now - b->deadline) < 0)',
  },
  {
    what: 'replies of another session may be claimed',
    file: 'load-balancer/pick.h',
    from: 'if (!claim(c, s, b, t->sport, hides_client(c, f, b)))\n\t\t\tgoto picked;',
    to: 'claim(c, s, b, t->sport, hides_client(c, f, b));\n\t\tgoto picked;',
  },
  {
    what: 'Maglev mixes something of its own into the hash',
    file: 'load-balancer/pick.h',
    from: 'return mix(h ^ t->dst.halves[1]) >> 32;',
    to: 'return mix(h ^ t->dst.halves[1] ^ bpf_ktime_get_ns()) >> 32;',
  },
  {
    what: 'an affinity outlives its time',
    file: 'load-balancer/pick.h',
    from: 'if ((s32)(now - a->seen) > (s32)f->affinity)\n\t\treturn AFFINITY_ENDED;',
    to: '',
  },
  {
    what: 'a client of UDP stays with a backend that its Service has left',
    file: 'include/service.h',
    from: 'is_among(*(volatile u64 *)&f->segment, id));',
    to: 'f->segment);',
  },
  {
    what: 'a client of UDP leaves a backend that is draining',
    file: 'include/service.h',
    from: 'return f && (!(b->flags & BACKEND_READY) || is_among',
    to: 'return f && (is_among',
  },
  {
    what: 'a client of UDP does not remember that it may stay',
    file: 'load-balancer/client.h',
    from: '\t\ts->state.mark = departures;\n',
    to: '\t\ts->state.mark = departures & 0;\n',
  },
  {
    what: 'an IPv4 client is looked for among the ranges of IPv6',
    file: 'load-balancer/pick.h',
    from: '.family = addr_is_v4(client) ? 4 : 6',
    to: '.family = 6',
  },
  {
    what: 'a backend sees its own address when it reaches itself',
    file: 'load-balancer/client.h',
    from: '? hairpin_address(c->work)\n',
    to: '? c->work->tuple.src\n',
  },
  {
    what: 'the middle of an unknown connection is served by any frontend',
    file: 'load-balancer/client.h',
    from: '!opens && !(f->flags & FRONTEND_MAGLEV))',
    to: '!opens && f->flags & FRONTEND_REJECT)',
  },
  {
    what: 'an ICMP error keeps a session alive',
    file: 'load-balancer/server.h',
    from: 'if (unlikely(w->flags & PKT_ICMP_ERROR || cube_is_dry(c)))',
    to: 'if (unlikely(cube_is_dry(c)))',
  },
  {
    what: 'a reply to a changed port goes to that port of the client',
    file: 'load-balancer/server.h',
    from: 't->dport = s->port;',
    to: 't->dport = reply->dport;',
  },
  {
    what: 'the port of the service comes back in the wrong byte order',
    file: 'load-balancer/server.h',
    from: 't->sport = s->frontend_port;',
    to: 't->sport = bpf_htons(s->frontend_port);',
  },
  {
    what: 'the tag of an INIT ACK is read from its header',
    file: 'include/session.h',
    from: '*proof = sctp.initiate_tag;',
    to: '*proof = sctp.tag;',
  },
  {
    what: 'an ABORT is taken for an answer of an association',
    file: 'include/session.h',
    from: 'return chunk != SCTP_ABORT && chunk != SCTP_SHUTDOWN_COMPLETE;',
    to: 'return true;',
  },
  {
    what: 'an association that was met in its middle is never established',
    file: 'include/session.h',
    from: 'return chunk != SCTP_ABORT && chunk != SCTP_SHUTDOWN_COMPLETE;',
    to: 'return false;',
  },
  {
    what: 'a session is counted for another backend',
    file: 'load-balancer/client.h',
    from: 'count_pick(c, s.backend);',
    to: 'count_pick(c, 0);',
  },
  {
    what: 'two clients with one port share a session, where the backend sees neither',
    file: 'load-balancer/halves.h',
    from: ' && addr_equal(&a->client, &b->client)',
    to: '',
  },
  {
    what: 'errors for a backend come from whoever made them, though its client is hidden',
    file: 'load-balancer/client.h',
    from: 't->hides_sender = own & SESSION_MASQUERADE;',
    to: '',
  },
  {
    what: 'a client of the host itself keeps its address with the policy Local',
    file: 'load-balancer/pick.h',
    from: 'return f->flags & FRONTEND_MASQUERADE || bpf_map_lookup_elem(&host_addresses, &b->addr)',
    to: 'return f->flags & FRONTEND_MASQUERADE',
  },
];
