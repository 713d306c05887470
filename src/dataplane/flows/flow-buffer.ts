// SPDX-License-Identifier: Apache-2.0
import type { FlowRecord } from './flow-record.ts';

/** Records that wait to be asked for. */
const MOST = 10_000;

export interface FlowPage {
  readonly flows: readonly FlowRecord[];
  /** Events that were not told, because they were over the rate. */
  readonly suppressed: number;
  /** Records that were not kept, because nobody asked in time. */
  readonly lost: number;
}

/** What one reader has not asked for yet. Pure: time comes from the caller. */
export class FlowBuffer {
  #flows: FlowRecord[] = [];
  #suppressed = 0;
  #lost = 0;
  /** Milliseconds when somebody asked last. */
  askedAt: number;

  constructor(now: number) {
    this.askedAt = now;
  }

  add(flows: readonly FlowRecord[], suppressed: number): void {
    const room = Math.max(0, MOST - this.#flows.length);
    this.#flows.push(...flows.slice(0, room));
    this.#lost += Math.max(0, flows.length - room);
    this.#suppressed += suppressed;
  }

  take(now: number): FlowPage {
    this.askedAt = now;
    const page = { flows: this.#flows, suppressed: this.#suppressed, lost: this.#lost };
    this.#flows = [];
    this.#suppressed = 0;
    this.#lost = 0;
    return page;
  }
}
