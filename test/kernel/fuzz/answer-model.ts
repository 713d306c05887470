// SPDX-License-Identifier: Apache-2.0
/**
 * RSTs and ICMP errors that a cube makes of a packet, by RFC 9293 3.10.7.1, RFC 1122 3.2.2, RFC 1812 4.3.2, RFC 4443 2.4 and
 * docs/cube-abi.md ("Answers").
 */
import { checksum, ipText, onesSum, pseudoHeader } from '../support/bytes.ts';
import { type Address, isMapped, type Parsed } from './parse-model.ts';

const bytesOf = (address: Address): Buffer => {
  const bytes = Buffer.from(address.toString(16).padStart(32, '0'), 'hex');
  return isMapped(address) ? bytes.subarray(12) : bytes;
};
const textOf = (address: Address): string => ipText(bytesOf(address));

/** Neither a host nor its own: "this", loopback, groups, and IPv4's class E with the limited broadcast. */
function isNoHost(address: Address): boolean {
  if (!isMapped(address)) return address <= 1n || address >> 120n === 0xffn;
  const top = Number((address >> 24n) & 0xffn);
  return top === 0 || top === 127 || top >= 224;
}

/** Headers that are quoted at most. */
const MOST_HEADERS = 104;

export interface Answered {
  readonly frame: Buffer;
  readonly packet: Parsed;
  /** What the kernel made of it, for values that the rules leave open. */
  readonly actual: Buffer;
}

function l2(frame: Buffer, l3: number): Buffer {
  return Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12, l3)]);
}

/** @param tos of the answer: 0xc0, internetwork control, for errors (RFC 1812 4.3.2.5). */
function ipHeader(packet: Parsed, protocol: number, length: number, tos: number): Buffer {
  const { src, dst, v6 } = packet;
  if (v6) {
    const bytes = Buffer.alloc(40);
    bytes[0] = 0x60;
    bytes.writeUInt16BE(length, 4);
    bytes.set([protocol, 64], 6);
    bytes.set(bytesOf(dst), 8);
    bytes.set(bytesOf(src), 24);
    return bytes;
  }
  const bytes = Buffer.alloc(20);
  bytes.set([0x45, tos]);
  bytes.writeUInt16BE(20 + length, 2);
  bytes.writeUInt16BE(0x4000, 6);
  bytes.set([64, protocol], 8);
  bytes.set(bytesOf(dst), 12);
  bytes.set(bytesOf(src), 16);
  bytes.writeUInt16BE(checksum(bytes), 10);
  return bytes;
}

const lengthOf = ({ frame, packet }: Answered): number => packet.length || frame.length - packet.l3;

function mayAnswer({ frame, packet }: Answered): boolean {
  const isGroupFrame = (frame.readUInt8(0) & 1) === 1;
  const { fragment, src, dst, isMulticast, vlan } = packet;
  if (vlan !== undefined) return false; // in the frame's own tag; who speaks for a VLAN is not known here
  return fragment !== 'later' && !isNoHost(src) && !isNoHost(dst) && !isMulticast && !isGroupFrame;
}

/** Undefined: there must be none. */
export function resetOf(answered: Answered): Buffer | undefined {
  const { frame, packet, actual } = answered;
  const { l4, l3, hasOptions, src, dst, fragment } = packet;
  if (!mayAnswer(answered) || hasOptions || fragment !== 'none' || l4 + 20 > frame.length) return undefined;
  const flags = frame.readUInt8(l4 + 13);
  const header = (frame.readUInt8(l4 + 12) >> 4) * 4;
  const payload = lengthOf(answered) - (l4 - l3) - header;
  if ((flags & 4) !== 0 || header < 20 || payload < 0) return undefined;
  const body = Buffer.alloc(20);
  frame.copy(body, 0, l4 + 2, l4 + 4);
  frame.copy(body, 2, l4, l4 + 2);
  body[12] = 5 << 4;
  if ((flags & 16) !== 0) {
    frame.copy(body, 4, l4 + 8, l4 + 12);
    body[13] = 4;
  } else {
    const length = payload + ((flags >> 1) & 1) + (flags & 1);
    body.writeUInt32BE((frame.readUInt32BE(l4 + 4) + length) >>> 0, 8);
    body[13] = 4 | 16;
  }
  const pseudo = pseudoHeader(textOf(dst), textOf(src), 6, 20);
  // the window is such that the sum of the pseudo header alone is the checksum of the whole
  body.writeUInt16BE(onesSum(pseudo), 16);
  const at = l3 + (packet.v6 ? 40 : 20) + 14;
  if (actual.length >= at + 2) actual.copy(body, 14, at, at + 2);
  if (checksum(pseudo, body) !== 0) body.writeUInt16BE(~actual.readUInt16BE(at) & 0xffff, 14);
  return Buffer.concat([l2(frame, l3), ipHeader(packet, 6, 20, 0), body]);
}

/**
 * The IP header and as much of what follows as docs/cube-abi.md says. The quoted L4 checksum may be any that an
 * offloading card's sum would write again; which, the program decides, and here it is only checked.
 */
function quotedBy(answered: Answered): Buffer | undefined {
  const { frame, packet, actual } = answered;
  const { l3, l4, protocol, v6 } = packet;
  if (l4 - l3 > MOST_HEADERS || l4 > frame.length) return undefined;
  const top = frame.subarray(l3, l4);
  const length = Math.max(0, Math.min(lengthOf(answered) - top.length, protocol === 6 ? 20 : 8));
  if (l4 + length > frame.length) return undefined;
  const body = Buffer.from(frame.subarray(l4, l4 + length));
  const field = protocol === 6 && length === 20 ? 16 : protocol === 17 && length === 8 ? 6 : undefined;
  if (field !== undefined && body.readUInt16BE(field) !== 0) {
    const at = l3 + (v6 ? 40 : 20) + 8 + top.length + field;
    const written = at + 2 <= actual.length ? actual.readUInt16BE(at) : 0;
    body.writeUInt16BE(0, field);
    if ((onesSum(body) + 2 * written) % 0xffff === 0) body.writeUInt16BE(written, field);
  }
  return Buffer.concat([top, body]);
}

/** Undefined: there must be none. */
export function errorOf(answered: Answered, type: number, code: number): Buffer | undefined {
  const { frame, packet } = answered;
  const { isError, protocol, isEcho, v6, src, dst, l3 } = packet;
  const isSilent = isError || ((protocol === 1 || protocol === 58) && !isEcho);
  const quoted = mayAnswer(answered) && !isSilent ? quotedBy(answered) : undefined;
  if (quoted === undefined) return undefined;
  const body = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted]);
  const protocolOf = v6 ? 58 : 1;
  const pseudo = v6 ? pseudoHeader(textOf(dst), textOf(src), 58, body.length) : Buffer.alloc(0);
  body.writeUInt16BE(checksum(pseudo, body), 2);
  return Buffer.concat([l2(frame, l3), ipHeader(packet, protocolOf, body.length, 0xc0), body]);
}

/** Answers a prefix of senders may get (IPv4 /24, IPv6 /64), where the model cannot know what the kernel's clock says. */
export class AnswerLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #given = new Map<string, { since: number; count: number }>();

  constructor({ perSecond, burst }: { readonly perSecond: number; readonly burst: number }) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Whether one is given now; `actual` is the kernel's decision, which holds where it is permitted. */
  take(src: Address, actual: boolean): boolean {
    if (this.#perSecond === 0) return false;
    const key = `${isMapped(src) ? src >> 8n : src >> 64n}`;
    const bucket = this.#given.get(key) ?? { since: performance.now(), count: 0 };
    this.#given.set(key, bucket);
    const back = ((performance.now() - bucket.since) / 1000) * this.#perSecond;
    const isGiven = bucket.count < this.#burst || (actual && bucket.count < this.#burst + back + 2);
    if (isGiven) bucket.count += 1;
    return isGiven;
  }
}
