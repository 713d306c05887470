// SPDX-License-Identifier: Apache-2.0
import { ipBytes, mappedBytes } from '../kernel/support/bytes.ts';
import { dissect } from '../kernel/support/dissect.ts';
import { ethernet, ip, type Layer4, Protocol, tcp, udp } from '../kernel/support/packet.ts';
import { FRAME } from './sender.ts';

export type Family = 'ipv4' | 'ipv6';
export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** The ends of a connection as one of its packets names them. */
export interface Ends {
  readonly protocol: 'TCP' | 'UDP';
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

/** A connection that both of its ends have confirmed. */
export interface Connection {
  /** What the client sends, and what the server gets. */
  readonly client: Ends;
  readonly server: Ends;
  /** The next packet of either, padded to the length of all frames. */
  readonly request: Buffer;
  readonly reply: Buffer;
}

/** The frame of a packet between these ends. `flags`: of TCP. */
export function frameOf(ends: Ends, flags = 'A', seq = 0, ack = 0, mac?: string): Buffer {
  const { src, dst, sport, dport } = ends;
  const content: Layer4 =
    ends.protocol === 'TCP' ? tcp({ sport, dport, flags, seq, ack }) : udp({ sport, dport });
  return padded(ethernet(mac === undefined ? {} : { src: mac }, ip({ src, dst }, content)));
}

function padded(frame: Uint8Array): Buffer {
  return Buffer.concat([frame, Buffer.alloc(FRAME - frame.length)]);
}

/** struct cube_tuple. `pad`: the cube's own first byte behind the protocol. */
export function tupleOf({ protocol, src, dst, sport, dport }: Ends, pad = 0): Buffer {
  const tuple = Buffer.alloc(40);
  tuple.set(mappedBytes(src), 0);
  tuple.set(mappedBytes(dst), 16);
  tuple.writeUInt16BE(sport, 32);
  tuple.writeUInt16BE(dport, 34);
  tuple[36] = protocol === 'TCP' ? Protocol.tcp : Protocol.udp;
  tuple[37] = pad;
  return tuple;
}

/** The ends as the answer names them. */
export function turned({ protocol, src, dst, sport, dport }: Ends): Ends {
  return { protocol, src: dst, dst: src, sport: dport, dport: sport };
}

/**
 * Opens a connection by packets through whatever stands between its ends: three-way handshake, or question, answer,
 * question. `send` carries a frame from one side to the other and returns what arrives there.
 */
export function connect(
  client: Ends,
  send: (from: 'client' | 'server', frame: Buffer) => Buffer,
  serverMac?: string,
): Connection {
  const server = endsOf(send('client', frameOf(client, 'S', 100)), client.protocol);
  send('server', frameOf(turned(server), 'SA', 500, 101, serverMac));
  const request = frameOf(client, 'A', 101, 501);
  send('client', request);
  return { client, server, request, reply: frameOf(turned(server), 'A', 501, 101, serverMac) };
}

function endsOf(frame: Buffer, protocol: Ends['protocol']): Ends {
  const packet = dissect(frame).ip;
  const l4 = protocol === 'TCP' ? packet?.tcp : packet?.udp;
  if (!packet || !l4) throw new Error(`no ${protocol} packet came out of the chain`);
  return { protocol, src: packet.src, dst: packet.dst, sport: l4.sport, dport: l4.dport };
}

/** Offset in the frame of the source port, and of the last two bytes of the source address. */
export const sourceOffsets = (family: Family): { port: number; address: number } =>
  family === 'ipv4' ? { port: 34, address: 28 } : { port: 54, address: 36 };

/** An LPM or hash key of a prefix: struct prefix_key. Length counts from 128 bits. */
export function prefixKey(address: string, length: number): Buffer {
  const key = Buffer.alloc(20);
  key.writeUInt32LE(ipBytes(address).length === 4 ? length + 96 : length, 0);
  key.set(mappedBytes(address), 4);
  return key;
}
