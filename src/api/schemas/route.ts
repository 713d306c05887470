// SPDX-License-Identifier: Apache-2.0
/** One route: in `Router.routes` and as a row of a Route table. */
import { choice, cidr, dnsLabel, integer, ip, object, unionRules } from './build.ts';
import type { Schema, Union } from './schema.ts';

const UNION: Union = {
  discriminator: 'type',
  members: { Port: 'port', NextHop: 'nextHop', Tunnel: 'tunnel', Blackhole: null, Unreachable: null },
};

export const route: Schema = object(
  'Where packets to one prefix go.',
  {
    destination: cidr('Prefix that the route is for; 0.0.0.0/0 and ::/0 are the defaults.'),
    type: choice(
      'What happens. Port: the destination is reached directly on a port. NextHop: through another router. Tunnel: encapsulated to another node. Blackhole: dropped and counted. Unreachable: dropped, and the sender is told by ICMP.',
      ['Port', 'NextHop', 'Tunnel', 'Blackhole', 'Unreachable'],
    ),
    port: dnsLabel('Port on which the destination is reached directly.'),
    nextHop: object(
      'Another router.',
      {
        address: ip('Address of the other router, of the same family as the destination.'),
        port: dnsLabel('Port on which it is reached. Without it the port whose prefix holds the address.'),
      },
      ['address'],
      { typeName: 'NextHop' },
    ),
    tunnel: object(
      'The tunnel to another node.',
      {
        remote: ip("Address of the other node's end, of either family."),
        vni: integer('Network identifier. Without it the one of the Overlay endpoint.', 1, 16777215),
      },
      ['remote'],
      { typeName: 'Tunnel' },
    ),
    mtu: integer(
      'Largest packet on this route; the port’s MTU holds as well. Larger ones are answered by ICMP fragmentation needed or packet too big.',
      1280,
      65535,
      { unit: 'bytes of IP packet' },
    ),
  },
  ['destination', 'type'],
  {
    typeName: 'Route',
    union: UNION,
    rules: [
      ...unionRules(UNION),
      {
        id: 'NextHopFamily',
        cel: '!has(self.nextHop) || !isCIDR(self.destination) || !isIP(self.nextHop.address) || ip(self.nextHop.address).family() == cidr(self.destination).ip().family()',
        message: 'the next hop and the destination are of different IP families',
        remedy: 'give an IPv4 next hop to an IPv4 prefix and an IPv6 next hop to an IPv6 prefix',
        field: '.nextHop',
        twin: (self, library) =>
          !self.nextHop ||
          !library.isCIDR(self.destination) ||
          !library.isIP(self.nextHop.address) ||
          library.family(self.nextHop.address) === library.family(self.destination),
      },
    ],
  },
);
