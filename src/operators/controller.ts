// SPDX-License-Identifier: Apache-2.0
import { type HandlerResult, WorkQueue, type WorkQueueOptions } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';

/** Works on keys that changes of caches put into its queue. */
export abstract class Controller {
  readonly queue: WorkQueue;
  protected readonly context: ControllerContext;
  readonly #subscriptions: (() => void)[] = [];

  constructor(context: ControllerContext, options: Omit<WorkQueueOptions, 'handler' | 'log'>) {
    this.context = context;
    const handler = (key: string, signal: AbortSignal) => this.reconcile(key, signal);
    this.queue = new WorkQueue({ ...options, handler, log: context.log });
  }

  /** Level-based: compares what should be there with what is. */
  protected abstract reconcile(key: string, signal: AbortSignal): Promise<HandlerResult>;

  /** Ends of subscriptions, which are called at the end. */
  protected subscribe(...ends: (() => void)[]): void {
    this.#subscriptions.push(...ends);
  }

  async stop(): Promise<void> {
    for (const end of this.#subscriptions) end();
    await this.queue.stop();
  }
}
