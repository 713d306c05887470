// SPDX-License-Identifier: Apache-2.0
/** What ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861 7.1, 7.2) say of their sender. */
import { checksum, macText, pseudoHeader } from '../support/bytes.ts';
import { textOf } from './neighbour-model.ts';
import { type Address, addressOf, isMapped, type Parsed } from './parse-model.ts';

/** Of whom a frame speaks, before anybody has looked whether it is valid. */
export interface Speaker {
  readonly address: Address;
  /** A reply or an advertisement. Anything else asks, and tells its sender's MAC on the way. */
  readonly isAnswer: boolean;
  /** Of a request: the MAC that it plainly tells; null: none; undefined: whoever reads it closely has to say. */
  readonly mac?: string | null;
}

export interface Said {
  readonly address: Address;
  readonly mac?: string;
  readonly solicited: boolean;
  readonly override: boolean;
}

const ADVERTISEMENT = 136;
const SOLICITATION = 135;
/** Of a message without options. */
const LEAST = 24;

/** @param frame without a priority tag. */
export function speakerOf(frame: Buffer, packet: Parsed, shift: number): Speaker | undefined {
  if (packet.kind === 'arp') {
    if (packet.vlan !== undefined) return undefined;
    const isAnswer = frame.readUInt16BE(20) === 2;
    return { address: packet.src, isAnswer, mac: macText(frame.subarray(22, 28)) };
  }
  const at = packet.l4 - shift;
  if (packet.icmp?.type === SOLICITATION) {
    const option = frame.subarray(at + LEAST, at + LEAST + 8);
    const hasOne = packet.l3 - shift + packet.length >= at + LEAST + 8 && option.length === 8;
    if (!hasOne) return { address: packet.src, isAnswer: false, mac: null };
    const isPlain = option.readUInt16BE(0) === 0x0101;
    return {
      address: packet.src,
      isAnswer: false,
      ...(isPlain ? { mac: macText(option.subarray(2)) } : {}),
    };
  }
  if (packet.icmp?.type !== ADVERTISEMENT || frame.length < at + LEAST) return undefined;
  const address = addressOf(frame.subarray(at + 8, at + LEAST));
  // an IPv4 address is none that neighbour discovery could speak of
  return isMapped(address) ? undefined : { address, isAnswer: true };
}

/** Undefined: it is invalid, or teaches nothing. `owns`: whether an address is the router's on that port. */
export function saidBy(frame: Buffer, packet: Parsed, owns: (address: Address) => boolean): Said | undefined {
  return packet.kind === 'arp' ? saidByArp(frame, packet, owns) : saidByDiscovery(frame, packet);
}

const isHost = (mac: string): boolean =>
  (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';

/** RFC 826: any packet merges its sender into the table; one that answers us is the proof that both ways work. */
function saidByArp(
  frame: Buffer,
  { src, dst }: Parsed,
  owns: (address: Address) => boolean,
): Said | undefined {
  const operation = frame.readUInt16BE(20);
  const mac = macText(frame.subarray(22, 28));
  if ((operation !== 1 && operation !== 2) || !isHost(mac)) return undefined;
  return { address: src, mac, solicited: operation === 2 && owns(dst), override: true };
}

function saidByDiscovery(frame: Buffer, packet: Parsed): Said | undefined {
  const { icmp, src, dst, hasOptions, isMulticast, length, l3, l4 } = packet;
  const message = frame.subarray(l4, l3 + length);
  if (hasOptions || icmp?.code !== 0 || message.length < LEAST) return undefined;
  const pseudo = pseudoHeader(textOf(src), textOf(dst), 58, message.length);
  if (checksum(pseudo, message) !== 0) return undefined;
  const target = addressOf(message.subarray(8, LEAST));
  if (target >> 120n === 0xffn) return undefined;
  const wanted = icmp.type === SOLICITATION ? 1 : 2;
  let mac: string | undefined;
  for (let at = LEAST; at < message.length; ) {
    const size = (message[at + 1] ?? 0) * 8;
    if (size === 0 || at + size > message.length) return undefined;
    if (message[at] === wanted && size === 8) mac = macText(message.subarray(at + 2, at + 8));
    at += size;
  }
  if (mac !== undefined && !isHost(mac)) return undefined;
  const found = mac === undefined ? {} : { mac };
  if (icmp.type === SOLICITATION) {
    // 7.2.3: an unspecified source has no entry; without an option there is nothing to update
    if (mac === undefined || src === 0n) return undefined;
    return { address: src, ...found, solicited: false, override: true };
  }
  const flags = message.readUInt8(4);
  const solicited = (flags & 0x40) !== 0;
  if (solicited && isMulticast) return undefined;
  return { address: target, ...found, solicited, override: (flags & 0x20) !== 0 };
}
