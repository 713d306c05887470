// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleepFor } from 'node:timers/promises';

export interface BackoffOptions {
  /** First delay, ms. */
  baseMs: number;
  /** Longest delay, ms. */
  maxMs: number;
  /** Uniform in [0, 1); tests give their own. */
  random?: () => number;
}

/**
 * Delay before try number `failures` (from 1): doubled each time up to the maximum, then a random point in its upper
 * half, so that thousands of agents that lost one API server do not return together.
 */
export function backoffMs(failures: number, options: BackoffOptions): number {
  const full = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + ((options.random ?? Math.random)() * full) / 2;
}

/** Waits; returns early, without an error, when the signal aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
