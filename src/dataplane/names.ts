// SPDX-License-Identifier: Apache-2.0
/**
 * Names on the BPF file system, which allows no dot. Kubernetes names have no underscore, so it stands for the dot and
 * for what joins two names.
 */
import { createHash } from 'node:crypto';

/** Below the file system's 255 bytes, with room for a suffix. */
const MAX_NAME = 200;

/** The node's ends of pairs that the CNI plugin's server makes; nothing else on a node is called so. 52 bits of a hash. */
const POD_DEVICE = /^cp[0-9a-f]{13}$/;
/** The same in a line of text. */
const POD_DEVICE_IN_LINE = /\bcp[0-9a-f]{13}\b/;
/** The other end of such a pair inside a container, once the pod has lost it and until it is deleted. */
const IDLE = 'cx';

export const podDeviceOf = (hash: string): string => `cp${hash.slice(0, 13)}`;
export const idleNameOf = (device: string): string => `${IDLE}${device.slice(2)}`;
export const isPodDevice = (name: string): boolean => POD_DEVICE.test(name);
export const namesPodDevice = (line: string): boolean => POD_DEVICE_IN_LINE.test(line);

/** `namespace/name` → `namespace_name`, cut and hashed where it is too long. */
export function pinNameOf(key: string): string {
  const name = key.replace('/', '_').replaceAll('.', '_');
  if (name.length <= MAX_NAME) return name;
  return `${name.slice(0, MAX_NAME - 17)}_${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
}

/** Interface names hold any byte but slash and space: what is not plain becomes `_xx`. */
export function pinNameOfInterface(name: string): string {
  return Buffer.from(name)
    .toString('latin1')
    .replace(/[^A-Za-z0-9-]/g, (c) => `_${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** No name of an interface ends so: `o` is no digit of a byte. */
const OUT = '_out';

/** Of the program of copies at the egress of an interface. */
export const pinNameOfEgress = (name: string): string => `${pinNameOfInterface(name)}${OUT}`;

/** Which program of the entry's object an attachment runs. */
export const programOfPin = (pin: string): 'entry' | 'copies' => (pin.endsWith(OUT) ? 'copies' : 'entry');

export function interfaceOfPinName(pin: string): string {
  const bytes = pin.replace(/_([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString();
}

/** One program of one cube: `CUBE/SLOT_HASH`, as it is pinned. */
export function instanceKey(cubePin: string, slot: number, hash: string): string {
  return `${cubePin}/${slot}_${hash}`;
}

export function splitInstanceKey(key: string): { cube: string; slot: number; hash: string } {
  const [cube = '', rest = ''] = key.split('/');
  const at = rest.indexOf('_');
  return { cube, slot: Number(rest.slice(0, at)), hash: rest.slice(at + 1) };
}
