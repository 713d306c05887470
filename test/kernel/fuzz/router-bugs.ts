// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that a router's author might make. */
export const ROUTER_BUGS: readonly Bug[] = [
  {
    what: 'a packet whose hop limit ends here goes on',
    file: 'router/route.h',
    from: 'w->ttl <= 1',
    to: 'w->ttl < 1',
  },
  {
    what: 'the carry of the header checksum is lost',
    file: 'router/route.h',
    from: 'sum + (sum >= 0xffff)',
    to: 'sum',
  },
  {
    what: 'the hop limit of IPv6 stays',
    file: 'router/route.h',
    from: 'ip->hop_limit = w->ttl - 1;',
    to: 'ip->hop_limit = w->ttl;',
  },
  {
    what: 'a packet as long as the MTU is too long',
    file: 'include/header-length.h',
    from: 'packet_length(c) > mtu',
    to: 'packet_length(c) >= mtu',
  },
  {
    what: 'packets are routed that claim to come from the router',
    file: 'router/router.bpf.c',
    from: 'own && own->delivery != c->port))\n\t\treturn ADMIT_DROP',
    to: 'own && own->delivery == c->port))\n\t\treturn ADMIT_DROP',
  },
  {
    what: 'all that is for another node goes by the tunnel',
    file: 'router/route.h',
    from: 'if (return_is_due(c)) {',
    to: 'if (return_is_due(c) || true) {',
  },
  {
    what: 'behind a row for answers alone there is no route',
    file: 'router/route.h',
    from: 'return route_match(c, packet_dst(c->work), true);',
    to: 'return NULL;',
  },
  {
    what: 'what the router says to another node itself is masqueraded',
    file: 'router/route.h',
    from: 'route->kind == ROUTE_RETURN && !is_to_node',
    to: 'route->kind == ROUTE_RETURN',
  },
  {
    what: 'ports of answers are noted the wrong way round',
    file: 'router/return.h',
    from: '.sport = w->tuple.dport',
    to: '.sport = w->tuple.sport',
  },
  {
    what: 'what an error of another node quotes counts as a question',
    file: 'router/return.h',
    from: 'w->flags & (PKT_ICMP_ERROR | PKT_FRAG_UNRESOLVED)',
    to: 'w->flags & PKT_FRAG_UNRESOLVED',
  },
  {
    what: 'a fragment without its first one counts as a question',
    file: 'router/return.h',
    from: 'w->flags & (PKT_ICMP_ERROR | PKT_FRAG_UNRESOLVED)',
    to: 'w->flags & PKT_ICMP_ERROR',
  },
  {
    what: 'a broadcast address is a host',
    file: 'router/route.h',
    from: 'route->length < 127',
    to: 'route->length < 97',
  },
  {
    what: 'a strict source route is carried',
    file: 'router/router.bpf.c',
    from: 'type == 131 || type == 137',
    to: 'type == 131',
  },
  {
    what: 'refusals of own ports come from another address than the one asked',
    file: 'router/router.bpf.c',
    from: 'if (o->reason == DROP_LOCAL_DELIVERY)',
    to: 'if (o->reason == DROP_NO_ROUTE)',
  },
  {
    what: 'a solicitation may have any code',
    file: 'include/neighbour.h',
    from: 'w->icmp_code || w->flags & PKT_OPTIONS',
    to: 'w->flags & PKT_OPTIONS',
  },
  {
    what: 'the default route of IPv6 takes IPv4 too',
    file: 'router/route.h',
    from: 'route && family == FAMILY_V4 && route->flags & ROUTE_V6',
    to: 'false',
  },
  {
    what: 'parts of an echo request are answered',
    file: 'include/echo-reply.h',
    from: 'w->flags & (PKT_FRAGMENT | PKT_OPTIONS)',
    to: 'w->flags & PKT_OPTIONS',
  },
  {
    what: 'the MTU is told in the wrong byte order',
    file: 'include/icmp-error.h',
    from: 'b->icmp.info = bpf_htonl(info);',
    to: 'b->icmp.info = info;',
  },
];
