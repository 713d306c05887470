// SPDX-License-Identifier: Apache-2.0
/** A bandwidth as the program counts it (bpf/rate-limiter/rate-limiter.h). Pure. */
import type { Bandwidth } from '../../api/generated/types.ts';

/** Ticks of a nanosecond (1 << TICK_SHIFT), and what `perByte` is multiplied by (1 << PER_BYTE_SHIFT). */
const TICKS = 16n;
const SCALE = 1n << 16n;
const SECOND = 1_000_000_000n * TICKS;

/** What a bucket is told by the agent. */
export interface BucketRates {
  readonly perByte: bigint;
  /** Ticks. */
  readonly tolerance: bigint;
}

export const UNLIMITED: BucketRates = { perByte: 0n, tolerance: 0n };

/** Fewest bits, and how much of a second at the rate: what TCP needs to come near the rate (docs/adr/0037-bandwidth-is-policed.md). */
const LEAST_BURST = 1_000_000;
const BURST_SECONDS = 0.25;

/** Bits. */
export function defaultBurst(bitsPerSecond: number): number {
  return Math.max(LEAST_BURST, Math.round(bitsPerSecond * BURST_SECONDS));
}

export function bucketRates(bandwidth: Bandwidth | undefined): BucketRates {
  if (bandwidth === undefined) return UNLIMITED;
  const rate = BigInt(bandwidth.bitsPerSecond);
  const burst = BigInt(bandwidth.burst ?? defaultBurst(bandwidth.bitsPerSecond));
  const tolerance = (burst * SECOND) / rate;
  // A program that finds no tick of tolerance would let nothing pass.
  return { perByte: (8n * SECOND * SCALE) / rate, tolerance: tolerance > 0n ? tolerance : 1n };
}
