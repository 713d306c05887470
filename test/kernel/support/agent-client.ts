// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AgentHealth } from '../../../src/dataplane/agent-health.ts';
import type { SourceObject } from '../../../src/dataplane/sources/source.ts';

const SCRIPT = fileURLToPath(new URL('agent-process.ts', import.meta.url));

export interface Settled {
  actions: string[];
  health: AgentHealth;
  // biome-ignore lint/suspicious/noExplicitAny: statuses are compared as JSON
  statuses: Record<string, any>;
  writes: number;
}

export class RemoteError extends Error {
  readonly code: string;
  readonly remedy: string;

  constructor(fields: { message: string; code?: string; remedy?: string; stack?: string }) {
    super(fields.stack ?? fields.message);
    this.code = fields.code ?? '';
    this.remedy = fields.remedy ?? '';
  }
}

/** Drives an agent in a process of its own. */
export class AgentClient {
  readonly child: ChildProcess;
  stderr = '';
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #exit = Promise.withResolvers<void>();
  #next = 1;

  constructor(netns: string, env: Record<string, string>, wrap: readonly string[] = []) {
    const argv = ['nsenter', `--net=${netns}`, '--', ...wrap, process.execPath, SCRIPT];
    this.child = spawn(argv[0] as string, argv.slice(1), {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.child.stdin?.on('error', () => {});
    this.#waiting.set(0, Promise.withResolvers());
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, result, error } = JSON.parse(line);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new RemoteError(error));
    });
    this.child.once('close', () => {
      for (const { reject, promise } of this.#waiting.values()) {
        promise.catch(() => {});
        reject(new Error(`the agent ended\n${this.stderr}`));
      }
      this.#waiting.clear();
      this.#exit.resolve();
    });
  }

  async started(): Promise<this> {
    await this.#waiting.get(0)?.promise;
    return this;
  }

  async ask<T = unknown>(op: string, fields: object = {}): Promise<T> {
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.child.stdin?.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    return (await answer.promise) as T;
  }

  /** Hands over objects and waits until they are in the kernel, or have failed. */
  async set(
    objects: readonly SourceObject[],
    gone: readonly (readonly [SourceObject['kind'], string | undefined, string])[] = [],
  ): Promise<Settled> {
    await this.ask('set', { objects, gone });
    return await this.ask<Settled>('settled');
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited();
  }

  async stop(): Promise<void> {
    await this.ask('stop');
    this.child.stdin?.end();
    await this.exited();
  }

  async exited(): Promise<void> {
    await this.#exit.promise;
  }
}
