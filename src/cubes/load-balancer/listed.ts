// SPDX-License-Identifier: Apache-2.0
/** Which backends a service lists: ids, doubled, plus one where the backend takes new connections of it. */
import { putAddress } from '../codec/address.ts';
import { type Backends, ROW } from './backends.ts';
import type { DesiredBackend } from './desired.ts';

export const idOf = (word: number): number => word >>> 1;

/** Lists them. Undefined, and nothing changed, when they do not fit. */
export function list(rows: Backends, backends: readonly DesiredBackend[]): Uint32Array | undefined {
  const identity = new Uint8Array(ROW);
  const listed = new Uint32Array(backends.length);
  for (let i = 0; i < backends.length; i++) {
    const { address, port, proto, weight } = backends[i] as DesiredBackend;
    putAddress(identity, 0, address, 'Backend.address');
    identity[16] = port >> 8;
    identity[17] = port & 255;
    identity[18] = proto;
    const id = rows.acquire(identity, 0, weight > 0);
    if (id < 0) {
      unlist(rows, listed.subarray(0, i));
      return undefined;
    }
    listed[i] = id * 2 + (weight > 0 ? 1 : 0);
  }
  return listed;
}

/** Takes back what no packet has seen. */
export function unlist(rows: Backends, listed: Uint32Array): void {
  for (const word of listed) rows.release(idOf(word), (word & 1) === 1);
}

/** Lists `before` no longer. `now`: what the service lists already instead; who is not among it has departed. */
export function giveUp(rows: Backends, before: Uint32Array, now: Uint32Array = new Uint32Array()): void {
  unlist(rows, before);
  const datagrams = [...before].map(idOf).filter((id) => rows.isDatagram(id));
  if (datagrams.length === 0) return;
  const kept = new Set([...now].map(idOf));
  for (const id of datagrams) if (!kept.has(id)) rows.depart(id);
}
