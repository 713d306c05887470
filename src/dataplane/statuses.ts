// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import type { AgentLog } from './agent-options.ts';
import { textOf } from './errors.ts';
import type { Source, StatusTarget } from './sources/source.ts';

const RETRY_MS = 2000;

interface Pending {
  readonly target: StatusTarget;
  readonly status: object;
}

/** Writes statuses in the background, the newest of each object, only when it differs from what was written before. */
export class StatusWriter {
  readonly #source: Source;
  readonly #log: AgentLog;
  readonly #written = new Map<string, { uid: string; status: object }>();
  readonly #pending = new Map<string, Pending>();
  #working: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(source: Source, log: AgentLog) {
    this.#source = source;
    this.#log = log;
  }

  /** What was last asked to be written, else what the source showed. */
  last(ref: string, uid: string, shown: unknown): unknown {
    const pending = this.#pending.get(ref);
    if (pending?.target.uid === uid) return pending.status;
    const written = this.#written.get(ref);
    return written?.uid === uid ? written.status : shown;
  }

  set(ref: string, target: StatusTarget, status: object, shown: unknown): void {
    if (isDeepStrictEqual(plain(status), plain(this.last(ref, target.uid, shown)))) return;
    this.#pending.set(ref, { target, status });
    this.#work();
  }

  forget(keep: (ref: string) => boolean): void {
    for (const ref of this.#written.keys()) if (!keep(ref)) this.#written.delete(ref);
    for (const ref of this.#pending.keys()) if (!keep(ref)) this.#pending.delete(ref);
  }

  /** Resolves when nothing waits any more, or a write failed. */
  async flush(): Promise<void> {
    await this.#working;
  }

  async stop(): Promise<void> {
    await this.#working;
    this.#stopped = true;
    clearTimeout(this.#retry);
  }

  #work(): void {
    if (this.#stopped) return;
    clearTimeout(this.#retry);
    this.#working ??= this.#drain().finally(() => {
      this.#working = undefined;
    });
  }

  async #drain(): Promise<void> {
    for (;;) {
      const [ref, pending] = this.#pending.entries().next().value ?? [];
      if (ref === undefined || pending === undefined) return;
      try {
        await this.#source.writeStatus(pending.target, pending.status as Record<string, unknown>);
      } catch (error) {
        this.#log.warn({ object: ref, error: textOf(error) }, 'a status could not be written; trying again');
        this.#retry = setTimeout(() => this.#work(), RETRY_MS);
        return;
      }
      this.#written.set(ref, { uid: pending.target.uid, status: pending.status });
      if (this.#pending.get(ref) === pending) this.#pending.delete(ref);
    }
  }
}

/** As it looks after a trip through JSON. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
