// SPDX-License-Identifier: Apache-2.0
/** Which packets a rule is for: the members that the rules of several cube types share. */
import { atomicList, cidr, integer, object, setOf, text } from './build.ts';
import { PROTOCOL, portRange } from './policy.ts';
import type { Schema } from './schema.ts';

/** Members of a rule, with at most so many prefixes a side and so many ranges of ports. */
export function packetMatch(prefixes: number, ports: number): Record<string, Schema> {
  return {
    sources: atomicList('Prefixes of senders. Empty: all.', cidr('Prefix.'), prefixes),
    destinations: atomicList('Prefixes of receivers. Empty: all.', cidr('Prefix.'), prefixes),
    protocols: setOf(
      'Protocols as a whole: TCP, UDP, SCTP, ICMP, ICMPv6, or a number such as 47. With `ports` too, one of the two is enough.',
      text('Protocol.', 6, { pattern: PROTOCOL }),
      8,
    ),
    ports: atomicList('Destination ports. Empty: all.', portRange, ports),
    sourcePorts: atomicList('Source ports. Empty: all.', portRange, ports),
    dscp: integer('Differentiated services code point: the upper six bits of TOS or traffic class.', 0, 63),
  };
}

/** A mark that programs of the host have given the packet. */
export const packetMark: Schema = object(
  'Mark of the packet in the kernel (SO_MARK, nftables, other programs).',
  {
    value: integer('Value of the bits that are looked at.', 0, 4294967295),
    mask: integer('Bits that are looked at.', 1, 4294967295, { default: 4294967295 }),
  },
  ['value'],
  { typeName: 'PacketMark' },
);
