// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import type { AgentLog } from './agent-options.ts';
import { textOf } from './errors.ts';
import type { Source, StatusTarget } from './sources/source.ts';

const RETRY_MS = 2000;

interface Pending {
  readonly target: StatusTarget;
  readonly status: object;
  /** What the source showed at that time. */
  readonly shown: unknown;
}

/** Writes statuses in the background, the newest of each object, only when it differs from what was written before. */
export class StatusWriter {
  readonly #source: Source;
  readonly #log: AgentLog;
  readonly #written = new Map<string, { uid: string; status: object; shown: unknown }>();
  readonly #pending = new Map<string, Pending>();
  #working: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(source: Source, log: AgentLog) {
    this.#source = source;
    this.#log = log;
  }

  /**
   * What was last asked to be written, else what the source showed. When the source shows something else since, that
   * somebody wrote over it (as the operator does for an agent that it takes for dead), it is what was shown.
   */
  last(ref: string, uid: string, shown: unknown): unknown {
    const pending = this.#pending.get(ref);
    if (pending?.target.uid === uid) return pending.status;
    const written = this.#written.get(ref);
    if (written?.uid !== uid) return shown;
    const isNews = shown !== undefined && shown !== written.shown && !holds(shown, written.status);
    return isNews ? shown : written.status;
  }

  set(ref: string, target: StatusTarget, status: object, shown: unknown): void {
    if (isDeepStrictEqual(plain(status), plain(this.last(ref, target.uid, shown)))) return;
    this.#pending.set(ref, { target, status, shown });
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
      this.#written.set(ref, { uid: pending.target.uid, status: pending.status, shown: pending.shown });
      if (this.#pending.get(ref) === pending) this.#pending.delete(ref);
    }
  }
}

/** Whether all that was written is still in what is shown; conditions and fields of others beside it do not matter. */
function holds(shown: unknown, written: object): boolean {
  const has = shown as { conditions?: { type: string }[] };
  const { conditions = [], ...fields } = plain(written) as { conditions?: { type: string }[] };
  return (
    conditions.every((one) => has.conditions?.some((other) => isDeepStrictEqual(plain(other), one))) &&
    Object.entries(fields).every(([name, value]) =>
      isDeepStrictEqual((has as Record<string, unknown>)[name], value),
    )
  );
}

/** As it looks after a trip through JSON. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
