// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { expect } from '@jest/globals';
import { imageName } from '../../harness/real/images.ts';
import { until } from '../../harness/until.ts';
import type { Admin, Traces } from './admin.ts';

const NAME = 'many';

function objects(): object[] {
  const labels = { app: NAME };
  const container = {
    name: 'web',
    image: imageName('agnhost'),
    imagePullPolicy: 'Never',
    args: ['netexec', '--http-port=8080'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
  };
  const spec = { terminationGracePeriodSeconds: 2, containers: [container] };
  const template = { metadata: { labels }, spec };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: NAME },
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: NAME },
      spec: {
        ipFamilyPolicy: 'RequireDualStack',
        selector: labels,
        ports: [{ port: 80, targetPort: 8080 }],
      },
    },
  ];
}

async function tracesOf(admin: Admin, nodes: readonly string[]): Promise<Traces[]> {
  return await Promise.all(nodes.map((node) => admin.traces(node)));
}

/** Names of the pods that answer at an address of the Service, in so many connections. */
async function answering(admin: Admin, client: string, address: string, count: number): Promise<Set<string>> {
  const host = address.includes(':') ? `[${address}]` : address;
  const url = `http://${host}/hostname`;
  // A connection each, as the balancer chooses once for each.
  const script = `i=0; while [ $i -lt ${count} ]; do curl -sS --globoff --max-time 5 -w '\\n' '${url}' || exit 1; i=$((i+1)); done`;
  const text = await admin.kubectl(['exec', client, '--', 'sh', '-c', script]);
  return new Set(text.trim().split('\n'));
}

/** A Deployment scaled 1 → `count` → 1: all pods are ready and answer through their Service, and nothing of those that go stays. */
export async function scaleThereAndBack(
  admin: Admin,
  {
    count,
    nodes,
    client,
  }: { readonly count: number; readonly nodes: readonly string[]; readonly client: string },
  log: (line: string) => void,
): Promise<void> {
  await admin.apply(...objects());
  await admin.kubectl(['rollout', 'status', `deployment/${NAME}`]);
  // This one stays: each node is as before then.
  const [first] = await admin.pods(`app=${NAME}`);
  const cost = 'controller.kubernetes.io/pod-deletion-cost=100';
  await admin.kubectl(['annotate', 'pod', first?.metadata.name ?? '', cost]);
  const addresses = await admin.kubectl(['get', 'service', NAME, '-o', 'jsonpath={.spec.clusterIPs[*]}']);
  const before = await tracesOf(admin, nodes);
  const memory = async () => await Promise.all(nodes.map((node) => admin.agentMemory(node)));
  const memoryBefore = await memory();

  let began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  await admin.kubectl(['scale', `deployment/${NAME}`, `--replicas=${count}`]);
  await admin.kubectl(['rollout', 'status', `deployment/${NAME}`, '--timeout=280s']);
  const up = seconds();
  const wanted = (await admin.pods(`app=${NAME}`)).map(({ metadata }) => metadata.name).sort();
  expect(wanted).toHaveLength(count);
  for (const address of addresses.split(' ')) {
    const seen = new Set<string>();
    await until(
      `all pods answer at ${address}`,
      async () => {
        for (const name of await answering(admin, client, address, count * 3)) seen.add(name);
        return seen.size >= count;
      },
      60_000,
      () => `${seen.size} of ${count} did`,
    );
    expect([...seen].sort()).toEqual(wanted);
  }
  const reached = seconds();
  const during = await tracesOf(admin, nodes);
  const added = during.map((traces, at) => (traces.leases ?? 0) - (before[at]?.leases ?? 0));
  expect(added.reduce((sum, one) => sum + one)).toBe(count - 1);
  const memoryDuring = await memory();

  began = performance.now();
  await admin.kubectl(['scale', `deployment/${NAME}`, '--replicas=1']);
  await until('one pod is left', async () => {
    const text = await admin.kubectl(['get', 'pods', '-l', `app=${NAME}`, '-o', 'name']);
    return text.trim().split('\n').length === 1;
  });
  const down = seconds();
  let after = await tracesOf(admin, nodes);
  await until(
    'nothing of the pods is left',
    async () => {
      after = await tracesOf(admin, nodes);
      return isDeepStrictEqual(after, before);
    },
    60_000,
    () => JSON.stringify({ before, after }),
  );
  log(
    `1 → ${count} pods: ready after ${up}, all reached after ${reached}; → 1: gone after ${down}, addresses, devices and rows after ${seconds()}; ` +
      `agents ${memoryBefore.join(', ')} → ${memoryDuring.join(', ')} → ${(await memory()).join(', ')} MB`,
  );
}

/** The backends that went with the pods are gone from the kernel too: those stay a minute longer that a connection may still have. */
export async function untilBackendsGone(admin: Admin, nodes: readonly string[]): Promise<void> {
  let rows: number[] = [];
  await until(
    'one backend a family is left',
    async () => {
      rows = await Promise.all(nodes.map((node) => admin.backendRows(node, `default/${NAME}`)));
      return rows.every((count) => count === 2);
    },
    150_000,
    () => rows.join(),
  );
  await admin.kubectl(['delete', `deployment/${NAME}`, `service/${NAME}`]);
}
