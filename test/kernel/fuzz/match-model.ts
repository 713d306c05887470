// SPDX-License-Identifier: Apache-2.0

/**
 * Which packets a rule of a forwarder or a mirror is for, by the descriptions of src/api/schemas/packet-match.ts: "a packet
 * matches when it fulfils every member that is set". It shares no code with src/cubes/packet-match.ts or bpf/include.
 */
import type { PacketMark, PortRange } from '../../../src/api/generated/types.ts';
import { isV6, mappedBytes } from '../support/bytes.ts';
import { type Address, addressOf, type Parsed, ParseModel } from './parse-model.ts';

export interface ModelMatch {
  readonly sources?: string[];
  readonly destinations?: string[];
  readonly protocols?: string[];
  readonly ports?: PortRange[];
  readonly sourcePorts?: PortRange[];
  readonly dscp?: number;
  readonly mark?: PacketMark;
}

/** What of a packet rules look at. */
export interface Facts {
  readonly packet: Parsed;
  /** Of its own TCP, UDP or SCTP header; of a later fragment those of its first one, when that was seen. */
  readonly ports: Ports | undefined;
  /** Upper six bits of TOS (RFC 791) or traffic class (RFC 8200 7); undefined: not IP. */
  readonly dscp: number | undefined;
  readonly mark: number;
}

interface Ports {
  readonly src: number;
  readonly dst: number;
}

/** Frames as rules see them. Remembers ports of first fragments, as long as a test lasts. */
export class FactsModel {
  readonly #parser = new ParseModel();
  readonly #firsts = new Map<string, Ports>();

  /** A reason: the entry drops the frame. */
  read(frame: Buffer, mark: number): Facts | 'Malformed' | 'ExtensionHeaders' {
    const parsed = this.#parser.parse(frame);
    if (!parsed.ok) return parsed.reason;
    const { packet } = parsed;
    return { packet, mark, ports: this.#ports(frame, packet), dscp: dscpOf(frame, packet) };
  }

  #ports(frame: Buffer, packet: Parsed): Ports | undefined {
    const { fragment, datagram = '', l4 } = packet;
    if (!packet.hasPorts || packet.isError) return undefined;
    if (fragment === 'later') return this.#firsts.get(datagram);
    const ports = { src: frame.readUInt16BE(l4), dst: frame.readUInt16BE(l4 + 2) };
    if (fragment === 'first') this.#firsts.set(datagram, ports);
    return ports;
  }
}

function dscpOf(frame: Buffer, { kind, v6, l3 }: Parsed): number | undefined {
  if (kind !== 'ip') return undefined;
  return v6 ? (frame.readUInt16BE(l3) >> 6) & 0x3f : frame.readUInt8(l3 + 1) >> 2;
}

interface Prefix {
  readonly v6: boolean;
  /** Address without the bits behind the prefix. */
  readonly top: Address;
  readonly shift: bigint;
}

interface Range {
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
  /** Without a port in the rule, packets match whose ports are not known. */
  readonly all: boolean;
}

const NUMBERS: Readonly<Record<string, number>> = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 };

function prefixOf(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  const v6 = isV6(address);
  const shift = BigInt((v6 ? 128 : 32) - Number(length));
  return { v6, shift, top: addressOf(mappedBytes(address)) >> shift };
}

const rangeOf = ({ protocol, port, endPort }: PortRange): Range => ({
  protocol: NUMBERS[protocol] ?? -1,
  first: port ?? 0,
  last: endPort ?? port ?? 0xffff,
  all: port === undefined,
});

/** A rule whose texts have been read once. */
export class Matcher {
  readonly #rule: ModelMatch;
  readonly #sources: readonly Prefix[];
  readonly #destinations: readonly Prefix[];
  readonly #ports: readonly Range[];
  readonly #sourcePorts: readonly Range[];

  constructor(rule: ModelMatch) {
    this.#rule = rule;
    this.#sources = (rule.sources ?? []).map(prefixOf);
    this.#destinations = (rule.destinations ?? []).map(prefixOf);
    this.#ports = (rule.ports ?? []).map(rangeOf);
    this.#sourcePorts = (rule.sourcePorts ?? []).map(rangeOf);
  }

  matches({ packet, ports, dscp, mark }: Facts): boolean {
    const rule = this.#rule;
    // exclusive or in 32 bits
    if (rule.mark && ((mark ^ rule.mark.value) & rule.mark.mask) !== 0) return false;
    if (rule.dscp !== undefined && rule.dscp !== dscp) return false;
    if (this.#sources.length > 0 && !within(this.#sources, packet, packet.src)) return false;
    if (this.#destinations.length > 0 && !within(this.#destinations, packet, packet.dst)) return false;
    if (this.#sourcePorts.length > 0 && !inRange(this.#sourcePorts, packet, ports?.src)) return false;
    const protocols = rule.protocols ?? [];
    if (protocols.length === 0 && this.#ports.length === 0) return true;
    return (
      protocols.some((name) => isOf(name, packet)) ||
      (this.#ports.length > 0 && inRange(this.#ports, packet, ports?.dst))
    );
  }
}

const within = (prefixes: readonly Prefix[], { kind, v6 }: Parsed, address: Address): boolean =>
  kind === 'ip' && prefixes.some((prefix) => prefix.v6 === v6 && address >> prefix.shift === prefix.top);

const inRange = (ranges: readonly Range[], { kind, protocol }: Parsed, port: number | undefined): boolean =>
  kind === 'ip' &&
  ranges.some(
    (range) =>
      range.protocol === protocol &&
      (range.all || (port !== undefined && port >= range.first && port <= range.last)),
  );

/** ICMP is a protocol of IPv4 (RFC 792), ICMPv6 of IPv6 (RFC 4443). */
function isOf(name: string, { kind, protocol, v6 }: Parsed): boolean {
  if (kind !== 'ip' || (name === 'ICMP' && v6) || (name === 'ICMPv6' && !v6)) return false;
  return protocol === (NUMBERS[name] ?? Number(name));
}
