// SPDX-License-Identifier: Apache-2.0

/** MAC addresses and fixed arrays of characters in map rows. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const macText = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Writes 6 bytes from `aa:bb:cc:dd:ee:ff`. */
export function putMac(bytes: Uint8Array, at: number, value: string, field: string): void {
  if (!macText.test(value)) throw new TypeError(`${field}: ${JSON.stringify(value)} is no MAC address`);
  for (let i = 0; i < 6; i++) bytes[at + i] = Number.parseInt(value.slice(3 * i, 3 * i + 2), 16);
}

export function getMac(bytes: Uint8Array, at: number): string {
  let text = '';
  for (let i = 0; i < 6; i++) {
    text += (i === 0 ? '' : ':') + (bytes[at + i] as number).toString(16).padStart(2, '0');
  }
  return text;
}

/** Writes UTF-8, padded with zeros to `size` bytes; it may fill them all and then has no terminator. */
export function putText(bytes: Uint8Array, at: number, value: string, size: number, field: string): void {
  const encoded = encoder.encode(value);
  if (encoded.length > size || encoded.includes(0)) {
    throw new RangeError(`${field}: ${JSON.stringify(value)} does not fit into ${size} bytes`);
  }
  bytes.fill(0, at, at + size);
  bytes.set(encoded, at);
}

/** Text up to the first zero byte. */
export function getText(bytes: Uint8Array, at: number, size: number): string {
  const field = bytes.subarray(at, at + size);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

/** Throws RangeError for a list that is longer than its array in the row. */
export function checkLength(list: readonly unknown[], count: number, field: string): void {
  if (list.length > count) throw new RangeError(`${field}: ${list.length} elements do not fit into ${count}`);
}
