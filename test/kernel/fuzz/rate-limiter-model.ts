// SPDX-License-Identifier: Apache-2.0

/**
 * What a rate limiter does with a packet at a time, by its descriptions and docs/adr/0037-bandwidth-is-policed.md. It shares no code
 * with src/cubes/rate-limiter or bpf/rate-limiter. The clock is the kernel's: when exactly a packet was there is not known,
 * so a time is a span, and what follows from it, too.
 */
import type { Bandwidth } from '../../../src/api/generated/types.ts';
import type { Parsed } from './parse-model.ts';

/** The program counts time in sixteenths of a nanosecond. */
const SECOND = 16_000_000_000n;
/** Ticks that rounding may take or give, a packet. */
const ROUNDING = 2n;

/** Ticks since boot between which something was. */
export interface Span {
  readonly from: bigint;
  readonly to: bigint;
}

/** What the kernel made of a packet. */
export interface Taken {
  readonly passed: boolean;
  /** When the bucket is full again. */
  readonly full: bigint;
}

/** Bytes on the wire: each segment of a large packet has the headers of the whole. */
export function wireBytes(length: number, headers: number, segment: number): number {
  if (segment === 0 || headers >= length) return length;
  const segments = Math.ceil((length - headers) / segment);
  return length + (segments - 1) * headers;
}

/** Headers that each segment repeats. */
export function headersOf(frame: Buffer, { protocol, l4 }: Parsed): number {
  if (protocol === 17) return l4 + 8;
  return protocol === 6 && l4 + 12 < frame.length ? l4 + (frame.readUInt8(l4 + 12) >> 4) * 4 : l4;
}

const later = (a: bigint, b: bigint): bigint => (a < b ? b : a);

/** One direction of a limit. */
export class BucketModel {
  full = 0n;
  packets = 0;
  bytes = 0;
  readonly #rate: bigint;
  readonly #tolerance: bigint;

  constructor({ bitsPerSecond, burst = 0 }: Bandwidth) {
    this.#rate = BigInt(bitsPerSecond);
    this.#tolerance = (BigInt(burst) * SECOND) / this.#rate;
  }

  /** Says what is wrong with it, and follows what the kernel did. */
  offer(bytes: number, at: Span, taken: Taken): string[] {
    const wrong: string[] = [];
    const before = this.full;
    if (taken.passed && before > at.to + this.#tolerance + ROUNDING) wrong.push('nothing was in the bucket');
    if (!taken.passed && before + ROUNDING < at.from + this.#tolerance)
      wrong.push('something was in the bucket');
    if (taken.passed) {
      const price = (BigInt(bytes * 8) * SECOND) / this.#rate;
      const least = later(before, at.from) + price - ROUNDING;
      const most = later(before, at.to) + price + ROUNDING;
      if (taken.full < least || taken.full > most)
        wrong.push(`full at ${taken.full}, not between ${least} and ${most} (${bytes} B)`);
    } else {
      this.packets += 1;
      this.bytes += bytes;
      if (taken.full !== before) wrong.push(`full at ${taken.full}, not still at ${before}`);
    }
    this.full = taken.full;
    return wrong;
  }
}
