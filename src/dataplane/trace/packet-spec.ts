// SPDX-License-Identifier: Apache-2.0
/** A packet that a person asks about, in words and as data. Pure. */
import { parseAddress } from '../../api/ip.ts';

export type PacketProtocol = 'tcp' | 'udp' | 'icmp' | 'arp';

export interface PacketSpec {
  readonly protocol: PacketProtocol;
  readonly src: string;
  /** 0 where the protocol has none. */
  readonly sport: number;
  readonly dst: string;
  readonly dport: number;
  /** TCP: bits of byte 13 of the header (RFC 9293 3.1). */
  readonly flags: number;
  /** ICMP: an echo reply instead of a request. */
  readonly isReply: boolean;
  /** Bytes behind the last header. */
  readonly size: number;
  readonly ttl: number;
}

export const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32 } as const;

export const PACKET_SYNTAX =
  "'tcp 10.244.0.5:4000 > 10.96.0.10:80 SYN', 'udp [fd00::5]:4000 > [fd00::1]:53 size 100', 'icmp 10.0.0.1 > 10.0.0.2 ttl 1'";

/** What a packet is where the text does not say. */
const DEFAULTS = { sport: 40_000, ttl: 64, size: 0 } as const;
const MAX_SIZE = 8_000;

/** What is wrong with the text, for the person who wrote it. */
export class PacketTextError extends Error {
  readonly code = 'InvalidRequest';
  readonly remedy = `write it as ${PACKET_SYNTAX}`;
}

function fail(message: string): never {
  throw new PacketTextError(`--packet: ${message}`);
}

/** @throws PacketTextError */
export function parsePacket(text: string): PacketSpec {
  const words = text.trim().split(/[\s,]+/);
  const [name = '', from, arrow, to, ...rest] = words;
  const protocol = name.toLowerCase();
  if (!isProtocol(protocol)) fail(`${JSON.stringify(name)} is none of tcp, udp, icmp, arp`);
  if (from === undefined || to === undefined || arrow !== '>') fail('it names no source > destination');
  const hasPorts = protocol === 'tcp' || protocol === 'udp';
  const src = readEnd(from, hasPorts);
  const dst = readEnd(to, hasPorts);
  if (hasPorts && dst.port === undefined) fail(`${to} has no port`);
  if (src.family !== dst.family) fail(`${src.address} and ${dst.address} are of two families`);
  if (protocol === 'arp' && src.family !== 4) fail('arp asks for an IPv4 address');
  return {
    protocol,
    src: src.address,
    sport: hasPorts ? (src.port ?? DEFAULTS.sport) : 0,
    dst: dst.address,
    dport: dst.port ?? 0,
    ...readOptions(rest, protocol),
  };
}

function isProtocol(text: string): text is PacketProtocol {
  return ['tcp', 'udp', 'icmp', 'arp'].includes(text);
}

function readEnd(
  text: string,
  hasPorts: boolean,
): { address: string; family: 4 | 6; port: number | undefined } {
  const match =
    /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? (/^([\d.]+):(\d+)$/.exec(text) || [text, text, undefined]);
  const address = match[1] ?? '';
  const parsed = parseAddress(address);
  if (parsed === undefined) fail(`${JSON.stringify(text)} is no address${hasPorts ? ' with a port' : ''}`);
  if (match[2] === undefined) return { address, family: parsed.family, port: undefined };
  const port = Number(match[2]);
  if (!hasPorts) fail(`${text}: the protocol has no ports`);
  if (port > 65_535) fail(`${text}: a port is at most 65535`);
  return { address, family: parsed.family, port };
}

function readOptions(
  words: readonly string[],
  protocol: PacketProtocol,
): Pick<PacketSpec, 'flags' | 'isReply' | 'size' | 'ttl'> {
  let flags = 0;
  let isReply = false;
  let size: number = DEFAULTS.size;
  let ttl: number = DEFAULTS.ttl;
  for (let i = 0; i < words.length; i++) {
    const word = (words[i] ?? '').toUpperCase();
    const flag = (TCP_FLAGS as Readonly<Record<string, number>>)[word];
    if (flag !== undefined && protocol === 'tcp') flags |= flag;
    else if (word === 'ECHO' && protocol === 'icmp') isReply = false;
    else if (word === 'REPLY' && protocol === 'icmp') isReply = true;
    else if (word === 'SIZE') size = readNumber('size', words[++i], 0, MAX_SIZE);
    else if (word === 'TTL') ttl = readNumber('ttl', words[++i], 0, 255);
    else fail(`${JSON.stringify(words[i])} is none of the words that ${protocol} knows`);
  }
  return { flags: protocol === 'tcp' && flags === 0 ? TCP_FLAGS.SYN : flags, isReply, size, ttl };
}

function readNumber(name: string, text: string | undefined, low: number, high: number): number {
  const number = Number(text);
  if (text === undefined || !Number.isInteger(number) || number < low || number > high)
    fail(`${name} is a whole number from ${low} to ${high}`);
  return number;
}
