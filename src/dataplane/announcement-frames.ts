// SPDX-License-Identifier: Apache-2.0
/** What tells the neighbours on a link that an address is at another MAC now. Pure. */
import { addressBytes, getAddress } from '../cubes/codec/address.ts';
import { icmpv6Sum, solicitedNode } from '../cubes/codec/icmpv6.ts';
import { putMac } from '../cubes/codec/text.ts';

const ETHERNET = 14;
const IPV6 = 40;
/** An advertisement with its option. */
const ADVERTISEMENT = 32;
const ICMPV6 = 58;
/** RFC 4861 4.4: what is said here counts more than what is known. */
const OVERRIDE = 0x20;

/**
 * Frames from `mac` that announce the address: for IPv4 an ARP request and an ARP answer that ask and speak of itself, since
 * some hosts listen to the one and some to the other (RFC 5227 3); for IPv6 an unsolicited advertisement (RFC 4861 7.2.6).
 */
export function announcementFrames(address: string, mac: string): Uint8Array[] {
  if (address.includes(':')) return [advertisement(address, mac)];
  return [arp(address, mac, 1), arp(address, mac, 2)];
}

function arp(address: string, mac: string, operation: 1 | 2): Uint8Array {
  const frame = new Uint8Array(ETHERNET + 28);
  const own = addressBytes(address).subarray(12);
  putMac(frame, 0, 'ff:ff:ff:ff:ff:ff', 'destination');
  putMac(frame, 6, mac, 'source');
  frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, operation], 12);
  putMac(frame, ETHERNET + 8, mac, 'sender');
  frame.set(own, ETHERNET + 14);
  if (operation === 2) putMac(frame, ETHERNET + 18, 'ff:ff:ff:ff:ff:ff', 'target');
  frame.set(own, ETHERNET + 24);
  return frame;
}

function advertisement(address: string, mac: string): Uint8Array {
  const frame = new Uint8Array(ETHERNET + IPV6 + ADVERTISEMENT);
  const message = ETHERNET + IPV6;
  const own = addressBytes(address);
  const allNodes = addressBytes('ff02::1');
  frame.set([0x33, 0x33, ...allNodes.subarray(12)]);
  putMac(frame, 6, mac, 'source');
  frame.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, ADVERTISEMENT, ICMPV6, 255], 12);
  frame.set(own, ETHERNET + 8);
  frame.set(allNodes, ETHERNET + 24);
  frame.set([136, 0, 0, 0, OVERRIDE], message);
  frame.set(own, message + 8);
  frame.set([2, 1], message + 24);
  putMac(frame, message + 26, mac, 'target');
  new DataView(frame.buffer).setUint16(message + 2, ~icmpv6Sum(frame, ETHERNET, ADVERTISEMENT) & 0xffff);
  return frame;
}

/** The group in which questions for an IPv6 address are asked (RFC 4291 2.7.1); undefined for IPv4, which asks everybody. */
export function solicitedNodeGroup(address: string): string | undefined {
  return address.includes(':') ? getAddress(solicitedNode(addressBytes(address))) : undefined;
}
