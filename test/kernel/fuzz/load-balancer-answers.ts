// SPDX-License-Identifier: Apache-2.0

/**
 * RSTs and ICMP errors that speak for a service, by RFC 9293 3.10.7.1, RFC 792, RFC 4443, RFC 1122 3.2.2 and "Answers" of
 * docs/cube-abi.md.
 */
import { checksum, ipText, onesSum, pseudoHeader } from '../support/bytes.ts';
import { ACK, FIN, RST, SYN, TCP, UDP } from './load-balancer-tuple.ts';
import type { Parsed } from './parse-model.ts';

const ETHERNET = 14;
const LONGEST_QUOTED_HEADER = 104;
const TTL = 64;

/**
 * The answer to a packet for a service, or undefined where none may or can be made. `actual`: the frame that the kernel made
 * of it, for the quoted checksum, which the rules leave open.
 */
export function answerTo(frame: Buffer, packet: Parsed, actual: Buffer): Buffer | undefined {
  if (packet.fragment === 'later' || packet.isMulticast || packet.isError || packet.l3 !== ETHERNET)
    return undefined;
  // sent to one station, by one host
  if ((frame.readUInt8(0) & 1) === 1 || !isHost(frame, packet)) return undefined;
  return packet.protocol === TCP ? reset(frame, packet) : unreachable(frame, packet, actual);
}

function isHost(frame: Buffer, { v6 }: Parsed): boolean {
  const at = ETHERNET + (v6 ? 8 : 12);
  const top = frame.readUInt8(at);
  if (!v6) return top !== 0 && top !== 127 && top < 224;
  const rest = frame.subarray(at, at + 15);
  return top !== 0xff && !(rest.every((byte) => byte === 0) && frame.readUInt8(at + 15) <= 1);
}

function lengthOf(frame: Buffer, packet: Parsed): number {
  return packet.length || frame.length - packet.l3;
}

function addressesOf(frame: Buffer, v6: boolean): { src: Buffer; dst: Buffer } {
  const at = ETHERNET + (v6 ? 8 : 12);
  const size = v6 ? 16 : 4;
  return { src: frame.subarray(at, at + size), dst: frame.subarray(at + size, at + 2 * size) };
}

/** Back to the sender, from where it sent to. */
function turned(frame: Buffer, v6: boolean, protocol: number, tos: number, body: Buffer): Buffer {
  const { src, dst } = addressesOf(frame, v6);
  const header = Buffer.alloc(v6 ? 40 : 20);
  if (v6) {
    header[0] = 0x60;
    header.writeUInt16BE(body.length, 4);
    header.set([protocol, TTL], 6);
  } else {
    header.set([0x45, tos]);
    header.writeUInt16BE(20 + body.length, 2);
    header.writeUInt16BE(0x4000, 6);
    header.set([TTL, protocol], 8);
  }
  header.set(dst, v6 ? 8 : 12);
  header.set(src, v6 ? 24 : 16);
  if (!v6) header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12, 14), header, body]);
}

function pseudo(frame: Buffer, v6: boolean, protocol: number, length: number): Buffer {
  const { src, dst } = addressesOf(frame, v6);
  return pseudoHeader(ipText(dst), ipText(src), protocol, length);
}

/** The pseudo header's sum is its checksum, and the window is what makes this the complete one too. */
function reset(frame: Buffer, packet: Parsed): Buffer | undefined {
  const { l4, v6 } = packet;
  if (packet.hasOptions || packet.fragment !== 'none' || l4 + 20 > frame.length) return undefined;
  const flags = frame.readUInt8(l4 + 13);
  const words = frame.readUInt8(l4 + 12) >> 4;
  const payload = lengthOf(frame, packet) - (l4 - packet.l3) - words * 4;
  if (flags & RST || words < 5 || payload < 0) return undefined;
  const body = Buffer.alloc(20);
  body.writeUInt16BE(frame.readUInt16BE(l4 + 2), 0);
  body.writeUInt16BE(frame.readUInt16BE(l4), 2);
  body[12] = 0x50;
  if (flags & ACK) {
    body.writeUInt32BE(frame.readUInt32BE(l4 + 8), 4);
    body[13] = RST;
  } else {
    const length = payload + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
    body.writeUInt32BE((frame.readUInt32BE(l4 + 4) + length) >>> 0, 8);
    body[13] = RST | ACK;
  }
  const covered = pseudo(frame, v6, TCP, 20);
  body.writeUInt16BE(onesSum(covered), 16);
  body.writeUInt16BE(checksum(covered, body), 14);
  return turned(frame, v6, TCP, 0, body);
}

/** Port unreachable. */
function unreachable(frame: Buffer, packet: Parsed, actual: Buffer): Buffer | undefined {
  const { v6, l3, l4, protocol } = packet;
  const header = l4 - l3;
  if (header > LONGEST_QUOTED_HEADER || l4 > frame.length) return undefined;
  const length = Math.max(0, Math.min(lengthOf(frame, packet) - header, 8));
  if (l4 + length > frame.length) return undefined;
  const quoted = Buffer.from(frame.subarray(l3, l4 + length));
  if (protocol === UDP && length === 8 && quoted.readUInt16BE(header + 6) !== 0) {
    // any value that an offloading card's sum would write there again
    const at = ETHERNET + (v6 ? 40 : 20) + 8 + header + 6;
    const written = at + 2 <= actual.length ? actual.readUInt16BE(at) : 0;
    quoted.writeUInt16BE(0, header + 6);
    if ((onesSum(quoted.subarray(header)) + 2 * written) % 0xffff === 0)
      quoted.writeUInt16BE(written, header + 6);
  }
  const [own, type, code] = v6 ? [58, 1, 4] : [1, 3, 3];
  const body = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted]);
  const covered = v6 ? pseudo(frame, v6, own, body.length) : Buffer.alloc(0);
  body.writeUInt16BE(checksum(covered, body), 2);
  return turned(frame, v6, own, 0xc0, body);
}
