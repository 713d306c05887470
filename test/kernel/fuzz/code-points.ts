// SPDX-License-Identifier: Apache-2.0
import type { Random } from './random.ts';

/** The frame with a code point that rules ask for, sometimes: of 64 at random it would be one of theirs too seldom. */
export function withCodePoint(r: Random, frame: Buffer): Buffer {
  if (!r.chance(0.5)) return frame;
  const tos = (r.pick([0, 0, 1, 46, 62, 63]) << 2) | r.below(4);
  const type = frame.readUInt16BE(12);
  if (type === 0x0800 && frame.length > 15) {
    const changed = Buffer.from(frame);
    changed[15] = tos;
    return changed;
  }
  if (type !== 0x86dd || frame.length <= 15) return frame;
  const changed = Buffer.from(frame);
  changed.writeUInt16BE((frame.readUInt16BE(14) & 0xf00f) | (tos << 4), 14);
  return changed;
}
