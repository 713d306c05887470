// SPDX-License-Identifier: Apache-2.0

/**
 * Integers in map rows. Without `Be` they are little-endian, the byte order of the machines that we load programs on;
 * with it they are in network order. `field` names the member in the RangeError for a value that does not fit.
 */

const wide = new BigUint64Array(1);
const halves = new Uint32Array(wide.buffer);
if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
  throw new Error('this machine is big-endian: the codecs of BPF maps are for little-endian machines');
}

function refuse(value: number | bigint, field: string): never {
  throw new RangeError(`${field}: ${value} does not fit`);
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

export function putU8(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value & 0xff) !== value) refuse(value, field);
  bytes[at] = value;
}

export function putU16(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value & 0xffff) !== value) refuse(value, field);
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}

export function putU32(bytes: Uint8Array, at: number, value: number, field: string): void {
  if (value >>> 0 !== value) refuse(value, field);
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}

export function putU64(bytes: Uint8Array, at: number, value: bigint, field: string): void {
  wide[0] = value;
  if (wide[0] !== value) refuse(value, field);
  putU32(bytes, at, halves[0] as number, field);
  putU32(bytes, at + 4, halves[1] as number, field);
}

/** A u64 that stays below 2^53, as a number. */
export function putU53(bytes: Uint8Array, at: number, value: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < 0) refuse(value, field);
  putU32(bytes, at, value >>> 0, field);
  putU32(bytes, at + 4, Math.floor(value / 0x1_0000_0000), field);
}

export function putS8(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value << 24) >> 24 !== value) refuse(value, field);
  bytes[at] = value;
}

export function putS16(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value << 16) >> 16 !== value) refuse(value, field);
  putU16(bytes, at, value & 0xffff, field);
}

export function putS32(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value | 0) !== value) refuse(value, field);
  putU32(bytes, at, value >>> 0, field);
}

export function putS64(bytes: Uint8Array, at: number, value: bigint, field: string): void {
  if (BigInt.asIntN(64, value) !== value) refuse(value, field);
  putU64(bytes, at, BigInt.asUintN(64, value), field);
}

export function putBe16(bytes: Uint8Array, at: number, value: number, field: string): void {
  if ((value & 0xffff) !== value) refuse(value, field);
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function putBe32(bytes: Uint8Array, at: number, value: number, field: string): void {
  if (value >>> 0 !== value) refuse(value, field);
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}

export function putBe64(bytes: Uint8Array, at: number, value: bigint, field: string): void {
  wide[0] = value;
  if (wide[0] !== value) refuse(value, field);
  putBe32(bytes, at, halves[1] as number, field);
  putBe32(bytes, at + 4, halves[0] as number, field);
}

export function putBool(bytes: Uint8Array, at: number, value: boolean): void {
  bytes[at] = value ? 1 : 0;
}

/** Padding: always zero. */
export function putZeros(bytes: Uint8Array, at: number, count: number): void {
  for (let i = 0; i < count; i++) bytes[at + i] = 0;
}

export function getU8(bytes: Uint8Array, at: number): number {
  return byte(bytes, at);
}

export function getU16(bytes: Uint8Array, at: number): number {
  return byte(bytes, at) | (byte(bytes, at + 1) << 8);
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (getU16(bytes, at) | (getU16(bytes, at + 2) << 16)) >>> 0;
}

export function getU64(bytes: Uint8Array, at: number): bigint {
  halves[0] = getU32(bytes, at);
  halves[1] = getU32(bytes, at + 4);
  return wide[0] as bigint;
}

/** Loses precision beyond 2^53, which its typedef rules out. */
export function getU53(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at + 4) * 0x1_0000_0000 + getU32(bytes, at);
}

export function getS8(bytes: Uint8Array, at: number): number {
  return (byte(bytes, at) << 24) >> 24;
}

export function getS16(bytes: Uint8Array, at: number): number {
  return (getU16(bytes, at) << 16) >> 16;
}

export function getS32(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at) | 0;
}

export function getS64(bytes: Uint8Array, at: number): bigint {
  return BigInt.asIntN(64, getU64(bytes, at));
}

export function getBe16(bytes: Uint8Array, at: number): number {
  return (byte(bytes, at) << 8) | byte(bytes, at + 1);
}

export function getBe32(bytes: Uint8Array, at: number): number {
  return ((getBe16(bytes, at) << 16) | getBe16(bytes, at + 2)) >>> 0;
}

export function getBe64(bytes: Uint8Array, at: number): bigint {
  halves[0] = getBe32(bytes, at + 4);
  halves[1] = getBe32(bytes, at);
  return wide[0] as bigint;
}

export function getBool(bytes: Uint8Array, at: number): boolean {
  return byte(bytes, at) !== 0;
}

/** Throws RangeError when `size` bytes at `at` are not all within `bytes`. */
export function checkRoom(bytes: Uint8Array, at: number, size: number, what: string): void {
  if (at < 0 || at + size > bytes.length) {
    throw new RangeError(`${what}: ${size} bytes at ${at} do not fit into ${bytes.length}`);
  }
}
