// SPDX-License-Identifier: Apache-2.0
/** What a cube answers to ARP requests (RFC 826, RFC 5227) and neighbour solicitations (RFC 4861) for its own addresses. */
import { checksum, GATEWAY_MAC, ipText, macBytes, pseudoHeader } from '../support/bytes.ts';
import { type Address, addressOf, isMapped, type Parsed } from './parse-model.ts';

export type Neighbour =
  | { readonly kind: 'answer'; readonly frame: Buffer }
  /** Malformed, or its sender claims the address. */
  | { readonly kind: 'invalid' }
  /** About an address that is not the cube's at this port, or nothing that is answered. */
  | { readonly kind: 'foreign' };

type Owns = (address: Address) => boolean;

/** 4 or 16 bytes. */
export function bytesOf(address: Address): Buffer {
  const bytes = Buffer.from(address.toString(16).padStart(32, '0'), 'hex');
  return isMapped(address) ? bytes.subarray(12) : bytes;
}

export const textOf = (address: Address): string => ipText(bytesOf(address));

/** An IPv4 header as a cube writes one into its answers. */
export function header4(length: number, protocol: number, tos: number, src: Address, dst: Address): Buffer {
  const header = Buffer.alloc(20);
  header.set([0x45, tos]);
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(0x4000, 6);
  header.set([64, protocol], 8);
  header.set(bytesOf(src), 12);
  header.set(bytesOf(dst), 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

export function header6(
  protocol: number,
  length: number,
  hopLimit: number,
  src: Address,
  dst: Address,
): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header.set([protocol, hopLimit], 6);
  header.set(bytesOf(src), 8);
  header.set(bytesOf(dst), 24);
  return header;
}

export function answerToArp(frame: Buffer, { vlan, src, dst, l3 }: Parsed, owns: Owns): Neighbour {
  if (vlan !== undefined) return { kind: 'invalid' };
  const body = frame.subarray(l3);
  if (body.readUInt16BE(6) !== 1 || !owns(dst)) return { kind: 'foreign' };
  const sender = Buffer.from(body.subarray(8, 14));
  if ((sender.readUInt8(0) & 1) === 1 || src === dst) return { kind: 'invalid' };
  const answer = Buffer.from(frame);
  const own = macBytes(GATEWAY_MAC);
  answer.set(sender, 0);
  answer.set(own, 6);
  answer.writeUInt16BE(2, l3 + 6);
  answer.set(own, l3 + 8);
  answer.set(bytesOf(dst), l3 + 14);
  answer.set(sender, l3 + 18);
  answer.set(bytesOf(src), l3 + 24);
  return { kind: 'answer', frame: answer };
}

/** RFC 4861 7.1.1, 7.2.4. `shift`: bytes of a tag that has been taken out of the frame since it was parsed. */
export function answerToSolicitation(frame: Buffer, packet: Parsed, shift: number, owns: Owns): Neighbour {
  const { icmp, src, dst, length, hasOptions, isMulticast } = packet;
  if (icmp?.type !== 135) return { kind: 'foreign' };
  const message = frame.subarray(packet.l4 - shift, packet.l3 - shift + length);
  const sound =
    icmp.code === 0 &&
    !hasOptions &&
    message.length >= 24 &&
    message.length <= 88 &&
    checksum(pseudoHeader(textOf(src), textOf(dst), 58, message.length), message) === 0;
  if (!sound) return { kind: 'invalid' };
  const probe = src === 0n;
  let mac: Buffer | undefined;
  for (let at = 24; at < message.length; ) {
    const size = message.readUInt8(at + 1) * 8;
    if (size === 0 || at + size > message.length) return { kind: 'invalid' };
    if (message.readUInt8(at) === 1 && size === 8) mac = message.subarray(at + 2, at + 8);
    at += size;
  }
  const target = addressOf(message.subarray(8, 24));
  if (target >> 120n === 0xffn || (probe && (mac || !isMulticast))) return { kind: 'invalid' };
  if (!owns(target)) return { kind: 'foreign' };
  const to = probe ? 0xff020000_00000000_00000000_00000001n : src;
  const receiver = probe ? Buffer.from([0x33, 0x33, 0, 0, 0, 1]) : (mac ?? frame.subarray(6, 12));
  const body = Buffer.alloc(32);
  body[0] = 136;
  body.writeUInt32BE(probe ? 0xa0000000 : 0xe0000000, 4);
  body.set(bytesOf(target), 8);
  body.set([2, 1], 24);
  body.set(macBytes(GATEWAY_MAC), 26);
  body.writeUInt16BE(checksum(pseudoHeader(textOf(target), textOf(to), 58, 32), body), 2);
  return {
    kind: 'answer',
    frame: Buffer.concat([
      receiver,
      macBytes(GATEWAY_MAC),
      Buffer.from([0x86, 0xdd]),
      header6(58, 32, 255, target, to),
      body,
    ]),
  };
}
