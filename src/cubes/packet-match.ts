// SPDX-License-Identifier: Apache-2.0

/**
 * What the match of a rule means, as rows of `struct packet_match` (bpf/include/packet-match.h). A rule with several prefixes or
 * ranges of ports is as many rows as there are combinations that a packet can fulfil.
 */
import type { PacketMark, PortRange } from '../api/generated/types.ts';
import { type Prefix, parsePrefix } from '../api/ip.ts';
import { addressBytes } from './codec/address.ts';

/** Members of a rule that say which packets it is for; see src/api/schemas/packet-match.ts. */
export interface PacketMatchSpec {
  readonly sources?: readonly string[];
  readonly destinations?: readonly string[];
  readonly protocols?: readonly string[];
  readonly ports?: readonly PortRange[];
  readonly sourcePorts?: readonly PortRange[];
  readonly dscp?: number;
  readonly mark?: PacketMark;
}

/** `struct packet_match`; addresses and masks as 16 bytes. */
export interface MatchRow {
  readonly src: Uint8Array;
  readonly srcMask: Uint8Array;
  readonly dst: Uint8Array;
  readonly dstMask: Uint8Array;
  readonly ports: bigint;
  readonly mark: number;
  readonly markMask: number;
  readonly sportFirst: number;
  readonly sportLast: number;
  readonly dportFirst: number;
  readonly dportLast: number;
  readonly proto: number;
  readonly protoMask: number;
  readonly dscp: number;
  readonly dscpMask: number;
  readonly needs: number;
}

const Needs = { ip: 1, v4: 2, v6: 4, ports: 8 } as const;
const PROTOCOLS: Readonly<Record<string, number>> = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 };

interface Side {
  readonly family: 4 | 6 | undefined;
  readonly addr: Uint8Array;
  readonly mask: Uint8Array;
}

interface Service {
  /** Undefined: any. */
  readonly proto: number | undefined;
  /** Of the protocol's ports; undefined: any. */
  readonly range: readonly [number, number] | undefined;
}

const ANY_SIDE: Side = { family: undefined, addr: new Uint8Array(16), mask: new Uint8Array(16) };
const ANY_SERVICE: Service = { proto: undefined, range: undefined };

function maskOf({ family, length }: Prefix): Uint8Array {
  const bits = family === 4 ? length + 96 : length;
  return Uint8Array.from({ length: 16 }, (_, i) => {
    const set = Math.min(8, Math.max(0, bits - 8 * i));
    return (0xff00 >> set) & 0xff;
  });
}

function sidesOf(prefixes: readonly string[] = []): Side[] {
  if (prefixes.length === 0) return [ANY_SIDE];
  return prefixes.flatMap((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) return [];
    const addr = addressBytes(text.slice(0, text.indexOf('/')));
    return [{ family: prefix.family, addr, mask: maskOf(prefix) }];
  });
}

const rangesOf = (ranges: readonly PortRange[] = []): Service[] =>
  ranges.map(({ protocol, port, endPort = port }) => ({
    proto: PROTOCOLS[protocol],
    range: port === undefined || endPort === undefined ? undefined : [port, endPort],
  }));

function servicesOf({ protocols = [], ports }: PacketMatchSpec): Service[] {
  const whole = protocols.map((name) => ({ proto: PROTOCOLS[name] ?? Number(name), range: undefined }));
  const services = [...whole, ...rangesOf(ports)];
  return services.length === 0 ? [ANY_SERVICE] : services;
}

const families = ({ proto }: Service): 4 | 6 | undefined =>
  proto === PROTOCOLS.ICMP ? 4 : proto === PROTOCOLS.ICMPv6 ? 6 : undefined;

/**
 * Rows of a rule for packets that come in by one of `ports` (a bit a port); none when no packet can fulfil it, as with
 * an IPv4 source and an IPv6 destination.
 */
export function matchRows(spec: PacketMatchSpec, ports: bigint): MatchRow[] {
  const rows: MatchRow[] = [];
  const sourcePorts = rangesOf(spec.sourcePorts);
  for (const src of sidesOf(spec.sources))
    for (const dst of sidesOf(spec.destinations))
      for (const service of servicesOf(spec))
        for (const source of sourcePorts.length === 0 ? [ANY_SERVICE] : sourcePorts) {
          const family = oneOf([src.family, dst.family, families(service)]);
          const proto = oneOf([service.proto, source.proto]);
          if (family === null || proto === null) continue;
          rows.push(rowOf(spec, ports, { src, dst, service, source, family, proto }));
        }
  return rows;
}

/** The value that all of them have; undefined when none says one, null when they contradict each other. */
function oneOf<T>(values: readonly (T | undefined)[]): T | undefined | null {
  const said = new Set(values.filter((value) => value !== undefined));
  return said.size > 1 ? null : [...said][0];
}

interface Combination {
  readonly src: Side;
  readonly dst: Side;
  readonly service: Service;
  readonly source: Service;
  readonly family: 4 | 6 | undefined;
  readonly proto: number | undefined;
}

function rowOf(
  { dscp, mark }: PacketMatchSpec,
  ports: bigint,
  { src, dst, service, source, family, proto }: Combination,
): MatchRow {
  const needsPorts = service.range !== undefined || source.range !== undefined;
  const needsIp = family !== undefined || proto !== undefined || dscp !== undefined;
  const [sportFirst, sportLast] = source.range ?? [0, 0xffff];
  const [dportFirst, dportLast] = service.range ?? [0, 0xffff];
  return {
    src: src.addr,
    srcMask: src.mask,
    dst: dst.addr,
    dstMask: dst.mask,
    ports,
    mark: ((mark?.value ?? 0) & (mark?.mask ?? 0)) >>> 0,
    markMask: mark?.mask ?? 0,
    sportFirst,
    sportLast,
    dportFirst,
    dportLast,
    proto: proto ?? 0,
    protoMask: proto === undefined ? 0 : 0xff,
    dscp: dscp ?? 0,
    dscpMask: dscp === undefined ? 0 : 0x3f,
    needs:
      (needsIp ? Needs.ip : 0) |
      (family === 4 ? Needs.v4 : 0) |
      (family === 6 ? Needs.v6 : 0) |
      (needsPorts ? Needs.ports : 0),
  };
}
