// SPDX-License-Identifier: Apache-2.0
import { choice, integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import type { Schema } from '../../api/schemas/schema.ts';
import { outsideOrInside } from '../outside-inside.ts';
import { counters, decisions, dropReasons } from './reasons.ts';
import { exclusions, forwardRules, sourceRules } from './rules.ts';

const seconds = (description: string, value: number): Schema =>
  integer(description, 1, 604800, { default: value, unit: 'seconds' });

const capacity = (description: string, value: number): Schema =>
  integer(description, 16, 8388608, { default: value, unit: 'sessions' });

export const schema: CubeTypeSchema = {
  type: 'Nat',
  member: 'nat',
  folder: 'nat',
  description: 'translates addresses and ports between its inside and its outside.',
  schema: object(
    'A NAT for IPv4 and IPv6 (RFC 4787, RFC 5382, RFC 5508). The addresses that it translates to are those of its port outside. A session is made by its first packet, in either direction; what neither a session nor a rule takes crosses unchanged, except to an outside address, where it is dropped; an echo request for an outside address that the host does not have is answered.',
    {
      role: choice(
        'Whose the outside addresses are. Gateway: its own; it answers ARP and neighbour discovery for them, and drops what is for them and no session or rule takes. Discriminator: also those of the node, whose port outside is linked to an Interface. Of what comes in by that, sessions and rules take theirs; packets for a Service (frontends of the scopes NodePort, External and LoadBalancer of its tables) and for the inside (prefixes that source rules name as sources) cross unchanged; everything else is left to the host. Out of the port outside, packets that a Router gave no next hop follow the routes of the host.',
        ['Gateway', 'Discriminator'],
        { default: 'Gateway' },
      ),
      maxServices: integer(
        'Role Discriminator: pairs of address and port of all Services together that fit.',
        16,
        4194304,
        { default: 32768, unit: 'entries' },
      ),
      sourceRules,
      forwardRules,
      exclusions,
      portRange: object(
        'Outside ports and echo identifiers that sessions claim. No process of the host and no forward rule may use them on an outside address. Role Discriminator: the agent adds them to net.ipv4.ip_local_reserved_ports of the node, so that the kernel gives none of them to a process that does not ask for it by number.',
        {
          first: integer('First port.', 1024, 65535, { default: 49152 }),
          last: integer('Last port.', 1024, 65535, { default: 65535 }),
        },
        [],
        {
          typeName: 'NatPortRange',
          default: {},
          rules: [
            {
              id: 'PortRangeTooSmall',
              cel: '(has(self.last) ? self.last : 65535) - (has(self.first) ? self.first : 49152) >= 63',
              message: 'the range has less than 64 ports, or its last one lies before its first',
              remedy: 'set last to first + 63 or more',
              field: '.last',
              twin: (self) => (self.last ?? 65535) - (self.first ?? 49152) >= 63,
            },
          ],
        },
      ),
      rejects: object(
        'Limit on the RSTs that answer TCP packets of unknown connections and the answers to echo requests for outside addresses, together, for each source prefix (IPv4 /24, IPv6 /64).',
        {
          errorsPerSecond: integer('Answers in a second in the long run. 0: none at all.', 0, 1000000, {
            default: 1000,
            unit: 'packets a second',
          }),
          burst: integer('Answers that may be sent at once after a silence.', 1, 1000000, {
            default: 1000,
            unit: 'packets',
          }),
        },
        [],
        { typeName: 'NatRejectLimit', default: {} },
      ),
      sessions: object(
        'Sizes of the tables in the kernel, which are allocated as a whole, and how long an idle session lives.',
        {
          maxEstablished: capacity(
            'Established sessions; none of them makes room for another one before its timeout.',
            131072,
          ),
          maxEmbryonic: capacity(
            'Sessions before their initiator has confirmed them; the oldest make room.',
            32768,
          ),
          timeouts: object(
            'How long a session lives without a packet.',
            {
              tcpSyn: seconds('TCP and SCTP before they are established.', 60),
              tcpEstablished: seconds('TCP, established (RFC 5382 asks for at least 7,440).', 86400),
              tcpClosing: seconds('TCP after a FIN or RST, SCTP after a SHUTDOWN or ABORT.', 120),
              udp: seconds('UDP before the initiator has answered a reply.', 30),
              udpStream: seconds('UDP after that (RFC 4787 asks for at least 120).', 180),
              sctp: seconds('SCTP, established.', 3600),
              icmp: seconds('ICMP echo, and protocols without ports.', 60),
            },
            [],
            { typeName: 'NatTimeouts', default: {} },
          ),
        },
        [],
        { typeName: 'NatSessions', default: {} },
      ),
    },
    [],
    { typeName: 'Nat' },
  ),
  ports: {
    fixed: [
      {
        name: 'outside',
        description: 'The side whose peers see the addresses of this port. Its addresses stand here.',
      },
      { name: 'inside', description: 'The side whose addresses are hidden, and that of the servers.' },
    ],
    named: 'None beside these two.',
    max: 2,
    addresses: true,
  },
  tables: ['Service', 'Announcement'],
  hooks: ['TC'],
  rules: [
    outsideOrInside({
      id: 'NatPortUnknown',
      message: 'a Nat has the ports outside and inside only',
      remedy: 'name the ports outside and inside',
    }),
    {
      id: 'NatAddressInside',
      cel: "!has(self.ports) || self.ports.all(p, p.name != 'inside' || !has(p.addresses) || p.addresses.size() == 0)",
      message: 'the port inside of a Nat has addresses',
      remedy: 'set the addresses to translate to on the port outside; the inside is reached through a Router',
      field: '.ports',
      kind: 'FieldValueForbidden',
      twin: (self) =>
        (self.ports ?? []).every(
          (p: { name: string; addresses?: string[] }) =>
            p.name !== 'inside' || (p.addresses ?? []).length === 0,
        ),
    },
  ],
  dropReasons,
  counters,
  decisions,
  maps: [
    {
      name: 'established',
      class: 'state',
      key: '5-tuple and port it comes in by',
      value: 'addresses and ports it leaves with, state',
      writer: 'program',
      description: 'Sessions that their initiator has confirmed; two entries each.',
    },
    {
      name: 'embryonic',
      class: 'state',
      key: '5-tuple and port it comes in by',
      value: 'addresses and ports it leaves with, state',
      writer: 'program',
      description: 'Sessions before that; the oldest make room.',
    },
    {
      name: 'matches',
      class: 'config',
      key: 'field and prefix',
      value: 'set of rules',
      writer: 'agent',
      description: 'Which rules take a packet, by each of its fields.',
    },
    {
      name: 'source_rules',
      class: 'config',
      key: 'rule',
      value: 'type, places in pool',
      writer: 'agent',
      description: 'What the source rules do.',
    },
    {
      name: 'forward_rules',
      class: 'config',
      key: 'rule',
      value: 'target and its port',
      writer: 'agent',
      description: 'What the forward rules do.',
    },
    {
      name: 'pool',
      class: 'config',
      key: 'place',
      value: 'address',
      writer: 'agent',
      description: 'Outside addresses of the source rules.',
    },
    {
      name: 'services',
      class: 'config',
      key: 'address, port, protocol',
      value: 'none',
      writer: 'agent',
      description: 'Role Discriminator: where clients on the outside reach Services.',
    },
    {
      name: 'reply_buckets',
      class: 'state',
      key: 'prefix of senders',
      value: 'time when the bucket is full again',
      writer: 'program',
      description: 'Limit on RSTs and echo replies.',
    },
  ],
};
