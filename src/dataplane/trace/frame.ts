// SPDX-License-Identifier: Apache-2.0
/** The Ethernet frame of a packet that a person asks about, with right checksums. Pure; network byte order throughout. */
import { addressBytes } from '../../cubes/codec/address.ts';
import type { PacketSpec } from './packet-spec.ts';

export interface FrameMacs {
  readonly src: string;
  readonly dst: string;
}

const PROTOCOL = { tcp: 6, udp: 17, icmp: 1, icmp6: 58 } as const;
const ETHER_HEADER = 14;

export function frameOf(packet: PacketSpec, macs: FrameMacs): Buffer {
  const isV6 = packet.src.includes(':');
  if (packet.protocol === 'arp') return Buffer.concat([ether(macs, 0x0806), arp(packet, macs)]);
  const l4 = transport(packet, isV6);
  return Buffer.concat([
    ether(macs, isV6 ? 0x86dd : 0x0800),
    isV6 ? header6(packet, l4) : header4(packet, l4),
    l4,
  ]);
}

/** The same frame with other MACs: of a capture, for the interface that it is to come in by. */
export function withMacs(frame: Uint8Array, macs: FrameMacs): Buffer {
  const copy = Buffer.from(frame);
  copy.set(macBytes(macs.dst), 0);
  copy.set(macBytes(macs.src), 6);
  return copy.length < ETHER_HEADER ? Buffer.concat([copy], ETHER_HEADER) : copy;
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function ether(macs: FrameMacs, type: number): Buffer {
  const bytes = Buffer.alloc(ETHER_HEADER);
  bytes.set(macBytes(macs.dst), 0);
  bytes.set(macBytes(macs.src), 6);
  bytes.writeUInt16BE(type, 12);
  return bytes;
}

/** RFC 826, a request. */
function arp({ src, dst }: PacketSpec, macs: FrameMacs): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16BE(1, 0);
  bytes.writeUInt16BE(0x0800, 2);
  bytes[4] = 6;
  bytes[5] = 4;
  bytes.writeUInt16BE(1, 6);
  bytes.set(macBytes(macs.src), 8);
  bytes.set(address(src), 14);
  bytes.set(address(dst), 24);
  return bytes;
}

/** 4 or 16 bytes. */
function address(text: string): Uint8Array {
  const mapped = addressBytes(text);
  return text.includes(':') ? mapped : mapped.subarray(12);
}

function protocolOf({ protocol }: PacketSpec, isV6: boolean): number {
  if (protocol === 'tcp' || protocol === 'udp') return PROTOCOL[protocol];
  return isV6 ? PROTOCOL.icmp6 : PROTOCOL.icmp;
}

/** RFC 791, with DF as every stack sends it. */
function header4(packet: PacketSpec, l4: Buffer): Buffer {
  const bytes = Buffer.alloc(20);
  bytes[0] = 0x45;
  bytes.writeUInt16BE(20 + l4.length, 2);
  bytes.writeUInt16BE(0x4000, 6);
  bytes[8] = packet.ttl;
  bytes[9] = protocolOf(packet, false);
  bytes.set(address(packet.src), 12);
  bytes.set(address(packet.dst), 16);
  bytes.writeUInt16BE(checksum(bytes), 10);
  return bytes;
}

/** RFC 8200. */
function header6(packet: PacketSpec, l4: Buffer): Buffer {
  const bytes = Buffer.alloc(40);
  bytes[0] = 0x60;
  bytes.writeUInt16BE(l4.length, 4);
  bytes[6] = protocolOf(packet, true);
  bytes[7] = packet.ttl;
  bytes.set(address(packet.src), 8);
  bytes.set(address(packet.dst), 24);
  return bytes;
}

function transport(packet: PacketSpec, isV6: boolean): Buffer {
  const { protocol, sport, dport, flags, isReply, size } = packet;
  const header = Buffer.alloc(protocol === 'tcp' ? 20 : 8);
  let at = 2;
  if (protocol === 'icmp') {
    header[0] = isV6 ? (isReply ? 129 : 128) : isReply ? 0 : 8;
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(1, 6);
  } else {
    header.writeUInt16BE(sport, 0);
    header.writeUInt16BE(dport, 2);
    at = protocol === 'tcp' ? 16 : 6;
    if (protocol === 'udp') {
      header.writeUInt16BE(8 + size, 4);
    } else {
      header.writeUInt32BE(1, 4);
      header.writeUInt32BE(flags & 16 ? 1 : 0, 8);
      header[12] = 0x50;
      header[13] = flags;
      header.writeUInt16BE(65_535, 14);
    }
  }
  const bytes = Buffer.concat([header, Buffer.alloc(size)]);
  const sum = checksum(bytes, protocol === 'icmp' && !isV6 ? 0 : pseudo(packet, isV6, bytes.length));
  bytes.writeUInt16BE(protocol === 'udp' && sum === 0 ? 0xffff : sum, at); // RFC 768: 0 says that there is none
  return bytes;
}

function pseudo(packet: PacketSpec, isV6: boolean, length: number): number {
  return sumOf(address(packet.src)) + sumOf(address(packet.dst)) + protocolOf(packet, isV6) + length;
}

function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  return sum;
}

/** RFC 1071. */
function checksum(bytes: Uint8Array, start = 0): number {
  let sum = start + sumOf(bytes);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
