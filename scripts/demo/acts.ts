// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { tableLines } from '../../src/cli/print/table.ts';
import { ask, type ClientReport, startLoad, startServer } from '../../test/harness/traffic.ts';
import { until } from '../../test/harness/until.ts';
import { type CubeLike, chainPicture, type LinkLike } from './chain-picture.ts';
import { counterLines } from './counters.ts';
import { type Backend, SERVICE_PORTS, type Stage, TARGET_PORT } from './stage.ts';
import type { Story } from './story.ts';

const REQUESTS = 200;

/** Sends requests over both families and protocols, and shows which backend answered how many. @throws Error for one that failed. */
export async function spread(stage: Stage, story: Story): Promise<void> {
  const { ipv4, ipv6 } = stage.service;
  const ways = [
    { title: 'TCP IPv4', address: ipv4, port: SERVICE_PORTS.tcp, udp: false },
    { title: 'TCP IPv6', address: ipv6, port: SERVICE_PORTS.tcp, udp: false },
    { title: 'UDP IPv4', address: ipv4, port: SERVICE_PORTS.udp, udp: true },
    { title: 'UDP IPv6', address: ipv6, port: SERVICE_PORTS.udp, udp: true },
  ];
  await untilAnswering(stage, stage.backends);
  const reports = await Promise.all(
    ways.map(({ address, port, udp }) =>
      ask(stage.client.namespace, address, port, { count: REQUESTS, every: 5, udp }),
    ),
  );
  for (const [index, report] of reports.entries()) refuseFailures(ways[index]?.title ?? '', report);
  story.say(
    `4 × ${REQUESTS} requests from the client pod to ${ipv4} and ${ipv6}, each a new connection; none failed`,
  );
  const rows = stage.backends.map(({ name, node }) => [
    name,
    node.name,
    ...reports.map((report) => String(report.by[name] ?? 0)),
  ]);
  story.show(tableLines(['BACKEND', 'NODE', ...ways.map((way) => way.title.toUpperCase())], rows));
}

/** A change of backends may not be in every kernel yet: waits until the answers come from exactly these, on both families. */
async function untilAnswering(stage: Stage, backends: readonly Backend[]): Promise<void> {
  const wanted = backends.map(({ name }) => name).sort();
  const isAnswering = async () => {
    for (const address of [stage.service.ipv4, stage.service.ipv6]) {
      const seen = await ask(stage.client.namespace, address, SERVICE_PORTS.tcp, { count: 60, every: 2 });
      if (Object.keys(seen.by).sort().join() !== wanted.join()) return false;
    }
    return true;
  };
  await until(`answers from ${wanted.join(', ')}`, isAnswering, 30_000);
}

function refuseFailures(title: string, report: ClientReport): void {
  const [first] = report.failures;
  if (first !== undefined)
    throw new Error(`${title}: ${report.failures.length} requests failed, the first with ${first.error}`);
}

/** Takes a backend away and brings it back while the client connects without pause. @throws Error for a failed request. */
export async function scale(stage: Stage, story: Story): Promise<void> {
  const backend = stage.backends.at(-1);
  if (backend === undefined) throw new Error('there is no backend');
  const { ipv4, ipv6 } = stage.service;
  const loads = await Promise.all(
    [ipv4, ipv6].map((address) =>
      startLoad(stage.client.namespace, address, SERVICE_PORTS.tcp, { every: 3 }),
    ),
  );
  story.say('the client connects without pause, on IPv4 and IPv6');
  await sleep(1_000);
  await takeAway(stage, story, backend);
  const without = await ask(stage.client.namespace, ipv4, SERVICE_PORTS.tcp, { count: 100, every: 3 });
  refuseFailures(`without ${backend.name}`, without);
  if (without.by[backend.name] !== undefined)
    throw new Error(`${backend.name} answered after it was removed`);
  story.say(`meanwhile 100 requests went to ${Object.keys(without.by).sort().join(', ')}`);
  backend.server = await startServer(backend.pod.namespace, backend.name, TARGET_PORT);
  await stage.add(backend);
  await untilAnswering(stage, stage.backends);
  story.say(`${backend.name} is back and takes its share`);
  const reports = await Promise.all(loads.map((load) => load.end()));
  const total = reports.reduce((sum, report) => sum + report.requests, 0);
  for (const report of reports) refuseFailures('while scaling', report);
  const slowest = Math.max(...reports.map((report) => report.slowest));
  story.good(`${total} requests during all of this, 0 failed; the slowest took ${slowest} ms`);
}

async function takeAway(stage: Stage, story: Story, backend: Backend): Promise<void> {
  await stage.terminate(backend);
  story.say(`${backend.name} is marked terminating: no new connections, the ones it has go on`);
  await untilAnswering(
    stage,
    stage.backends.filter((other) => other !== backend),
  );
  await backend.server.stop();
  await stage.remove(backend);
  story.say(`${backend.name} has ended and is gone from the EndpointSlices`);
  await sleep(500);
}

/** Shows objects as people see them. */
export async function lookAround(stage: Stage, story: Story): Promise<void> {
  const command = async (...args: string[]) => {
    story.show(['', `$ ${stage.tool} ${args.join(' ')}`, ...(await stage.run(args)).trimEnd().split('\n')]);
  };
  await command('get', 'servicechains,cubes,cubelinks', '-n', 'cubeplane-system');
  const node = stage.nodes[0]?.name ?? '';
  await command('describe', 'cube', `demo.router.${node}`, '-n', 'cubeplane-system');
  const ofNode = <T>(objects: T[]) =>
    objects.filter((one) => (one as { spec: { nodeName?: string } }).spec.nodeName === node);
  const cubes = ofNode(await stage.objects<CubeLike>('cubes'));
  const links = ofNode(await stage.objects<LinkLike>('cubelinks'));
  story.show(['', `the chain on ${node}:`, '', ...chainPicture(cubes, links).map((line) => `  ${line}`)]);
  story.show([
    '',
    `packets so far on ${node}:`,
    '',
    ...(await counterLines(stage, node)).map((line) => `  ${line}`),
  ]);
}
