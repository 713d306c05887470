// SPDX-License-Identifier: Apache-2.0
/**
 * Which rule a new packet is for, written from the words of the schema: every rule is looked at in turn. No table, bitmap
 * or number of the implementation is used.
 */
import type { FirewallRule, PortRange } from '../../../src/api/generated/types.ts';

export interface ModelPacket {
  readonly src: bigint;
  readonly dst: bigint;
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** Letters of FSRPAUEC, as packet.ts has them. */
  readonly flags: string;
}

const NAMES: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 };
const LETTERS: Readonly<Record<string, string>> = {
  FIN: 'F',
  SYN: 'S',
  RST: 'R',
  PSH: 'P',
  ACK: 'A',
  URG: 'U',
  ECE: 'E',
  CWR: 'C',
};

export function addressOf(text: string): { family: 4 | 6; value: bigint } {
  if (!text.includes(':'))
    return { family: 4, value: text.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = groups(tail ?? '');
  const fill = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
  const value = [...left, ...fill, ...right].reduce((sum, part) => sum * 65536n + BigInt(`0x${part}`), 0n);
  return { family: 6, value };
}

function inPrefix(family: 4 | 6, value: bigint, prefix: string): boolean {
  const [text = '', length = '0'] = prefix.split('/');
  const { family: of, value: base } = addressOf(text);
  const shift = BigInt((of === 4 ? 32 : 128) - Number(length));
  return of === family && value >> shift === base >> shift;
}

const inPorts = (list: readonly PortRange[], protocol: number, port: number): boolean =>
  list.some(
    (range) =>
      NAMES[range.protocol] === protocol &&
      (range.port === undefined || (port >= range.port && port <= (range.endPort ?? range.port))),
  );

function isService(rule: FirewallRule, p: ModelPacket): boolean {
  const { protocols = [], ports = [], icmp = [] } = rule;
  if (protocols.length + ports.length + icmp.length === 0) return true;
  if (protocols.some((text) => (NAMES[text] ?? Number(text)) === p.protocol)) return true;
  if (inPorts(ports, p.protocol, p.dport)) return true;
  return icmp.some(
    ({ family, type, code }) =>
      p.protocol === (family === 'IPv4' ? 1 : 58) &&
      type === p.icmpType &&
      (code === undefined || code === p.icmpCode),
  );
}

export function modelMatches(rule: FirewallRule, p: ModelPacket): boolean {
  const { sources = [], destinations = [], sourcePorts = [], tcpFlags, states = [] } = rule;
  if (sources.length > 0 && !sources.some((prefix) => inPrefix(p.family, p.src, prefix))) return false;
  if (destinations.length > 0 && !destinations.some((prefix) => inPrefix(p.family, p.dst, prefix)))
    return false;
  if (!isService(rule, p)) return false;
  if (sourcePorts.length > 0 && !inPorts(sourcePorts, p.protocol, p.sport)) return false;
  if (tcpFlags) {
    if (p.protocol !== 6) return false;
    const isSet = (name: string) => p.flags.includes(LETTERS[name] as string);
    if (!tcpFlags.mask.every((name) => isSet(name) === tcpFlags.set.includes(name))) return false;
  }
  return states.length === 0 || states.includes('New');
}

/** The rule that decides about a new packet of a direction, or undefined: the default action. */
export function modelRule(
  rules: readonly FirewallRule[],
  direction: 'Ingress' | 'Egress',
  packet: ModelPacket,
): FirewallRule | undefined {
  return rules
    .filter((rule) => rule.direction === 'Both' || rule.direction === direction)
    .map((rule, place) => ({ rule, place }))
    .sort((a, b) => a.rule.priority - b.rule.priority || a.place - b.place)
    .find(({ rule }) => modelMatches(rule, packet))?.rule;
}
