// SPDX-License-Identifier: Apache-2.0
/** Limits on the bandwidth of addresses: rows of a cube's spec and of tables. */
import { atomicList, integer, ip, object, text } from './build.ts';
import type { Schema } from './schema.ts';

/** Bits a second: what Kubernetes takes in an annotation of a Pod. */
export const RATE = { minimum: 1000, maximum: 1e15 } as const;
/** Bits; 4 GiB, as of the plugin bandwidth of the CNI project. */
export const BURST = { minimum: 1, maximum: 2 ** 35 } as const;

const rate = (description: string): Schema =>
  object(
    description,
    {
      bitsPerSecond: integer(
        'Bits in a second in the long run, of whole Ethernet frames as they are on the wire, without checksum and preamble.',
        RATE.minimum,
        RATE.maximum,
        { unit: 'bits a second' },
      ),
      burst: integer(
        'Bits that may come at once after a silence. Without it what the rate allows in a quarter of a second, at least 1 Mbit. TCP loses more than a tenth of the rate where it is much smaller.',
        BURST.minimum,
        BURST.maximum,
        { unit: 'bits' },
      ),
    },
    ['bitsPerSecond'],
    { typeName: 'Bandwidth' },
  );

export const limit: Schema = object(
  'One limit, which its addresses share.',
  {
    name: text('Name of the limit in traces and counters. Without it its first address.', 253, {
      minLength: 1,
    }),
    addresses: atomicList(
      'Addresses that together have these rates, as those of one pod. An address has one limit.',
      ip('IPv4 or IPv6 address.'),
      4,
      { minItems: 1 },
    ),
    ingress: rate('What is sent to the addresses: comes in by outside. Without it there is no limit.'),
    egress: rate('What the addresses send: comes in by inside. Without it there is no limit.'),
  },
  ['addresses'],
  {
    typeName: 'Limit',
    rules: [
      {
        id: 'LimitWithoutRate',
        cel: 'has(self.ingress) || has(self.egress)',
        message: 'a limit has neither ingress nor egress',
        remedy: 'set ingress, egress or both, or remove the limit',
        twin: (self) => Object.hasOwn(self, 'ingress') || Object.hasOwn(self, 'egress'),
      },
    ],
  },
);

/** @param most what the API server can still estimate: a chain has many cubes, with lists of many types. */
export const limits = (description: string, most: number, extra: Schema = {}): Schema =>
  atomicList(description, limit, most, extra);
