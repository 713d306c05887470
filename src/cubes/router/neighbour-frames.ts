// SPDX-License-Identifier: Apache-2.0

/** Frames of ARP (RFC 826) and neighbour discovery (RFC 4861): how they are asked with, and what they say. Pure. */
import { addressBytes, getAddress } from '../codec/address.ts';
import { icmpv6Sum, solicitedNode } from '../codec/icmpv6.ts';
import { getMac, putMac } from '../codec/text.ts';

const ETHERNET = 14;
const ARP_LENGTH = 28;
const IPV6 = 40;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
/** Of a message without options. */
const ND_LENGTH = 24;
const ICMPV6 = 58;
const BROADCAST = 'ff:ff:ff:ff:ff:ff';

/** What a neighbour says of itself. */
export interface Heard {
  readonly address: string;
  /** Absent where it says only that it is there. */
  readonly mac?: string;
  /** An answer to what we asked: it proves that both ways work. */
  readonly solicited: boolean;
  /** Counts more than what is known. */
  readonly override: boolean;
}

interface Question {
  readonly address: string;
  /** Of the router, on the port. */
  readonly source: string;
  readonly sourceMac: string;
  /** Asks this one host whether it is still there; without it everybody is asked. */
  readonly mac?: string;
}

/** An ARP request or a neighbour solicitation, by the family of the address. */
export function question({ address, source, sourceMac, mac }: Question): Uint8Array {
  const isV6 = address.includes(':');
  const target = addressBytes(address);
  const frame = new Uint8Array(isV6 ? ETHERNET + IPV6 + ND_LENGTH + 8 : ETHERNET + ARP_LENGTH);
  const view = new DataView(frame.buffer);
  putMac(frame, 6, sourceMac, 'source');
  view.setUint16(12, isV6 ? 0x86dd : 0x0806);
  if (!isV6) {
    putMac(frame, 0, mac ?? BROADCAST, 'destination');
    frame.set([0, 1, 8, 0, 6, 4, 0, 1], ETHERNET);
    putMac(frame, ETHERNET + 8, sourceMac, 'sender');
    frame.set(addressBytes(source).subarray(12), ETHERNET + 14);
    frame.set(target.subarray(12), ETHERNET + 24);
    return frame;
  }
  const group = solicitedNode(target);
  if (mac === undefined) frame.set([0x33, 0x33, ...group.subarray(12)], 0);
  else putMac(frame, 0, mac, 'destination');
  const message = ETHERNET + IPV6;
  frame.set([0x60, 0, 0, 0, 0, ND_LENGTH + 8, ICMPV6, 255], ETHERNET);
  frame.set(addressBytes(source), ETHERNET + 8);
  frame.set(mac === undefined ? group : target, ETHERNET + 24);
  frame[message] = SOLICITATION;
  frame.set(target, message + 8);
  frame.set([1, 1], message + ND_LENGTH);
  putMac(frame, message + ND_LENGTH + 2, sourceMac, 'source');
  view.setUint16(message + 2, ~icmpv6Sum(frame, ETHERNET, ND_LENGTH + 8) & 0xffff);
  return frame;
}

/**
 * What a frame of ARP or neighbour discovery says of its sender. Undefined when it is malformed or says nothing. `isOwn`:
 * whether an address is the router's on that port.
 */
export function listen(
  frame: Uint8Array,
  l3: number,
  isOwn: (address: string) => boolean,
): Heard | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < ETHERNET + ARP_LENGTH || l3 !== ETHERNET) return undefined;
  if (view.getUint16(12) === 0x0806) return listenToArp(frame, view, isOwn);
  return view.getUint16(12) === 0x86dd ? listenToDiscovery(frame, view) : undefined;
}

function listenToArp(
  frame: Uint8Array,
  view: DataView,
  isOwn: (address: string) => boolean,
): Heard | undefined {
  const at = ETHERNET;
  const operation = view.getUint16(at + 6);
  const isArp =
    view.getUint32(at) === 0x0001_0800 && view.getUint16(at + 4) === 0x0604 && [1, 2].includes(operation);
  const mac = getMac(frame, at + 8);
  if (!isArp || !isHost(mac)) return undefined;
  // An announcement asks, or answers, with its own address as target (RFC 5227 3).
  const solicited = operation === 2 && isOwn(v4(frame, at + 24));
  return { address: v4(frame, at + 14), mac, solicited, override: true };
}

/** Validity: RFC 4861 7.1. The program has seen to the hop limit of 255. */
function listenToDiscovery(frame: Uint8Array, view: DataView): Heard | undefined {
  if (frame.length < ETHERNET + IPV6 + ND_LENGTH || frame[ETHERNET + 6] !== ICMPV6) return undefined;
  const length = view.getUint16(ETHERNET + 4);
  const at = ETHERNET + IPV6;
  if (length < ND_LENGTH || frame.length < at + length || frame[at + 1] !== 0) return undefined;
  if (icmpv6Sum(frame, ETHERNET, length) !== 0xffff || frame[at + 8] === 0xff) return undefined;
  const type = frame[at];
  const flags = view.getUint32(at + 4);
  const option = linkLayer(frame, at + ND_LENGTH, at + length, type === SOLICITATION ? 1 : 2);
  if (option === undefined || (option !== null && !isHost(option))) return undefined;
  const said = option === null ? {} : { mac: option };
  if (type === ADVERTISEMENT) {
    const solicited = (flags & 0x40000000) !== 0;
    if (solicited && frame[ETHERNET + 24] === 0xff) return undefined;
    const override = (flags & 0x20000000) !== 0;
    return { address: getAddress(frame, at + 8), ...said, solicited, override };
  }
  // Who asks tells its own address, unless it looks for a duplicate of it (RFC 4861 7.2.3).
  const address = getAddress(frame, ETHERNET + 8);
  if (type !== SOLICITATION || option === null || address === '::') return undefined;
  return { address, ...said, solicited: false, override: true };
}

/** The MAC in the options; null: there is none; undefined: they are malformed. */
function linkLayer(frame: Uint8Array, from: number, to: number, type: 1 | 2): string | null | undefined {
  let mac: string | null = null;
  for (let at = from; at < to; ) {
    const length = (frame[at + 1] ?? 0) * 8;
    if (length === 0 || at + length > to) return undefined;
    if (frame[at] === type && length === 8) mac = getMac(frame, at + 2);
    at += length;
  }
  return mac;
}

function isHost(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

function v4(bytes: Uint8Array, at: number): string {
  return bytes.subarray(at, at + 4).join('.');
}
