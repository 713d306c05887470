// SPDX-License-Identifier: Apache-2.0

/**
 * From the write of an EndpointSlice to the changed map in the kernel, with 1,000 Services present: API server, operator,
 * CubeTable, agent, BPF map, all of them real. The parts are cut where they can be seen from outside: the API server's
 * answer to the write, the CubeTable in a watch, the frontend's row in the pinned map.
 */
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { frontends as codec } from '../../../src/cubes/load-balancer/generated/codec.ts';
import { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import { pinNameOf } from '../../../src/dataplane/names.ts';
import { startOperator } from '../../harness/cubeplane.ts';
import { operatorKubeconfig, SYSTEM_NAMESPACE } from '../../harness/kube/access.ts';
import { openLab } from '../../harness/lab.ts';
import { sampleChain } from '../../netns/support/manifests.ts';
import { addBalancer } from '../load.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { type Measure, measureOf, quantile } from '../measure.ts';
import {
  createAll,
  type OneNode,
  openOneNode,
  type Size,
  SYSTEM_PATH,
  service,
  tables,
} from '../services.ts';

/** ms, of the 99th percentile. */
const GOAL = 100;
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

/** ms since the write was sent. */
interface Times {
  readonly answered: number;
  readonly table: number;
  readonly map: number;
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const size: Size = { services: quick ? 200 : 1_000, ports: 1, endpoints: 3 };
  const changes = quick ? 50 : 400;
  const lab = await openLab('bench change', { log: say });
  try {
    const one = await openOneNode(lab);
    const { api } = one.cluster;
    await startOperator(one.cluster.machine, await operatorKubeconfig(one.cluster));
    await api.create(`${SYSTEM_PATH}/servicechains`, sampleChain());
    const all = Array.from({ length: size.services }, (_, n) => service(size, n));
    await createAll(
      api,
      '/api/v1/namespaces/default/services',
      all.map((each) => withoutUid(each.service)),
    );
    await createAll(
      api,
      SLICES,
      all.map((each) => each.slice),
    );
    await one.agent.start(60_000);
    const frontends = await openFrontends(one, size.services + 1); // and the Service of the API server itself
    say(`${size.services} Services in the kernel`);
    const seen = watchTables(one);
    const times: Times[] = [];
    try {
      for (let n = 0; n < changes + 5; n++) {
        const took = await change(one, frontends, seen, size, n % size.services, n >= size.services);
        if (n >= 5) times.push(took);
        await sleep(20);
      }
    } finally {
      seen.end();
      frontends.close();
    }
    say(`${times.length} changes`);
    const kernel = await kernelPart(size, quick ? 50 : 200);
    const part = (name: string, values: readonly number[], q: number, goal?: number): Measure => {
      const head = { name: `change.${name}.p${q * 100}`, unit: 'ms', better: 'lower' } as const;
      const note = `of ${values.length} changes`;
      return {
        ...measureOf({ ...head, ...(goal === undefined ? {} : { goal }), note }, [quantile(values, q)]),
        rounds: values.length,
      };
    };
    const parts: [string, number[], number?][] = [
      ['end-to-end', times.map(({ map }) => map), GOAL],
      ['api-write', times.map(({ answered }) => answered)],
      ['operator', times.map(({ table, answered }) => Math.max(0, table - answered))],
      ['agent', times.map(({ map, table }) => Math.max(0, map - table))],
      ['kernel', kernel],
    ];
    return parts.flatMap(([name, values, goal]) => [part(name, values, 0.5), part(name, values, 0.99, goal)]);
  } finally {
    await lab.close();
  }
}

function withoutUid({
  metadata: { uid: _, ...metadata },
  ...rest
}: ReturnType<typeof service>['service']): object {
  return { ...rest, metadata };
}

/** The pinned map of the chain's balancer, once it holds so many rows. */
async function openFrontends({ counters, node }: OneNode, count: number): Promise<BpfMap> {
  const cube = `${SYSTEM_NAMESPACE}/kubernetes.ilb.${node.name}`;
  let held = 0;
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    held = await counters.rows(cube, 'frontends').catch(() => 0);
    if (held >= count) {
      const folder = counters.pins.cube(pinNameOf(cube));
      const instance = readdirSync(folder).find((name) => /^\d+_/.test(name)) ?? '';
      return BpfMap.openPinned(join(folder, instance, 'frontends'));
    }
  }
  throw new Error(`the kernel holds ${held} frontends, not ${count}`);
}

/** When the table of a Service was last seen to change, by its name. */
interface Seen {
  readonly at: Map<string, number>;
  end(): void;
}

function watchTables({ cluster }: OneNode): Seen {
  const at = new Map<string, number>();
  const watch = request(
    { socketPath: cluster.proxySocket, path: `${SYSTEM_PATH}/cubetables?watch=true&resourceVersion=0` },
    (answer) => {
      let rest = '';
      answer.on('data', (chunk: Buffer) => {
        const now = performance.now();
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const name = /"name":"(service-\d+)"/.exec(line)?.[1];
          if (name !== undefined) at.set(name, now);
        }
      });
      answer.on('error', () => {});
    },
  );
  watch.on('error', () => {});
  watch.end();
  return { at, end: () => watch.destroy() };
}

/** Adds an endpoint to a Service, or takes it away again, and follows it into the kernel. */
async function change(
  one: OneNode,
  frontends: BpfMap,
  seen: Seen,
  size: Size,
  n: number,
  back: boolean,
): Promise<Times> {
  const { service: target, slice } = service({ ...size, endpoints: size.endpoints + (back ? 0 : 1) }, n);
  const { name = '' } = target.metadata;
  const key = Buffer.alloc(codec.keySize);
  codec.encodeKey({ addr: target.spec?.clusterIP ?? '', port: 80, proto: 6 }, key);
  const before = frontends.lookup(key);
  if (before === undefined) throw new Error(`no frontend of ${name}`);
  const start = performance.now();
  let answered = 0;
  const written = one.cluster.api
    .raw('PUT', `${SLICES}/${slice.metadata.name}`, {
      ...slice,
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
    })
    .then(() => {
      answered = performance.now() - start;
    });
  let map = 0;
  for (const deadline = start + 10_000; map === 0; await sleep(0.5)) {
    if (!(frontends.lookup(key) ?? before).equals(before)) map = performance.now() - start;
    if (performance.now() > deadline)
      throw new Error(`the change of ${name} is not in the kernel after 10 s`);
  }
  await written;
  while ((seen.at.get(name) ?? 0) < start) await sleep(1);
  return { answered, table: (seen.at.get(name) as number) - start, map };
}

/** ms of the system calls that one such change needs: rows of a backend, of picks and of a frontend. */
async function kernelPart(size: Size, rounds: number): Promise<number[]> {
  const [before] = tables({ ...size, services: 1 });
  const [after] = tables({ ...size, services: 1, endpoints: size.endpoints + 1 });
  return await addBalancer({}, ({ cube, image }) => {
    const times: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const { spec } = (round % 2 === 0 ? before : after) as NonNullable<typeof before>;
      image.setTable('default/one', spec.type === 'Service' ? spec.services : [], spec.slice as never);
      const { writes } = image.take();
      const start = performance.now();
      for (const { map, op, keys, values } of writes) {
        if (op === 'update') cube.map(map).updateBatchSync(keys, values);
        else cube.map(map).deleteBatchSync(keys);
      }
      if (round > 0) times.push(performance.now() - start);
    }
    return times;
  });
}

export const suite: Suite = {
  name: 'change',
  summary: 'ms from the write of an EndpointSlice to the changed map in the kernel',
  run,
};
