// SPDX-License-Identifier: Apache-2.0

/** Round trips of one byte between a client and a server on one node, next to every other way of doing it. */
import { startCluster } from '../../harness/kube/cluster.ts';
import { openLab } from '../../harness/lab.ts';
import { createUnderlay } from '../../harness/topology.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';
import {
  buildPingpong,
  cubeplanePath,
  kubeProxyPath,
  type Path,
  PORT,
  podToPod,
  routedPath,
  serve,
  untilAnswered,
  vethPath,
  wirePath,
} from '../paths.ts';

/** How the p50 of a path is read from the tool's line: p50, p99 and mean in ns. */
async function p50(path: Path, pingpong: string, kind: string, count: number): Promise<number> {
  const { stdout } = await path.client.exec([
    // one core for both ends: what a wake-up of another core costs is noise here
    'taskset',
    '-c',
    '1',
    pingpong,
    'client',
    kind,
    path.address,
    String(PORT),
    String(count),
  ]);
  return Number(stdout.split(' ')[0]);
}

const KINDS = ['tcp', 'udp', 'connect'] as const;
/** Of a round trip through an empty redirecting program, in the same way of redirecting. */
const WIRE_GOAL = 1.03;

/** Every path next to the bare veth pair, and cubeplane's next to those that it is to be compared with. */
function measuresOf(kind: string, values: Readonly<Record<string, number[]>>): Measure[] {
  const of = (name: string): number[] => values[name] as number[];
  const ratio = (name: string, other: string, goal?: number): Measure => {
    const head = { name: `latency.${kind}.${name}/${other}`, unit: 'ratio', better: 'lower' } as const;
    return measureOf(goal === undefined ? head : { ...head, goal }, ratios(of(name), of(other)));
  };
  const others = Object.keys(values).filter((name) => name !== 'veth');
  return [
    measureOf(
      { name: `latency.${kind}.veth`, unit: 'us', better: 'lower' },
      of('veth').map((ns) => ns / 1000),
    ),
    ...others.map((name) => ratio(name, 'veth')),
    ...(['plain', 'peer'] as const).flatMap((mode) => {
      // the goals are those of one TCP connection, in the mode that agents use unless told otherwise
      const isGoal = kind === 'tcp' && mode === 'peer';
      return [
        ratio(`service-${mode}`, mode === 'peer' ? 'wire-peer' : 'wire', isGoal ? WIRE_GOAL : undefined),
        ...['routed', 'kube-proxy-nftables', 'kube-proxy-iptables'].map((other) =>
          ratio(`service-${mode}`, other, isGoal ? 1 : undefined),
        ),
      ];
    }),
  ];
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 5 : 25;
  const count = quick ? 1_000 : 4_000;
  const pingpong = buildPingpong();
  const lab = await openLab('bench latency', { log: say });
  try {
    const underlay = await createUnderlay(lab);
    const cluster = await startCluster(underlay);
    const paths: Record<string, Path> = {
      veth: await vethPath(underlay),
      wire: await wirePath(underlay, 2, 'wire'),
      'wire-peer': await wirePath(underlay, 3, 'wire_peer'),
      routed: await routedPath(underlay, 'routed', 4),
    };
    for (const path of Object.values(paths)) await serve(path, pingpong);
    for (const [index, mode] of (['nftables', 'iptables'] as const).entries()) {
      say(`kube-proxy in ${mode} mode`);
      const path = await kubeProxyPath(cluster, underlay, mode, 5 + index, (own) => serve(own, pingpong));
      paths[`kube-proxy-${mode}`] = path;
    }
    for (const [index, mode] of (['plain', 'peer'] as const).entries()) {
      say(`cubeplane, pods reached by ${mode === 'peer' ? 'redirect_peer' : 'redirect'}`);
      const path = await cubeplanePath(underlay, mode, 7 + index);
      await serve(path, pingpong);
      await untilAnswered(path);
      paths[`service-${mode}`] = path;
      paths[`pods-${mode}`] = podToPod(path);
    }
    const measures: Measure[] = [];
    for (const kind of KINDS) {
      const alternatives = Object.fromEntries(
        Object.entries(paths).map(([name, path]) => [name, () => p50(path, pingpong, kind, count)]),
      );
      const values = await interleave(rounds, alternatives, (round) =>
        say(`${kind}: round ${round} of ${rounds}`),
      );
      measures.push(...measuresOf(kind, values));
    }
    return measures;
  } finally {
    await lab.close();
  }
}

export const suite: Suite = {
  name: 'latency',
  summary: 'TCP_RR, UDP_RR and connect-request-response, client to Service on one node',
  run,
};
