// SPDX-License-Identifier: Apache-2.0
import { inCgroup } from '../../harness/cgroup.ts';
import type { Namespace } from '../../harness/netns.ts';
import type { Running } from '../../harness/process.ts';
import type { DualStack } from '../../harness/topology.ts';

const TOOL = new URL('../../harness/tools/sockets.py', import.meta.url).pathname;

/** In the cgroup of the namespace, as all that runs there: cubes at the hook Cgroup see it. */
async function ask<T>(namespace: Namespace, args: readonly (string | number)[], input = ''): Promise<T> {
  const argv = inCgroup(namespace.cgroup, ['python3', TOOL, ...args.map(String)]);
  const { stdout } = await namespace.exec(argv, { input, timeoutMs: 240_000 });
  return JSON.parse(stdout) as T;
}

/** Starts a server that takes and gives bytes over TCP and sends datagrams back. */
export async function startBulkServer(namespace: Namespace, port: number): Promise<Running> {
  const server = await namespace.start(`bulk-server-${port}`, ['python3', TOOL, 'serve', String(port)]);
  await server.waitForOutput(/ready/);
  return server;
}

export interface BulkReport {
  /** Whether the server's hash of what was sent is the client's own. */
  readonly take: boolean;
  /** The same for what was received. */
  readonly give: boolean;
  readonly takeSeconds: number;
  readonly giveSeconds: number;
}

/** Flags that let sockets send from these addresses. */
const binding = (bound: DualStack): string[] =>
  Object.values(bound).flatMap((address) => ['--bind', address]);

/** Sends so many bytes and receives as many. */
export const transfer = (
  from: Namespace,
  address: string,
  port: number,
  bytes: number,
  bound: DualStack = {},
) => ask<BulkReport>(from, [...binding(bound), 'bulk', address, port, bytes]);

/** Sends a datagram, again after each second without an answer, until it comes back whole. */
export const echoDatagram = (
  from: Namespace,
  address: string,
  port: number,
  bytes: number,
  tries = 5,
  bound: DualStack = {},
) =>
  ask<{ whole: boolean; tries: number; error?: string }>(from, [
    ...binding(bound),
    'udp',
    address,
    port,
    bytes,
    tries,
  ]);

/** `error` is errno's name, null for success; `seconds` how long it took to know. */
export interface Attempt {
  readonly error: string | null;
  readonly seconds: number;
}

export const connectTcp = (from: Namespace, address: string, port: number) =>
  ask<Attempt>(from, ['connect', address, port]);

/** Sends a datagram on a connected socket and waits for an answer or an ICMP error. */
export const sendUdp = (from: Namespace, address: string, port: number) =>
  ask<Attempt>(from, ['refused', address, port]);

export interface Place {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** How often it is asked. */
  readonly count: number;
}

/** Asks each place, each time by a new socket: how often which answer came (`NAME CLIENT-ADDRESS`), or which error. */
export const survey = (from: Namespace, places: readonly Place[], bound: DualStack = {}) =>
  ask<Record<string, number>[]>(
    from,
    [...binding(bound), 'survey'],
    places.map(({ address, port, protocol, count }) => `${address} ${port} ${protocol} ${count}\n`).join(''),
  );

export interface SharedReport {
  /** Names of the backends that answered, by connection. */
  readonly answers: readonly (readonly string[])[];
  readonly rounds: number;
  readonly ports: readonly number[];
}

/** Two connected sockets to two places, from one source port. */
export const shareSourcePort = (
  from: Namespace,
  protocol: 'tcp' | 'udp',
  source: number,
  a: { address: string; port: number },
  b: { address: string; port: number },
  rounds: number,
) => ask<SharedReport>(from, ['shared', protocol, source, a.address, a.port, b.address, b.port, rounds]);

/** Sends datagrams from a socket of the namespace's own. */
export const sendDatagrams = (
  from: Namespace,
  address: string,
  port: number,
  datagrams: readonly Uint8Array[],
) =>
  ask<{ sent: number }>(
    from,
    ['datagram', address, port],
    datagrams.map((bytes) => `${Buffer.from(bytes).toString('hex')}\n`).join(''),
  );

/** Local ports that the kernel gives so many sockets of a process, all open at once, which ask for none. */
export const portsGiven = (from: Namespace, protocol: 'tcp' | 'udp', count: number) =>
  ask<number[]>(from, ['ports', protocol, count]);

/** Connections that were opened, were asked once, and stay idle. */
export class Held {
  readonly #running: Running;

  constructor(running: Running) {
    this.#running = running;
  }

  /** Asks each connection once more and ends. */
  async check(): Promise<{ alive: number; errors: Record<string, number> }> {
    this.#running.kill('SIGUSR1');
    await this.#running.exited(60_000);
    const line = (await this.#running.output()).trim().split('\n').at(-1) ?? '';
    return JSON.parse(line) as { alive: number; errors: Record<string, number> };
  }
}

let held = 0;

export async function holdConnections(
  from: Namespace,
  address: string,
  port: number,
  count: number,
): Promise<Held> {
  const argv = ['python3', TOOL, 'hold', address, String(port), String(count)];
  const running = await from.start(`hold-${++held}`, argv);
  await running.waitForOutput(/ready/, 60_000);
  return new Held(running);
}
