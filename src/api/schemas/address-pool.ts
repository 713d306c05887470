// SPDX-License-Identifier: Apache-2.0
/** Addresses for Services of type LoadBalancer, and which node answers for one of them. */
import { atomicList, choice, cidr, dnsLabel, dnsSubdomain, ip, object } from './build.ts';
import type { Schema } from './schema.ts';

const range: Schema = object(
  'Addresses of one family: a prefix, or the first and the last one.',
  {
    prefix: cidr(
      'All addresses of a prefix. Of IPv4 without the first and the last one, of IPv6 without the first, which mean the network itself (RFC 950, RFC 4291); prefixes of one or two addresses have all of them.',
    ),
    first: ip('First address of the range.'),
    last: ip('Last address of the range, of the same family and not before the first.'),
  },
  [],
  {
    typeName: 'AddressRange',
    rules: [
      {
        id: 'RangeIncomplete',
        cel: 'has(self.prefix) ? !has(self.first) && !has(self.last) : has(self.first) && has(self.last)',
        message: 'a range is neither a prefix nor a first and a last address',
        remedy: 'set prefix alone, or first and last',
        twin: (self) =>
          Object.hasOwn(self, 'prefix')
            ? !Object.hasOwn(self, 'first') && !Object.hasOwn(self, 'last')
            : Object.hasOwn(self, 'first') && Object.hasOwn(self, 'last'),
      },
    ],
  },
);

export const addressPool: Schema = object(
  'Addresses that the operator gives to Services of type LoadBalancer. They must be of the subnets at the uplinks of the nodes and nobody else may have them: a node answers ARP and neighbour discovery for each.',
  {
    ranges: atomicList('The addresses, those that are given first first.', range, 16, { minItems: 1 }),
    assign: choice(
      'Which Services get an address. Auto: all. OnRequest: those that name the pool in the annotation cubeplane.io/address-pool, or one of its addresses.',
      ['Auto', 'OnRequest'],
      { default: 'Auto' },
    ),
  },
  ['ranges'],
  { typeName: 'AddressPool' },
);

export const announcement: Schema = object(
  'An address for which one node answers ARP and neighbour discovery at its uplink.',
  {
    address: ip('The address.'),
    node: dnsSubdomain('Name of the node that answers.'),
    service: object(
      'The Service whose address it is.',
      { namespace: dnsLabel('Namespace of the Service.'), name: dnsLabel('Name of the Service.') },
      ['namespace', 'name'],
      { typeName: 'AnnouncedService' },
    ),
  },
  ['address', 'node'],
  { typeName: 'Announcement' },
);
