// SPDX-License-Identifier: Apache-2.0
/**
 * How rtnetlink messages are laid out (linux/netlink.h, linux/rtnetlink.h): a header, a fixed part, attributes. Numbers
 * are in the byte order of the machine, which is little-endian wherever this project runs; addresses are in network
 * order. Pure.
 */
import { addressBytes } from '../../../cubes/codec/address.ts';

/** A message, and what it is about in words. */
export interface Request {
  readonly what: string;
  readonly bytes: Buffer;
}

/** nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32. */
const HEADER = 16;
/** nlattr: length u16 with itself, type u16. */
const ATTRIBUTE = 4;
/** NLA_TYPE_MASK: without the flags for nested and network order. */
const TYPE_MASK = 0x3fff;

const aligned = (length: number): number => (length + 3) & ~3;

export const Flag = {
  Request: 0x1,
  Ack: 0x4,
  Replace: 0x100,
  Exclusive: 0x200,
  /** NLM_F_ROOT | NLM_F_MATCH: all that there are. */
  Dump: 0x300,
  Create: 0x400,
} as const;

/** One message, padded. */
export function message(type: number, flags: number, fixed: Buffer, attributes: readonly Buffer[]): Buffer {
  const body = Buffer.concat([padded(fixed), ...attributes]);
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(HEADER + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags | Flag.Request | Flag.Ack, 6);
  return Buffer.concat([header, body]);
}

export function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(ATTRIBUTE);
  header.writeUInt16LE(ATTRIBUTE + value.length, 0);
  header.writeUInt16LE(type, 2);
  return padded(Buffer.concat([header, value]));
}

export function nested(type: number, parts: readonly Buffer[]): Buffer {
  return attribute(type, Buffer.concat(parts));
}

export function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value >>> 0);
  return buffer;
}

/** With its terminating NUL. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

export function mac(value: string): Buffer {
  return Buffer.from(value.replaceAll(':', ''), 'hex');
}

export const isIPv6 = (address: string): boolean => address.includes(':');

/** 4 or 16 bytes. */
export function address(value: string): Buffer {
  const bytes = addressBytes(value);
  return Buffer.from(isIPv6(value) ? bytes : bytes.subarray(12));
}

function padded(buffer: Buffer): Buffer {
  const length = aligned(buffer.length);
  return length === buffer.length ? buffer : Buffer.concat([buffer, Buffer.alloc(length - buffer.length)]);
}

/** Attribute type → value. A later one of the same type wins. */
export function attributesIn(buffer: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE <= buffer.length; ) {
    const length = buffer.readUInt16LE(at);
    if (length < ATTRIBUTE || at + length > buffer.length) break;
    found.set(buffer.readUInt16LE(at + 2) & TYPE_MASK, buffer.subarray(at + ATTRIBUTE, at + length));
    at += aligned(length);
  }
  return found;
}

/** The messages of an answer: type, and what stands behind the header. */
export function messagesIn(buffer: Buffer): { readonly type: number; readonly body: Buffer }[] {
  const found: { type: number; body: Buffer }[] = [];
  for (let at = 0; at + HEADER <= buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    if (length < HEADER || at + length > buffer.length) break;
    found.push({ type: buffer.readUInt16LE(at + 4), body: buffer.subarray(at + HEADER, at + length) });
    at += aligned(length);
  }
  return found;
}
