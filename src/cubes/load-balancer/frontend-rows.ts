// SPDX-License-Identifier: Apache-2.0
/** Values of the map `frontends` (struct frontend of bpf/load-balancer/load-balancer.h). */
import type { MapWrite } from '../cube-type.ts';
import { coarse, PROTOCOLS } from './backends.ts';
import type { DesiredFrontend } from './desired.ts';
import { frontends as codec } from './generated/codec.ts';

const MAGLEV = 1;
const REJECT = 2;
const RANGES = 4;
const LOCAL = 8;
const HIDES = { All: 16, Host: 32, None: 0 } as const;

/** Where the members of a value stand. */
export const BASE = 0;
export const SIZE = 4;
export const GROUP = 8;

/** In a key. */
const PROTOCOL = 18;

/** A frontend on its way into the table. */
export interface Plan {
  readonly key: Uint8Array;
  readonly frontend: DesiredFrontend;
  readonly base: number;
  readonly size: number;
}

export function wordAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** Whether one of the rows is of UDP. */
export function hasDatagrams({ keys, count }: MapWrite): boolean {
  const size = keys.length / count;
  return Array.from({ length: count }, (_, i) => keys[i * size + PROTOCOL]).includes(PROTOCOLS.UDP);
}

/** Whether something is remembered by the frontend's group. */
export function isGrouped({ affinity, sourceRanges }: DesiredFrontend): boolean {
  return affinity > 0 || sourceRanges.length > 0;
}

export function encodeFrontend(
  frontend: DesiredFrontend,
  place: { readonly base: number; readonly size: number; readonly group: number },
): Uint8Array {
  const value = new Uint8Array(codec.valueSize);
  codec.encodeValue(
    {
      ...place,
      affinity: frontend.affinity === 0 ? 0 : Math.max(1, coarse(frontend.affinity)),
      flags:
        (frontend.maglev ? MAGLEV : 0) |
        (frontend.reject ? REJECT : 0) |
        (frontend.sourceRanges.length > 0 ? RANGES : 0) |
        (frontend.local ? LOCAL : 0) |
        HIDES[frontend.hides],
    },
    value,
  );
  return value;
}
