// SPDX-License-Identifier: Apache-2.0
/**
 * Which rule a packet is for, written from the words of the schema: every rule is looked at in turn. No table, bitmap or
 * number of the implementation is used.
 */
import type { FirewallRule, PortRange } from '../../../src/api/generated/types.ts';
import { mappedBytes } from '../support/bytes.ts';
import { type Address, addressOf, isMapped } from './parse-model.ts';

export type State = 'New' | 'Established' | 'Related' | 'Invalid';
export type Direction = 'Ingress' | 'Egress';

export interface RulePacket {
  /** Addresses that the packet itself is sent between. */
  readonly src: Address;
  readonly dst: Address;
  readonly protocol: number;
  /** Undefined: it has none. */
  readonly sport?: number | undefined;
  readonly dport?: number | undefined;
  readonly icmp?: { readonly type: number; readonly code: number } | undefined;
  /** Letters of FSRPAUEC. */
  readonly flags: string;
}

const PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 };
const FLAG_LETTERS: Readonly<Record<string, string>> = {
  FIN: 'F',
  SYN: 'S',
  RST: 'R',
  PSH: 'P',
  ACK: 'A',
  URG: 'U',
  ECE: 'E',
  CWR: 'C',
};

interface Prefix {
  readonly v6: boolean;
  /** Bits to the right of the prefix, of 128. */
  readonly rest: bigint;
  readonly value: bigint;
}

function prefixOf(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  const v6 = address.includes(':');
  const rest = BigInt((v6 ? 128 : 32) - Number(length));
  return { v6, rest, value: addressOf(mappedBytes(address)) >> rest };
}

const holds = (prefixes: readonly Prefix[], address: Address): boolean =>
  prefixes.length === 0 ||
  prefixes.some(({ v6, rest, value }) => v6 !== isMapped(address) && address >> rest === value);

const inPorts = (list: readonly PortRange[], protocol: number, port: number | undefined): boolean =>
  port !== undefined &&
  list.some(
    (range) =>
      PROTOCOLS[range.protocol] === protocol &&
      (range.port === undefined || (port >= range.port && port <= (range.endPort ?? range.port))),
  );

function isService(rule: FirewallRule, p: RulePacket): boolean {
  const { protocols = [], ports = [], icmp = [] } = rule;
  if (protocols.length + ports.length + icmp.length === 0) return true;
  if (protocols.some((text) => (PROTOCOLS[text] ?? Number(text)) === p.protocol)) return true;
  if (inPorts(ports, p.protocol, p.dport)) return true;
  return icmp.some(
    ({ family, type, code }) =>
      p.protocol === (family === 'IPv4' ? 1 : 58) &&
      type === p.icmp?.type &&
      (code === undefined || code === p.icmp.code),
  );
}

function hasFlags({ tcpFlags }: FirewallRule, p: RulePacket): boolean {
  if (!tcpFlags) return true;
  if (p.protocol !== 6) return false;
  const { mask, set = [] } = tcpFlags;
  return mask.every((name) => p.flags.includes(FLAG_LETTERS[name] as string) === set.includes(name));
}

/** One rule of one direction, with what has been asked about it. */
class AskedRule {
  readonly rule: FirewallRule;
  readonly #sources: readonly Prefix[];
  readonly #destinations: readonly Prefix[];
  readonly #asked = { sources: new Map<Address, boolean>(), destinations: new Map<Address, boolean>() };

  constructor(rule: FirewallRule) {
    this.rule = rule;
    this.#sources = (rule.sources ?? []).map(prefixOf);
    this.#destinations = (rule.destinations ?? []).map(prefixOf);
  }

  isIn(state: State): boolean {
    const { states = [] } = this.rule;
    return states.length === 0 ? state === 'New' : states.includes(state);
  }

  matches(p: RulePacket, state: State): boolean {
    const { sourcePorts = [] } = this.rule;
    return (
      this.isIn(state) &&
      isService(this.rule, p) &&
      (sourcePorts.length === 0 || inPorts(sourcePorts, p.protocol, p.sport)) &&
      hasFlags(this.rule, p) &&
      this.#holds('sources', p.src) &&
      this.#holds('destinations', p.dst)
    );
  }

  #holds(side: 'sources' | 'destinations', address: Address): boolean {
    const asked = this.#asked[side];
    const before = asked.get(address);
    if (before !== undefined) return before;
    const answer = holds(side === 'sources' ? this.#sources : this.#destinations, address);
    asked.set(address, answer);
    return answer;
  }
}

/** All rules of a firewall. */
export class RuleModel {
  /** Equal for equal rules. */
  readonly generation: string;
  readonly #rules: Readonly<Record<Direction, readonly AskedRule[]>>;
  readonly #named: ReadonlySet<string>;

  /** @param lists in their order: the spec's, then those of tables. */
  constructor(lists: readonly (readonly FirewallRule[])[]) {
    const ordered = lists.flat().sort((a, b) => a.priority - b.priority); // stable
    const of = (direction: Direction) =>
      ordered
        .filter((rule) => rule.direction === 'Both' || rule.direction === direction)
        .map((rule) => new AskedRule(rule));
    this.#rules = { Ingress: of('Ingress'), Egress: of('Egress') };
    this.generation = JSON.stringify(
      [this.#rules.Ingress, this.#rules.Egress].map((list) => list.map(({ rule }) => rule)),
    );
    const named = new Set<string>();
    for (const direction of ['Ingress', 'Egress'] as const) {
      for (const { rule } of this.#rules[direction]) {
        for (const state of rule.states ?? []) named.add(`${direction} ${state}`);
      }
    }
    this.#named = named;
  }

  /** The rules are asked about new packets, and about others only where one names their state. */
  isAsked(direction: Direction, state: State): boolean {
    return state === 'New' || this.#named.has(`${direction} ${state}`);
  }

  /** The rule that decides, or undefined. */
  find(direction: Direction, state: State, packet: RulePacket): FirewallRule | undefined {
    return this.#rules[direction].find((one) => one.matches(packet, state))?.rule;
  }
}
