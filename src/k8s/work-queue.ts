// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from './backoff.ts';
import { KubeError } from './errors.ts';
import { type Log, SILENT } from './log.ts';

/** What a handler may answer: nothing, or when it wants to see the key again. */
export type HandlerResult = undefined | { againAfterMs: number };
type Handler = (key: string, signal: AbortSignal) => Promise<HandlerResult>;

export interface WorkQueueOptions {
  /** For logs and metrics. */
  name: string;
  handler: Handler;
  /** Keys worked on at the same time. Default 4. */
  concurrency?: number;
  /**
   * Shortest time between two runs of one key, ms: the first change runs at once, those that follow within this time
   * run together. Default 0.
   */
  spacingMs?: number;
  /** Delays after a failed run. Default 5 ms to 60 s. */
  backoff?: { baseMs: number; maxMs: number; random?: () => number };
  log?: Log;
}

export interface WorkQueueStats {
  waiting: number;
  running: number;
  /** Runs that ended well, runs that failed, since the start. */
  done: number;
  failed: number;
  /** Keys whose last run failed. */
  failing: number;
}

/** A change may mend what failed, so it shortens a long delay, but not below this: changes may come in floods. */
const FAILED_SPACING_MS = 1000;

interface Item {
  state: 'Idle' | 'Queued' | 'Delayed' | 'Running';
  /** Something changed while it ran. */
  again: boolean;
  failures: number;
  lastStartMs: number;
  timer: NodeJS.Timeout | undefined;
  /** `performance.now()` at which the timer fires. */
  dueMs: number;
}

/**
 * Keys to be worked on. A key is in the queue at most once and is never worked on twice at the same time; a change
 * during its run means one more run. A failed key comes back after a growing, jittered delay, and holds back no other.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #log: Log;
  readonly #items = new Map<string, Item>();
  readonly #ready: string[] = [];
  readonly #stop = new AbortController();
  #running = 0;
  #done = 0;
  #failed = 0;
  #started = false;
  #waiters: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#log = options.log ?? SILENT;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Starts to work; keys added before are kept. */
  start(): void {
    this.#started = true;
    this.#pump();
  }

  /** Asks for a run of a key as soon as its spacing allows; a key that failed last time waits at least a second. */
  add(key: string): void {
    if (this.#stop.signal.aborted) return;
    const item = this.#item(key);
    if (item.state === 'Running') item.again = true;
    else if (item.state === 'Idle') this.#schedule(key, item, this.#spacing(item));
    else if (item.state === 'Delayed') {
      const wait = this.#spacing(item);
      if (performance.now() + wait < item.dueMs) this.#schedule(key, item, wait);
    }
  }

  /** Asks for a run of a key after a time; an earlier wish stands. */
  addAfter(key: string, delayMs: number): void {
    if (this.#stop.signal.aborted) return;
    const item = this.#item(key);
    if (item.state === 'Queued') return;
    if (item.state === 'Running') {
      item.dueMs = Math.min(item.dueMs, performance.now() + delayMs);
      return;
    }
    if (item.state === 'Delayed' && item.dueMs <= performance.now() + delayMs) return;
    this.#schedule(key, item, delayMs);
  }

  stats(): WorkQueueStats {
    let failing = 0;
    let waiting = 0;
    for (const item of this.#items.values()) {
      if (item.failures > 0) failing++;
      if (item.state === 'Queued' || item.state === 'Delayed') waiting++;
    }
    return { waiting, running: this.#running, done: this.#done, failed: this.#failed, failing };
  }

  /** Settles when nothing waits and nothing runs; keys that wait for a delay count. */
  async idle(): Promise<void> {
    while (this.#items.size > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Takes no more keys, forgets those that wait, tells running handlers by their signal and waits for them. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#ready.length = 0;
    for (const [key, item] of this.#items) {
      clearTimeout(item.timer);
      if (item.state !== 'Running') this.#items.delete(key);
    }
    this.#wake();
    await this.idle();
  }

  #item(key: string): Item {
    let item = this.#items.get(key);
    if (item === undefined) {
      item = {
        state: 'Idle',
        again: false,
        failures: 0,
        lastStartMs: Number.NEGATIVE_INFINITY,
        timer: undefined,
        dueMs: Number.POSITIVE_INFINITY,
      };
      this.#items.set(key, item);
    }
    return item;
  }

  #spacing(item: Item): number {
    const spacing = Math.max(this.#options.spacingMs ?? 0, item.failures > 0 ? FAILED_SPACING_MS : 0);
    return Math.max(0, item.lastStartMs + spacing - performance.now());
  }

  #schedule(key: string, item: Item, delayMs: number): void {
    clearTimeout(item.timer);
    item.timer = undefined;
    if (delayMs <= 0) {
      item.state = 'Queued';
      this.#ready.push(key);
      this.#pump();
      return;
    }
    item.state = 'Delayed';
    item.dueMs = performance.now() + delayMs;
    item.timer = setTimeout(() => this.#schedule(key, item, 0), delayMs);
  }

  #pump(): void {
    const limit = this.#options.concurrency ?? 4;
    while (this.#started && this.#running < limit) {
      const key = this.#ready.shift();
      if (key === undefined) return;
      const item = this.#items.get(key);
      if (item !== undefined) void this.#work(key, item);
    }
  }

  async #work(key: string, item: Item): Promise<void> {
    this.#running++;
    item.state = 'Running';
    item.again = false;
    item.lastStartMs = performance.now();
    item.dueMs = Number.POSITIVE_INFINITY;
    let delay: number | undefined;
    try {
      const result = await this.#options.handler(key, this.#stop.signal);
      item.failures = 0;
      this.#done++;
      delay = result?.againAfterMs;
    } catch (error) {
      if (!this.#stop.signal.aborted) delay = this.#failure(key, item, error);
    }
    this.#running--;
    this.#settle(key, item, delay);
    this.#pump();
  }

  #failure(key: string, item: Item, error: unknown): number {
    item.failures++;
    this.#failed++;
    const { backoff } = this.#options;
    const own = backoffMs(item.failures, backoff ?? { baseMs: 5, maxMs: 60_000 });
    const wished = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const delay = Math.max(own, wished);
    const fields = {
      queue: this.#options.name,
      key,
      failures: item.failures,
      waitMs: Math.round(delay),
      error: error instanceof Error ? error.message : String(error),
    };
    // A conflict or two is the normal course of optimistic writes; what lasts is worth a line that is seen.
    if (item.failures >= 3) this.#log.warn(fields, 'work failed; trying again');
    else this.#log.debug(fields, 'work failed; trying again');
    return delay;
  }

  #settle(key: string, item: Item, delay: number | undefined): void {
    if (this.#stop.signal.aborted) {
      this.#forget(key);
      return;
    }
    if (item.failures > 0 && delay !== undefined) this.#schedule(key, item, delay);
    else if (item.again) this.#schedule(key, item, this.#spacing(item));
    else if (delay !== undefined || Number.isFinite(item.dueMs)) {
      const due = Math.min(item.dueMs, performance.now() + (delay ?? Number.POSITIVE_INFINITY));
      this.#schedule(key, item, Math.max(1, due - performance.now()));
    } else if (this.#spacing(item) > 0) {
      // Remembered until the spacing is over, so that a change in that time is held back.
      item.state = 'Idle';
      item.timer = setTimeout(() => {
        if (item.state === 'Idle') this.#forget(key);
      }, this.#spacing(item));
    } else {
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    this.#items.delete(key);
    this.#wake();
  }

  #wake(): void {
    if (this.#items.size > 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
