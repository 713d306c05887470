// SPDX-License-Identifier: Apache-2.0
/** One live trace: gathers the events of each packet until it is through. Pure: the kernel's side is TraceRing. */
import type { CubeEvent } from '../generated/tcx.ts';

/** TRACE_NUMBER of bpf/include/context.h: from this bit on `mark` tells packets from each other. */
const NUMBER_SHIFT = 16;
/** A packet passes all cubes in microseconds: after this no event of it is on its way any more. */
const SETTLE_MS = 100;
/** Packets that wait to be asked for. */
const MOST = 10_000;

interface Gathered {
  events: CubeEvent[];
  at: number;
}

export class LiveTrace {
  #open = new Map<number, Gathered>();
  #done: CubeEvent[][] = [];
  #lost = 0;
  /** Milliseconds when somebody asked last. */
  askedAt: number;

  constructor(now: number) {
    this.askedAt = now;
  }

  add(events: readonly CubeEvent[], now: number): void {
    for (const event of events) {
      const number = event.mark >>> NUMBER_SHIFT;
      const open = this.#open.get(number);
      // A number that comes again with a new entry is another packet.
      if (open !== undefined && (open.events.length === 0 || event.kind !== ENTER)) {
        open.events.push(event);
        open.at = now;
        continue;
      }
      if (open !== undefined) this.#finish(open.events);
      this.#open.set(number, { events: [event], at: now });
    }
  }

  #finish(events: CubeEvent[]): void {
    if (this.#done.length >= MOST) this.#lost++;
    else this.#done.push(events);
  }

  /** Packets that are through, in order, and how many more there were than could be kept. */
  take(now: number): { packets: CubeEvent[][]; lost: number } {
    this.askedAt = now;
    for (const [number, { events, at }] of this.#open) {
      if (now - at < SETTLE_MS) continue;
      this.#open.delete(number);
      this.#finish(events);
    }
    const packets = this.#done;
    const lost = this.#lost;
    this.#done = [];
    this.#lost = 0;
    return { packets, lost };
  }
}

/** EVENT_ENTER of bpf/include/events.h. */
const ENTER = 5;
