// SPDX-License-Identifier: Apache-2.0
/**
 * Builds packets for tests, with right checksums unless a field says otherwise. From the inside out:
 *
 *     ethernet({}, ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1, dport: 2, flags: 'S' })))
 */
import { checksum, crc32c, GATEWAY_MAC, ipBytes, isV6, macBytes, POD_MAC, pseudoHeader } from './bytes.ts';

export const Protocol = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, none: 59 } as const;
export const EtherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;

/** What stands inside an IP packet; its checksum may cover the addresses. */
export interface Layer4 {
  readonly protocol: number;
  build(src: string, dst: string): Buffer;
}

/** What stands inside a frame. */
export interface Layer3 {
  readonly etherType: number;
  readonly bytes: Buffer;
}

/** Bytes, or that many of a pattern. */
export function payloadOf(payload: number | Uint8Array | undefined): Buffer {
  if (payload === undefined) return Buffer.alloc(0);
  return typeof payload === 'number' ? fill(payload) : Buffer.from(payload);
}

function fill(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + 3) & 0xff;
  return bytes;
}

const FLAGS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 };

export interface Tcp {
  sport: number;
  dport: number;
  seq?: number;
  ack?: number;
  /** Letters of FSRPAUEC; `A` by default. */
  flags?: string;
  window?: number;
  /** Padded to a multiple of 4. */
  options?: Uint8Array;
  /** Bytes, or how many. */
  payload?: number | Uint8Array;
  /** Instead of the right one. */
  checksum?: number;
}

export function tcp(o: Tcp): Layer4 {
  return {
    protocol: Protocol.tcp,
    build(src, dst) {
      const options = o.options ?? Buffer.alloc(0);
      const header = Buffer.alloc(20 + Math.ceil(options.length / 4) * 4);
      header.writeUInt16BE(o.sport, 0);
      header.writeUInt16BE(o.dport, 2);
      header.writeUInt32BE((o.seq ?? 1000) >>> 0, 4);
      header.writeUInt32BE((o.ack ?? 0) >>> 0, 8);
      header[12] = (header.length / 4) << 4;
      header[13] = [...(o.flags ?? 'A')].reduce((bits, letter) => bits | (FLAGS[letter] ?? 0), 0);
      header.writeUInt16BE(o.window ?? 65535, 14);
      header.set(options, 20);
      const bytes = Buffer.concat([header, payloadOf(o.payload)]);
      bytes.writeUInt16BE(
        o.checksum ?? checksum(pseudoHeader(src, dst, Protocol.tcp, bytes.length), bytes),
        16,
      );
      return bytes;
    },
  };
}

export interface Udp {
  sport: number;
  dport: number;
  payload?: number | Uint8Array;
  /** Instead of the right one; 0: none, as IPv4 allows. */
  checksum?: number;
  length?: number;
}

export function udp(o: Udp): Layer4 {
  return {
    protocol: Protocol.udp,
    build(src, dst) {
      const bytes = Buffer.concat([Buffer.alloc(8), payloadOf(o.payload)]);
      bytes.writeUInt16BE(o.sport, 0);
      bytes.writeUInt16BE(o.dport, 2);
      bytes.writeUInt16BE(o.length ?? bytes.length, 4);
      const sum = checksum(pseudoHeader(src, dst, Protocol.udp, bytes.length), bytes) || 0xffff;
      bytes.writeUInt16BE(o.checksum ?? sum, 6);
      return bytes;
    },
  };
}

export interface Sctp {
  sport: number;
  dport: number;
  tag?: number;
  /** Chunks with their headers, e.g. from {@link sctpChunk}. */
  chunks?: Uint8Array[];
}

/** A chunk of RFC 9260 3.2, padded to 4 bytes. Types: 0 DATA, 1 INIT, 2 INIT ACK, 6 ABORT, 7 SHUTDOWN. */
export function sctpChunk(type: number, value: Uint8Array = new Uint8Array(), flags = 0): Buffer {
  const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  bytes[0] = type;
  bytes[1] = flags;
  bytes.writeUInt16BE(4 + value.length, 2);
  bytes.set(value, 4);
  return bytes;
}

export function sctp(o: Sctp): Layer4 {
  return {
    protocol: Protocol.sctp,
    build() {
      const bytes = Buffer.concat([Buffer.alloc(12), ...(o.chunks ?? [])]);
      bytes.writeUInt16BE(o.sport, 0);
      bytes.writeUInt16BE(o.dport, 2);
      bytes.writeUInt32BE((o.tag ?? 0) >>> 0, 4);
      bytes.writeUInt32LE(crc32c(bytes), 8);
      return bytes;
    },
  };
}

export interface Icmp {
  type: number;
  code?: number;
  /** The four bytes behind the checksum. */
  rest?: number;
  payload?: number | Uint8Array;
  checksum?: number;
}

/** ICMP in an IPv4 packet, ICMPv6 in an IPv6 one: the addresses decide. */
export function icmp(o: Icmp & { v6?: boolean }): Layer4 {
  return {
    protocol: o.v6 ? Protocol.icmpv6 : Protocol.icmp,
    build(src, dst) {
      const bytes = Buffer.concat([Buffer.alloc(8), payloadOf(o.payload)]);
      bytes[0] = o.type;
      bytes[1] = o.code ?? 0;
      bytes.writeUInt32BE((o.rest ?? 0) >>> 0, 4);
      const pseudo = o.v6 ? pseudoHeader(src, dst, Protocol.icmpv6, bytes.length) : Buffer.alloc(0);
      bytes.writeUInt16BE(o.checksum ?? checksum(pseudo, bytes), 2);
      return bytes;
    },
  };
}

export interface Echo {
  id?: number;
  sequence?: number;
  reply?: boolean;
  v6?: boolean;
  payload?: number | Uint8Array;
}

export function echo(o: Echo = {}): Layer4 {
  const [request, reply] = o.v6 ? [128, 129] : [8, 0];
  return icmp({
    type: o.reply ? reply : request,
    rest: ((o.id ?? 0x1234) * 65536 + (o.sequence ?? 1)) >>> 0,
    payload: o.payload ?? 16,
    ...(o.v6 ? { v6: true } : {}),
  });
}

/** An ICMP error that quotes a packet: `type` and `code` of the family of `quoted`. */
export function icmpError(type: number, code: number, quoted: Uint8Array, rest = 0): Layer4 {
  const v6 = (quoted[0] ?? 0) >> 4 === 6;
  return icmp({ type, code, rest, payload: quoted, ...(v6 ? { v6: true } : {}) });
}

/** Option of neighbour discovery: 1 source, 2 target link-layer address. */
export function linkLayerOption(type: 1 | 2, mac: string): Buffer {
  return Buffer.concat([Buffer.from([type, 1]), macBytes(mac)]);
}

/** Neighbour solicitation (RFC 4861 4.3). Send it with hop limit 255. */
export function solicitation(target: string, options: Uint8Array = new Uint8Array()): Layer4 {
  return icmp({ type: 135, v6: true, payload: Buffer.concat([ipBytes(target), options]) });
}

/** Any protocol, bytes as they are. */
export function raw(protocol: number, payload: number | Uint8Array): Layer4 {
  return { protocol, build: () => payloadOf(payload) };
}

export interface Ipv4 {
  src: string;
  dst: string;
  ttl?: number;
  tos?: number;
  id?: number;
  df?: boolean;
  mf?: boolean;
  /** Of a fragment, in bytes. */
  offset?: number;
  /** Padded to a multiple of 4. */
  options?: Uint8Array;
  /** Instead of the right ones. */
  totalLength?: number;
  headerWords?: number;
  version?: number;
  checksum?: number;
}

function l4Bytes(content: Layer4 | Uint8Array, src: string, dst: string): Buffer {
  return content instanceof Uint8Array ? Buffer.from(content) : content.build(src, dst);
}

/** An IPv4 packet. A fragment's content may be bytes: then `protocol` is that of the whole. */
export function ipv4(o: Ipv4 & { protocol?: number }, content: Layer4 | Uint8Array): Layer3 {
  const options = o.options ?? Buffer.alloc(0);
  const body = l4Bytes(content, o.src, o.dst);
  const header = Buffer.alloc(20 + Math.ceil(options.length / 4) * 4);
  header[0] = ((o.version ?? 4) << 4) | (o.headerWords ?? header.length / 4);
  header[1] = o.tos ?? 0;
  header.writeUInt16BE(o.totalLength ?? header.length + body.length, 2);
  header.writeUInt16BE(o.id ?? 0x4321, 4);
  header.writeUInt16BE((o.df ? 0x4000 : 0) | (o.mf ? 0x2000 : 0) | ((o.offset ?? 0) >> 3), 6);
  header[8] = o.ttl ?? 64;
  header[9] = o.protocol ?? (content instanceof Uint8Array ? Protocol.udp : content.protocol);
  header.set(ipBytes(o.src), 12);
  header.set(ipBytes(o.dst), 16);
  header.set(options, 20);
  header.writeUInt16BE(o.checksum ?? checksum(header), 10);
  return { etherType: EtherType.ipv4, bytes: Buffer.concat([header, body]) };
}

/** An IPv6 extension header: its type, and its bytes without the first one (next header). */
export interface Extension {
  readonly type: number;
  readonly tail: Uint8Array;
}

/** Hop-by-hop (0), routing (43), destination options (60) or mobility (135) header of 8 × `words` bytes. */
export function extension(type: 0 | 43 | 60 | 135, words = 1): Extension {
  const tail = Buffer.alloc(8 * words - 1);
  tail[0] = words - 1;
  if (type === 0 || type === 60) tail.set([1, tail.length - 3], 1); // PadN over the rest
  return { type, tail };
}

/** Authentication header (RFC 4302) with a sum of 4 × `words` bytes. */
export function authentication(words = 3): Extension {
  const tail = Buffer.alloc(11 + 4 * words);
  tail[0] = words + 1;
  return { type: 51, tail };
}

/** Fragment header; `offset` in bytes. */
export function fragmentHeader(offset: number, more: boolean, id = 0x12345678): Extension {
  const tail = Buffer.alloc(7);
  tail.writeUInt16BE((offset & 0xfff8) | (more ? 1 : 0), 1);
  tail.writeUInt32BE(id, 3);
  return { type: 44, tail };
}

export interface Ipv6 {
  src: string;
  dst: string;
  hopLimit?: number;
  trafficClass?: number;
  flowLabel?: number;
  extensions?: readonly Extension[];
  /** Instead of the right ones. */
  payloadLength?: number;
  version?: number;
}

/** An IPv6 packet. A fragment's content may be bytes: then `protocol` is that of the whole. */
export function ipv6(o: Ipv6 & { protocol?: number }, content: Layer4 | Uint8Array): Layer3 {
  const extensions = o.extensions ?? [];
  const last = o.protocol ?? (content instanceof Uint8Array ? Protocol.udp : content.protocol);
  const chain = extensions.map((e, i) =>
    Buffer.concat([Buffer.from([extensions[i + 1]?.type ?? last]), e.tail]),
  );
  const body = Buffer.concat([...chain, l4Bytes(content, o.src, o.dst)]);
  const header = Buffer.alloc(40);
  header.writeUInt32BE(
    (((o.version ?? 6) << 28) | ((o.trafficClass ?? 0) << 20) | (o.flowLabel ?? 0)) >>> 0,
    0,
  );
  header.writeUInt16BE(o.payloadLength ?? body.length, 4);
  header[6] = extensions[0]?.type ?? last;
  header[7] = o.hopLimit ?? 64;
  header.set(ipBytes(o.src), 8);
  header.set(ipBytes(o.dst), 24);
  return { etherType: EtherType.ipv6, bytes: Buffer.concat([header, body]) };
}

/** ipv4() or ipv6() by the family of the addresses, for tests that run over both. */
export function ip(o: { src: string; dst: string; ttl?: number }, content: Layer4 | Uint8Array): Layer3 {
  const { ttl = 64, ...addresses } = o;
  return isV6(o.src) ? ipv6({ ...addresses, hopLimit: ttl }, content) : ipv4({ ...addresses, ttl }, content);
}

export interface Arp {
  /** 1 request, 2 reply. */
  operation: number;
  senderMac: string;
  sender: string;
  targetMac?: string;
  target: string;
}

export function arp(o: Arp): Layer3 {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, o.operation]);
  return {
    etherType: EtherType.arp,
    bytes: Buffer.concat([
      head,
      macBytes(o.senderMac),
      ipBytes(o.sender),
      macBytes(o.targetMac ?? '00:00:00:00:00:00'),
      ipBytes(o.target),
    ]),
  };
}

export interface Ethernet {
  src?: string;
  dst?: string;
  /** An 802.1Q tag inside the frame. */
  vlan?: number;
  etherType?: number;
}

/** A frame; by default from a pod to its gateway. */
export function ethernet(o: Ethernet, content: Layer3 | Uint8Array): Buffer {
  const l3 = content instanceof Uint8Array ? { etherType: 0x88b5, bytes: Buffer.from(content) } : content;
  const type = Buffer.alloc(2);
  type.writeUInt16BE(o.etherType ?? l3.etherType, 0);
  const tag = o.vlan === undefined ? Buffer.alloc(0) : Buffer.from([0x81, 0, o.vlan >> 8, o.vlan & 0xff]);
  return Buffer.concat([macBytes(o.dst ?? GATEWAY_MAC), macBytes(o.src ?? POD_MAC), tag, type, l3.bytes]);
}

/** The frames of one datagram cut at `size` bytes of content (a multiple of 8). */
export function fragments(
  addresses: { src: string; dst: string },
  content: Layer4,
  size: number,
  id = 0x4321,
): Buffer[] {
  const whole = content.build(addresses.src, addresses.dst);
  const frames: Buffer[] = [];
  for (let offset = 0; offset < whole.length; offset += size) {
    const part = whole.subarray(offset, offset + size);
    const more = offset + size < whole.length;
    const { protocol } = content;
    frames.push(
      ethernet(
        {},
        isV6(addresses.src)
          ? ipv6({ ...addresses, protocol, extensions: [fragmentHeader(offset, more, id)] }, part)
          : ipv4({ ...addresses, protocol, id, offset, mf: more }, part),
      ),
    );
  }
  return frames;
}
