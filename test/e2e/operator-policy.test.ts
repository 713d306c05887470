// SPDX-License-Identifier: Apache-2.0
/** NetworkPolicies, Namespaces and Pods of a real API server → CubeTables, by the operator with its own least rights. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CubeTable, Identity, Policy } from '../../src/api/generated/types.ts';
import type { KubeObject } from '../../src/k8s/resource.ts';
import { installApi, operatorKubeconfig } from '../harness/kube/access.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet } from '../harness/kube/fake-kubelet.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createUnderlay } from '../harness/topology.ts';
import { until } from '../harness/until.ts';
import { type OperatorProcess, settled, startOperator } from './operator-process.ts';

const SYSTEM = 'cubeplane-system';
const TABLES = `/apis/cubeplane.io/v1alpha1/namespaces/${SYSTEM}/cubetables`;
const KILLS = 12;

let lab: Lab;
let cluster: Cluster;
let kubeconfig: string;
let kubelet: FakeKubelet;

const start = (): Promise<OperatorProcess> => startOperator(cluster, kubeconfig);

async function tables(): Promise<CubeTable[]> {
  const all = (await cluster.api.list<KubeObject>(TABLES)) as unknown as CubeTable[];
  return all.filter(({ spec }) => spec.type === 'Policy' || spec.type === 'Identity');
}

const rows = (all: readonly CubeTable[]): Policy[] =>
  all.flatMap(({ spec }) => (spec.type === 'Policy' ? spec.policies : []));
const identities = (all: readonly CubeTable[]): Identity[] =>
  all.flatMap(({ spec }) => (spec.type === 'Identity' ? spec.identities : []));

/** `namespace {labels} {labels of the namespace} ports` → addresses, of the test's own namespaces. */
function known(all: readonly CubeTable[]): Record<string, string[]> {
  const said = identities(all)
    .filter(({ namespace }) => namespace === 'shop' || namespace === 'bank')
    .map(({ namespace, labels, namespaceLabels, ports, addresses }) => [
      [
        namespace,
        JSON.stringify(labels ?? {}),
        JSON.stringify(namespaceLabels ?? {}),
        ...(ports ?? []).map(({ name, port }) => `${name}:${port}`),
      ].join(' '),
      [...(addresses ?? [])].sort(),
    ]);
  return Object.fromEntries(said);
}

/** Everything that the operator decided. */
const decided = (all: readonly CubeTable[]): Record<string, unknown> =>
  Object.fromEntries(all.map(({ metadata, spec }) => [metadata.name, { labels: metadata.labels, spec }]));

async function applyPolicy(name: string, spec: object, namespace = 'shop'): Promise<void> {
  await cluster.api.apply(`/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies/${name}`, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec,
  });
}

async function deletePolicy(name: string): Promise<void> {
  await cluster.api.delete(`/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/${name}`);
}

async function label(path: string, labels: Record<string, string | null>): Promise<void> {
  await cluster.api.mergePatch(path, { metadata: { labels } });
}

async function publish(namespace: string, number: number, labels: Record<string, string>): Promise<void> {
  await kubelet.publishPod({
    name: `p${number}`,
    namespace,
    labels,
    addresses: { ipv4: `10.244.0.${number}`, ipv6: `fd00:244::${number}` },
    ports: { http: 8000 + (number % 2), admin: 9000 },
  });
}

const both = (...numbers: number[]): string[] =>
  numbers.flatMap((number) => [`10.244.0.${number}`, `fd00:244::${number}`]).sort();

beforeAll(async () => {
  lab = await openLab('e2e operator policy');
  cluster = await startCluster(await createUnderlay(lab));
  await installApi(cluster);
  kubeconfig = await operatorKubeconfig(cluster);
  kubelet = new FakeKubelet(cluster.api, 'node-a', { ipv4: '198.18.0.11', ipv6: 'fd00:18::11' });
  await kubelet.register();
  for (const [name, team] of [
    ['shop', 'red'],
    ['bank', 'blue'],
  ] as const) {
    await cluster.api.apply(`/api/v1/namespaces/${name}`, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { team } },
    });
  }
  for (let number = 11; number <= 14; number++) {
    await publish('shop', number, { app: number < 13 ? 'web' : 'db', hash: `${number}` });
  }
  await publish('bank', 21, { app: 'web' });
}, 600_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

describe('policies and identities', () => {
  it('are no tables without a NetworkPolicy; with one, identities come first and pods are told by what it looks at', async () => {
    const operator = await start();
    await settled(operator);
    expect(await tables()).toEqual([]);

    await applyPolicy('web', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [
        {
          from: [
            { namespaceSelector: { matchLabels: { team: 'blue' } } },
            { ipBlock: { cidr: '192.0.2.0/24' } },
          ],
          ports: [{ port: 'http' }, { port: 9000, endPort: 9010, protocol: 'UDP' }],
        },
      ],
    });
    await until('the policy is there', async () => rows(await tables()).length === 1);
    await settled(operator);
    const all = await tables();
    expect(rows(all)).toEqual([
      {
        namespace: 'shop',
        name: 'web',
        uid: expect.any(String),
        podSelector: { matchLabels: { app: 'web' } },
        types: ['Ingress'],
        ingress: [
          {
            peers: [{ namespaceSelector: { matchLabels: { team: 'blue' } } }, { cidr: '192.0.2.0/24' }],
            ports: [
              { name: 'http', protocol: 'TCP' },
              { port: 9000, endPort: 9010, protocol: 'UDP' },
            ],
          },
        ],
        egress: [],
      },
    ]);
    expect(known(all)).toEqual({
      'shop {"app":"web"} {"team":"red"} http:8001': both(11),
      'shop {"app":"web"} {"team":"red"} http:8000': both(12),
      'shop {"app":"db"} {"team":"red"} http:8001': both(13),
      'shop {"app":"db"} {"team":"red"} http:8000': both(14),
      'bank {"app":"web"} {"team":"blue"} http:8001': both(21),
    });
    expect(new Set(identities(all).map(({ id }) => id)).size).toBe(identities(all).length);
    const version = ({ metadata }: CubeTable): number =>
      Number((metadata as { resourceVersion?: string }).resourceVersion);
    const policy = all.find(({ spec }) => spec.type === 'Policy') as CubeTable;
    for (const table of all) expect(version(table)).toBeLessThanOrEqual(version(policy));
    await operator.running.stop();
  }, 120_000);

  it('say that a namespace is in audit mode while its annotation does', async () => {
    const operator = await start();
    await settled(operator);
    const before = known(await tables());
    const audited = async () =>
      identities(await tables())
        .filter(({ audit }) => audit)
        .flatMap(({ addresses }) => addresses ?? [])
        .sort();
    const annotate = async (value: string | null) =>
      await cluster.api.mergePatch('/api/v1/namespaces/bank', {
        metadata: { annotations: { 'cubeplane.io/policy-audit': value } },
      });
    const isSaid = async (addresses: string[]) => (await audited()).join() === addresses.join();
    await annotate('true');
    await until('the namespace is audited', () => isSaid(both(21)));
    await settled(operator);
    expect(known(await tables())).toEqual(before);
    await annotate('false');
    await until('the namespace is enforced', () => isSaid([]));
    await annotate(null);
    await settled(operator);
    expect(known(await tables())).toEqual(before);
    await operator.running.stop();
  }, 120_000);

  it('follow labels of pods and namespaces, and a pod that starts is one write', async () => {
    const operator = await start();
    await settled(operator);
    expect((await operator.state()).applies).toBe(0);
    await publish('shop', 15, { app: 'db', hash: 'x' });
    await until('the pod is known', async () => {
      return (
        known(await tables())['shop {"app":"db"} {"team":"red"} http:8001']?.includes('fd00:244::15') === true
      );
    });
    await settled(operator);
    expect((await operator.state()).applies).toBe(1);

    await label('/api/v1/namespaces/shop/pods/p15', { app: 'cache' });
    await label('/api/v1/namespaces/bank', { team: 'green' });
    await label('/api/v1/namespaces/shop/pods/p11', { hash: 'of-no-interest' });
    await until('labels are followed', async () => {
      const now = known(await tables());
      return (
        JSON.stringify(now['shop {"app":"cache"} {"team":"red"} http:8001']) === JSON.stringify(both(15)) &&
        JSON.stringify(now['shop {"app":"db"} {"team":"red"} http:8001']) === JSON.stringify(both(13)) &&
        'bank {"app":"web"} {"team":"green"} http:8001' in now &&
        !('bank {"app":"web"} {"team":"blue"} http:8001' in now)
      );
    });
    await kubelet.removePod({ namespace: 'shop', name: 'p15' });
    await until(
      'the identity goes with its last pod',
      async () => !JSON.stringify(await tables()).includes('::15"'),
    );
    await operator.running.stop();
  }, 120_000);

  it('is cut into tables where it is large, and repaired where somebody changed it', async () => {
    const operator = await start();
    await applyPolicy('large', {
      podSelector: {},
      policyTypes: ['Egress'],
      egress: Array.from({ length: 70 }, (_, index) => ({ ports: [{ port: index + 1 }] })),
    });
    const large = async (): Promise<CubeTable[]> =>
      (await tables()).filter(({ metadata }) => metadata.name.startsWith('policy.shop.large.'));
    await until('three tables', async () => (await large()).length === 3);
    const before = decided(await large());
    expect(rows(await large()).map((row) => row.egress?.length)).toEqual([32, 32, 6]);
    await cluster.api.mergePatch(`${TABLES}/policy.shop.large.1`, { spec: { policies: [] } });
    await cluster.api.delete(`${TABLES}/policy.shop.large.2`);
    await until(
      'all as before',
      async () => JSON.stringify(decided(await large())) === JSON.stringify(before),
    );
    await deletePolicy('large');
    await until('none', async () => (await large()).length === 0);
    await operator.running.stop();
  }, 120_000);

  it('end in the same objects when the operator is killed while everything changes', async () => {
    let seed = 4711;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    let stop = false;
    let changes = 0;
    const change = async (): Promise<void> => {
      switch (random(4)) {
        case 0:
          return await label(`/api/v1/namespaces/shop/pods/p${11 + random(4)}`, { app: `a${random(3)}` });
        case 1:
          return await label('/api/v1/namespaces/bank', { team: `t${random(3)}` });
        case 2: {
          const key = ['app', 'hash', 'tier'][random(3)] as string;
          const expression = { key, operator: 'NotIn', values: [`a${random(3)}`] };
          return await applyPolicy(`kill-${random(3)}`, { podSelector: { matchExpressions: [expression] } });
        }
        default:
          return await deletePolicy(`kill-${random(3)}`).catch(() => {});
      }
    };
    const changing = (async () => {
      while (!stop) {
        await change();
        changes++;
        await sleep(20);
      }
    })();
    for (let kill = 0; kill < KILLS; kill++) {
      const operator = await start();
      await sleep(600 + random(1200));
      operator.running.kill('SIGKILL');
      await operator.running.exited();
    }
    stop = true;
    await changing;
    const last = await start();
    await settled(last);
    const disturbed = decided(await tables());
    await last.running.stop();

    await cluster.api.raw('DELETE', TABLES);
    const undisturbed = await start();
    await settled(undisturbed);
    expect(disturbed).toEqual(decided(await tables()));
    expect(Object.keys(disturbed).length).toBeGreaterThan(3);
    console.log(`operator: ${KILLS} kills over ${changes} changes: the same policies and identities`);
    await undisturbed.running.stop();
  }, 240_000);

  it('are gone with the last NetworkPolicy', async () => {
    const operator = await start();
    for (const name of ['web', 'kill-0', 'kill-1', 'kill-2']) await deletePolicy(name).catch(() => {});
    await until('no table is left', async () => (await tables()).length === 0);
    await operator.running.stop();
  }, 120_000);
});
