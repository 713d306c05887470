// SPDX-License-Identifier: Apache-2.0
import { atomicList, dnsLabel, integer, ip, mac, object, setOf } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import { route } from '../../api/schemas/route.ts';

export const schema: CubeTypeSchema = {
  type: 'Router',
  member: 'router',
  folder: 'router',
  description: 'forwards by destination between its ports and over tunnels.',
  schema: object(
    'A router for IPv4 and IPv6 (RFC 1812, RFC 8200). It answers ARP, neighbour discovery and echo for the addresses of its ports; every address with its prefix length is a connected route.',
    {
      routes: atomicList(
        'Static routes, in addition to connected ones and to the rows of Route tables. For the same prefix a connected route wins over a static one, and a static one over a table.',
        route,
        500,
        { default: [] },
      ),
      icmp: object(
        'Limit on the ICMP and ICMPv6 errors that the router sends, for each source prefix (IPv4 /24, IPv6 /64).',
        {
          errorsPerSecond: integer('Errors in a second in the long run. 0: none at all.', 0, 100000, {
            default: 100,
            unit: 'packets a second',
          }),
          burst: integer('Errors that may be sent at once after a silence.', 1, 100000, {
            default: 50,
            unit: 'packets',
          }),
        },
        [],
        { typeName: 'IcmpLimit', default: {} },
      ),
      mtu: integer(
        'Largest packet on every port. A smaller MTU of a port, or of what it is linked to, holds there.',
        1280,
        65535,
        { unit: 'bytes of IP packet' },
      ),
      maxRoutes: integer(
        'Routes that fit: connected, static and from tables together. What follows from them does not count.',
        16,
        1048576,
        {
          default: 16384,
          unit: 'routes',
        },
      ),
      neighbours: object(
        'Ports on which the router finds the MAC addresses of next hops itself, by ARP and neighbour discovery: those that lead through another cube, as a Bridge or a Forwarder, to hosts. On a port that is linked to an Interface the kernel does it.',
        {
          ports: setOf(
            'Names of the ports. Each needs an address of every family that it is to find neighbours of.',
            dnsLabel('Name of a port of the router.'),
            32,
            { default: [] },
          ),
          static: atomicList(
            'Neighbours whose MAC address is fixed: nobody is asked for it, and what others say of it does not count.',
            object(
              'One neighbour.',
              {
                port: dnsLabel('Port that it is on, one of `ports`.'),
                address: ip('Its address.'),
                mac: mac('Its MAC address.'),
              },
              ['port', 'address', 'mac'],
              { typeName: 'StaticNeighbour' },
            ),
            256,
            { default: [] },
          ),
          reachableSeconds: integer(
            'How long a MAC address counts as right after its host has confirmed it. One that is used after that is asked again; if it stays silent, everybody on the port is asked.',
            1,
            3600,
            { default: 30, unit: 'seconds' },
          ),
          maxNeighbours: integer(
            'Neighbours that fit, those included that are asked for or do not answer, which are at most half of them.',
            16,
            16384,
            { default: 1024, unit: 'neighbours' },
          ),
        },
        [],
        { typeName: 'RouterNeighbours', default: {} },
      ),
    },
    [],
    { typeName: 'Router' },
  ),
  ports: {
    fixed: [],
    named: 'Any name; each port is an interface of the router, with addresses of its own.',
    max: 32,
    addresses: true,
  },
  tables: ['Route'],
  hooks: ['TC'],
  rules: [],
  dropReasons: [
    {
      id: 32,
      name: 'NoRoute',
      description: 'No route leads to the destination. The sender is told by ICMP.',
      remedy: 'Add a route for it, or the address of a port whose prefix holds it.',
    },
    {
      id: 33,
      name: 'Blackhole',
      description: 'The route to the destination is a Blackhole.',
      remedy: 'Nothing, if the route is meant; otherwise remove it.',
    },
    {
      id: 34,
      name: 'Unreachable',
      description: 'The route to the destination is Unreachable. The sender is told by ICMP.',
      remedy: 'Nothing, if the route is meant; otherwise remove it.',
    },
    {
      id: 35,
      name: 'TtlExpired',
      description: 'TTL or hop limit ran out here. The sender is told by ICMP.',
      remedy: 'Normal for traceroute; otherwise look for a routing loop.',
    },
    {
      id: 36,
      name: 'PacketTooBig',
      description:
        'The packet, or a segment of it, is larger than the MTU of the way out; the router does not cut packets, also without DF. The sender is told by ICMP.',
      remedy: 'Normal for path MTU discovery; if it does not end, something on the way drops ICMP.',
    },
    {
      id: 37,
      name: 'NotForRouter',
      description:
        'The destination MAC is not that of the port: the frame was flooded or sent to a broadcast.',
      remedy: 'Look at the neighbour table of the sender; its gateway has another MAC.',
    },
    {
      id: 38,
      name: 'InvalidSource',
      description:
        "The source is a multicast, broadcast, loopback, unspecified or IPv6 link-local address, or the router's own.",
      remedy: 'Look at what the sender runs.',
    },
    {
      id: 39,
      name: 'NotForwardable',
      description:
        'The destination is a multicast, link-local, loopback or reserved address, which routers do not forward.',
      remedy: 'Nothing, unless an application counts on multicast between networks.',
    },
    {
      id: 40,
      name: 'LocalDelivery',
      description:
        "The packet is for one of the router's own addresses, and it is not an echo. The sender is told by ICMP.",
      remedy: 'Send it to a host; the router itself offers no service.',
    },
    {
      id: 41,
      name: 'ArpInvalid',
      description:
        'An ARP request or neighbour solicitation for an own address is malformed, or its sender claims that address.',
      remedy: 'Look for a host that uses an address of the router.',
    },
    {
      id: 42,
      name: 'NeighbourUnreachable',
      description:
        'The next hop on a port of `neighbours` does not answer ARP or neighbour discovery. The sender is told by ICMP.',
      remedy: 'See whether the host is up, has that address, and is in the network behind the port.',
    },
    {
      id: 43,
      name: 'NeighbourQueueFull',
      description:
        'More packets than are kept wait for the MAC address of their next hop, or more next hops are asked for than fit.',
      remedy:
        'Normal for a burst to a host that has just been silent; otherwise look for somebody who scans addresses, or raise maxNeighbours.',
    },
  ],
  counters: [
    { id: 0, name: 'forwarded', description: 'Packets sent on by a route.' },
    {
      id: 1,
      name: 'arpReplies',
      description: 'ARP replies and neighbour advertisements sent for own addresses.',
    },
    { id: 2, name: 'echoReplies', description: 'Echo replies sent from own addresses.' },
    { id: 3, name: 'icmpErrors', description: 'ICMP and ICMPv6 errors sent.' },
    {
      id: 4,
      name: 'icmpSuppressed',
      description: 'ICMP errors not sent: over the limit, or forbidden by RFC 1122 and RFC 4443.',
    },
    { id: 5, name: 'tunnelled', description: 'Packets sent into a tunnel.' },
    { id: 6, name: 'lpmLookups', description: 'Packets whose route came from the LPM fallback.' },
  ],
  decisions: [
    { id: 1, name: 'Route', description: 'Sent on by a route.', object: 'route' },
    { id: 2, name: 'OwnAddress', description: "For one of the router's own addresses.", object: 'address' },
    { id: 3, name: 'EchoReply', description: 'The packet becomes the answer to an echo request.' },
    {
      id: 4,
      name: 'NeighbourReply',
      description: 'The packet becomes the answer to an ARP request or neighbour solicitation.',
      object: 'address',
    },
    { id: 5, name: 'IcmpError', description: 'The packet becomes an ICMP error to its sender.' },
    {
      id: 6,
      name: 'Neighbour',
      description: 'What is known of the next hop on a port of `neighbours`.',
      object: 'neighbour',
    },
    {
      id: 7,
      name: 'Unresolved',
      description:
        'The MAC address of the next hop is not known: the agent keeps the packet, asks for it, and sends the packet on.',
      object: 'neighbour',
    },
    {
      id: 8,
      name: 'ReturnNoted',
      description:
        "Of a process of another node that speaks from that node's own address: its answers will go back by the tunnel.",
    },
    {
      id: 9,
      name: 'Return',
      description:
        "An answer to such a process: it goes by the tunnel, not by the route to the node's address.",
    },
  ],
  maps: [
    {
      name: 'routes_hash',
      class: 'config',
      key: 'prefix',
      value: 'route',
      writer: 'agent',
      description: 'Prefixes of the four longest lengths in use in each family: tried first, by exact match.',
    },
    {
      name: 'routes_lpm',
      class: 'config',
      key: 'prefix',
      value: 'route',
      writer: 'agent',
      description: 'All shorter prefixes.',
    },
    {
      name: 'route_lengths',
      class: 'config',
      key: 'family',
      value: 'prefix lengths, longest first, and whether routes_lpm is used, as one word',
      writer: 'agent',
      description: 'Which lengths to try in routes_hash.',
    },
    {
      name: 'own_addresses',
      class: 'config',
      key: 'address',
      value: 'port that has it, port of the host that has it too',
      writer: 'agent',
      description: "The router's own addresses.",
    },
    {
      name: 'router_ports',
      class: 'config',
      key: 'number of the port',
      value: 'IPv4 and IPv6 source of errors',
      writer: 'agent',
      description: 'What the router sends ICMP errors from.',
    },
    {
      name: 'neighbours',
      class: 'config',
      key: 'address of a next hop, port',
      value: 'MAC, state, when it is to be checked, when it was used',
      writer: 'agent',
      description: 'Next hops on ports of `neighbours`.',
    },
    {
      name: 'heard_counts',
      class: 'config',
      key: 'address of a next hop, port',
      value: 'a second, and what was heard in it',
      writer: 'program',
      description: 'Limits what a single neighbour may tell the agent.',
    },
    {
      name: 'returns',
      class: 'state',
      key: "tuple of the answers, from a pod to another node's address",
      value: 'second of about the last packet',
      writer: 'program',
      description:
        'What processes of other nodes, bound to the address of their node, have asked by a tunnel.',
    },
    {
      name: 'reply_buckets',
      class: 'state',
      key: 'prefix of senders',
      value: 'time at which the bucket is full again',
      writer: 'program',
      description: 'Token buckets for ICMP errors.',
    },
  ],
};
