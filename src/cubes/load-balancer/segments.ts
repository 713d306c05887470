// SPDX-License-Identifier: Apache-2.0

/** The ids of one segment of picks: the same for the same backends, whatever their order. */
import { putAddress } from '../codec/address.ts';
import type { DesiredBackend, DesiredFrontend, Pick } from './desired.ts';
import { maglevTable } from './maglev.ts';

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Each id as often as its weight says, by the largest common unit. `ids[i]` is that of backend i. */
export function randomSegment(picks: readonly Pick[], ids: Uint32Array): Uint32Array {
  const unit = picks.reduce((sum, { weight }) => gcd(sum, weight), 0) || 1;
  const segment = new Uint32Array(picks.reduce((sum, { weight }) => sum + weight / unit, 0));
  let at = 0;
  for (const { backend, weight } of picks) {
    segment.fill(ids[backend] as number, at, at + weight / unit);
    at += weight / unit;
  }
  return segment.sort();
}

/** Maglev's table, by address and port: ids differ from node to node, the places do not. */
export function maglevSegment(
  picks: readonly Pick[],
  backends: readonly DesiredBackend[],
  ids: Uint32Array,
): Uint32Array {
  const table = maglevTable(
    picks.map(({ backend, weight }) => {
      const { address, port } = backends[backend] as DesiredBackend;
      const identity = new Uint8Array(20);
      putAddress(identity, 0, address, 'Backend.address');
      identity[16] = port >> 8;
      identity[17] = port & 255;
      return { identity, weight };
    }),
  );
  return table.map((pick) => ids[picks[pick]?.backend as number] as number);
}

/** The same for frontends that can share a segment. */
export function contentOf({ maglev, picks }: DesiredFrontend): string {
  return `${maglev} ${picks.map(({ backend, weight }) => `${backend}*${weight}`).join()}`;
}
