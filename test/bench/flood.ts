// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { inCgroup } from '../harness/cgroup.ts';
import type { Namespace } from '../harness/netns.ts';
import { run } from '../harness/process.ts';
import type { Path } from './paths.ts';

/** A flood of datagrams along a path. */
export interface Flood extends Path {
  /** What the client sends to. */
  readonly port: number;
  /** What the server listens on. */
  readonly sinkPort: number;
  readonly seconds: number;
}

/** The command line of a program in a namespace and in its cgroup, where it meets what is attached there, as any process would. */
export function inside(namespace: Namespace, argv: readonly string[]): string[] {
  return inCgroup(namespace.cgroup, namespace.wrap(argv));
}

/**
 * Packets that arrive at the server's device, for a second of processor time on the sender's core: of the sender, in whose
 * name most of the receiving half runs as well, and of the kernel's thread for the rest. The reader is on the other core.
 */
export async function floodRate(flood: Flood, pingpong: string): Promise<number> {
  const { client, server, address, backend, port, sinkPort, seconds } = flood;
  const [command = '', ...args] = inside(server, [
    ...['taskset', '-c', '0'],
    ...[pingpong, 'sink', backend, String(sinkPort)],
  ]);
  const sink = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(sink.stdout, 'data'); // "ready"
    const before = { packets: await received(server), busy: await softirqTime() };
    const { stdout } = await run(
      inside(client, [
        ...['taskset', '-c', '1'],
        ...[pingpong, 'blast', address, String(port), String(seconds)],
      ]),
    );
    const busy = Number(stdout.split(' ')[1]) + (await softirqTime()) - before.busy;
    const packets = (await received(server)) - before.packets;
    if (packets < 1000) throw new Error(`${packets} packets arrived at ${backend}`);
    return packets / (busy / 1e9);
  } finally {
    sink.stdin.end();
    await once(sink, 'close');
  }
}

/** Packets that a server's device has received. */
async function received(server: Namespace): Promise<number> {
  const { stdout } = await server.exec(['cat', '/proc/net/dev']);
  return Number(/eth0:\s*\d+\s+(\d+)/.exec(stdout)?.[1]);
}

/** ns of processor time of the thread that does the work of core 1 that nobody else's time pays for. */
async function softirqTime(): Promise<number> {
  softirqThread ??= (await run(['pgrep', '-x', 'ksoftirqd/1'], { anyStatus: true })).stdout.trim();
  if (softirqThread === '')
    throw new Error(
      'the kernel thread ksoftirqd/1 is not to be seen: this needs two cores and the PID namespace of the machine (in a container: --pid=host)',
    );
  return Number((await readFile(`/proc/${softirqThread}/schedstat`, 'utf8')).split(' ')[0]);
}

let softirqThread: string | undefined;
