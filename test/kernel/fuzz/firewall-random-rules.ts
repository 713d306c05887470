// SPDX-License-Identifier: Apache-2.0
/** Random rules of every kind of match that the schema has, with prefixes that nest and hold the addresses of packets. */
import type { FirewallRule, PortRange } from '../../../src/api/generated/types.ts';
import { ipText, isV6, mappedBytes } from '../support/bytes.ts';
import { rulesOf } from '../support/firewall.ts';
import type { Sides } from './flow-packets.ts';
import { addressOf } from './parse-model.ts';
import type { Random } from './random.ts';

const TRANSPORTS = ['TCP', 'UDP', 'SCTP'] as const;
const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'] as const;
const LENGTHS = {
  4: [0, 8, 15, 16, 24, 30, 31, 32, 32, 32],
  6: [0, 8, 31, 32, 64, 65, 126, 127, 128, 128, 128],
};
const ICMP = { IPv4: [8, 0, 13, 3, 11, 5], IPv6: [128, 129, 139, 1, 2, 3, 135] } as const;

function prefix(r: Random, pool: readonly string[]): string {
  const address = r.pick(pool);
  const v6 = isV6(address);
  const length = r.pick(LENGTHS[v6 ? 6 : 4]);
  const rest = BigInt((v6 ? 128 : 32) - length);
  const value = (addressOf(mappedBytes(address)) >> rest) << rest;
  const bytes = Buffer.from(value.toString(16).padStart(32, '0'), 'hex');
  return `${ipText(v6 ? bytes : bytes.subarray(12))}/${length}`;
}

function several<T>(r: Random, most: number, make: () => T): T[] {
  return Array.from({ length: r.between(1, most) }, make);
}

function portRange(r: Random, protocol: PortRange['protocol'], ports: readonly number[]): PortRange {
  if (r.chance(0.15)) return { protocol };
  // around the ports that packets have: the value itself, one beside it, a page of 256 further
  const port = () => Math.min(65535, Math.max(1, r.pick(ports) + r.pick([0, 0, 0, 1, -1, 256])));
  const [low, high] = [port(), port()].sort((a, b) => a - b) as [number, number];
  return r.chance(0.5) ? { protocol, port: low } : { protocol, port: low, endPort: high };
}

/** What services a rule is for, so that a packet of TCP, or of one protocol with ports, can be among them. */
function services(r: Random, ports: readonly number[]): Partial<FirewallRule> {
  const transport = r.pick(TRANSPORTS);
  const range = () => portRange(r, transport, ports);
  const family = r.pick(['IPv4', 'IPv6'] as const);
  const icmp = () => ({
    family,
    type: r.pick<number>(ICMP[family]),
    ...(r.chance(0.5) ? { code: r.below(3) } : {}),
  });
  switch (r.below(9)) {
    case 0:
      return {};
    case 1:
      return {
        protocols: [
          ...new Set(several(r, 3, () => r.pick(['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', '47', '6', '0']))),
        ],
      };
    case 2:
      return { ports: several(r, 4, range), ...(r.chance(0.3) ? { protocols: ['47'] } : {}) };
    case 3:
      return { ports: several(r, 2, range), sourcePorts: several(r, 2, range) };
    case 4:
      return { sourcePorts: several(r, 3, range) };
    case 5:
      return { icmp: several(r, 3, icmp), ...(r.chance(0.2) ? { ports: [range()] } : {}) };
    case 6:
    case 7: {
      const mask = [...new Set(several(r, 4, () => r.pick(FLAGS)))];
      const tcpPorts = () => portRange(r, 'TCP', ports);
      return {
        tcpFlags: { mask, set: mask.filter(() => r.chance(0.5)) },
        ...(r.chance(0.3) ? { ports: several(r, 2, tcpPorts) } : {}),
        ...(r.chance(0.2) ? { sourcePorts: [tcpPorts()] } : {}),
      };
    }
    default:
      return { ports: [{ protocol: 'TCP' }, range()], protocols: ['UDP'] };
  }
}

export interface RuleWorld extends Sides {
  /** Share of rules that name a state. */
  readonly stateShare: number;
  /** Share of rules with prefixes on a side; rule sets without any are searched in another way. */
  readonly prefixShare: number;
}

/** @param priorities to choose from: two tables that share none are ordered by these alone. */
export function randomRule(
  r: Random,
  w: RuleWorld,
  priorities: readonly number[],
  name: string,
): FirewallRule {
  const pool = [...w.outside, ...w.inside];
  const isBoth = r.chance(0.2);
  const hasSources = r.chance(w.prefixShare);
  const hasDestinations = r.chance(w.prefixShare);
  const v6 = r.chance(0.5);
  // of one family on both sides, or of both: no packet fits a rule from one family to the other
  const list = isBoth ? pool : pool.filter((one) => isV6(one) === v6);
  const prefixes = () => [
    ...(isBoth
      ? [
          prefix(r, pool.filter(isV6)),
          prefix(
            r,
            pool.filter((one) => !isV6(one)),
          ),
        ]
      : []),
    ...several(r, 2, () => prefix(r, list)),
  ];
  const states = ['New', 'Established', 'Related', 'Invalid'] as const;
  const [rule] = rulesOf([
    {
      ...(r.chance(0.6) ? { name: r.chance(0.1) ? 'shared' : name } : {}),
      action: r.pick(['Allow', 'Allow', 'Allow', 'Drop', 'Reject'] as const),
      priority: r.pick(priorities),
      direction: r.pick(['Ingress', 'Egress', 'Both'] as const),
      log: r.chance(0.15),
      ...(hasSources ? { sources: prefixes() } : {}),
      ...(hasDestinations ? { destinations: prefixes() } : {}),
      ...services(r, w.ports),
      ...(r.chance(w.stateShare) ? { states: [...new Set(several(r, 3, () => r.pick(states)))] } : {}),
    },
  ]);
  return rule as FirewallRule;
}
