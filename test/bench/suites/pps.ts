// SPDX-License-Identifier: Apache-2.0

/**
 * Packets a second that one core carries, in frames of 64 bytes: by BPF_PROG_TEST_RUN, which is the chain alone, and as
 * real packets through veth pairs, where the kernel's own work for each packet (socket, veth, softirq) weighs most.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { openLab } from '../../harness/lab.ts';
import { run as runProgram } from '../../harness/process.ts';
import { createUnderlay, type Underlay } from '../../harness/topology.ts';
import { FAMILIES } from '../connect.ts';
import { Rig } from '../flows.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';
import {
  buildPingpong,
  cubeplanePath,
  type Path,
  podToPod,
  SINK_PORT,
  serve,
  untilAnswered,
  vethPath,
  wirePath,
} from '../paths.ts';

async function run(options: SuiteOptions): Promise<readonly Measure[]> {
  return [...(await chainAlone(options)), ...(await realPackets(options))];
}

async function chainAlone({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 5 : 21;
  const repeat = quick ? 200_000 : 1_000_000;
  const rig = await Rig.open();
  try {
    const measures: Measure[] = [];
    for (const family of FAMILIES) {
      const { sender } = await rig.sender(family, rig.establish(family, quick ? 2048 : 8192));
      rig.fromClient();
      say(`${family}: ${rounds} rounds of the chain alone`);
      const values = await interleave(rounds, {
        chain: () => sender.time(rig.chain.entry, repeat),
        end: () => sender.time(sender.end, repeat),
      });
      const rates = values.chain.map((ns, index) => 1e9 / (ns - (values.end[index] as number)));
      measures.push(
        measureOf({ name: `pps.chain-alone.${family}`, unit: 'packets/s', better: 'higher' }, rates),
      );
    }
    return measures;
  } finally {
    rig.close();
  }
}

async function realPackets({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 3 : 9;
  const pingpong = buildPingpong();
  const lab = await openLab('bench pps', { log: say });
  try {
    const paths = await everyPath(await createUnderlay(lab), pingpong);
    const alternatives = Object.fromEntries(
      Object.entries(paths).map(([name, path]) => [name, () => rate(path, pingpong)]),
    );
    const values = await interleave(rounds, alternatives, (round) => say(`round ${round} of ${rounds}`));
    return Object.entries(values).flatMap(([name, own]) => [
      measureOf({ name: `pps.${name}`, unit: 'packets/s', better: 'higher' }, own),
      ...(name === 'veth'
        ? []
        : [
            measureOf(
              { name: `pps.${name}/veth`, unit: 'ratio', better: 'higher' },
              ratios(own, values.veth as number[]),
            ),
          ]),
    ]);
  } finally {
    await lab.close();
  }
}

async function everyPath(underlay: Underlay, pingpong: string): Promise<Record<string, Path>> {
  const service = await cubeplanePath(underlay, 'peer', 4);
  await serve(service, pingpong);
  await untilAnswered(service);
  return {
    veth: await vethPath(underlay),
    wire: await wirePath(underlay, 2, 'wire'),
    'wire-peer': await wirePath(underlay, 3, 'wire_peer'),
    'cubeplane-service': service,
    'cubeplane-pods': podToPod(service),
  };
}

/**
 * Packets that arrive at the server's device, for a second of processor time on the sender's core: of the sender, in whose
 * name most of the receiving half runs as well, and of the kernel's thread for the rest. The reader is on the other core.
 */
async function rate(path: Path, pingpong: string): Promise<number> {
  const [command = '', ...args] = path.server.wrap([
    ...['taskset', '-c', '0'],
    ...[pingpong, 'sink', path.backend, String(SINK_PORT)],
  ]);
  const sink = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(sink.stdout, 'data'); // "ready"
    const before = { packets: await received(path), busy: await softirqTime() };
    const { stdout } = await path.client.exec([
      ...['taskset', '-c', '1'],
      ...[pingpong, 'blast', path.address, String(SINK_PORT), '1'],
    ]);
    const busy = Number(stdout.split(' ')[1]) + (await softirqTime()) - before.busy;
    const packets = (await received(path)) - before.packets;
    if (packets < 1000) throw new Error(`${packets} packets arrived at ${path.backend}`);
    return packets / (busy / 1e9);
  } finally {
    sink.stdin.end();
    await once(sink, 'close');
  }
}

/** Packets that a server's device has received. */
async function received({ server }: Path): Promise<number> {
  const { stdout } = await server.exec(['cat', '/proc/net/dev']);
  return Number(/eth0:\s*\d+\s+(\d+)/.exec(stdout)?.[1]);
}

/** ns of processor time of the thread that does the work of core 1 that nobody else's time pays for. */
async function softirqTime(): Promise<number> {
  softirqThread ??= (await runProgram(['pgrep', '-x', 'ksoftirqd/1'])).stdout.trim();
  return Number((await readFile(`/proc/${softirqThread}/schedstat`, 'utf8')).split(' ')[0]);
}

let softirqThread: string | undefined;

export const suite: Suite = {
  name: 'pps',
  summary: 'packets a second a core, frames of 64 bytes: the chain alone, and real packets',
  run,
};
