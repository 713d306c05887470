// SPDX-License-Identifier: Apache-2.0
/**
 * Rows of the maps that all programs of a node share (bpf/include/maps.h). Rows travel as hexadecimal text, so that they
 * can be compared, printed and kept in a Map. Layout, byte order and limits come from the generated codecs.
 */
import { parsePrefix } from '../api/ip.ts';
import { addressBytes, getAddress } from '../cubes/codec/address.ts';
import type { MapCodec } from '../cubes/codec/map-codec.ts';
import * as codecs from './generated/tcx.ts';

export const CUBE_ABI = 1;
export const CUBE_SLOTS = codecs.slots.maxEntries;
/** Stands for the entry program at XDP among the edges (CUBE_XDP_SLOT of bpf/include/maps.h). No cube has it. */
export const XDP_SLOT = CUBE_SLOTS - 1;
export const CUBE_PORTS = codecs.portCounters.maxEntries;
export const CUBE_BANKS = codecs.edges.maxEntries / (CUBE_SLOTS * CUBE_PORTS);
export const MAX_ATTACHMENTS = codecs.attachments.maxEntries;
export const POD_ADDRESSES = emptyValue(codecs.attachments).addresses.length;
export const PREFIX_LENGTHS = emptyValue(codecs.nodeConfig).sourceLengthsV4.length;

export const EdgeKind = {
  None: 0,
  Cube: 1,
  Device: 2,
  Pod: 3,
  Neigh: 4,
  Tunnel: 5,
  Stack: 6,
  Pass: 7,
  Cut: 8,
  Route: 9,
} as const;
export const AttachPort = { Pod: 1, Overlay: 2, Stack: 3, Copies: 4, Interface: 8 } as const;

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
  const isBare = ([EdgeKind.None, EdgeKind.Pod, EdgeKind.Pass, EdgeKind.Cut] as number[]).includes(kind);
  return isBare ? name.toLowerCase() : `${name.toLowerCase()} if ${target}`;
}

/** Slot that an edge leads to; undefined for edges that leave the cubes. */
export function edgeSlot(word: bigint): number | undefined {
  return Number((word >> 48n) & 0xffn) === EdgeKind.Cube ? Number(word & 0xffffffffn) : undefined;
}

type KeyEncoder<Input> = Pick<MapCodec<unknown, unknown, Input>, 'keySize' | 'encodeKey'>;
type ValueEncoder<Input> = Pick<MapCodec<unknown, unknown, unknown, Input>, 'valueSize' | 'encodeValue'>;

function keyHex<Input>(codec: KeyEncoder<Input>, key: Input): Hex {
  const bytes = Buffer.alloc(codec.keySize);
  codec.encodeKey(key, bytes);
  return bytes.toString('hex');
}

function valueHex<Input>(codec: ValueEncoder<Input>, value: Input): Hex {
  const bytes = Buffer.alloc(codec.valueSize);
  codec.encodeValue(value, bytes);
  return bytes.toString('hex');
}

/** The value whose bytes are all zero, as an array map holds it before it is written. */
function emptyValue<Value>(codec: { valueSize: number; decodeValue(bytes: Uint8Array): Value }): Value {
  return codec.decodeValue(new Uint8Array(codec.valueSize));
}

const bytesOf = (hex: Hex): Buffer => Buffer.from(hex, 'hex');

/** `addr_t`: key of the map `pods`, value of `overlay_sources`. */
export function encodeAddress(text: string): Hex {
  return Buffer.from(addressBytes(text)).toString('hex');
}

export function decodeAddress(hex: Hex): string {
  return getAddress(bytesOf(hex));
}

export interface Attachment {
  /** Port of slot 0: AttachPort, or from AttachPort.Interface on. */
  readonly port: number;
  readonly counters: number;
  /** What happens while no chain takes the packet. */
  readonly open: boolean;
  /** Pods: the only source MAC accepted. Interfaces: their own. */
  readonly mac?: string;
  /** Pods: the only source addresses accepted. */
  readonly addresses?: readonly string[];
  /** Interfaces: packets for the host's own addresses go to the chain, too. */
  readonly all?: boolean;
}

const NO_MAC = '00:00:00:00:00:00';
/** Of bpf/include/maps.h. */
const ATTACH_ALL = 1;

export function encodeAttachment(row: Attachment): Hex {
  const { port, counters, open, mac = NO_MAC, addresses = [], all = false } = row;
  const failure = open ? 1 : 0;
  return valueHex(codecs.attachments, {
    port,
    counters,
    failure,
    addressesCount: addresses.length,
    flags: all ? ATTACH_ALL : 0,
    mac,
    addresses,
  });
}

export function decodeAttachment(hex: Hex): Attachment {
  const row = codecs.attachments.decodeValue(bytesOf(hex));
  const base = { port: row.port, counters: row.counters, open: row.failure === 1 };
  return {
    ...base,
    ...(row.mac === NO_MAC ? {} : { mac: row.mac }),
    ...(row.flags & ATTACH_ALL ? { all: true } : {}),
    ...(row.addressesCount === 0 ? {} : { addresses: row.addresses.slice(0, row.addressesCount) }),
  };
}

/** Key of the map `attachments`. */
export function encodeIfindex(ifindex: number): Hex {
  return keyHex(codecs.attachments, ifindex);
}

export function decodeIfindex(hex: Hex): number {
  return codecs.attachments.decodeKey(bytesOf(hex));
}

/** Row of the map `host_addresses`; its key is encodeAddress's. */
export const HOST_ADDRESS: Hex = valueHex(codecs.hostAddresses, 1);

/** Value of the map `pods`. */
export function encodePod(pod: codecs.Pod): Hex {
  return valueHex(codecs.pods, pod);
}

export function decodePod(hex: Hex): codecs.Pod {
  return codecs.pods.decodeValue(bytesOf(hex));
}

/** Key of the map `overlay_sources`, whose length is of the 128-bit form. */
export function encodePrefix(text: string): Hex {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is not a prefix`);
  return keyHex(codecs.overlaySources, {
    length: prefix.length + (prefix.family === 4 ? 96 : 0),
    addr: text.slice(0, text.indexOf('/')),
  });
}

export function decodePrefix(hex: Hex): string {
  const { length, addr } = codecs.overlaySources.decodeKey(bytesOf(hex));
  return `${addr}/${addr.includes(':') ? length : length - 96}`;
}

/** Row of the map `node_config` with epoch 0: the settings, whichever graph is in force and whatever is traced. */
export function encodeConfig(config: Omit<codecs.NodeConfig, 'epoch' | 'tracing'>): Hex {
  return valueHex(codecs.nodeConfig, { ...config, epoch: 0, tracing: 0 });
}

/** Settings of a node that nobody has written. */
export const EMPTY_CONFIG: Hex = encodeConfig(emptyValue(codecs.nodeConfig));
