// SPDX-License-Identifier: Apache-2.0

/** What one rule says, as ranges of numbers: pure, and the only place that decides it. bpf/firewall/firewall.h names the tables. */
import { createHash } from 'node:crypto';
import type { FirewallRule, PortRange } from '../../api/generated/types.ts';
import { canonicalJson } from '../../api/hash.ts';
import { type Prefix, parsePrefix } from '../../api/ip.ts';
import type { Problem, RuleOrigin } from '../cube-type.ts';

/** Tables of services and of source ports, by protocol. */
export const Table = {
  TCP: 0,
  UDP: 1,
  SCTP: 2,
  ICMP: 3,
  ICMPv6: 4,
  other: 5,
  sourceTCP: 6,
  sourceUDP: 7,
  sourceSCTP: 8,
  kind: 9,
} as const;
export const TABLES = 10;
export const SERVICE_TABLES = [0, 1, 2, 3, 4, 5] as const;
export const SOURCE_TABLES = [6, 7, 8] as const;

/**
 * Pass: the rest of a tier of policies is skipped. Audit: all policies are, and the packet is told of. No rule of the spec or of a
 * Rule table has these.
 */
export const Action = { Drop: 0, Allow: 1, Reject: 2, PassAdmin: 3, PassBaseline: 4, Audit: 5 } as const;
export const STATES = ['New', 'Established', 'Related', 'Invalid'] as const;
const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

const PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 };
const TABLE_OF: ReadonlyMap<number, number> = new Map([
  [6, Table.TCP],
  [17, Table.UDP],
  [132, Table.SCTP],
  [1, Table.ICMP],
  [58, Table.ICMPv6],
]);

/** Values of one table, both ends included. */
export interface Range {
  readonly table: number;
  readonly from: number;
  readonly to: number;
}

/** Of a rule's prefixes around an address the longest decides. */
export interface RulePrefix extends Prefix {
  /** The rule is not for the addresses in it. */
  readonly isHole?: true;
}

/** Tiers of policies in the order in which they are tried. */
export const TIERS = ['Admin', 'NetworkPolicy', 'Baseline'] as const;
export type Tier = (typeof TIERS)[number];

export interface RuleMeaning {
  /** Below 2^53 and not 0: of the name, or of what the rule says. */
  readonly identity: number;
  /** For people: its name or identity, and where it stands. */
  readonly title: string;
  readonly origin: RuleOrigin;
  /** Equal for rules that say the same. */
  readonly said: string;
  readonly priority: number;
  readonly ingress: boolean;
  readonly egress: boolean;
  readonly action: number;
  readonly log: boolean;
  /** Empty: all. */
  readonly sources: readonly RulePrefix[];
  readonly destinations: readonly RulePrefix[];
  /** Undefined: all. */
  readonly services: readonly Range[] | undefined;
  readonly sourcePorts: readonly Range[] | undefined;
  readonly tcpFlags: { readonly mask: number; readonly set: number } | undefined;
  /** Bit i: STATES[i]. */
  readonly states: number;
  /** Of rules that policies make: what passes a tier on is asked of the rules behind it. */
  readonly tier?: Tier;
}

export function isProblem(value: RuleMeaning | Problem): value is Problem {
  return 'reason' in value;
}

export function hash53(text: string): number {
  return Number.parseInt(createHash('sha256').update(text).digest('hex').slice(0, 13), 16) || 1;
}

/** The same for equal rules, whatever their place; for rules of one name whatever they say. */
export function identityOf({ name, priority: _, ...rest }: FirewallRule): number {
  return hash53(name === undefined ? `says ${canonicalJson(rest)}` : `name ${name}`);
}

/** How people know it. */
export function ruleName(rule: FirewallRule): string {
  return rule.name ?? identityOf(rule).toString(16);
}

export function portRanges(list: readonly PortRange[], offset = 0): Range[] {
  return list.map(({ protocol, port, endPort }) => ({
    table: Table[protocol] + offset,
    from: port ?? 0,
    to: port === undefined ? 65535 : (endPort ?? port),
  }));
}

function serviceRanges(rule: FirewallRule): Range[] | undefined {
  const { protocols = [], ports = [], icmp = [] } = rule;
  if (protocols.length + ports.length + icmp.length === 0) return undefined;
  const whole = protocols.flatMap((text): Range[] => {
    const number = PROTOCOLS[text] ?? Number(text);
    const table = TABLE_OF.get(number);
    const byNumber = { table: Table.other, from: number, to: number };
    if (table === undefined) return [byNumber];
    const all = { table, from: 0, to: 65535 };
    const hasTypes = table === Table.ICMP || table === Table.ICMPv6; // which later fragments have not
    return hasTypes ? [all, byNumber] : [all];
  });
  const messages = icmp.map(
    ({ family, type, code }): Range => ({
      table: family === 'IPv4' ? Table.ICMP : Table.ICMPv6,
      from: type * 256 + (code ?? 0),
      to: type * 256 + (code ?? 255),
    }),
  );
  return [...whole, ...portRanges(ports), ...messages];
}

function flagBits(names: readonly string[]): number {
  return names.reduce((bits, name) => bits | (1 << TCP_FLAGS.indexOf(name)), 0);
}

/** Why no packet can ever match, or undefined. */
function contradiction(meaning: RuleMeaning): string | undefined {
  const { sources, destinations, services, sourcePorts, tcpFlags } = meaning;
  const families = (list: readonly Prefix[]) => new Set(list.map(({ family }) => family));
  if (sources.length > 0 && destinations.length > 0) {
    const [from, to] = [families(sources), families(destinations)];
    if (![...from].some((family) => to.has(family)))
      return 'its sources and destinations are of different families; give both sides prefixes of one family';
  }
  const tables = services && new Set(services.map(({ table }) => table));
  if (tcpFlags && tables && !tables.has(Table.TCP))
    return 'it has tcpFlags, but its protocols, ports and icmp leave TCP out; add TCP or remove tcpFlags';
  if (sourcePorts && tables && !sourcePorts.some(({ table }) => tables.has(table - Table.sourceTCP)))
    return 'its ports and sourcePorts are of different protocols; give both the same one';
  if (tcpFlags && sourcePorts && !sourcePorts.some(({ table }) => table === Table.sourceTCP))
    return 'it has tcpFlags, but its sourcePorts leave TCP out; add TCP or remove tcpFlags';
  return undefined;
}

export interface RulePlace {
  /** Key of the CubeTable; absent: the spec. */
  readonly table?: string;
  readonly index: number;
}

/** `field` is the path of the list. */
export function meaningOf(
  rule: FirewallRule,
  { table, index }: RulePlace,
  list: string,
): RuleMeaning | Problem {
  const field = `${list}[${index}]`;
  const title = `${table === undefined ? '' : `CubeTable ${table}, `}rule ${index} (${ruleName(rule)})`;
  const prefixes = (texts: readonly string[] = []): (Prefix | undefined)[] => texts.map(parsePrefix);
  const sources = prefixes(rule.sources);
  const destinations = prefixes(rule.destinations);
  const isPrefix = (prefix: Prefix | undefined): prefix is Prefix => prefix !== undefined;
  if (!sources.every(isPrefix) || !destinations.every(isPrefix)) {
    const message = `${title}: a source or destination is no prefix; write it as 10.244.1.0/24`;
    return { reason: 'InvalidRule', field, message };
  }
  const { tcpFlags, states = [] } = rule;
  const meaning: RuleMeaning = {
    identity: identityOf(rule),
    title,
    origin: {
      kind: 'Rule',
      ...(rule.name === undefined ? {} : { name: rule.name }),
      ...(rule.direction === 'Both' ? {} : { direction: rule.direction }),
      rule: `${index}`,
      ...(table === undefined ? {} : { table }),
    },
    said: JSON.stringify(rule),
    priority: rule.priority,
    ingress: rule.direction !== 'Egress',
    egress: rule.direction !== 'Ingress',
    action: Action[rule.action],
    log: rule.log,
    sources,
    destinations,
    services: serviceRanges(rule),
    sourcePorts: rule.sourcePorts?.length ? portRanges(rule.sourcePorts, Table.sourceTCP) : undefined,
    tcpFlags: tcpFlags && { mask: flagBits(tcpFlags.mask), set: flagBits(tcpFlags.set) },
    states: states.length === 0 ? 1 : states.reduce((bits, name) => bits | (1 << STATES.indexOf(name)), 0),
  };
  const why = contradiction(meaning);
  if (why === undefined) return meaning;
  return { reason: 'RuleMatchesNothing', field, message: `${title} matches no packet: ${why}` };
}
