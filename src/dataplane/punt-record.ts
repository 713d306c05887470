// SPDX-License-Identifier: Apache-2.0
/** Records of the ring buffer `punts` (bpf/include/punt.h). Pure. */
import type { PuntRecord } from '../cubes/cube-type.ts';
import { puntEvent } from './generated/tcx.ts';

export interface Punt {
  /** Of the cube that handed it over. */
  readonly slot: number;
  readonly record: PuntRecord;
}

const KINDS = ['Packet', 'Log'] as const;

/** The packet is a view of `bytes`. */
export function decodePunt(bytes: Buffer): Punt {
  const head = puntEvent.decode(bytes);
  const { code, metadata, port, tuple, etherType, l3Off, length } = head;
  return {
    slot: head.slot,
    record: {
      kind: KINDS[head.kind] ?? 'Log',
      code,
      metadata,
      port,
      time: Number(head.time / 1_000_000n),
      tuple,
      etherType,
      l3Offset: l3Off,
      packet: bytes.subarray(puntEvent.size, puntEvent.size + head.captured),
      length,
    },
  };
}
