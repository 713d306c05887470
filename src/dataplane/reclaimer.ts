// SPDX-License-Identifier: Apache-2.0
/**
 * When which table is rid of rows that are over. The work is done in the kernel, by a program a table that walks all of
 * it and cannot be resumed; so it is bounded by what runs when: one table at a time, each at most 1 % of the time, and at
 * most 65,536 rows removed a run (bpf/include/reclaim.h).
 */

const USUAL_MS = 30_000;
/** A table that is nearly full is looked at more often. */
const PRESSED = { share: 0.8, everyMs: 2000 } as const;
/** A run may take this share of the time until the next one. */
const MOST_TIME = 0.01;

/** One program of one instance. */
export interface ReclaimTask {
  /** Instance key. */
  readonly key: string;
  readonly program: string;
  /** Used share of the fullest map that it serves; undefined: not known. */
  readonly share: number | undefined;
}

export interface ReclaimRun {
  /** Rows that were looked at. */
  readonly seen: number;
  readonly removed: number;
  readonly ms: number;
}

export interface ReclaimTotal {
  runs: number;
  removed: number;
  /** Time of all runs together. */
  ms: number;
  last: ReclaimRun;
}

export class Reclaimer {
  /** Task → when it ran last, or was first seen. */
  readonly #since = new Map<string, number>();
  /** Of what has run, by instance key and program. */
  readonly totals = new Map<string, ReclaimTotal>();

  /** The task that has been due for longest, if any is. Forgets those that are gone. `now`: milliseconds. */
  next(tasks: readonly ReclaimTask[], now: number): ReclaimTask | undefined {
    const names = new Set(tasks.map(nameOf));
    for (const name of this.#since.keys()) if (!names.has(name)) this.#forget(name);
    let first: ReclaimTask | undefined;
    let earliest = now;
    for (const task of tasks) {
      const due = this.#dueAt(task, now);
      if (due > earliest) continue;
      first = task;
      earliest = due;
    }
    return first;
  }

  ran(task: ReclaimTask, run: ReclaimRun, now: number): void {
    const name = nameOf(task);
    const total = this.totals.get(name) ?? { runs: 0, removed: 0, ms: 0, last: run };
    this.totals.set(name, {
      runs: total.runs + 1,
      removed: total.removed + run.removed,
      ms: total.ms + run.ms,
      last: run,
    });
    this.#since.set(name, now);
  }

  #dueAt(task: ReclaimTask, now: number): number {
    const name = nameOf(task);
    const since = this.#since.get(name) ?? now;
    this.#since.set(name, since);
    const isPressed = task.share !== undefined && task.share >= PRESSED.share;
    const rest = (this.totals.get(name)?.last.ms ?? 0) / MOST_TIME;
    return since + Math.max(isPressed ? PRESSED.everyMs : USUAL_MS, rest);
  }

  #forget(name: string): void {
    this.#since.delete(name);
    this.totals.delete(name);
  }
}

function nameOf({ key, program }: ReclaimTask): string {
  return `${key} ${program}`;
}
