// SPDX-License-Identifier: Apache-2.0

/**
 * Packets a second that one core carries, in frames of 64 bytes: by BPF_PROG_TEST_RUN, which is the chain alone, and as
 * real packets through veth pairs, where the kernel's own work for each packet (socket, veth, softirq) weighs most.
 */
import { openLab } from '../../harness/lab.ts';
import { createUnderlay, type Underlay } from '../../harness/topology.ts';
import { FAMILIES } from '../connect.ts';
import { floodRate } from '../flood.ts';
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
      Object.entries(paths).map(([name, path]) => [
        name,
        () => floodRate({ ...path, port: SINK_PORT, sinkPort: SINK_PORT, seconds: 1 }, pingpong),
      ]),
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

export const suite: Suite = {
  name: 'pps',
  summary: 'packets a second a core, frames of 64 bytes: the chain alone, and real packets',
  run,
};
