// SPDX-License-Identifier: Apache-2.0

/**
 * What a SocketLB adds to the calls of processes, with a Service and without one at the address that they name, next to the
 * same calls in a cgroup without programs.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Caller } from '../../harness/calls.ts';
import { createCgroup, inCgroup } from '../../harness/cgroup.ts';
import { openLab } from '../../harness/lab.ts';
import { createNamespace, type Namespace } from '../../harness/netns.ts';
import { run as runCommand } from '../../harness/process.ts';
import { backend, frontend, service } from '../../kernel/support/balancer.ts';
import { SocketBalancer } from '../../kernel/support/socket-balancer.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { interleave, type Measure, measureOf, ratios } from '../measure.ts';

const ROOT = new URL('../../../', import.meta.url).pathname;
const BACKEND = { ipv4: '198.18.1.1', ipv6: 'fd00:18::1' } as const;
const FAMILIES = ['ipv4', 'ipv6'] as const;
type Family = (typeof FAMILIES)[number];
const TARGET = 8080;
const PORT = 80;
/** Services beside the one that is called: a table that is not empty. */
const SERVICES = 200;
const CALLED = 100;

const vip = (family: Family, number: number): string =>
  family === 'ipv4' ? `198.18.9.${number}` : `fd00:96::${number.toString(16)}`;

/** Where a process runs, and whom it calls. */
const WAYS = {
  unattached: { cgroup: 'none', isService: false },
  'host-other': { cgroup: 'host', isService: false },
  'host-service': { cgroup: 'host', isService: true },
  'all-other': { cgroup: 'all', isService: false },
  'all-service': { cgroup: 'all', isService: true },
} as const;
type Way = keyof typeof WAYS;
const ATTACHED = (Object.keys(WAYS) as Way[]).filter((way) => way !== 'unattached');

/** Modes of the tool, and what its line says. */
const MODES = {
  'connect-tcp': ['connect-tcp'],
  'connect-udp': ['connect-udp'],
  datagram: ['sendto', 'recvfrom'],
} as const;

function buildTool(): string {
  const binary = `${ROOT}build/sockets`;
  mkdirSync(`${ROOT}build`, { recursive: true });
  execFileSync('gcc', ['-O2', '-Wall', '-o', binary, `${ROOT}test/bench/tools/sockets.c`]);
  return binary;
}

/** Medians of a run of the tool, ns. */
async function call(
  namespace: Namespace,
  cgroup: string,
  args: readonly (string | number)[],
): Promise<number[]> {
  // one core: both ends are one thread, and its caches stay
  const tool = namespace.wrap(['taskset', '-c', '1', ...args.map(String)]);
  const { stdout } = await runCommand(inCgroup(cgroup, tool));
  return stdout.trim().split(' ').map(Number);
}

function fill(balancer: SocketBalancer): void {
  const numbers = Array.from({ length: SERVICES }, (_, index) => index + 1);
  const addresses = (number: number) => FAMILIES.map((family) => vip(family, number));
  balancer.set(
    ...numbers.map((number) => {
      const frontends = (['TCP', 'UDP'] as const).map((protocol) =>
        frontend(addresses(number), { protocol, port: PORT }),
      );
      return service(
        `s${number}`,
        frontends,
        FAMILIES.map((family) => backend(BACKEND[family], { port: TARGET })),
      );
    }),
  );
}

/** Of one kind of call in one family: by itself, and what a SocketLB adds. */
function measuresOf(name: string, values: Readonly<Record<Way, readonly number[]>>): Measure[] {
  const base = values.unattached;
  return [
    measureOf({ name: `sockets.${name}.unattached`, unit: 'ns', better: 'lower' }, base),
    ...ATTACHED.flatMap((way) => {
      const more = values[way].map((value, round) => value - (base[round] as number));
      return [
        measureOf(
          { name: `sockets.${name}.${way}/unattached`, unit: 'ratio', better: 'lower' },
          ratios(values[way], base),
        ),
        measureOf({ name: `sockets.${name}.${way}-unattached`, unit: 'ns', better: 'lower' }, more),
      ];
    }),
  ];
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 5 : 25;
  const count = quick ? 1_000 : 4_000;
  const tool = buildTool();
  const lab = await openLab('bench sockets', { log: say });
  const balancers: SocketBalancer[] = [];
  try {
    const namespace = await createNamespace(lab, 'node');
    await namespace.ip(`addr add ${BACKEND.ipv4}/32 dev lo`, `addr add ${BACKEND.ipv6}/128 dev lo nodad`);
    const caller = Caller.start(namespace);
    const netnsCookie = BigInt((await caller.call('cookie')).cookie ?? 0);
    caller.close();
    const cgroupOf = (name: string): string => join(namespace.cgroup, name);
    for (const name of ['none', 'host', 'all']) await createCgroup(cgroupOf(name));
    for (const scope of ['Host', 'All'] as const) {
      const cgroup = cgroupOf(scope.toLowerCase());
      const balancer = await SocketBalancer.open({ cgroup, netnsCookie, spec: { scope } });
      balancers.push(balancer);
      fill(balancer);
    }
    const measures: Measure[] = [];
    for (const [mode, names] of Object.entries(MODES)) {
      for (const family of FAMILIES) {
        const own = [BACKEND[family], TARGET];
        const medians = Object.fromEntries(Object.keys(WAYS).map((way) => [way, []])) as unknown as Record<
          Way,
          number[][]
        >;
        const alternatives = Object.fromEntries(
          Object.entries(WAYS).map(([way, { cgroup, isService }]) => {
            const to = isService ? [vip(family, CALLED), PORT] : own;
            const once = async (): Promise<number> => {
              const [first = Number.NaN, ...others] = await call(namespace, cgroupOf(cgroup), [
                ...[tool, mode, ...to, ...own, count],
              ]);
              medians[way as Way].push([first, ...others]);
              return first;
            };
            return [way, once];
          }),
        );
        say(`${mode}, ${family}: ${rounds} rounds`);
        await interleave(rounds, alternatives);
        for (const [index, name] of names.entries()) {
          const values = Object.fromEntries(
            // as interleave() has it: the first round warms up
            Object.entries(medians).map(([way, runs]) => [way, runs.slice(1).map((run) => run[index])]),
          );
          measures.push(...measuresOf(`${name}.${family}`, values as unknown as Record<Way, number[]>));
        }
      }
    }
    return measures;
  } finally {
    for (const balancer of balancers) balancer.close();
    await lab.close();
  }
}

export const suite: Suite = {
  name: 'sockets',
  summary:
    'connect, sendto and recvfrom with a SocketLB at the cgroup, with a Service at the address and without one',
  run,
};
