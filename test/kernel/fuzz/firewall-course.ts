// SPDX-License-Identifier: Apache-2.0
/** What a firewall is configured with in a campaign: at random, as objects and as the model has it. */
import type { FirewallRule } from '../../../src/api/generated/types.ts';
import { GATEWAY_MAC, POD_MAC } from '../support/bytes.ts';
import type { ModelFirewall } from './firewall-model.ts';
import { type RuleWorld, randomRule } from './firewall-random-rules.ts';
import type { Random } from './random.ts';

export const SIDES = {
  outside: [
    '198.51.100.7',
    '198.51.100.8',
    '203.0.113.9',
    '10.0.2.1',
    '2001:db8:7::7',
    '2001:db8:7::8',
    '2001:db8:8::1',
    'fd00:2::1',
  ],
  inside: [
    '10.0.1.5',
    '10.0.1.6',
    '10.0.1.255',
    '10.9.0.1',
    'fd00:1::5',
    'fd00:1::6',
    'fd00:1:0:1::1',
    'fd09::1',
  ],
  ports: [0, 1, 22, 53, 80, 81, 255, 256, 40000, 65535],
  macs: [GATEWAY_MAC, GATEWAY_MAC, POD_MAC, POD_MAC, POD_MAC, 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:05'],
};

/** Time passes in steps of this many seconds, and time-outs end half a step apart: no packet is near their end. */
export const STEP = 1000;

const ACTIONS = ['Allow', 'Drop', 'Reject'] as const;

/** The even priorities are those of one table, the odd ones of the other: they alone order the two. */
const EVEN = Array.from({ length: 8 }, (_, i) => 2 * i);
const ODD = EVEN.map((priority) => priority + 1);
const ALL = [...EVEN, ...ODD];
export const TABLES = ['n/even', 'n/odd'] as const;
export type TableName = (typeof TABLES)[number];

const SIZES = [0, 0, 1, 1, 2, 3, 5, 8, 12, 20, 40];
const LARGE_SIZES = [64, 65, 130, 130];

export interface RuleSets {
  readonly spec: readonly FirewallRule[];
  readonly tables: Map<TableName, readonly FirewallRule[]>;
}

/** Names come again, so that counters of rules that were gone go on. */
function ruleOf(r: Random, w: RuleWorld, table: TableName | undefined): FirewallRule {
  const priorities = table === undefined ? ALL : table === 'n/even' ? EVEN : ODD;
  return randomRule(r, w, priorities, `r${r.below(60)}`);
}

/** @param table undefined: those of the spec. */
export function randomRules(
  r: Random,
  w: RuleWorld,
  table: TableName | undefined,
  isLarge: boolean,
): FirewallRule[] {
  const count = r.pick(isLarge && r.chance(0.7) ? LARGE_SIZES : SIZES);
  return Array.from({ length: count }, () => ruleOf(r, w, table));
}

/** Of a table: none, the same, all others, or one more or less. */
export function otherRules(
  r: Random,
  w: RuleWorld,
  table: TableName,
  now: readonly FirewallRule[],
  isLarge: boolean,
): readonly FirewallRule[] | undefined {
  const kind = r.below(10);
  if (kind === 0) return undefined;
  if (kind === 1) return [...now];
  if (kind < 5) return randomRules(r, w, table, isLarge);
  const place = r.below(now.length + 1);
  const isMore = now.length < 100 && r.chance(0.6);
  return isMore ? now.toSpliced(place, 0, ruleOf(r, w, table)) : now.toSpliced(place, 1);
}

export function randomConfig(r: Random): ModelFirewall {
  const seconds = (most: number) => STEP * r.below(most) + STEP / 2;
  return {
    defaults: { Ingress: r.pick(ACTIONS), Egress: r.pick(ACTIONS) },
    logsDefaults: r.chance(0.3),
    isStrict: r.chance(0.3),
    passesOthers: r.chance(0.4),
    rejects: r.pick([
      { perSecond: 1_000_000, burst: 1_000_000 },
      { perSecond: 1_000_000, burst: 1_000_000 },
      { perSecond: 0, burst: 5 },
      { perSecond: 1, burst: 20 },
    ]),
    timeouts: {
      tcpSyn: seconds(2),
      tcpEstablished: seconds(6),
      tcpClosing: seconds(4),
      udp: seconds(2),
      udpStream: seconds(5),
      sctp: seconds(4),
      other: seconds(3),
    },
  };
}

export function specOf(config: ModelFirewall, rules: readonly FirewallRule[]): object {
  const { defaults, logsDefaults, isStrict, passesOthers, rejects, timeouts } = config;
  return {
    defaultActions: { ingress: defaults.Ingress, egress: defaults.Egress, log: logsDefaults },
    rules: [...rules],
    handshake: isStrict ? 'Strict' : 'Loose',
    otherFrames: passesOthers ? 'Allow' : 'Drop',
    rejects,
    logs: { perSecond: 10_000, burst: 10_000 },
    sessions: { maxEstablished: 16_384, maxEmbryonic: 16_384, timeouts },
  };
}
