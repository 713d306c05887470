// SPDX-License-Identifier: Apache-2.0

/**
 * From the start of a pod to a client of another node that reaches it by its Service, part by part; and how long after ADD the
 * other nodes know its identity, so that a policy there lets it in. A light cluster with config/provider: a real API server, the
 * operator, an agent a node, the CNI plugin. The suite is the kubelet of the pods that it measures.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cache } from '../../../src/k8s/cache.ts';
import type { KubeClient } from '../../../src/k8s/client.ts';
import { SILENT } from '../../../src/k8s/log.ts';
import { Reflector } from '../../../src/k8s/reflector.ts';
import {
  CUBE_TABLES,
  ENDPOINT_SLICES,
  type KubeObject,
  type ResourceType,
} from '../../../src/k8s/resource.ts';
import { SYSTEM_NAMESPACE } from '../../harness/kube/access.ts';
import { adminClient } from '../../harness/kube/client.ts';
import { FakeKubelet } from '../../harness/kube/fake-kubelet.ts';
import { type Lab, openLab } from '../../harness/lab.ts';
import { type LightCluster, startLightCluster } from '../../harness/light/cluster.ts';
import { callPlugins } from '../../harness/light/sandbox.ts';
import { createNamespace, deleteNamespace, Namespace } from '../../harness/netns.ts';
import type { Running } from '../../harness/process.ts';
import { startServer } from '../../harness/traffic.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { type Measure, measureOf, quantile } from '../measure.ts';

const TOOL = new URL('../tools/first-answer.ts', import.meta.url).pathname;
/** A Node that the light cluster's kubelets know nothing of, so that they leave its pods alone. They run on node-1. */
const NODE = 'bench';
const PORT = 80;
const TARGET = 8080;
const PATIENCE_MS = 60_000;

/** Milliseconds of CLOCK_MONOTONIC, the same in all processes. */
const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

/** Parts of the way, each from the end of the one before; `identity` from the end of ADD. */
const PARTS = ['add', 'publish', 'slice', 'table', 'kernel'] as const;
type Times = Record<(typeof PARTS)[number] | 'ready-to-reachable' | 'identity', number>;

/** Tells when an object of a kind first holds a text. */
class Sightings {
  readonly #reflector: Reflector<string>;
  readonly #cache = new Cache<string>();
  readonly #waiting = new Map<string, (at: number) => void>();

  constructor(client: KubeClient, type: ResourceType, namespace: string) {
    const transform = (object: KubeObject): string => JSON.stringify(object);
    this.#reflector = new Reflector({ client, type, namespace, cache: this.#cache, transform, log: SILENT });
    this.#cache.onChange((change) => {
      const at = now();
      if (change.type === 'deleted') return;
      for (const [text, resolve] of this.#waiting) if (change.value.includes(text)) resolve(at);
    });
  }

  async start(): Promise<void> {
    this.#reflector.start();
    await this.#cache.synced;
  }

  async of(text: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#waiting.set(text, resolve);
    return await promise.finally(() => this.#waiting.delete(text));
  }

  async stop(): Promise<void> {
    await this.#reflector.stop();
  }
}

interface Bench {
  readonly light: LightCluster;
  readonly client: Namespace;
  readonly guarded: string;
  readonly slices: Sightings;
  readonly tables: Sightings;
}

const metadata = (name: string, labels: Record<string, string> = {}) => ({
  name,
  namespace: 'default',
  labels,
});
/** What runs in it is the suite's own affair. */
const podObject = (name: string, nodeName: string, app: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: metadata(name, { app }),
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image: 'none', ports: [{ containerPort: TARGET }] }],
  },
});

async function apply({ cluster }: LightCluster, ...items: object[]): Promise<void> {
  await cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  });
}

async function get({ cluster }: LightCluster, ...args: string[]): Promise<string> {
  return (await cluster.kubectl(['get', ...args])).stdout.trim();
}

async function firstAnswer(from: Namespace, name: string, address: string, port: number): Promise<Running> {
  const running = await from.start(name, [process.execPath, TOOL, address, String(port)]);
  await running.waitForOutput(/ready/);
  return running;
}

async function answeredAt(running: Running): Promise<number> {
  const [, at = ''] = await running.waitForOutput(/answered ([\d.]+)/, PATIENCE_MS);
  await running.exited();
  return Number(at);
}

async function open(lab: Lab): Promise<Bench> {
  const light = await startLightCluster(lab);
  await new FakeKubelet(light.cluster.api, NODE, { ipv4: '198.18.0.99', ipv6: 'fd00:18::99' }).register({
    labels: { 'kubernetes.io/os': 'none' },
  });
  await apply(light, podObject('client', 'node-2', 'client'), podObject('guarded', 'node-2', 'guarded'), {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadata('guarded'),
    spec: {
      podSelector: { matchLabels: { app: 'guarded' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'new' } } }] }],
    },
  });
  await light.cluster.kubectl([
    'wait',
    '--for=condition=Ready',
    '--timeout=60s',
    'pod/client',
    'pod/guarded',
  ]);
  const uid = await get(light, 'pod', 'client', '-o', 'jsonpath={.metadata.uid}');
  const api = adminClient(light.cluster);
  const slices = new Sightings(api, ENDPOINT_SLICES, 'default');
  const tables = new Sightings(api, CUBE_TABLES, SYSTEM_NAMESPACE);
  await Promise.all([slices.start(), tables.start()]);
  return {
    light,
    client: new Namespace(lab, `node-2-pod-${uid}`, lab.cgroup),
    guarded: await get(light, 'pod', 'guarded', '-o', 'jsonpath={.status.podIP}'),
    slices,
    tables,
  };
}

/** One pod from ADD to DEL. It is the only one of its Service. */
async function one({ light, client, guarded, slices, tables }: Bench, index: number): Promise<Times> {
  const name = `new-${index}`;
  const node = light.nodes[0]?.node as LightCluster['nodes'][number]['node'];
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(name),
    spec: {
      selector: { app: 'new', pod: name },
      ports: [{ port: PORT, protocol: 'UDP', targetPort: TARGET }],
    },
  };
  const pod = podObject(name, NODE, 'new');
  Object.assign(pod.metadata.labels, { pod: name });
  await apply(light, service, pod);
  const uid = await get(light, 'pod', name, '-o', 'jsonpath={.metadata.uid}');
  const vip = await get(light, 'service', name, '-o', 'jsonpath={.spec.clusterIP}');
  const namespace = await createNamespace(light.lab, name);
  try {
    await startServer(namespace, name, TARGET);
    const toGuarded = await firstAnswer(namespace, `${name}-first`, guarded, TARGET);
    const byService = await firstAnswer(client, `${name}-client`, vip, PORT);
    const began = now();
    const { ipv4 = '' } = await callPlugins(node, { metadata: { ...pod.metadata, uid } }, namespace, 'ADD');
    const added = now();
    const inSlice = slices.of(`"${ipv4}"`);
    const inTable = tables.of(`"address":"${ipv4}"`);
    await light.cluster.api.mergePatch(`/api/v1/namespaces/default/pods/${name}/status`, {
      status: {
        phase: 'Running',
        podIP: ipv4,
        podIPs: [{ ip: ipv4 }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    });
    const published = now();
    const [sliced, tabled, reached, known] = await Promise.all([
      inSlice,
      inTable,
      answeredAt(byService),
      answeredAt(toGuarded),
    ]);
    await callPlugins(node, { metadata: { ...pod.metadata, uid } }, namespace, 'DEL');
    return {
      add: added - began,
      publish: published - added,
      slice: sliced - published,
      table: tabled - sliced,
      kernel: reached - tabled,
      'ready-to-reachable': reached - published,
      identity: known - added,
    };
  } finally {
    await deleteNamespace(namespace);
    await light.cluster.kubectl(['delete', 'pod', name, '--force', '--ignore-not-found']);
    await light.cluster.kubectl(['delete', 'service', name]);
  }
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const rounds = quick ? 5 : 100;
  const lab = await openLab('bench pod start');
  try {
    const bench = await open(lab);
    const all: Times[] = [];
    for (let round = 0; round <= rounds; round++) {
      if (round % 10 === 0) say(`pod ${round} of ${rounds}`);
      const times = await one(bench, round);
      if (round > 0) all.push(times); // the first one warms up
      await sleep(50);
    }
    await bench.slices.stop();
    await bench.tables.stop();
    const names = [...PARTS, 'ready-to-reachable', 'identity'] as const;
    return names.flatMap((part) => {
      const values = all.map((times) => times[part]);
      const head = { unit: 'ms', better: 'lower' } as const;
      const p99 = measureOf({ name: `pod-start.${part}.p99`, ...head }, [quantile(values, 0.99)]);
      return [measureOf({ name: `pod-start.${part}`, ...head }, values), { ...p99, rounds: values.length }];
    });
  } finally {
    await lab.close();
  }
}

export const suite: Suite = {
  name: 'pod-start',
  summary:
    'a pod from ADD to a client of another node that reaches it by its Service, and until its identity is known there',
  run,
};
