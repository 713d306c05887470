// SPDX-License-Identifier: Apache-2.0

/**
 * ADD and DEL of one container, each from the start of the plugin's process to its end: cubeplane's plugin, which asks
 * the agent, next to the CNI project's bridge with host-local. Both give an IPv4 and an IPv6 address, on one node, in turn.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureCniTools } from '../../harness/cni/tools.ts';
import { cniFlags, cniPlaces } from '../../harness/cni.ts';
import type { Lab } from '../../harness/lab.ts';
import { createNamespace, type Namespace } from '../../harness/netns.ts';
import { run as runProgram } from '../../harness/process.ts';
import { openTwoNodes, type Worker } from '../../netns/support/two-nodes.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { type Measure, measureOf, ratios } from '../measure.ts';

const ROOT = new URL('../../../', import.meta.url).pathname;
/** Of bridge and host-local. */
const GOAL = 0.5;
/** After each turn: what one of them does behind its answers is not to be in the other's way. */
const PAUSE_MS = 150;

interface Contender {
  /** Where pods' pairs end. Each has its own, so that neither hears of the other's devices. */
  readonly node: Namespace;
  readonly plugin: string;
  readonly path: string;
  readonly conf: object;
  readonly container: Namespace;
}

function buildCalls(): string {
  const binary = `${ROOT}build/calls`;
  execFileSync('gcc', ['-O2', '-Wall', '-o', binary, `${ROOT}test/bench/tools/calls.c`]);
  return binary;
}

/** The same host-local and bridge that a kubelet would call, with two address families. */
async function contenders(lab: Lab, { node }: Worker): Promise<Record<'cubeplane' | 'bridge', Contender>> {
  const { plugins } = await ensureCniTools();
  const { binDir, socket } = cniPlaces(node);
  return {
    cubeplane: {
      node: node.namespace,
      plugin: join(binDir, 'cubeplane-cni'),
      path: binDir,
      conf: { cniVersion: '1.0.0', name: 'cubeplane', type: 'cubeplane-cni', socket },
      container: await createNamespace(lab, 'ours'),
    },
    bridge: {
      node: await createNamespace(lab, 'bridged'),
      plugin: join(plugins, 'bridge'),
      path: plugins,
      conf: {
        cniVersion: '1.0.0',
        name: 'bridged',
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipam: {
          type: 'host-local',
          dataDir: join(lab.directory, 'host-local'),
          ranges: [[{ subnet: '10.88.0.0/24' }], [{ subnet: 'fd00:88::/64' }]],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        },
      },
      container: await createNamespace(lab, 'theirs'),
    },
  };
}

/** Milliseconds of one call, which must succeed. */
async function call(calls: string, one: Contender, command: string): Promise<number> {
  const { stdout } = await runProgram([calls, one.node.path, one.plugin], {
    input: JSON.stringify(one.conf),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: one.container.name,
      CNI_NETNS: one.container.path,
      CNI_IFNAME: 'eth0',
      CNI_PATH: one.path,
    },
  });
  const [head = '', ...rest] = stdout.split('\n');
  const [ns = '', status = ''] = head.split(' ');
  if (status !== '0') throw new Error(`${one.plugin} ${command}: ${rest.join('\n')}`);
  return Number(ns) / 1e6;
}

interface Logged {
  readonly command?: string;
  readonly ms?: number;
  readonly steps?: Readonly<Record<string, number>>;
}

/** What the agent says of the last calls of one command. */
async function logged({ agent }: Worker, command: string, last: number): Promise<Logged[]> {
  const lines = (await agent.running.output()).split('\n').filter((line) => line.includes('"steps"'));
  return lines
    .map((line) => JSON.parse(line) as Logged)
    .filter((entry) => entry.command === command)
    .slice(-last);
}

/** The whole of what the agent has of a call, and every step of it, in milliseconds. */
async function steps(worker: Worker, command: string, rounds: number): Promise<Measure[]> {
  const calls = await logged(worker, command, rounds);
  const names = new Set(calls.flatMap((one) => Object.keys(one.steps ?? {})));
  const head = (name: string) =>
    ({ name: `cni.${command.toLowerCase()}.agent${name}`, unit: 'ms', better: 'lower' }) as const;
  return [
    measureOf(
      head(''),
      calls.flatMap(({ ms }) => ms ?? []),
    ),
    ...[...names].map((name) =>
      measureOf(
        head(`.${name}`),
        calls.flatMap((one) => one.steps?.[name] ?? []),
      ),
    ),
  ];
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 10 : 100;
  const calls = buildCalls();
  const two = await openTwoNodes('bench cni', { nodes: 1, flagsOf: cniFlags });
  try {
    const worker = two.worker(0);
    const ways = await contenders(two.lab, worker);
    const names = ['cubeplane', 'bridge'] as const;
    const commands = ['ADD', 'DEL'] as const;
    const took = { ADD: { cubeplane: [], bridge: [] }, DEL: { cubeplane: [], bridge: [] } } as Record<
      (typeof commands)[number],
      Record<(typeof names)[number], number[]>
    >;
    const start: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      if (round % 10 === 0) say(`round ${round} of ${rounds}`);
      start.push(await call(calls, ways.cubeplane, 'VERSION'));
      // whoever comes first in one round comes last in the next
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        for (const command of commands) took[command][name].push(await call(calls, ways[name], command));
        await sleep(PAUSE_MS);
      }
    }
    const measures: Measure[] = [
      measureOf({ name: 'cni.plugin-start', unit: 'ms', better: 'lower', goal: 2 }, start.slice(1)),
    ];
    for (const command of commands) {
      // the first round warms up
      const [ours, theirs] = names.map((name) => took[command][name].slice(1)) as [number[], number[]];
      const head = (name: string) =>
        ({ name: `cni.${command.toLowerCase()}.${name}`, unit: 'ms', better: 'lower' }) as const;
      measures.push(
        measureOf({ ...head('cubeplane/bridge'), unit: 'ratio', goal: GOAL }, ratios(ours, theirs)),
        measureOf(head('cubeplane'), ours),
        measureOf(head('bridge'), theirs),
        ...(await steps(worker, command, rounds)),
      );
    }
    return measures;
  } finally {
    await two.close();
  }
}

export const suite: Suite = {
  name: 'cni',
  summary: 'ms from the start of a CNI plugin to its end, ADD and DEL, next to bridge and host-local',
  run,
};
