// SPDX-License-Identifier: Apache-2.0
import { type Log, stderrLog } from './progress.ts';

interface Disposal {
  readonly label: string;
  readonly undo: () => void | Promise<void>;
}

/** How long one undo step may take before the next is tried all the same. */
const UNDO_TIMEOUT_MS = 20_000;

const openScopes = new Set<Scope>();
let signalsHandled = false;

/**
 * What has to be undone, in reverse order of its making, whatever happens: a normal end, an exception, SIGINT, SIGTERM
 * or SIGHUP. A failing step is reported and does not keep the others from running. SIGKILL is beyond it: what a killed
 * run leaves behind is removed by the next one ({@link sweepLeftovers}).
 */
export class Scope {
  readonly #disposals: Disposal[] = [];
  readonly #log: Log;
  #closing: Promise<void> | undefined;

  constructor(log: Log = stderrLog) {
    this.#log = log;
    openScopes.add(this);
    handleSignals();
  }

  /** Registers a step; `label` names what it removes, for the message when that fails. */
  defer(label: string, undo: () => void | Promise<void>): void {
    if (this.#closing !== undefined) throw new Error(`cannot make ${label}: this scope is being closed`);
    this.#disposals.push({ label, undo });
  }

  /** Undoes everything. A second call waits for the first. Rejects with all failures, after every step was tried. */
  close(): Promise<void> {
    this.#closing ??= this.#undoAll();
    return this.#closing;
  }

  /** Drops every step: what was made stays. */
  forget(): void {
    this.#disposals.length = 0;
    openScopes.delete(this);
  }

  async #undoAll(): Promise<void> {
    const failures: unknown[] = [];
    for (let next = this.#disposals.pop(); next !== undefined; next = this.#disposals.pop()) {
      try {
        await withTimeout(next.undo(), UNDO_TIMEOUT_MS, `removing ${next.label}`);
      } catch (failure) {
        failures.push(failure);
        this.#log(
          `clean-up of ${next.label} failed: ${failure instanceof Error ? failure.message : failure}`,
        );
      }
    }
    openScopes.delete(this);
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} clean-up step(s) failed`);
  }
}

/** Rejects when `work` has not settled in time; `what` starts the message. */
export async function withTimeout<T>(work: T | Promise<T>, milliseconds: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

/** One set of handlers a process, from the first scope on: they close all scopes, the latest first, and end with 128 + n. */
function handleSignals(): void {
  if (signalsHandled) return;
  signalsHandled = true;
  const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, status] of Object.entries(statuses)) {
    process.once(signal, () => void closeAll().finally(() => process.exit(status)));
  }
  // Jest reports what a test throws by itself; handlers of ours would take that away from it.
  if (process.env.JEST_WORKER_ID !== undefined) return;
  const die = (failure: unknown) => {
    process.stderr.write(`${failure instanceof Error ? failure.stack : failure}\n`);
    void closeAll().finally(() => process.exit(1));
  };
  process.once('uncaughtException', die).once('unhandledRejection', die);
}

async function closeAll(): Promise<void> {
  for (const scope of [...openScopes].reverse()) await scope.close().catch(() => {});
}
