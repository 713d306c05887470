// SPDX-License-Identifier: Apache-2.0
/** The rules of a NAT as the API has them. */
import { atomicList, choice, cidr, integer, ip, object, setOf, unionRules } from '../../api/schemas/build.ts';
import type { Schema, Union } from '../../api/schemas/schema.ts';

export const MAX_SOURCE_RULES = 64;
export const MAX_FORWARD_RULES = 128;
const MAX_PREFIXES = 16;

const prefixes = (description: string): Schema =>
  setOf(description, cidr('Prefix of either family.'), MAX_PREFIXES, { default: [] });

const SOURCE: Union = {
  discriminator: 'type',
  members: { Masquerade: null, SNAT: 'snat', Exclude: null },
};

export const sourceRules: Schema = atomicList(
  'What happens to the sources of packets that come in by the port inside: the first rule that takes a packet decides. A packet that none takes crosses unchanged.',
  object(
    'Sources, destinations and protocol say which packets it takes.',
    {
      type: choice(
        'Masquerade: the source becomes an address of the port outside, the same for all connections of a client. SNAT: one of those that the rule names. Exclude: the packet crosses unchanged.',
        ['Masquerade', 'SNAT', 'Exclude'],
      ),
      sources: prefixes(
        'Sources that the rule takes. Empty: all, of the families that it has an address for.',
      ),
      destinations: prefixes('Destinations that the rule takes. Empty: all.'),
      protocol: choice('Protocol that the rule takes; ICMP is ICMPv6, too. Without it: all.', [
        'TCP',
        'UDP',
        'SCTP',
        'ICMP',
      ]),
      snat: object(
        'What the source becomes.',
        {
          addresses: setOf(
            'Addresses of the port outside. A client always gets the same one of its family.',
            ip('Address, without prefix length.'),
            16,
            { minItems: 1 },
          ),
        },
        ['addresses'],
        { typeName: 'SnatAddresses' },
      ),
    },
    ['type'],
    { typeName: 'NatSourceRule', union: SOURCE, rules: unionRules(SOURCE) },
  ),
  MAX_SOURCE_RULES,
  { default: [] },
);

export const forwardRules: Schema = atomicList(
  'Destinations that belong to servers on the inside: the first rule that takes a packet decides. They hold for clients on the inside, too: these get the outside address as their source, so that the answers come back this way.',
  object(
    'Destination, port, protocol and sources say which packets it takes.',
    {
      destination: cidr(
        'Prefix of destinations. Without it: the addresses of the port outside, of the family of the target.',
      ),
      sources: prefixes('Clients that the rule takes. Empty: all.'),
      protocol: choice(
        'Protocol that the rule takes; ICMP is ICMPv6, too. Without it: all, each with the port that it has.',
        ['TCP', 'UDP', 'SCTP', 'ICMP'],
      ),
      port: integer('Port, or the first one of a range. Without it: all ports.', 1, 65535),
      endPort: integer('Last port of the range.', 1, 65535),
      target: object(
        'The server.',
        {
          address: ip('Its address, of the same family as the destination.'),
          port: integer(
            'Its port; the ports of a range keep their distance from the first one. Without it: the port stays.',
            1,
            65535,
          ),
        },
        ['address'],
        { typeName: 'ForwardTarget' },
      ),
    },
    ['target'],
    {
      typeName: 'NatForwardRule',
      rules: [
        {
          id: 'ForwardFamily',
          cel: '!has(self.destination) || !isCIDR(self.destination) || !isIP(self.target.address) || ip(self.target.address).family() == cidr(self.destination).ip().family()',
          message: 'the target and the destination are of different IP families',
          remedy: 'give an IPv4 target to an IPv4 prefix and an IPv6 target to an IPv6 prefix',
          field: '.target.address',
          twin: (self, library) =>
            !self.destination ||
            !library.isCIDR(self.destination) ||
            !library.isIP(self.target.address) ||
            library.family(self.target.address) === library.family(self.destination),
        },
        {
          id: 'ForwardPortWithoutProtocol',
          cel: "!has(self.port) || (has(self.protocol) && self.protocol != 'ICMP')",
          message: 'a port needs a protocol that has ports',
          remedy: 'set protocol to TCP, UDP or SCTP, or remove port',
          field: '.port',
          twin: (self) =>
            self.port === undefined || (self.protocol !== undefined && self.protocol !== 'ICMP'),
        },
        {
          id: 'ForwardPortRange',
          cel: '!has(self.endPort) || (has(self.port) && self.endPort >= self.port)',
          message: 'endPort stands without port, or before it',
          remedy: 'set port to the first and endPort to the last port of the range',
          field: '.endPort',
          twin: (self) =>
            self.endPort === undefined || (self.port !== undefined && self.endPort >= self.port),
        },
        {
          id: 'ForwardTargetPort',
          cel: '!has(self.target.port) || (has(self.port) && self.target.port + (has(self.endPort) ? self.endPort - self.port : 0) <= 65535)',
          message: 'the target has a port, but the rule has none, or the range ends beyond 65535 there',
          remedy: 'set port, or choose a lower port of the target',
          field: '.target.port',
          twin: (self) =>
            self.target.port === undefined ||
            (self.port !== undefined &&
              self.target.port + ((self.endPort ?? self.port) - self.port) <= 65535),
        },
        {
          id: 'ForwardSctpPort',
          cel: "!has(self.target.port) || !has(self.protocol) || self.protocol != 'SCTP' || (has(self.port) && self.target.port == self.port)",
          message: 'the port of SCTP cannot be changed: its checksum could not follow',
          remedy: 'let the server listen on the same port, or remove target.port',
          field: '.target.port',
          twin: (self) =>
            self.target.port === undefined || self.protocol !== 'SCTP' || self.target.port === self.port,
        },
      ],
    },
  ),
  MAX_FORWARD_RULES,
  { default: [] },
);

export const exclusions: Schema = atomicList(
  'Prefixes whose hosts on the outside are spoken to without translation, whatever the rules say: packets from the inside to them and from them to the inside cross unchanged. An address of the port outside is never excluded.',
  cidr('Prefix of either family.'),
  128,
  { default: [] },
);
