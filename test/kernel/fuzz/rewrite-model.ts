// SPDX-License-Identifier: Apache-2.0

/**
 * What a change of one side of a packet does to its bytes, by RFC 1624 (checksums), RFC 768 (a UDP checksum of zero is none),
 * RFC 5508 (the packet that an ICMP error quotes). Shares no code with bpf/include/rewrite.h.
 */
import type { Parsed } from './parse-model.ts';

export interface Change {
  readonly side: 'src' | 'dst';
  /** 4 or 16 bytes, of the packet's family. */
  readonly address: Buffer;
  /** Or an echo identifier. */
  readonly port: number;
}

const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;

/** Adds the change of some 16-bit words to a checksum (RFC 1624, equation 3). */
function adjust(frame: Buffer, at: number, from: Buffer, to: Buffer): void {
  let sum = ~frame.readUInt16BE(at) & 0xffff;
  for (let i = 0; i < from.length; i += 2) sum += (~from.readUInt16BE(i) & 0xffff) + to.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame.writeUInt16BE(~sum & 0xffff, at);
}

const word = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

/** Replaces bytes and returns what stood there. */
function put(frame: Buffer, at: number, bytes: Buffer): Buffer {
  const before = Buffer.from(frame.subarray(at, at + bytes.length));
  frame.set(bytes, at);
  return before;
}

/** The address in an IP header, with the header's own checksum. */
function putAddress(frame: Buffer, l3: number, side: 'src' | 'dst', address: Buffer): Buffer {
  const v4 = address.length === 4;
  const before = put(frame, l3 + (v4 ? 12 : 8) + (side === 'dst' ? address.length : 0), address);
  if (v4) adjust(frame, l3 + 10, before, address);
  return before;
}

/** The L4 checksum that covers the addresses; undefined where there is none. */
function coveringChecksum(frame: Buffer, packet: Parsed): number | undefined {
  if (packet.fragment === 'later') return undefined;
  if (packet.protocol === TCP) return packet.l4 + 16;
  if (packet.protocol === ICMPV6 && packet.v6) return packet.l4 + 2;
  if (packet.protocol === UDP && frame.readUInt16BE(packet.l4 + 6) !== 0) return packet.l4 + 6;
  return undefined;
}

export function rewritten(original: Buffer, packet: Parsed, change: Change): Buffer {
  const frame = Buffer.from(original);
  const { side, address, port } = change;
  if (packet.quoted) {
    quotedRewritten(frame, packet, packet.quoted, change);
    return frame;
  }
  const covering = coveringChecksum(frame, packet);
  const before = putAddress(frame, packet.l3, side, address);
  if (covering !== undefined) adjust(frame, covering, before, address);
  if (packet.fragment === 'later') return frame;
  if (packet.hasPorts) {
    const old = put(frame, packet.l4 + (side === 'dst' ? 2 : 0), word(port));
    if (covering !== undefined) adjust(frame, covering, old, word(port));
  } else if (packet.isEcho && holdsIdentifier(packet, side)) {
    adjust(frame, packet.l4 + 2, put(frame, packet.l4 + 4, word(port)), word(port));
  }
  if (packet.protocol === UDP && covering !== undefined && frame.readUInt16BE(covering) === 0) {
    frame.writeUInt16BE(0xffff, covering);
  }
  return frame;
}

/** Requests are known by their sender's identifier, replies by their receiver's. */
export function holdsIdentifier(packet: Parsed, side: 'src' | 'dst'): boolean {
  if (packet.quoted) return packet.quoted.identifier === side;
  const request = packet.icmp?.type === 8 || packet.icmp?.type === 128;
  return request === (side === 'src');
}

/** An error travels against the packet that it quotes; its own address follows where it is the same. */
function quotedRewritten(
  frame: Buffer,
  packet: Parsed,
  quoted: NonNullable<Parsed['quoted']>,
  { side, address, port }: Change,
): void {
  const sum = packet.l4 + 2;
  const inner = side === 'src' ? 'dst' : 'src';
  const header = packet.v6 ? 40 : 20;
  const quotation = Buffer.from(frame.subarray(quoted.l3, quoted.l3 + header));
  const before = putAddress(frame, quoted.l3, inner, address);
  adjust(frame, sum, quotation, frame.subarray(quoted.l3, quoted.l3 + header));
  if (packet.hasPorts) {
    const old = put(frame, quoted.l4 + (inner === 'dst' ? 2 : 0), word(port));
    adjust(frame, sum, old, word(port));
  }
  if (quoted.identifier === side) adjust(frame, sum, put(frame, quoted.l4 + 4, word(port)), word(port));
  const at = packet.l3 + (packet.v6 ? 8 : 12) + (side === 'dst' ? address.length : 0);
  if (!frame.subarray(at, at + address.length).equals(before)) return;
  putAddress(frame, packet.l3, side, address);
  if (packet.v6) adjust(frame, sum, before, address);
}

/** Zero and all ones are the same sum; only UDP tells them apart, which is looked at apart. */
export function sameBytes(a: Buffer, b: Buffer, checksums: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  for (const at of checksums) {
    for (const bytes of [x, y])
      if (at + 2 <= bytes.length && bytes.readUInt16BE(at) === 0xffff) bytes.writeUInt16BE(0, at);
  }
  return x.equals(y);
}

/** Where checksums stand that may be written either way. */
export function checksumsOf(packet: Parsed): number[] {
  const found = packet.v6 ? [] : [packet.l3 + 10];
  if (packet.quoted) return [...found, packet.l4 + 2, ...(packet.v6 ? [] : [packet.quoted.l3 + 10])];
  if (packet.fragment === 'later') return found;
  if (packet.protocol === TCP) return [...found, packet.l4 + 16];
  return packet.icmp ? [...found, packet.l4 + 2] : found;
}
