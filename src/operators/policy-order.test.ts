// SPDX-License-Identifier: Apache-2.0
/** The two controllers against an API server of which answers and watch events come late and in odd order. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { CubeTable, Identity, Policy } from '../api/generated/types.ts';
import { matches } from '../api/selector.ts';
import { digestOf } from '../k8s/apply.ts';
import { Cache } from '../k8s/cache.ts';
import { SILENT } from '../k8s/log.ts';
import type { KubeObject } from '../k8s/resource.ts';
import type { ControllerContext } from './context.ts';
import { IdentityController } from './identity-controller.ts';
import type { NamespaceInput, PodInput } from './inputs.ts';
import { PolicyController } from './policy-controller.ts';
import { relevantOf } from './relevant.ts';
import {
  clusterPolicyView,
  namespaceView,
  type PolicyView,
  podView,
  policyView,
  type TableView,
  tableView,
} from './views.ts';
import { TABLE_INDEXES, type World } from './world.ts';

const SYSTEM = 'cubeplane-system';

/** What an API server stores, what a watch has told so far, and a note after each write. */
class FakeCluster {
  readonly stored = new Map<string, CubeTable>();
  readonly policies = new Cache<PolicyView>({ owner: (policy) => [policy.owner] });
  readonly clusterPolicies = new Cache<PolicyView>({ owner: (policy) => [policy.owner] });
  readonly namespaces = new Cache<NamespaceInput>();
  readonly pods = new Cache<PodInput>({ namespace: (pod) => [pod.metadata.namespace ?? ''] });
  readonly tables = new Cache<TableView>(TABLE_INDEXES);
  readonly events: string[] = [];
  writes: string[] = [];
  afterWrite: () => void = () => {};
  #controllers: { queue: { idle(): Promise<void> }; stop(): Promise<void> }[] = [];
  #version = 0;
  #watch: Promise<void> = Promise.resolve();

  start(): void {
    const context = {
      world: this as unknown as World,
      namespace: SYSTEM,
      log: SILENT,
      applier: {
        forget: () => {},
        apply: async (_: unknown, object: KubeObject, observed: string | undefined) => {
          if (observed === digestOf(object)) return { action: 'Unchanged' };
          const version = await this.#write(object.metadata.name ?? '', object as unknown as CubeTable);
          return { action: 'Applied', object: { metadata: { resourceVersion: version } } };
        },
      },
      client: { delete: async (_: unknown, { name }: { name: string }) => this.#write(name, undefined) },
      events: { record: (_: unknown, { reason }: { reason: string }) => this.events.push(reason) },
    } as unknown as ControllerContext;
    const identities = new IdentityController(context);
    const policies = new PolicyController(context, identities);
    identities.start();
    policies.start();
    this.#controllers = [identities, policies];
  }

  async #write(name: string, table: CubeTable | undefined): Promise<string> {
    await sleep(Math.random() * 4);
    if (table === undefined) this.stored.delete(name);
    else this.stored.set(name, structuredClone(table));
    this.writes.push(`${table === undefined ? '-' : '+'}${name}`);
    this.afterWrite();
    const version = String(++this.#version);
    const view = table && tableView(table as unknown as KubeObject);
    // One watch: its events are late, and in the order of the writes.
    this.#watch = this.#watch.then(async () => {
      await sleep(Math.random() * 4);
      if (view === undefined) this.tables.delete(`${SYSTEM}/${name}`);
      else this.tables.set(`${SYSTEM}/${name}`, version, view);
    });
    await sleep(Math.random() * 4);
    return version;
  }

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      const before = this.#version;
      await Promise.all(this.#controllers.map(({ queue }) => queue.idle()));
      await this.#watch;
      await sleep(15);
      quiet = before === this.#version ? quiet + 1 : 0;
    }
  }

  /** Ends the controllers as a kill does: what they had in memory is lost, what they had sent arrives. */
  async kill(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.stop()));
    await this.#watch;
  }

  namespace(name: string, labels: Record<string, string>): void {
    this.namespaces.set(name, String(++this.#version), namespaceView({ metadata: { name, labels } }));
  }

  pod(key: string, labels: Record<string, string>, address: string, extra: object = {}): void {
    const [namespace = '', name = ''] = key.split('/');
    const object = {
      metadata: { namespace, name, uid: key, labels },
      spec: {},
      status: { podIP: address },
      ...extra,
    };
    const view = podView(object);
    if (view === undefined) this.pods.delete(key);
    else this.pods.set(key, String(++this.#version), view);
  }

  policy(key: string, spec: object | undefined): void {
    const [namespace = '', name = ''] = key.split('/');
    if (spec === undefined) {
      this.policies.delete(key);
      return;
    }
    const object = { metadata: { namespace, name, uid: key }, spec };
    this.policies.set(key, String(++this.#version), policyView(object, SYSTEM));
  }

  clusterPolicy(name: string, spec: object | undefined): void {
    if (spec === undefined) {
      this.clusterPolicies.delete(name);
      return;
    }
    const object = { metadata: { name, uid: name }, spec };
    this.clusterPolicies.set(name, String(++this.#version), clusterPolicyView(object, SYSTEM));
  }

  allPolicies(): PolicyView[] {
    return [...this.policies.values(), ...this.clusterPolicies.values()];
  }

  identities(): Identity[] {
    return [...this.stored.values()].flatMap(({ spec }) => (spec.type === 'Identity' ? spec.identities : []));
  }

  rows(): Policy[] {
    return [...this.stored.values()].flatMap(({ spec }) => (spec.type === 'Policy' ? spec.policies : []));
  }

  /** Addresses of a row by what the row says, for comparisons. */
  byLabels(): Record<string, string[]> {
    const said = this.identities().map(({ namespace, labels, addresses }) => [
      `${namespace} ${JSON.stringify(labels)}`,
      [...(addresses ?? [])].sort(),
    ]);
    return Object.fromEntries(said);
  }
}

const app = (value: string) => ({ matchLabels: { app: value } });
const not = (key: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator: 'NotIn', values }],
});

let cluster: FakeCluster;

function open(): FakeCluster {
  cluster = new FakeCluster();
  cluster.namespace('shop', { team: 'red' });
  for (let i = 0; i < 12; i++) {
    cluster.pod(
      `shop/p${i}`,
      { app: i % 2 ? 'web' : 'db', tier: `t${i % 3}`, hash: `${i}` },
      `10.244.1.${i}`,
    );
  }
  return cluster;
}

afterEach(async () => {
  await cluster?.kill();
});

describe('identities and policies', () => {
  it('makes no table while there is no policy, and none is left when the last one goes', async () => {
    const { stored, writes } = open();
    cluster.start();
    await cluster.settle();
    expect([...stored.keys()]).toEqual([]);
    cluster.policy('shop/deny', { podSelector: app('web') });
    await cluster.settle();
    expect(cluster.byLabels()).toEqual({
      'shop {"app":"db"}': [0, 10, 2, 4, 6, 8].map((i) => `10.244.1.${i}`),
      'shop {"app":"web"}': [1, 11, 3, 5, 7, 9].map((i) => `10.244.1.${i}`),
    });
    expect(writes.indexOf('+policy.shop.deny.0')).toBe(writes.length - 1);
    cluster.policy('shop/deny', undefined);
    await cluster.settle();
    expect([...stored.keys()]).toEqual([]);
    expect(writes.filter((write) => write.startsWith('-'))[0]).toBe('-policy.shop.deny.0');
  });

  it('does the same for policies of the cluster: labels of namespaces come into identities before their row', async () => {
    const { stored, writes } = open();
    cluster.start();
    cluster.clusterPolicy('guard', {
      tier: 'Admin',
      priority: 5,
      subject: { namespaces: { matchLabels: { team: 'red' } } },
      ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
    });
    await cluster.settle();
    expect(cluster.identities()).toMatchObject([{ namespace: 'shop', namespaceLabels: { team: 'red' } }]);
    expect(writes.indexOf('+cluster-policy.guard.0')).toBe(writes.length - 1);
    cluster.clusterPolicy('guard', undefined);
    await cluster.settle();
    expect([...stored.keys()]).toEqual([]);
  });

  it('makes one identity a namespace where policies look at no labels', async () => {
    open().policy('shop/deny', {});
    cluster.start();
    await cluster.settle();
    expect(Object.keys(cluster.byLabels())).toEqual(['shop {}']);
  });

  it('writes once for the start of a pod, and nothing for what a kubelet reports', async () => {
    open().policy('shop/deny', { podSelector: app('web') });
    cluster.start();
    await cluster.settle();
    cluster.writes = [];
    cluster.pod('shop/new', { app: 'web' }, '10.244.2.1');
    await cluster.settle();
    expect(cluster.writes).toHaveLength(1);
    cluster.pod('shop/new', { app: 'web' }, '10.244.2.1', {
      spec: { containers: [{ ports: [{ containerPort: 1 }] }] },
    });
    await cluster.settle();
    expect(cluster.writes).toHaveLength(1);
    cluster.pod('shop/new', { app: 'web' }, '10.244.2.1', {
      status: { phase: 'Succeeded', podIP: '10.244.2.1' },
    });
    await cluster.settle();
    expect(cluster.writes).toHaveLength(2);
  });

  it('tells once what is wrong with a policy', async () => {
    open().policy('shop/odd', { ingress: [{ ports: [{ port: 'http', endPort: 9 }] }] });
    cluster.start();
    await cluster.settle();
    cluster.policy('shop/odd', {
      ingress: [{ ports: [{ port: 'http', endPort: 9 }] }],
      policyTypes: ['Ingress'],
    });
    await cluster.settle();
    expect(cluster.events).toEqual(['InvalidPort']);
    expect(cluster.rows()[0]).toMatchObject({ types: ['Ingress'], ingress: [] });
  });

  it('never lets a pod be unknown, and no policy look at labels that identities do not tell', async () => {
    open().policy('shop/one', {
      podSelector: app('web'),
      ingress: [{ from: [{ podSelector: not('tier', 't0') }] }],
    });
    cluster.start();
    await cluster.settle();
    const steady = Array.from({ length: 12 }, (_, i) => `10.244.1.${i}`);
    let checks = 0;
    const unknown: unknown[] = [];
    cluster.afterWrite = () => {
      const known = new Map<string, Identity[]>();
      for (const identity of cluster.identities()) {
        for (const address of identity.addresses ?? []) {
          known.set(address, [...(known.get(address) ?? []), identity]);
        }
      }
      checks++;
      unknown.push(...steady.filter((address) => !known.has(address)));
      // `tier` of all steady pods is there, so each policy that reads it has to find it in every identity of theirs.
      const { podLabels } = relevantOf(cluster.rows());
      for (const address of steady) {
        for (const { labels = {} } of known.get(address) ?? []) {
          unknown.push(...[...podLabels].filter((key) => !(key in labels)).map((key) => `${address} ${key}`));
        }
      }
    };
    const label = ['app', 'tier', 'hash'];
    for (let round = 0; round < 40; round++) {
      const key = label[Math.floor(Math.random() * 3)] as string;
      const name = `shop/${Math.random() < 0.5 ? 'one' : 'two'}`;
      cluster.policy(name, { podSelector: not(key, 'x'), ingress: [{}] });
      const i = Math.floor(Math.random() * 12);
      cluster.pod(
        `shop/p${i}`,
        { app: `a${round % 3}`, tier: `t${round % 2}`, hash: `${round % 5}` },
        `10.244.1.${i}`,
      );
      if (round % 10 === 9) {
        await cluster.kill();
        cluster.start();
      }
      await sleep(Math.random() * 25);
    }
    await cluster.settle();
    expect(checks).toBeGreaterThan(40);
    expect(unknown).toEqual([]);
    // Killed or not: the same objects as from nothing.
    const { podLabels } = relevantOf(cluster.rows());
    const expected: Record<string, string[]> = {};
    for (const pod of cluster.pods.values()) {
      const labels = Object.entries(pod.metadata.labels ?? {})
        .filter(([key]) => podLabels.has(key))
        .sort();
      const said = `shop ${JSON.stringify(Object.fromEntries(labels))}`;
      expected[said] = [...(expected[said] ?? []), pod.status?.podIP ?? ''].sort();
    }
    expect(cluster.byLabels()).toEqual(expected);
    expect(cluster.rows().every((row) => matches(row.podSelector, {}))).toBe(true);
  }, 60_000);
});
