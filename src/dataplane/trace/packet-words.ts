// SPDX-License-Identifier: Apache-2.0
/** A packet of an event in words, as `tcp 10.244.1.5:4000 > 10.96.0.10:80 SYN`. Pure. */
import type { CubeEvent } from '../generated/tcx.ts';
import { TCP_FLAGS } from './packet-spec.ts';

/** PKT_* of bpf/include/packet.h. */
export const PKT = {
  ARP: 1 << 2,
  ND: 1 << 3,
  FRAG_LATER: 1 << 5,
  ICMP_ERROR: 1 << 7,
  PORTS: 1 << 8,
  ECHO: 1 << 9,
  IP: 3,
} as const;

/** As tables and logs name them, by number (IANA). */
export const PROTOCOL_TITLES: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};
/** As a packet is written in a trace. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  58: 'icmp',
  132: 'sctp',
};
/** RFC 792, RFC 4443. */
const REPLIES = new Set([0, 129]);

export function protocolName(number: number): string {
  return PROTOCOLS[number] ?? `protocol ${number}`;
}

/** `10.0.0.1:80`, `[fd00::1]:80`, or the address alone for port 0. */
export function placeText(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

type Words = Pick<CubeEvent, 'flags' | 'tuple' | 'tcpFlags' | 'icmpType'>;

export function packetWords({ flags, tuple, tcpFlags, icmpType }: Words): string {
  const isEcho = (flags & PKT.ECHO) !== 0;
  const ends = isEcho
    ? `${tuple.src} > ${tuple.dst}`
    : `${placeText(tuple.src, tuple.sport)} > ${placeText(tuple.dst, tuple.dport)}`;
  if (flags & PKT.ARP) return `arp ${ends}`;
  if (!(flags & PKT.IP)) return 'a frame that is no IP packet';
  if (flags & PKT.ND) return `neighbour discovery ${ends}`;
  const name = protocolName(tuple.proto);
  // The tuple of an error is the reversed one of the packet that it quotes.
  if (flags & PKT.ICMP_ERROR) return `icmp error ${icmpType} about ${name}, as ${ends}`;
  if (flags & PKT.FRAG_LATER) return `${name} ${ends} later fragment`;
  if (isEcho) return `${name} ${ends} ${REPLIES.has(icmpType) ? 'reply' : 'echo'}`;
  const set = Object.entries(TCP_FLAGS).filter(([, bit]) => tuple.proto === 6 && tcpFlags & bit);
  return [`${name} ${ends}`, ...set.map(([flag]) => flag)].join(' ');
}
