// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Namespace } from './netns.ts';

const TOOL = new URL('./tools/probe.py', import.meta.url).pathname;

export type Target = readonly [protocol: 'TCP' | 'UDP', address: string, port: number];

export interface ProbeOptions {
  /** Indexes of the targets that should answer: what should not is judged when these have. */
  readonly expected: readonly number[];
  /** Seconds to wait for others after that. */
  readonly grace: number;
  /** Seconds to wait for those that should answer. */
  readonly patience: number;
}

/** A program in a namespace that serves ports and opens many connections at the same time. */
export class Prober {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Tries all targets at once, each from a new port; indexes of those that answered. */
  async probe(targets: readonly Target[], options: ProbeOptions): Promise<Set<number>> {
    const text = await new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect(this.#path);
      socket.setTimeout(30_000, () => socket.destroy(new Error(`${this.#path}: no answer within 30 s`)));
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.once('error', reject);
      socket.once('end', () => resolve(Buffer.concat(chunks).toString()));
      socket.write(`${JSON.stringify({ targets, ...options })}\n`);
    });
    return new Set(JSON.parse(text) as number[]);
  }
}

/** Starts a prober that answers TCP and UDP on these ports. It ends with the lab. */
export async function startProber(namespace: Namespace, ports: readonly number[]): Promise<Prober> {
  const path = join(namespace.lab.directory, `${namespace.name}.probe`);
  const running = await namespace.start('prober', ['python3', TOOL, path, ...ports.map(String)]);
  await running.waitForOutput(/ready/);
  return new Prober(path);
}
