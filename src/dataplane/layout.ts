// SPDX-License-Identifier: Apache-2.0
/**
 * Rows of the maps that all programs of a node share, as bytes (bpf/include/maps.h). Rows travel as hexadecimal text, so
 * that they can be compared, printed and kept in a Map; multi-byte numbers are in host order (little endian) except in
 * addresses.
 */
import { type Address, formatAddress, parseAddress, parsePrefix } from '../api/ip.ts';

export const CUBE_ABI = 1;
export const CUBE_SLOTS = 256;
export const CUBE_PORTS = 64;
export const CUBE_BANKS = 2;
export const POD_ADDRESSES = 4;
export const PREFIX_LENGTHS = 4;
export const MAX_ATTACHMENTS = 4096;

export const EdgeKind = { None: 0, Cube: 1, Device: 2, Pod: 3, Neigh: 4, Tunnel: 5, Stack: 6 } as const;
export const AttachPort = { Pod: 1, Overlay: 2, Stack: 3, Interface: 8 } as const;

/** Of every router port, cube0 and the overlay device; locally administered. The same on all nodes. */
export const GATEWAY_MAC = '02:c0:be:00:00:01';

export type Hex = string;
export type Rows = ReadonlyMap<Hex, Hex>;

/** Index of an edge inside its bank. */
export function edgeIndex(slot: number, port: number): number {
  return slot * CUBE_PORTS + port;
}

export function edgeWord(kind: number, target: number, port = 0): bigint {
  return BigInt(target) | (BigInt(port) << 32n) | (BigInt(kind) << 48n);
}

export function edgeText(word: bigint): string {
  const target = Number(word & 0xffffffffn);
  const port = Number((word >> 32n) & 0xffffn);
  const kind = Number((word >> 48n) & 0xffn);
  if (kind === EdgeKind.Cube) return `slot ${target} port ${port}`;
  const name = Object.entries(EdgeKind).find(([, value]) => value === kind)?.[0] ?? `kind ${kind}`;
  return kind === EdgeKind.None || kind === EdgeKind.Pod
    ? name.toLowerCase()
    : `${name.toLowerCase()} if ${target}`;
}

/** Slot that an edge leads to; undefined for edges that leave the cubes. */
export function edgeSlot(word: bigint): number | undefined {
  return Number((word >> 48n) & 0xffn) === EdgeKind.Cube ? Number(word & 0xffffffffn) : undefined;
}

function u32(value: number): Hex {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString('hex');
}

function u16(value: number): Hex {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes.toString('hex');
}

/** `addr_t`: 16 bytes, IPv4 mapped into ::ffff:0:0/96. */
function addressHex({ family, value }: Address): Hex {
  return family === 4
    ? `00000000000000000000ffff${value.toString(16).padStart(8, '0')}`
    : value.toString(16).padStart(32, '0');
}

export function encodeAddress(text: string): Hex {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is not an IP address`);
  return addressHex(address);
}

export function decodeAddress(hex: Hex): string {
  const value = BigInt(`0x${hex}`);
  return hex.startsWith('00000000000000000000ffff')
    ? formatAddress({ family: 4, value: value & 0xffffffffn })
    : formatAddress({ family: 6, value });
}

export function encodeMac(mac: string): Hex {
  return mac.replaceAll(':', '');
}

export function decodeMac(hex: Hex): string {
  return (hex.match(/../g) ?? []).join(':');
}

export interface Attachment {
  /** Port of slot 0: AttachPort, or from AttachPort.Interface on. */
  readonly port: number;
  readonly counters: number;
  /** What happens while no chain takes the packet. */
  readonly open: boolean;
  /** Pods: the only source MAC and addresses accepted. */
  readonly mac?: string;
  readonly addresses?: readonly string[];
}

/** `struct attachment`, 80 bytes. */
export function encodeAttachment(a: Attachment): Hex {
  const addresses = a.addresses ?? [];
  const list = addresses.map(encodeAddress).join('');
  const head = `${u16(a.port)}${u16(a.counters)}${a.open ? '01' : '00'}${addresses.length.toString(16).padStart(2, '0')}`;
  return `${head}${encodeMac(a.mac ?? '00:00:00:00:00:00')}00000000${list.padEnd(POD_ADDRESSES * 32, '0')}`;
}

export function decodeAttachment(hex: Hex): Attachment {
  const bytes = Buffer.from(hex, 'hex');
  const count = bytes.readUInt8(5);
  const base = {
    port: bytes.readUInt16LE(0),
    counters: bytes.readUInt16LE(2),
    open: bytes.readUInt8(4) === 1,
  };
  if (count === 0) return base;
  const addresses = Array.from({ length: count }, (_, i) =>
    decodeAddress(hex.slice(32 + i * 32, 64 + i * 32)),
  );
  return { ...base, mac: decodeMac(hex.slice(12, 24)), addresses };
}

export function encodeIfindex(ifindex: number): Hex {
  return u32(ifindex);
}

export function decodeIfindex(hex: Hex): number {
  return Buffer.from(hex, 'hex').readUInt32LE(0);
}

/** `struct pod`: 12 bytes. */
export function encodePod(ifindex: number, mac: string): Hex {
  return `${u32(ifindex)}${encodeMac(mac)}0000`;
}

/** `struct prefix_key`: length in the 128-bit form, then the address. */
export function encodePrefix(text: string): Hex {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is not a prefix`);
  return `${u32(prefix.length + (prefix.family === 4 ? 96 : 0))}${addressHex(prefix)}`;
}

export function decodePrefix(hex: Hex): string {
  const length = Buffer.from(hex, 'hex').readUInt32LE(0);
  const address = decodeAddress(hex.slice(8));
  return `${address}/${address.includes(':') ? length : length - 96}`;
}

export interface NodeConfig {
  readonly overlayIfindex: number;
  readonly overlayVni: number;
  /** Prefix lengths (of 128) of overlay sources, longest first, at most PREFIX_LENGTHS. */
  readonly lengthsV4: readonly number[];
  readonly lengthsV6: readonly number[];
}

/** `struct node_config` without its first word, the epoch: 20 bytes. */
export function encodeConfig(config: NodeConfig): Hex {
  const lengths = (list: readonly number[]) =>
    Buffer.from(Array.from({ length: PREFIX_LENGTHS }, (_, i) => list[i] ?? 0)).toString('hex');
  return `${u32(config.overlayIfindex)}${u32(config.overlayVni)}00000000${lengths(config.lengthsV4)}${lengths(config.lengthsV6)}`;
}

/** `struct cube_constants`: what the agent adds to every program's .rodata, 16 bytes. */
export function encodeConstants(slot: number, redirectPeer: boolean, gatewayMac: string): Buffer {
  return Buffer.from(`${u32(slot)}${redirectPeer ? '01' : '00'}000000${encodeMac(gatewayMac)}0000`, 'hex');
}
