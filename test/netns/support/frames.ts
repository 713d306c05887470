// SPDX-License-Identifier: Apache-2.0
import type { Namespace } from '../../harness/netns.ts';
import type { Running } from '../../harness/process.ts';

const TOOL = new URL('../../harness/tools/frames.py', import.meta.url).pathname;

/** Sends frames out of an interface, as they are. Returns how many. */
export async function sendFrames(
  namespace: Namespace,
  device: string,
  frames: readonly Uint8Array[],
): Promise<number> {
  const input = frames.map((frame) => `${Buffer.from(frame).toString('hex')}\n`).join('');
  await namespace.exec(['python3', TOOL, 'send', device], { input });
  return frames.length;
}

export interface SniffOptions {
  /** Bytes that a frame must hold, anywhere; all of them. */
  readonly match?: readonly Uint8Array[];
  /** Ends after so many; 1 by default. */
  readonly count?: number;
  /** Ends after so long; 5 s by default. */
  readonly seconds?: number;
}

/** Frames that an interface receives, from now on. */
export class Sniffer {
  readonly #running: Running;

  constructor(running: Running) {
    this.#running = running;
  }

  /** Whether there are as many as asked for, or time is over. */
  get ended(): boolean {
    return this.#running.status !== undefined;
  }

  /** Waits for a frame that holds these bytes. */
  async until(bytes: Uint8Array): Promise<void> {
    await this.#running.waitForOutput(new RegExp(Buffer.from(bytes).toString('hex')));
  }

  /** How many there are by now. */
  async count(): Promise<number> {
    return ((await this.#running.output()).match(/^[0-9a-f]+$/gm) ?? []).length;
  }

  /** Ends it before. */
  async stop(): Promise<void> {
    await this.#running.stop();
  }

  /** Waits until there are as many as asked for, or time is over. */
  async frames(): Promise<Buffer[]> {
    await this.#running.exited();
    const lines = (await this.#running.output()).split('\n').filter((line) => /^[0-9a-f]+$/.test(line));
    return lines.map((line) => Buffer.from(line, 'hex'));
  }
}

let sniffers = 0;

/** Starts to listen on an interface; resolves when nothing is missed any more. */
export async function sniff(
  namespace: Namespace,
  device: string,
  options: SniffOptions = {},
): Promise<Sniffer> {
  const { match = [], count = 1, seconds = 5 } = options;
  const running = await namespace.start(`sniff-${++sniffers}`, [
    ...['python3', TOOL, 'sniff', device, '--count', String(count), '--seconds', String(seconds)],
    ...match.flatMap((bytes) => ['--match', Buffer.from(bytes).toString('hex')]),
  ]);
  await running.waitForOutput(/ready/);
  return new Sniffer(running);
}
