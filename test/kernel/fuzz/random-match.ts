// SPDX-License-Identifier: Apache-2.0
/** Random matches of rules, and a small world of packets for them: values at the borders of prefixes and ranges, on either side. */
import type { PortRange } from '../../../src/api/generated/types.ts';
import { GATEWAY_MAC, POD_MAC } from '../support/bytes.ts';
import type { ModelMatch } from './match-model.ts';
import type { World } from './packets.ts';
import type { Random } from './random.ts';

export const WORLD: World = {
  addresses: [
    ...['10.1.2.3', '10.1.2.4', '10.1.3.0', '10.2.0.0', '10.255.255.255', '11.0.0.0', '192.0.2.127'],
    ...['192.0.2.128', '0.0.0.0', '127.255.255.255', '128.0.0.0', '224.0.0.5', '255.255.255.255'],
    ...['fd00:1::3', 'fd00:1::4', 'fd00:1:0:1::', 'fd00:2::', 'fe00::', '2001:db8::7fff:ffff:ffff:ffff'],
    ...['2001:db8::8000:0:0:0', '2001:db8:0:1::', '::', '::1', '::10.1.2.3', 'ff02::1', '8000::'],
  ],
  ports: [0, 1, 52, 53, 54, 79, 80, 90, 91, 5000, 65534, 65535],
  macs: [GATEWAY_MAC, POD_MAC, 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:05'],
};

/** Marks of packets. */
export const MARKS = [0, 0, 1, 2, 0x12, 0x8000_0000, 0x8000_0001, 0xffff_ffff] as const;

const PREFIXES_V4 = [
  ...['0.0.0.0/0', '0.0.0.0/1', '10.0.0.0/8', '10.0.0.0/15', '10.1.2.0/24', '10.1.2.2/31', '10.1.2.3/32'],
  ...['192.0.2.0/25', '192.0.2.128/25', '224.0.0.0/4', '255.255.255.255/32'],
] as const;
const PREFIXES_V6 = [
  ...['::/0', '::/1', '::/96', 'fc00::/7', 'fd00::/8', 'fd00:1::/32', 'fd00:1::/64', 'fd00:1::3/128'],
  ...['2001:db8::/64', '2001:db8::/65', '2001:db8::8000:0:0:0/65', '::1/128', 'ff00::/8'],
] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', '0', '2', '6', '17', '41', '47', '59'] as const;
const TRANSPORTS = ['TCP', 'UDP', 'SCTP'] as const;
const RANGES: readonly Omit<PortRange, 'protocol'>[] = [
  {},
  { port: 1 },
  { port: 53 },
  { port: 80, endPort: 90 },
  { port: 53, endPort: 53 },
  { port: 1, endPort: 65535 },
  { port: 65535 },
  { port: 5000, endPort: 65534 },
];

/** One to `most` of a list, each once. */
export function some<T>(r: Random, list: readonly T[], most: number): T[] {
  return [...new Set(Array.from({ length: r.between(1, most) }, () => r.pick(list)))];
}

function prefixes(r: Random): string[] {
  // of one family, mostly: a rule with sources of one and destinations of the other is refused
  const list = r.chance(0.4) ? PREFIXES_V4 : r.chance(0.6) ? PREFIXES_V6 : [...PREFIXES_V4, ...PREFIXES_V6];
  return some<string>(r, list, 3);
}

function ranges(r: Random): PortRange[] {
  return some(r, RANGES, 3).map((range) => ({ protocol: r.pick(TRANSPORTS), ...range }));
}

/** Few members each, so that a packet has a chance. Protocols are not named by the numbers of ICMP: names are for that. */
export function randomMatch(r: Random): ModelMatch {
  return {
    ...(r.chance(0.35) ? { sources: prefixes(r) } : {}),
    ...(r.chance(0.35) ? { destinations: prefixes(r) } : {}),
    ...(r.chance(0.25) ? { protocols: some<string>(r, PROTOCOLS, 4) } : {}),
    ...(r.chance(0.25) ? { ports: ranges(r) } : {}),
    ...(r.chance(0.15) ? { sourcePorts: ranges(r) } : {}),
    ...(r.chance(0.08) ? { dscp: r.pick([0, 0, 1, 46, 63]) } : {}),
    ...(r.chance(0.1)
      ? { mark: { value: r.pick(MARKS), mask: r.pick([1, 3, 0x8000_0000, 0xffff_ffff]) } }
      : {}),
  };
}
