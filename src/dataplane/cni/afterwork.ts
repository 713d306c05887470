// SPDX-License-Identifier: Apache-2.0
/**
 * What a call leaves for later, because the kernel lets who does it wait: pairs out of use are deleted, and new pods' interfaces get
 * their links. One thing at a time, and in nobody's way: it holds the kernel's lock of interfaces, for which the next call
 * would wait.
 */
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import { deleteIdle, type IdleVeth } from '../kernel/pod-veth.ts';
import type { CniAfterwork, CniAgent } from './cni-node.ts';

/** How long no call may have been under way before a pair is deleted, and before a link is made. */
export const QUIET_MS = { remove: 20, settle: 1000 } as const;
/** More pairs do not wait: a DEL deletes its own then, so that no churn leaves ever more behind. */
export const MOST_IDLE = 64;
/** What the kernel refuses is tried again after this long. */
const RETRY_MS = 5000;

export type Next = { readonly do: 'remove' | 'settle' } | { readonly waitMs: number } | undefined;

/**
 * What comes next; undefined: nothing, until a call ends. Deletions come first: they free what the node has many of.
 *
 * @param quietMs since the last call ended; undefined: one is under way.
 */
export function nextWork(
  { idle, unsettled }: { readonly idle: number; readonly unsettled: number },
  quietMs: number | undefined,
): Next {
  const kind = idle > 0 ? 'remove' : unsettled > 0 ? 'settle' : undefined;
  if (kind === undefined || quietMs === undefined) return undefined;
  return quietMs >= QUIET_MS[kind] ? { do: kind } : { waitMs: QUIET_MS[kind] - quietMs };
}

export class Afterwork implements CniAfterwork {
  readonly #agent: Pick<CniAgent, 'followDevice'>;
  readonly #log: AgentLog;
  readonly #deletePair: (pair: IdleVeth) => Promise<unknown>;
  readonly #idle = new Map<number, IdleVeth>();
  readonly #unsettled = new Set<string>();
  #calls = 0;
  #lastCall = 0;
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> | undefined;
  #isStopped = false;

  constructor(
    agent: Pick<CniAgent, 'followDevice'>,
    log: AgentLog,
    deletePair: (pair: IdleVeth) => Promise<unknown> = deleteIdle,
  ) {
    this.#agent = agent;
    this.#log = log;
    this.#deletePair = deletePair;
  }

  /** Pairs that wait to be deleted, and new pods whose interfaces have no link yet. */
  get waiting(): { readonly idle: number; readonly unsettled: number } {
    return { idle: this.#idle.size, unsettled: this.#unsettled.size };
  }

  async before<T>(call: () => Promise<T>): Promise<T> {
    this.#calls++;
    try {
      return await call();
    } finally {
      this.#calls--;
      this.#lastCall = performance.now();
      this.#schedule();
    }
  }

  remove(pair: IdleVeth): boolean {
    if (this.#isStopped || this.#idle.size >= MOST_IDLE) return false;
    this.#unsettled.delete(pair.device);
    this.#idle.set(pair.ifindex, pair);
    this.#schedule();
    return true;
  }

  settle(device: string): void {
    this.#unsettled.add(device);
    this.#schedule();
  }

  /** Does all that waits, now: another agent may come, which does not know of it. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#work;
    while (this.#idle.size + this.#unsettled.size > 0)
      await this.#step(this.#idle.size > 0 ? 'remove' : 'settle');
  }

  #schedule(): void {
    if (this.#isStopped || this.#work !== undefined) return;
    clearTimeout(this.#timer);
    const next = nextWork(this.waiting, this.#calls > 0 ? undefined : performance.now() - this.#lastCall);
    if (next === undefined) return;
    if ('waitMs' in next) {
      this.#timer = setTimeout(() => this.#schedule(), next.waitMs).unref();
      return;
    }
    this.#work = this.#step(next.do).finally(() => {
      this.#work = undefined;
      this.#schedule();
    });
  }

  /** Never throws. */
  async #step(kind: 'remove' | 'settle'): Promise<void> {
    const [pair] = this.#idle.values();
    const [device] = this.#unsettled;
    try {
      if (kind === 'remove' && pair !== undefined) {
        this.#idle.delete(pair.ifindex);
        await this.#deletePair(pair);
        await this.#agent.followDevice(pair.device);
      } else if (device !== undefined) {
        this.#unsettled.delete(device);
        await this.#agent.followDevice(device);
      }
    } catch (error) {
      this.#log.warn({ pair, device, error: textOf(error) }, `CNI afterwork: ${kind} is done again later`);
      if (this.#isStopped) return;
      setTimeout(() => {
        if (kind === 'remove' && pair !== undefined) this.remove(pair);
        else if (device !== undefined) this.settle(device);
      }, RETRY_MS).unref();
    }
  }
}
