// SPDX-License-Identifier: Apache-2.0

/**
 * What a packet is to sessions, by docs/cube-abi.md ("The work area") and the RFCs of its protocol (9293, 768, 9260). All
 * text here has one character a byte, so that a key of a map is its own name.
 */
import type { Parsed } from './parse-model.ts';

export const TCP = 6;
export const UDP = 17;
export const SCTP = 132;

/** Flags of a TCP header. */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

const INIT = 1;
const INIT_ACK = 2;
const ABORT = 6;
const SHUTDOWN_COMPLETE = 14;
/** SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE. */
const SHUTDOWNS = [7, 8, SHUTDOWN_COMPLETE];

const V4_PREFIX = `${'\0'.repeat(10)}\xff\xff`;
const NO_PORTS = '\0\0\0\0';

export const word = (value: number): string => String.fromCharCode(value >> 8, value & 255);
export const number = (text: string, at = 0): number => (text.charCodeAt(at) << 8) | text.charCodeAt(at + 1);

/** Direction-less key of a session's half, 40 characters: addresses, ports, protocol, whether replies, padding. */
export function keyOf(src: string, dst: string, ports: string, protocol: number, reverse: boolean): string {
  return `${src}${dst}${ports}${String.fromCharCode(protocol)}${reverse ? '\x01' : '\0'}\0\0`;
}

export interface Tuple {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly protocol: number;
  /** Both as they stand in the packet. */
  readonly ports: string;
}

/** Ports of datagrams in fragments: those of the first one stand for all. */
export class Tuples {
  readonly #firsts = new Map<string, string>();

  of(frame: Buffer, packet: Parsed): Tuple {
    if (packet.quoted) {
      const [dst, src] = addresses(frame, packet.quoted.l3, packet.v6);
      let ports = NO_PORTS;
      if (packet.hasPorts) {
        const quoted = frame.toString('latin1', packet.quoted.l4, packet.quoted.l4 + 4);
        ports = quoted.slice(2) + quoted.slice(0, 2);
      }
      if (packet.fragment === 'first') this.#firsts.set(packet.datagram ?? '', NO_PORTS);
      return tuple(src, dst, ports, packet.quoted.protocol);
    }
    const [src, dst] = addresses(frame, packet.l3, packet.v6);
    let ports = NO_PORTS;
    if (packet.fragment === 'later') ports = this.#firsts.get(packet.datagram ?? '') ?? NO_PORTS;
    else if (packet.hasPorts) ports = frame.toString('latin1', packet.l4, packet.l4 + 4);
    if (packet.fragment === 'first') this.#firsts.set(packet.datagram ?? '', ports);
    return tuple(src, dst, ports, packet.protocol);
  }
}

function tuple(src: string, dst: string, ports: string, protocol: number): Tuple {
  return { src, dst, sport: number(ports), dport: number(ports, 2), protocol, ports };
}

/** Source and destination of the IP header at `l3`. */
function addresses(frame: Buffer, l3: number, v6: boolean): [string, string] {
  if (v6) return [frame.toString('latin1', l3 + 8, l3 + 24), frame.toString('latin1', l3 + 24, l3 + 40)];
  return [
    V4_PREFIX + frame.toString('latin1', l3 + 12, l3 + 16),
    V4_PREFIX + frame.toString('latin1', l3 + 16, l3 + 20),
  ];
}

/** What a packet does to the connection that it is of. */
export interface Segment {
  /** It asks for a new one. */
  readonly opens: boolean;
  readonly resets: boolean;
  readonly finishes: boolean;
  readonly tcpFlags: number;
  /** Type of the first chunk of SCTP; 0 for all else. */
  readonly chunk: number;
}

const NOTHING: Segment = { opens: false, resets: false, finishes: false, tcpFlags: 0, chunk: 0 };

export function segmentOf(frame: Buffer, packet: Parsed): Segment {
  if (packet.fragment === 'later' || packet.isError) return NOTHING;
  if (packet.protocol === TCP) {
    const tcpFlags = frame.readUInt8(packet.l4 + 13);
    const resets = (tcpFlags & RST) !== 0;
    return {
      opens: (tcpFlags & (SYN | ACK | RST | FIN)) === SYN,
      resets,
      finishes: !resets && (tcpFlags & FIN) !== 0,
      tcpFlags,
      chunk: 0,
    };
  }
  if (packet.protocol === SCTP) {
    const chunk = frame[packet.l4 + 12] ?? 0;
    return {
      opens: chunk === INIT,
      resets: chunk === ABORT,
      finishes: SHUTDOWNS.includes(chunk),
      tcpFlags: 0,
      chunk,
    };
  }
  return { ...NOTHING, opens: true };
}

/**
 * The number that will confirm a session, from a reply: TCP the acknowledgement of it, SCTP the tag that the server gives
 * out. A reply that can be acknowledged by somebody who has not seen it gives none. In the middle of an association any
 * answer will do but those of a host that knows of none (RFC 9260 8.4).
 */
export function proofOf(
  frame: Buffer,
  packet: Parsed,
  segment: Segment,
  isMidstream: boolean,
): number | undefined {
  if (packet.fragment === 'later' || packet.isError) return undefined;
  const { l3, l4, protocol } = packet;
  if (protocol === UDP) return 0;
  if (protocol === TCP) {
    if (segment.resets || !(segment.tcpFlags & ACK)) return undefined;
    const sequence = frame.readUInt32BE(l4 + 4);
    const payload = (packet.length || frame.length - l3) - (l4 - l3) - (frame.readUInt8(l4 + 12) >> 4) * 4;
    const taken = segment.tcpFlags & SYN ? 1 : payload;
    return (sequence + taken + (segment.finishes ? 1 : 0)) >>> 0;
  }
  if (isMidstream) return [ABORT, SHUTDOWN_COMPLETE].includes(segment.chunk) ? undefined : 0;
  // as it stands there, least byte first
  if (segment.chunk !== INIT_ACK || l4 + 20 > frame.length) return undefined;
  return frame.readUInt32LE(l4 + 16);
}
