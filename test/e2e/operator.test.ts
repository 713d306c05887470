// SPDX-License-Identifier: Apache-2.0
/** The operator as a process, with its own least rights, against a real API server. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { CubeNode, ServiceChain } from '../../src/api/generated/types.ts';
import { AgentLease } from '../../src/dataplane/sources/agent-lease.ts';
import { Applier } from '../../src/k8s/apply.ts';
import { SILENT } from '../../src/k8s/log.ts';
import { CUBE_LINKS, CUBE_NODES, CUBES, type KubeObject, NODES } from '../../src/k8s/resource.ts';
import { installApi, operatorKubeconfig } from '../harness/kube/access.ts';
import { adminClient } from '../harness/kube/client.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet } from '../harness/kube/fake-kubelet.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createUnderlay } from '../harness/topology.ts';
import { until } from '../harness/until.ts';
import { type OperatorProcess, settled, startOperator as startProcess } from './operator-process.ts';

const SYSTEM = 'cubeplane-system';
const GROUP = '/apis/cubeplane.io/v1alpha1';
const TABLES = `${GROUP}/namespaces/${SYSTEM}/cubetables`;
const CHAINS = `${GROUP}/namespaces/${SYSTEM}/servicechains`;
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${SYSTEM}/leases/cubeplane-operator`;
const KILLS = 20;

let lab: Lab;
let cluster: Cluster;
let kubeconfig: string;

const operators: OperatorProcess[] = [];

async function startOperator(...flags: string[]): Promise<OperatorProcess> {
  const operator = await startProcess(cluster, kubeconfig, ...flags);
  operators.push(operator);
  return operator;
}

// One that a failed test leaves would keep the Lease of the leader from the next.
afterEach(async () => {
  for (const { running } of operators.splice(0)) await running.stop();
});

/** What the operator decided about every object of a collection: name, labels, owners, spec. */
async function outputOf(path: string): Promise<Record<string, unknown>> {
  const items = await cluster.api.list<KubeObject>(path);
  return Object.fromEntries(
    items.map(({ metadata, spec }) => [
      metadata.name,
      { labels: metadata.labels, owners: metadata.ownerReferences?.map((owner) => owner.uid), spec },
    ]),
  );
}

async function output(): Promise<Record<string, Record<string, unknown>>> {
  return {
    tables: await outputOf(TABLES),
    cubes: await outputOf(`${GROUP}/cubes`),
    links: await outputOf(`${GROUP}/cubelinks`),
    nodes: await outputOf(`${GROUP}/cubenodes`),
  };
}

async function removeOutput(): Promise<void> {
  for (const plural of ['cubes', 'cubelinks', 'cubetables']) {
    await cluster.api.raw('DELETE', `${GROUP}/namespaces/${SYSTEM}/${plural}`);
  }
  await cluster.api.raw('DELETE', `${GROUP}/cubenodes`);
}

const chainManifest = (spec: object = {}): object => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'ServiceChain',
  metadata: { name: 'kubernetes', namespace: SYSTEM },
  spec: {
    target: { type: 'Nodes', nodes: { selector: { matchLabels: { 'kubernetes.io/os': 'linux' } } } },
    cubes: [
      { name: 'ilb', type: 'LoadBalancer', loadBalancer: {}, tables: [{ type: 'Service' }] },
      {
        name: 'router',
        type: 'Router',
        router: {},
        ports: [
          { name: 'pods', addresses: ['$(node.podCIDRs.ipv4.gateway)', '$(node.podCIDRs.ipv6.gateway)'] },
        ],
        tables: [{ type: 'Route' }],
      },
    ],
    links: [
      { name: 'pods', endpoints: [{ type: 'Pods' }, { type: 'Cube', cube: { name: 'ilb', port: 'pods' } }] },
      {
        name: 'ilb-router',
        endpoints: [
          { type: 'Cube', cube: { name: 'ilb', port: 'server' } },
          { type: 'Cube', cube: { name: 'router', port: 'pods' } },
        ],
      },
      {
        name: 'overlay',
        endpoints: [{ type: 'Cube', cube: { name: 'router', port: 'overlay' } }, { type: 'Overlay' }],
      },
    ],
    ...spec,
  },
});

async function applyChain(spec: object = {}): Promise<ServiceChain> {
  return await cluster.api.apply<ServiceChain>(`${CHAINS}/kubernetes`, chainManifest(spec));
}

async function chainOnAllNodes(): Promise<void> {
  for (const node of ['node-a', 'node-b']) {
    await cluster.api.mergePatch(`/api/v1/nodes/${node}`, {
      metadata: { labels: { 'kubernetes.io/os': 'linux' } },
    });
  }
  await applyChain();
}

/** Addresses of load balancers. */
async function applyPool(): Promise<void> {
  await cluster.api.apply(`${TABLES}/pool`, {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeTable',
    metadata: { name: 'pool', namespace: SYSTEM },
    spec: {
      type: 'AddressPool',
      addressPool: { ranges: [{ prefix: '198.18.0.192/28' }, { prefix: 'fd00:18::8:0/112' }] },
    },
  });
}

async function applyService(name: string, port = 80, type = 'ClusterIP'): Promise<void> {
  await cluster.api.apply(`/api/v1/namespaces/default/services/${name}`, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { type, ipFamilyPolicy: 'PreferDualStack', ports: [{ name: 'http', port, protocol: 'TCP' }] },
  });
}

/** Addresses in the statuses of all Services: those of load balancers, two each; of others none. */
async function balancers(): Promise<string[]> {
  type Item = KubeObject & { status: { loadBalancer?: { ingress?: { ip: string }[] } } };
  const items = await cluster.api.list<Item>('/api/v1/namespaces/default/services');
  return items.flatMap(({ spec, status }) => {
    const ips = (status.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
    expect(ips).toHaveLength((spec as { type: string }).type === 'LoadBalancer' ? 2 : 0);
    return ips;
  });
}

async function applySlice(service: string, index: number, addresses: readonly string[]): Promise<void> {
  const name = `${service}-${index}`;
  await cluster.api.apply(`/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/${name}`, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], nodeName: 'node-a' })),
  });
}

/** A client of this process's own, through the harness's way in. */
beforeAll(async () => {
  lab = await openLab('e2e operator');
  cluster = await startCluster(await createUnderlay(lab));
  await installApi(cluster);
  kubeconfig = await operatorKubeconfig(cluster);
  for (const [name, host] of [
    ['node-a', 11],
    ['node-b', 12],
  ] as const) {
    await new FakeKubelet(cluster.api, name, {
      ipv4: `198.18.0.${host}`,
      ipv6: `fd00:18::${host}`,
    }).register();
  }
}, 600_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

describe('server-side apply', () => {
  it('keeps fields of two managers apart, and names field and manager where they collide', async () => {
    const client = adminClient(cluster);
    const cube = (ports: object[]): KubeObject => ({
      metadata: { name: 'by-two', namespace: 'default' },
      spec: { nodeName: 'node-a', type: 'Router', router: {}, ports },
    });
    const one = new Applier({ client, fieldManager: 'one', force: false });
    const two = new Applier({ client, fieldManager: 'two', force: false });
    await one.apply(CUBES, cube([{ name: 'a', mtu: 1400 }]), undefined);
    await two.apply(CUBES, cube([{ name: 'b', mtu: 1500 }]), undefined);
    const both = await client.get<KubeObject & { spec: { ports: { name: string }[] } }>(CUBES, {
      namespace: 'default',
      name: 'by-two',
    });
    expect(both?.spec.ports.map((port) => port.name)).toEqual(['a', 'b']);
    await expect(two.apply(CUBES, cube([{ name: 'a', mtu: 1300 }]), undefined)).rejects.toMatchObject({
      name: 'KubeError',
      code: 'Conflict',
      object: 'Cube default/by-two',
      fields: [{ field: expect.stringContaining('mtu'), message: expect.stringContaining('one') }],
      remedy: expect.stringContaining('field manager'),
    });
    await new Applier({ client, fieldManager: 'two' }).apply(
      CUBES,
      cube([{ name: 'a', mtu: 1300 }]),
      undefined,
    );
    await client.delete(CUBES, { namespace: 'default', name: 'by-two' });
    await client.close();
  });

  it('says what is wrong with an object that the API server refuses: object, field, remedy', async () => {
    const client = adminClient(cluster);
    const applier = new Applier({ client, fieldManager: 'one' });
    const bad = {
      metadata: { name: 'bad', namespace: 'default' },
      spec: { nodeName: 'node-a', type: 'Router' },
    };
    await expect(applier.apply(CUBES, bad, undefined)).rejects.toMatchObject({
      code: 'Invalid',
      object: 'Cube default/bad',
      fields: expect.arrayContaining([{ field: 'spec.router', message: expect.any(String) }]),
      retriable: false,
    });
    const stranger = cluster.api.as('nobody');
    await expect(stranger.list(`${GROUP}/cubes`)).rejects.toThrow('forbidden');
    await client.close();
  });
});

interface Event extends KubeObject {
  reason: string;
  regarding: { name: string };
  note: string;
}

describe('the operator', () => {
  it('turns Services, Nodes and a chain into objects, and its second start writes nothing', async () => {
    await applyService('web');
    await applySlice('web', 1, ['10.244.0.5', '10.244.1.5']);
    await applyChain();
    let operator = await startOperator();
    await settled(operator);
    const made = await output();
    expect(Object.keys(made.tables ?? {})).toEqual([
      'node.node-a.0',
      'node.node-b.0',
      'service.default.kubernetes.0',
      'service.default.web.0',
    ]);
    expect(Object.keys(made.cubes ?? {})).toHaveLength(4);
    expect(Object.keys(made.links ?? {})).toHaveLength(6);
    const [node] = await cluster.api.list<CubeNode>(`${GROUP}/cubenodes`);
    expect(node?.spec.chains[0]?.members).toHaveLength(5);
    const chain = await cluster.api.get<ServiceChain>(`${CHAINS}/kubernetes`);
    expect(chain.status).toMatchObject({ desiredNodes: 2, updatedNodes: 2, readyNodes: 0 });
    await operator.running.stop();

    operator = await startOperator();
    await settled(operator);
    expect((await operator.state()).applies).toBe(0);
    expect(await output()).toEqual(made);
    await operator.running.stop();
  }, 120_000);

  it('repairs what somebody changed or deleted by hand', async () => {
    const operator = await startOperator();
    await settled(operator);
    const before = await output();
    await cluster.api.mergePatch(`${TABLES}/service.default.web.0`, { spec: { services: [] } });
    await cluster.api.mergePatch(`${TABLES}/node.node-a.0`, {
      metadata: { labels: { 'cubeplane.io/owner-uid': 'x' } },
    });
    await cluster.api.delete(`${GROUP}/namespaces/${SYSTEM}/cubes/kubernetes.ilb.node-b`);
    await cluster.api.delete(`${GROUP}/cubenodes/node-a`);
    await until('everything is as before', async () => {
      return JSON.stringify(await output()) === JSON.stringify(before);
    });
    await operator.running.stop();
  }, 120_000);

  it('brings a new revision: members, then the commit record, then the removal; and a paused chain stays', async () => {
    const operator = await startOperator();
    await settled(operator);
    const links = (chainManifest() as unknown as ServiceChain).spec.links ?? [];
    await applyChain({ links: links.filter((link) => link.name !== 'overlay') });
    await settled(operator);
    const after = await output();
    expect(Object.keys(after.links ?? {})).toEqual([
      'kubernetes.ilb-router.node-a',
      'kubernetes.ilb-router.node-b',
      'kubernetes.pods.node-a',
      'kubernetes.pods.node-b',
    ]);
    const nodes = await cluster.api.list<CubeNode>(`${GROUP}/cubenodes`);
    expect(new Set(nodes.map((node) => node.spec.chains[0]?.revision)).size).toBe(1);
    await applyChain({ paused: true });
    await settled(operator);
    expect(await output()).toEqual(after);
    await cluster.api.mergePatch('/api/v1/nodes/node-b', {
      metadata: { labels: { 'kubernetes.io/os': 'other' } },
    });
    await applyChain();
    await until('node-b is left', async () => Object.keys((await output()).cubes ?? {}).length === 2);
    await cluster.api.mergePatch('/api/v1/nodes/node-b', {
      metadata: { labels: { 'kubernetes.io/os': 'linux' } },
    });
    await until('node-b is back', async () => Object.keys((await output()).cubes ?? {}).length === 4);
    await operator.running.stop();
  }, 120_000);

  it('refuses a chain that this release cannot do, says so, and leaves the nodes as they were', async () => {
    const operator = await startOperator();
    await settled(operator);
    const before = await output();
    await applyChain({ updateStrategy: { type: 'OnDelete' } });
    await until('the refusal is told', async () => {
      const { status } = await cluster.api.get<ServiceChain>(`${CHAINS}/kubernetes`);
      return status?.conditions.some((c) => c.type === 'Stalled' && c.status === 'True') === true;
    });
    const { status } = await cluster.api.get<ServiceChain>(`${CHAINS}/kubernetes`);
    expect(status?.conditions.find((c) => c.type === 'Accepted')).toMatchObject({
      status: 'False',
      reason: 'NotSupported',
      message: expect.stringContaining('spec.updateStrategy.type'),
    });
    expect(await output()).toEqual(before);
    await applyChain();
    await settled(operator);
    await operator.running.stop();
  }, 120_000);

  it('tells what is wrong with a Service by an event', async () => {
    const operator = await startOperator();
    await settled(operator);
    await applyService('odd');
    await applySlice('odd', 1, ['10.244.0.9']);
    await cluster.api.create('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'odd-2', namespace: 'default', labels: { 'kubernetes.io/service-name': 'odd' } },
      addressType: 'FQDN',
      endpoints: [{ addresses: ['example.org'] }],
    });
    await until('the event', async () => {
      const events = await cluster.api.list<Event>('/apis/events.k8s.io/v1/namespaces/default/events');
      return events.some(
        (e) =>
          e.regarding.name === 'odd' &&
          e.reason === 'NotSupported' &&
          e.note.includes('default/odd-2: addressType: addresses of type FQDN'),
      );
    });
    await cluster.api.delete('/api/v1/namespaces/default/services/odd');
    for (const name of ['odd-1', 'odd-2']) {
      await cluster.api.delete(`/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/${name}`);
    }
    await until(
      'its table is gone',
      async () => !('service.default.odd.0' in ((await output()).tables ?? {})),
    );
    await operator.running.stop();
  }, 120_000);
});

describe('killed at any instruction', () => {
  it(`${KILLS} SIGKILLs while everything changes end in the same objects as an undisturbed run`, async () => {
    let stop = false;
    let changes = 0;
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const change = async (): Promise<void> => {
      const service = `kill-${random(6)}`;
      const links = (chainManifest() as unknown as ServiceChain).spec.links ?? [];
      switch (random(6)) {
        case 0:
          return await applyService(service, 80 + random(3), random(2) === 0 ? 'LoadBalancer' : 'ClusterIP');
        case 1:
          await cluster.api.delete(`/api/v1/namespaces/default/services/${service}`);
          return;
        case 2: {
          // Up to 250 backends, so that slices come and go.
          const count = random(250);
          return await applySlice(
            service,
            1,
            Array.from({ length: count }, (_, i) => `10.50.0.${i}`),
          );
        }
        case 3:
          return await applySlice(service, 2, [`10.60.0.${random(250)}`]);
        case 4:
          await applyChain({ links: random(2) === 0 ? links : links.slice(0, 2) });
          return;
        default: {
          const value = random(2) === 0 ? 'linux' : 'other';
          const node = random(2) === 0 ? 'node-a' : 'node-b';
          await cluster.api.mergePatch(`/api/v1/nodes/${node}`, {
            metadata: { labels: { 'kubernetes.io/os': value } },
          });
        }
      }
    };
    await applyPool();
    const changing = (async () => {
      while (!stop) {
        await change();
        changes++;
        await sleep(15);
      }
    })();
    /** Writes of an operator, once they are so many. */
    const writesOf = async (operator: Awaited<ReturnType<typeof startOperator>>, wanted: number) => {
      for (const deadline = Date.now() + 60_000; ; await sleep(10)) {
        const applies = await operator.state().then(
          (state) => state.applies,
          () => 0, // it does not listen yet
        );
        if (applies >= wanted) return applies;
        if (Date.now() > deadline) throw new Error(`${applies} of ${wanted} writes within a minute`);
      }
    };
    let writes = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const operator = await startOperator();
      // Some die while they start, most in the middle of their work, however fast the machine is.
      const wanted = random(4) === 0 ? 0 : 1 + random(6);
      await sleep(random(500));
      writes += await writesOf(operator, wanted);
      operator.running.kill('SIGKILL');
      await operator.running.exited();
    }
    stop = true;
    await changing;
    for (const service of ['kill-0', 'kill-1', 'kill-2']) await applyService(service, 80, 'LoadBalancer');
    // Where the random changes have taken the chain from both nodes, there would be nothing to compare.
    await chainOnAllNodes();
    const last = await startOperator();
    await settled(last);
    const disturbed = await output();
    await last.running.stop();
    const addresses = await balancers();
    expect(addresses.length).toBeGreaterThanOrEqual(6);
    expect(new Set(addresses).size).toBe(addresses.length);

    await removeOutput();
    await applyPool();
    const undisturbed = await startOperator();
    await settled(undisturbed);
    expect(disturbed).toEqual(await output());
    expect(await balancers()).toEqual(addresses);
    await undisturbed.running.stop();
    console.log(
      `operator: ${KILLS} kills over ${changes} changes and at least ${writes} writes: same objects`,
    );
    expect(writes).toBeGreaterThan(KILLS);
    expect(Object.keys(disturbed.tables ?? {}).length).toBeGreaterThan(3);
    expect(Object.keys(disturbed.cubes ?? {}).length).toBeGreaterThan(3);
  }, 240_000);
});

describe('leader election', () => {
  const holder = async (): Promise<string> =>
    (await cluster.api.get<{ spec: { holderIdentity?: string } }>(LEASE)).spec.holderIdentity ?? '';

  it('one of two writes; a stopped leader hands over at once, a killed one after its lease', async () => {
    const all = [await startOperator('--leader-elect'), await startOperator('--leader-elect')];
    const leaders = async (): Promise<OperatorProcess[]> => {
      const found: OperatorProcess[] = [];
      for (const one of all) {
        if (one.running.status !== undefined) continue;
        if (
          await one.state().then(
            (state) => state.leading,
            () => false,
          )
        )
          found.push(one);
      }
      return found;
    };
    await until('one leads', async () => (await leaders()).length === 1);
    await sleep(2500);
    let [leader] = await leaders();
    expect(await leaders()).toHaveLength(1);
    let before = await holder();
    let start = Date.now();
    await leader?.running.stop();
    await until('the other leads', async () => (await leaders()).length === 1 && (await holder()) !== before);
    const stopMs = Date.now() - start;

    all.push(await startOperator('--leader-elect'));
    await until('the third waits', async () => (await (all[2] as OperatorProcess).state()).synced);
    [leader] = await leaders();
    before = await holder();
    start = Date.now();
    leader?.running.kill('SIGKILL');
    await until(
      'the third leads',
      async () => (await leaders()).length === 1 && (await holder()) !== before,
      30_000,
    );
    const killMs = Date.now() - start;
    console.log(`leader election: handover after SIGTERM ${stopMs} ms, after SIGKILL ${killMs} ms`);
    expect(stopMs).toBeLessThan(8000); // the lease was given back: nobody waited for its end
    expect(killMs).toBeGreaterThan(8000);
    for (const one of all) if (one.running.status === undefined) await one.running.stop();
  }, 90_000);
});

describe('an agent that died', () => {
  const byHand = { namespace: SYSTEM, name: 'by-hand' };
  afterEach(() => cluster.api.delete(`${GROUP}/namespaces/${SYSTEM}/cubes/${byHand.name}`));

  /** The node that answers for the address of a load balancer; undefined: nobody. */
  async function announcer(): Promise<string | undefined> {
    const tables = await cluster.api.list<KubeObject>(TABLES);
    const table = tables.find(({ metadata: { name } }) => name === 'announcement.default.kill-0.0');
    return (table?.spec as { announcements?: { node: string }[] } | undefined)?.announcements?.[0]?.node;
  }

  async function applyReady(node: string, status: string): Promise<void> {
    type NodeObject = KubeObject & { status: { conditions: { type: string }[] } };
    const { conditions: said } = (await cluster.api.get<NodeObject>(`/api/v1/nodes/${node}`)).status;
    const ready = { type: 'Ready', status, reason: 'Test', message: 'said by a test' };
    const conditions = [...said.filter(({ type }) => type !== 'Ready'), ready];
    await cluster.api.mergePatch(`/api/v1/nodes/${node}/status`, { status: { conditions } });
  }

  /** All that the chain put on the nodes, in the name of their agents. */
  async function sayProgrammed(agent: Applier, conditions: object[]): Promise<void> {
    for (const [type, plural] of [
      [CUBES, 'cubes'],
      [CUBE_LINKS, 'cubelinks'],
      [CUBE_NODES, 'cubenodes'],
    ] as const)
      for (const { metadata } of await cluster.api.list<KubeObject>(`${GROUP}/${plural}`)) {
        const { namespace, name = '' } = metadata;
        const at = namespace === undefined ? { name } : { namespace, name };
        await agent.applyStatus(type, at, { observedGeneration: metadata.generation, conditions });
      }
  }

  it('has its objects marked Unknown after 40 s of silence, and only what it had said', async () => {
    const client = adminClient(cluster);
    const agent = new Applier({ client, fieldManager: 'cubeplane-agent' });
    const now = `${new Date().toISOString().slice(0, 19)}Z`;
    const condition = (type: string, reason: string) => ({
      type,
      status: 'True',
      reason,
      message: 'said by a test in the name of the agent',
      lastTransitionTime: now,
      observedGeneration: 1,
    });
    const conditions = [
      condition('Accepted', 'Accepted'),
      condition('Programmed', 'Programmed'),
      condition('Ready', 'Ready'),
    ];
    const metadata = byHand;
    await agent.apply(
      CUBES,
      { metadata, spec: { nodeName: 'node-a', type: 'Router', router: {} } },
      undefined,
    );
    await agent.applyStatus(CUBES, metadata, { observedGeneration: 1, conditions });
    await sayProgrammed(agent, conditions);
    const start = Date.now();
    const operator = await startOperator();
    await settled(operator);
    await until('a node answers for the address', async () => (await announcer()) !== undefined);
    const before = (await announcer()) as string;
    const after = before === 'node-a' ? 'node-b' : 'node-a';
    await applyReady(before, 'Unknown'); // its kubelet is silent, its agent is not yet known to be
    await settled(operator);
    expect(await announcer()).toBe(before);
    await until(
      'it is marked',
      async () => {
        const cube = await client.get<
          KubeObject & { status: { conditions: { type: string; reason: string }[] } }
        >(CUBES, metadata);
        const reasons = Object.fromEntries((cube?.status.conditions ?? []).map((c) => [c.type, c.reason]));
        return (
          reasons.Ready === 'AgentUnreachable' &&
          reasons.Programmed === 'AgentUnreachable' &&
          reasons.Accepted === 'Accepted'
        );
      },
      60_000,
    );
    expect(Date.now() - start).toBeGreaterThan(35_000);
    // The node of which nobody speaks answers no more; the other one, whose agent alone is silent, does.
    await until('the other node answers', async () => (await announcer()) === after);
    await applyReady(before, 'True');
    await settled(operator);
    expect(await announcer()).toBe(after);
    // The agent comes back: it renews its Lease and says the same again, which counts from now on.
    const lease = new AgentLease({ client, node: 'node-a', namespace: SYSTEM, log: SILENT });
    lease.start();
    try {
      await until('its word counts', async () => {
        await agent.applyStatus(CUBES, metadata, { observedGeneration: 1, conditions });
        // The operator looks at a node once a second.
        await sleep(2000);
        const cube = await client.get<
          KubeObject & { status: { conditions: { type: string; status: string }[] } }
        >(CUBES, metadata);
        return cube?.status.conditions.find((c) => c.type === 'Ready')?.status === 'True';
      });
    } finally {
      await lease.stop();
    }
    await operator.running.stop();
    await client.close();
  }, 120_000);
});

describe('a Node that goes', () => {
  it('takes its cubes, links, table and CubeNode with it', async () => {
    const operator = await startOperator();
    await settled(operator);
    expect(Object.keys((await output()).cubes ?? {})).not.toHaveLength(0);
    await cluster.api.delete(`/api/v1/${NODES.plural}/node-b`);
    await until(
      'nothing of it is left',
      async () => !JSON.stringify(await output()).includes('node-b'),
      30_000,
    );
    expect(Object.keys((await output()).nodes ?? {})).toEqual(['node-a']);
    await operator.running.stop();
  }, 120_000);
});

describe('chains that the installation brings', () => {
  const events = async () =>
    (await cluster.api.list<Event>(`/apis/events.k8s.io/v1/namespaces/${SYSTEM}/events`)).filter(
      ({ reason }) => reason === 'ProviderConflict',
    );
  const text = (policy: string): string => JSON.stringify(chainManifest({ failurePolicy: policy }));
  const policy = async () => (await cluster.api.get<ServiceChain>(`${CHAINS}/kubernetes`)).spec.failurePolicy;

  it('are applied, follow their files, come back when deleted, and keep what somebody else has set', async () => {
    await cluster.api.delete(`${CHAINS}/kubernetes`);
    const folder = join(cluster.machine.namespace.directory, 'provider');
    mkdirSync(folder);
    const write = (content: string) => writeFileSync(join(folder, 'chain.yaml'), content);
    const operator = await startOperator('--provider', folder);
    await settled(operator);
    write(text('Closed'));
    const chainIs = (what: string) =>
      until(`failurePolicy ${what}`, async () => (await policy()) === what, 20_000);
    const isThere = async () => (await outputOf(CHAINS)).kubernetes !== undefined;
    await until('the chain', isThere, 20_000);
    expect(await policy()).toBe('Closed');

    write(text('Open'));
    await chainIs('Open');

    await cluster.api.delete(`${CHAINS}/kubernetes`);
    await until('the chain again', isThere, 20_000);

    // what kubectl edit does
    await cluster.api.mergePatch(`${CHAINS}/kubernetes?fieldManager=kubectl-edit`, {
      spec: { failurePolicy: 'Closed' },
    });
    write(`${text('Open')}\n# touched`);
    await until('the conflict is told', async () => (await events()).length > 0, 20_000);
    expect((await events())[0]?.note).toContain('failurePolicy');
    expect(await policy()).toBe('Closed');

    write('kind: [');
    await operator.running.waitForOutput(/chain.yaml: /);
    expect(await policy()).toBe('Closed');
    await operator.running.stop();
  }, 120_000);
});

describe('a chain that goes', () => {
  it('leaves the commit records and takes its cubes and links', async () => {
    const operator = await startOperator();
    await settled(operator);
    expect(Object.keys((await output()).cubes ?? {})).not.toHaveLength(0);
    await cluster.api.delete(`${CHAINS}/kubernetes`);
    await until('nothing of it is left', async () => {
      const { cubes, links } = await output();
      return Object.keys({ ...cubes, ...links }).length === 0;
    });
    const [node] = await cluster.api.list<CubeNode>(`${GROUP}/cubenodes`);
    expect(node?.spec.chains).toEqual([]);
    await operator.running.stop();
  }, 120_000);
});
