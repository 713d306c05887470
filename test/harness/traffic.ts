// SPDX-License-Identifier: Apache-2.0
import type { Namespace } from './netns.ts';
import type { Running } from './process.ts';
import type { ClientReport } from './tools/client.ts';

export type { ClientReport } from './tools/client.ts';

const TOOLS = new URL('./tools/', import.meta.url).pathname;

/** Programs started by this file: each has a log of its own, so that none reads the words of an earlier one. */
let started = 0;

/**
 * Starts a backend that answers TCP and UDP with its name; resolves when it listens. A UDP answer of a machine with several
 * addresses comes from the one asked only if the server has bound that `address`.
 */
export async function startServer(
  namespace: Namespace,
  name: string,
  port = 8080,
  address = '::',
): Promise<Running> {
  const argv = [process.execPath, `${TOOLS}server.ts`, name, String(port), address];
  const server = await namespace.start(`server-${name}-${port}-${++started}`, argv);
  await server.waitForOutput(/ready/);
  return server;
}

export interface LoadOptions {
  /** Milliseconds between new connections; 5 by default. */
  readonly every?: number;
  /** Connections held open, each asking every 20 ms. */
  readonly long?: number;
  readonly udp?: boolean;
  /** Milliseconds after which no answer is a failure; 3000 by default. */
  readonly timeout?: number;
  /** Ends after so many short requests; 0: until {@link Load.end}. */
  readonly count?: number;
}

/** A client under way. */
export class Load {
  readonly running: Running;

  constructor(running: Running) {
    this.running = running;
  }

  /** Waits for a client with a `count` to end, and returns what it saw. */
  async report(timeoutMs = 60_000): Promise<ClientReport> {
    await this.running.exited(timeoutMs);
    const line = (await this.running.output()).trim().split('\n').at(-1) ?? '';
    return JSON.parse(line) as ClientReport;
  }

  /** Ends a client and returns what it saw. */
  async end(): Promise<ClientReport> {
    this.running.kill('SIGTERM');
    return await this.report();
  }
}

/** What client.ts is called with. */
export function clientArguments(address: string, port: number, options: LoadOptions): string[] {
  const { udp, ...numbers } = options;
  const flags = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return [address, String(port), ...flags, ...(udp ? ['--udp'] : [])];
}

/** Starts a client in a namespace; resolves when it sends. */
export async function startLoad(
  namespace: Namespace,
  address: string,
  port: number,
  options: LoadOptions = {},
): Promise<Load> {
  const argv = [process.execPath, `${TOOLS}client.ts`, ...clientArguments(address, port, options)];
  const running = await namespace.start(`client-${++started}`, argv);
  await running.waitForOutput(/ready/);
  return new Load(running);
}

/** So many requests, one after another with a small pause; what came of them. */
export async function ask(
  namespace: Namespace,
  address: string,
  port: number,
  options: LoadOptions = {},
): Promise<ClientReport> {
  const load = await startLoad(namespace, address, port, { count: 20, every: 2, ...options });
  return await load.report();
}
