// SPDX-License-Identifier: Apache-2.0
/** A record of the ring buffer `punts` (bpf/include/punt.h). Pure. */
import { type PuntEvent, puntEvent } from './generated/tcx.ts';

export interface Punt {
  readonly head: PuntEvent;
  /** From the Ethernet header on; shorter than `head.length` when it was cut off. */
  readonly packet: Buffer;
}

/** Kinds of record: the packet ended in the cube, or it went on. */
export const PuntKind = { Packet: 0, Log: 1 } as const;

export function decodePunt(record: Buffer): Punt {
  const head = puntEvent.decode(record);
  const { size } = puntEvent;
  return { head, packet: record.subarray(size, size + head.captured) };
}
