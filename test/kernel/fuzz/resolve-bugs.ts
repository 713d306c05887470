// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that an author of bpf/router/resolve.h, or of what calls it, might make. */
export const RESOLVE_BUGS: readonly Bug[] = [
  {
    what: 'the destination is asked for where a gateway leads to it',
    file: 'router/resolve.h',
    from: 'key.addr = is_direct ? *packet_dst(w) : w->next_hop;',
    to: 'key.addr = *packet_dst(w);',
  },
  {
    what: 'one more packet of a neighbour waits than may in a second',
    file: 'router/resolve.h',
    from: '*records >= most',
    to: '*records > most',
  },
  {
    what: 'a MAC is told as stale one second too late',
    file: 'router/resolve.h',
    from: '(s32)(now - n->stale_at) >= 0',
    to: '(s32)(now - n->stale_at) > 0',
  },
  {
    what: 'the MACs of a frame are the wrong way round',
    file: 'router/resolve.h',
    from: 'cube_set_macs(c, mac, cube_gateway())',
    to: 'cube_set_macs(c, cube_gateway(), mac)',
  },
  {
    what: 'packets to one that does not answer wait',
    file: 'router/resolve.h',
    from: 'if (!n || n->state == NEIGHBOUR_INCOMPLETE) {',
    to: 'if (!n || n->state == NEIGHBOUR_INCOMPLETE || n->state == NEIGHBOUR_FAILED) {',
  },
  {
    what: 'others speak of a fixed neighbour',
    file: 'router/resolve.h',
    from: 'if (!n || n->state == NEIGHBOUR_STATIC)',
    to: 'if (!n)',
  },
  {
    what: 'a request of a neighbour ends at the agent, without an answer',
    file: 'router/resolve.h',
    from: 'return h.is_answer ? reason : 0;',
    to: 'return reason;',
  },
  {
    what: 'neighbour discovery speaks of IPv4 addresses',
    file: 'router/resolve.h',
    from: 'addr_is_v4(&h->address)',
    to: 'false',
  },
  {
    what: 'what neighbours say takes the rate of packets',
    file: 'router/resolve.h',
    from: 'cube_hand_over(c, PUNT_LOG, PUNT_HEARD, 0)',
    to: 'cube_hand_over(c, PUNT_PACKET, PUNT_HEARD, 0)',
  },
  {
    what: 'a solicitation tells the MAC of its frame',
    file: 'router/resolve.h',
    from: 'h->has_mac = option.type == 1 && option.length == 1;',
    to: 'h->has_mac = !bpf_skb_load_bytes(c->skb, 6, &h->mac, sizeof(h->mac));',
  },
  {
    what: 'an answer without a route waits for a MAC',
    file: 'router/route.h',
    from: 'c->work->flags |= PKT_FRAME_READY; /* its MACs have been exchanged */',
    to: '(void)0;',
  },
  {
    what: 'a host that shares an address of the router is not told that nobody answers',
    file: 'router/route.h',
    from: 'return own && own->delivery != c->port;',
    to: 'return own;',
  },
  {
    what: 'a packet that has waited for nothing is silently lost',
    file: 'router/route.h',
    from: 'is_own_answer(c) ? 0 : ERROR_HOST_UNREACHABLE',
    to: '0',
  },
  {
    what: 'a packet that has waited takes another hop',
    file: 'router/route.h',
    from: 'route_follow(c->work, route);\n\t*port = route->port;\n\to->length = route->length;\n\treturn 0;',
    to: 'route_follow(c->work, route);\n\t*port = route->port;\n\to->length = route->length;\n\treturn decrement_ttl(c);',
  },
];
