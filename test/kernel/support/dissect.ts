// SPDX-License-Identifier: Apache-2.0
/** Takes packets apart and checks every checksum in them: the judge of what the C code wrote. */
import { checksum, crc32c, ipText, isV6, macText, onesSum, pseudoHeader } from './bytes.ts';
import { EtherType, Protocol } from './packet.ts';

export interface Dissected {
  eth: { src: string; dst: string; type: number };
  vlan?: number;
  arp?: { operation: number; senderMac: string; sender: string; targetMac: string; target: string };
  ip?: DissectedIp;
  /** Bytes of the frame behind the end of the packet by its IP header. */
  padding: number;
}

export interface DissectedIp {
  version: 4 | 6;
  src: string;
  dst: string;
  /** TTL or hop limit. */
  ttl: number;
  tos: number;
  /** Of the whole packet by its header. */
  length: number;
  id?: number;
  df?: boolean;
  mf: boolean;
  /** Bytes. */
  offset: number;
  /** Bytes of options or extension headers. */
  options: number;
  protocol: number;
  tcp?: {
    sport: number;
    dport: number;
    seq: number;
    ack: number;
    /** Letters of FSRPAUEC that are set. */
    flags: string;
    window: number;
    checksum: number;
    payload: Buffer;
  };
  udp?: { sport: number; dport: number; length: number; checksum: number; payload: Buffer };
  sctp?: { sport: number; dport: number; tag: number; chunks: Buffer };
  icmp?: { type: number; code: number; rest: number; payload: Buffer };
  /** The packet that an ICMP error quotes; it may be cut short. */
  quoted?: DissectedIp;
  /** Everything behind the IP header. */
  body: Buffer;
}

export function dissect(frame: Uint8Array): Dissected {
  const bytes = Buffer.from(frame);
  let offset = 12;
  let type = bytes.readUInt16BE(offset);
  const result: Dissected = {
    eth: { dst: macText(bytes.subarray(0, 6)), src: macText(bytes.subarray(6, 12)), type },
    padding: 0,
  };
  if (type === EtherType.vlan) {
    result.vlan = bytes.readUInt16BE(14) & 0xfff;
    offset = 16;
    type = bytes.readUInt16BE(offset);
    result.eth.type = type;
  }
  const l3 = bytes.subarray(offset + 2);
  if (type === EtherType.arp) {
    result.arp = {
      operation: l3.readUInt16BE(6),
      senderMac: macText(l3.subarray(8, 14)),
      sender: ipText(l3.subarray(14, 18)),
      targetMac: macText(l3.subarray(18, 24)),
      target: ipText(l3.subarray(24, 28)),
    };
  } else if (type === EtherType.ipv4 || type === EtherType.ipv6) {
    result.ip = dissectIp(l3);
    result.padding = l3.length - result.ip.length;
  }
  return result;
}

/** The same, for a frame that must hold an IP packet. */
export function dissectPacket(frame: Uint8Array): DissectedIp {
  const { ip, eth } = dissect(frame);
  if (!ip) throw new Error(`frame of type 0x${eth.type.toString(16)} holds no IP packet`);
  return ip;
}

export function dissectIp(l3: Buffer): DissectedIp {
  const packet = (l3[0] ?? 0) >> 4 === 6 ? header6(l3) : header4(l3);
  if (packet.offset === 0) dissectL4(packet);
  return packet;
}

function header4(l3: Buffer): DissectedIp {
  const headerLength = ((l3[0] ?? 0) & 15) * 4;
  const length = l3.readUInt16BE(2);
  const fragment = l3.readUInt16BE(6);
  return {
    version: 4,
    src: ipText(l3.subarray(12, 16)),
    dst: ipText(l3.subarray(16, 20)),
    ttl: l3.readUInt8(8),
    tos: l3.readUInt8(1),
    length,
    id: l3.readUInt16BE(4),
    df: (fragment & 0x4000) !== 0,
    mf: (fragment & 0x2000) !== 0,
    offset: (fragment & 0x1fff) * 8,
    options: headerLength - 20,
    protocol: l3.readUInt8(9),
    body: l3.subarray(headerLength, length),
  };
}

const EXTENSIONS = new Set([0, 43, 44, 51, 60, 135]);

function header6(l3: Buffer): DissectedIp {
  const length = 40 + l3.readUInt16BE(4);
  let protocol = l3.readUInt8(6);
  let at = 40;
  let fragment: number | undefined;
  let id: number | undefined;
  while (EXTENSIONS.has(protocol) && (fragment ?? 0) < 8 && at + 8 <= l3.length) {
    const size =
      protocol === 44 ? 8 : protocol === 51 ? (l3.readUInt8(at + 1) + 2) * 4 : (l3.readUInt8(at + 1) + 1) * 8;
    if (protocol === 44) {
      fragment = l3.readUInt16BE(at + 2);
      id = l3.readUInt32BE(at + 4);
    }
    protocol = l3.readUInt8(at);
    at += size;
  }
  return {
    version: 6,
    src: ipText(l3.subarray(8, 24)),
    dst: ipText(l3.subarray(24, 40)),
    ttl: l3.readUInt8(7),
    tos: (l3.readUInt16BE(0) >> 4) & 0xff,
    length,
    ...(id === undefined ? {} : { id }),
    mf: ((fragment ?? 0) & 1) === 1,
    offset: (fragment ?? 0) & 0xfff8,
    options: at - 40,
    protocol,
    body: l3.subarray(at, length),
  };
}

function dissectL4(packet: DissectedIp): void {
  const { body, protocol } = packet;
  if (protocol === Protocol.tcp && body.length >= 20) {
    packet.tcp = {
      sport: body.readUInt16BE(0),
      dport: body.readUInt16BE(2),
      seq: body.readUInt32BE(4),
      ack: body.readUInt32BE(8),
      flags: [...'FSRPAUEC'].filter((_, i) => body.readUInt8(13) & (1 << i)).join(''),
      window: body.readUInt16BE(14),
      checksum: body.readUInt16BE(16),
      payload: body.subarray((body.readUInt8(12) >> 4) * 4),
    };
  } else if (protocol === Protocol.udp && body.length >= 8) {
    packet.udp = {
      sport: body.readUInt16BE(0),
      dport: body.readUInt16BE(2),
      length: body.readUInt16BE(4),
      checksum: body.readUInt16BE(6),
      payload: body.subarray(8),
    };
  } else if (protocol === Protocol.sctp && body.length >= 12) {
    packet.sctp = {
      sport: body.readUInt16BE(0),
      dport: body.readUInt16BE(2),
      tag: body.readUInt32BE(4),
      chunks: body.subarray(12),
    };
  } else if ((protocol === Protocol.icmp || protocol === Protocol.icmpv6) && body.length >= 8) {
    packet.icmp = {
      type: body.readUInt8(0),
      code: body.readUInt8(1),
      rest: body.readUInt32BE(4),
      payload: body.subarray(8),
    };
    const { type } = packet.icmp;
    const quotes = packet.version === 4 ? [3, 4, 5, 11, 12].includes(type) : type >= 1 && type <= 4;
    if (quotes && body.length >= 28) packet.quoted = dissectIp(body.subarray(8));
  }
}

/** Every wrong checksum and length in the frame, in words; an empty list is a packet as it should be. */
export function verifyChecksums(frame: Uint8Array): string[] {
  const { ip, padding, vlan } = dissect(frame);
  if (!ip) return [];
  const wrong: string[] = [];
  if (padding < 0) wrong.push(`IP length ${ip.length} exceeds the frame by ${-padding}`);
  const l3 = Buffer.from(frame).subarray(vlan === undefined ? 14 : 18);
  if (ip.version === 4 && onesSum(l3.subarray(0, 20 + ip.options)) !== 0xffff)
    wrong.push('IPv4 header checksum');
  if (ip.quoted?.version === 4 && onesSum(ip.body.subarray(8, 28 + ip.quoted.options)) !== 0xffff) {
    wrong.push('quoted IPv4 header checksum');
  }
  if (ip.offset > 0 || ip.mf) return wrong;
  return [...wrong, ...verifyL4(ip)];
}

function verifyL4({ src, dst, protocol, body, udp, tcp, icmp, sctp }: DissectedIp): string[] {
  const covered = (): number => checksum(pseudoHeader(src, dst, protocol, body.length), body);
  if (tcp) return covered() === 0 ? [] : ['TCP checksum'];
  if (udp) {
    if (udp.length !== body.length) return [`UDP length ${udp.length}, but ${body.length} bytes`];
    if (udp.checksum === 0) return isV6(src) ? ['UDP checksum 0 over IPv6'] : [];
    return covered() === 0 ? [] : ['UDP checksum'];
  }
  if (icmp && protocol === Protocol.icmp) return checksum(body) === 0 ? [] : ['ICMP checksum'];
  if (icmp) return covered() === 0 ? [] : ['ICMPv6 checksum'];
  if (sctp) {
    const zeroed = Buffer.from(body);
    zeroed.writeUInt32LE(0, 8);
    return crc32c(zeroed) === body.readUInt32LE(8) ? [] : ['SCTP CRC32c'];
  }
  return [];
}

/**
 * What a card or the kernel makes of a frame whose TCP or UDP checksum was left to it (CHECKSUM_PARTIAL): sums from
 * the L4 header at `start` to the end of the packet and writes the result into the field. `start` may lie inside
 * the quotation of an ICMP error.
 */
export function finishChecksum(frame: Uint8Array, start: number, field: number): Buffer {
  const bytes = Buffer.from(frame);
  bytes.writeUInt16BE(checksum(bytes.subarray(start)) || 0xffff, start + field);
  return bytes;
}
