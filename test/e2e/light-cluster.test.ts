// SPDX-License-Identifier: Apache-2.0
/**
 * A light cluster with config/provider: a Deployment, Services and NetworkPolicies applied with kubectl, pods that the CNI plugin
 * joins as a runtime has it do, and what real sockets of pods, nodes and the Internet's host reach, and as whom.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { fictitiousPod, gateway } from '../../src/api/variables.ts';
import { startOperator } from '../harness/cubeplane.ts';
import { httpGet } from '../harness/http.ts';
import { INTERNET, INTERNET_PORT } from '../harness/internet.ts';
import { operatorKubeconfig, SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { findServerProcess } from '../harness/kube/server-process.ts';
import { labDirectory, labNamespaces, labPins, openLab } from '../harness/lab.ts';
import { type LightCluster, PROXY_HEALTH_PORT, startLightCluster } from '../harness/light/cluster.ts';
import { callPlugins } from '../harness/light/sandbox.ts';
import { createNamespace, deleteNamespace, Namespace, setPairChecksumOffload } from '../harness/netns.ts';
import { run } from '../harness/process.ts';
import type { DualStack, Pod } from '../harness/topology.ts';
import { setUnderlayOffload } from '../harness/topology.ts';
import { ask, startLoad, startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { answers, eventually } from '../netns/support/answers.ts';
import { connectTcp } from '../netns/support/sockets.ts';
import { eventuallyWays, expectWays, type Way } from '../netns/support/ways.ts';

jest.setTimeout(300_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const PORT = 80;
const TARGET = 8080;
/** After this an agent that is silent is dead to the operator; 40 by default. */
const AGENT_TIMEOUT_S = Number(process.env.CUBEPLANE_AGENT_TIMEOUT ?? 15);

interface LivePod {
  readonly name: string;
  readonly node: string;
  readonly namespace: Namespace;
  readonly addresses: { readonly ipv4: string; readonly ipv6: string };
}

interface PodItem {
  metadata: { name: string; uid: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: { podIPs?: { ip: string }[]; conditions?: { type: string; status: string }[] };
}

interface StandIns {
  readonly gateway: DualStack;
  readonly fictitiousPod: DualStack;
}

/** What a pod sees that reaches itself by a Service: the default of the LoadBalancer. */
const HAIRPIN = { ipv4: '169.254.99.1', ipv6: 'fd00:c0be::1' };

let light: LightCluster;
let vips: { ipv4: string; ipv6: string };

async function kubectl(...args: string[]): Promise<string> {
  return (await light.cluster.kubectl(args, { timeoutMs: 120_000 })).stdout;
}

async function apply(...objects: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await light.cluster.kubectl(['apply', '-f', '-'], { input });
}

/** Something with addresses, as {@link answers} asks it. */
const at = (addresses: DualStack): Pod => ({ addresses }) as Pod;
const nodeOf = (index: number) => light.nodes[index]?.node as LightCluster['nodes'][number]['node'];

async function items(labels: string): Promise<PodItem[]> {
  const text = await kubectl('get', 'pods', '-l', labels, '-o', 'json');
  return (JSON.parse(text) as { items: PodItem[] }).items;
}

async function podsOf(app: string): Promise<LivePod[]> {
  const found = await items(`app=${app}`);
  return found.map(({ metadata: { name, uid }, spec: { nodeName = '' }, status }) => {
    const ips = (status.podIPs ?? []).map(({ ip }) => ip);
    const [ipv4 = '', ipv6 = ''] = [ips.find((ip) => ip.includes('.')), ips.find((ip) => ip.includes(':'))];
    const namespace = new Namespace(light.lab, `${nodeName}-pod-${uid}`, light.lab.cgroup);
    return { name, node: nodeName, namespace, addresses: { ipv4, ipv6 } };
  });
}

async function podOf(app: string): Promise<LivePod> {
  const [pod] = await podsOf(app);
  if (pod === undefined) throw new Error(`no pod has the label app=${app}`);
  return pod;
}

const container = { name: 'main', image: 'none', ports: [{ name: 'http', containerPort: TARGET }] };
const template = (app: string, more: object = {}) => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ ...container, ...more }] },
});
const podObject = (app: string, nodeName: string, name = app) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app } },
  spec: { ...template(app).spec, nodeName },
});
const NODE_PORTS = { web: 30_080, client: 30_081 } as const;
const service = (name: keyof typeof NODE_PORTS, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default' },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: { app: name },
    ports: ['TCP', 'UDP'].map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: PORT,
      targetPort: TARGET,
      nodePort: NODE_PORTS[name],
    })),
    ...more,
  },
});

async function vipsOf(name: string): Promise<{ ipv4: string; ipv6: string }> {
  const text = await kubectl('get', 'service', name, '-o', 'jsonpath={.spec.clusterIPs[*]}');
  const ips = text.trim().split(' ');
  return { ipv4: ips.find((ip) => ip.includes('.')) ?? '', ipv6: ips.find((ip) => ip.includes(':')) ?? '' };
}

/** What stands for each node towards pods, and for clients that come by it. */
async function standIns(): Promise<[StandIns, StandIns]> {
  const text = await kubectl(
    'get',
    'nodes',
    '-o',
    'jsonpath={range .items[*]}{.spec.podCIDRs[*]}{"\\n"}{end}',
  );
  const of = (line: string): StandIns => {
    const [ipv4 = '', ipv6 = ''] = line
      .split(' ')
      .sort((a, b) => Number(a.includes(':')) - Number(b.includes(':')));
    const gatewayOf = (cidr: string) => gateway(cidr).replace(/\/.*/, '');
    return {
      gateway: { ipv4: gatewayOf(ipv4), ipv6: gatewayOf(ipv6) },
      fictitiousPod: { ipv4: fictitiousPod(ipv4), ipv6: fictitiousPod(ipv6) },
    };
  };
  return text.trim().split('\n').map(of) as [StandIns, StandIns];
}

/** Asks a Service until all of its pods have answered. */
async function servedBy(from: Namespace, address: string, names: readonly string[]): Promise<void> {
  let seen: string[] = [];
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(200)) {
    seen = Object.keys((await ask(from, address, PORT, { count: 60 })).by).sort();
    if (seen.join() === [...names].sort().join()) return;
  }
  throw new Error(`served by ${seen.join() || 'nobody'}, not by ${names.join()}`);
}

beforeAll(async () => {
  light = await startLightCluster(await openLab('light cluster test'), {
    operatorFlags: ['--agent-timeout', String(AGENT_TIMEOUT_S)],
  });
  await apply(
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        replicas: 4,
        selector: { matchLabels: { app: 'web' } },
        template: template('web', {
          readinessProbe: { tcpSocket: { port: 'http' }, periodSeconds: 1 },
        }),
      },
    },
    podObject('client', 'node-1'),
    podObject('beside', 'node-1'),
    podObject('away', 'node-2'),
    service('web'),
    service('client', { externalTrafficPolicy: 'Local' }),
  );
  await kubectl('wait', '--for=condition=Available', '--timeout=90s', 'deployment/web');
  await kubectl('wait', '--for=condition=Ready', '--timeout=90s', 'pod/client', 'pod/beside', 'pod/away');
  for (const { node } of light.nodes)
    for (const address of Object.values(node.addresses))
      await startServer(node.namespace, node.name, TARGET, address);
  vips = await vipsOf('web');
}, FIRST_BUILD_MS);

afterAll(async () => {
  await light?.lab.close();
});

test('kubectl works with its kubeconfig from the root network namespace', async () => {
  const kubectlProgram = join(light.cluster.binaries, 'kubectl');
  const { stdout } = await run([
    kubectlProgram,
    `--kubeconfig=${light.kubeconfig}`,
    'get',
    'nodes',
    '-o',
    'name',
  ]);
  expect(stdout).toBe('node/node-1\nnode/node-2\n');
});

test('nodes are said to have a network, the taint that waited for it is gone, and they tell load balancers', async () => {
  interface NodeItem {
    spec: { taints?: { key: string }[] };
    status: { conditions: { type: string; status: string; reason: string }[] };
  }
  const read = async () =>
    (JSON.parse(await kubectl('get', 'nodes', '-o', 'json')) as { items: NodeItem[] }).items;
  let found = await read();
  const isWaiting = ({ spec }: NodeItem) => (spec.taints ?? []).length > 0;
  for (const deadline = Date.now() + 60_000; found.some(isWaiting) && Date.now() < deadline; await sleep(200))
    found = await read();
  const network = found.map(({ spec: { taints = [] }, status: { conditions } }) => ({
    taints,
    condition: conditions.find(({ type }) => type === 'NetworkUnavailable'),
  }));
  const condition = expect.objectContaining({ status: 'False', reason: 'ChainProgrammed' });
  expect(network).toEqual([
    { taints: [], condition },
    { taints: [], condition },
  ]);
  for (const address of [nodeOf(0).addresses.ipv4, nodeOf(1).addresses.ipv6]) {
    const found = await httpGet(light.internet.namespace, address, PROXY_HEALTH_PORT, '/healthz');
    expect(found).toMatchObject({ status: 200, body: expect.stringContaining('"nodeEligible":true') });
  }
});

/** Of all uplinks, and of all pods that are there now. */
async function setOffload(on: boolean): Promise<void> {
  for (const { node } of light.nodes) await setUnderlayOffload(node, on);
  await setUnderlayOffload(light.internet, on);
  for (const pod of (await Promise.all(['web', 'client', 'beside', 'away'].map(podsOf))).flat()) {
    const node = light.nodes.find(({ node: { name } }) => name === pod.node)?.node;
    const [link] = await pod.namespace.ipJson('link show eth0');
    const [peer] =
      (await node?.namespace.ipJson('link show'))?.filter(({ ifindex }) => ifindex === link?.link_index) ??
      [];
    if (node === undefined || peer === undefined) throw new Error(`${pod.name} is joined to nothing`);
    const ends = [
      { namespace: pod.namespace, device: 'eth0' },
      { namespace: node.namespace, device: String(peer.ifname) },
    ];
    await setPairChecksumOffload(ends, on);
  }
}

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await setOffload(offload);
  });

  test('pods reach pods, Services, also of themselves, nodes, NodePorts and the Internet', async () => {
    const [client, beside, away] = await Promise.all([podOf('client'), podOf('beside'), podOf('away')]);
    const from = client.namespace;
    const own = { from, sees: client.addresses };
    const masqueraded = { from, sees: nodeOf(0).addresses };
    const names = (await podsOf('web')).map(({ name }) => name);
    await expectWays([
      { ...own, name: 'pod beside', to: beside.addresses, port: TARGET, by: ['beside'] },
      { ...own, name: 'pod of another node', to: away.addresses, port: TARGET, by: ['away'] },
      { ...own, name: 'Service', to: vips, port: PORT, by: names },
      {
        from,
        name: 'itself by a Service',
        to: await vipsOf('client'),
        port: PORT,
        by: ['client'],
        sees: HAIRPIN,
      },
      { ...own, name: 'its own node', to: nodeOf(0).addresses, port: TARGET, by: ['node-1'] },
      { ...own, name: 'NodePort of its own node', to: nodeOf(0).addresses, port: NODE_PORTS.web, by: names },
      { ...masqueraded, name: 'another node', to: nodeOf(1).addresses, port: TARGET, by: ['node-2'] },
      { ...masqueraded, name: 'the Internet', to: INTERNET, port: INTERNET_PORT, by: ['internet'] },
    ]);
  });

  test('nodes reach pods and Services; the Internet reaches NodePorts by each node, with the source promised', async () => {
    const [client, away] = [await podOf('client'), await podOf('away')];
    const names = (await podsOf('web')).map(({ name }) => name);
    const [one, two] = await standIns();
    const asNode = { from: nodeOf(0).namespace, sees: one.gateway };
    const internet = { from: light.internet.namespace, by: names, port: NODE_PORTS.web };
    const local = { from: light.internet.namespace, port: NODE_PORTS.client };
    await expectWays([
      { ...asNode, name: 'node to its pod', to: client.addresses, port: TARGET, by: ['client'] },
      { ...asNode, name: 'node to pod of another node', to: away.addresses, port: TARGET, by: ['away'] },
      { ...asNode, name: 'node to Service', to: vips, port: PORT, by: names },
      { ...asNode, name: 'node to NodePort', to: nodeOf(0).addresses, port: NODE_PORTS.web, by: names },
      { ...internet, name: 'Internet by node-1', to: nodeOf(0).addresses, sees: one.fictitiousPod },
      { ...internet, name: 'Internet by node-2', to: nodeOf(1).addresses, sees: two.fictitiousPod },
      {
        ...local,
        name: 'Internet, Local',
        to: nodeOf(0).addresses,
        by: ['client'],
        sees: light.internet.addresses,
      },
      { ...local, name: 'Internet, Local elsewhere', to: nodeOf(1).addresses, by: 'ETIMEDOUT' },
    ]);
  });
});

test('under default deny, probes go on: a pod that starts becomes Ready, and nobody else reaches it', async () => {
  const policy = (name: string, spec: object) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace: 'default' },
    spec,
  });
  await apply(policy('default-deny', { podSelector: {}, policyTypes: ['Ingress'] }));
  const [client, beside] = [await podOf('client'), await podOf('beside')];
  const toEach = async (from: LivePod, answer: boolean): Promise<Way[]> =>
    (await podsOf('web')).map(({ name, addresses }) => ({
      name: `${from.name} to ${name}`,
      from: from.namespace,
      to: addresses,
      port: TARGET,
      by: answer ? [name] : 'ETIMEDOUT',
      sees: from.addresses,
    }));
  await eventuallyWays(await toEach(client, false));
  await kubectl('scale', 'deployment/web', '--replicas=6');
  await kubectl('wait', '--for=jsonpath={.status.readyReplicas}=6', '--timeout=90s', 'deployment/web');
  const internet = { name: 'Internet', from: light.internet.namespace, to: nodeOf(0).addresses };
  await expectWays([
    ...(await toEach(client, false)),
    { ...internet, port: NODE_PORTS.web, by: 'ETIMEDOUT' },
  ]);
  await apply(
    policy('clients', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
    }),
  );
  const names = (await podsOf('web')).map(({ name }) => name);
  await servedBy(client.namespace, vips.ipv4, names);
  await expectWays(await toEach(beside, false));
  await kubectl('delete', 'networkpolicy', '--all');
  await eventuallyWays(await toEach(beside, true));
});

describe('a pod that starts, while the operator is stopped', () => {
  const NO_SERVER = 9999;
  const policyOf = (app: string, more: object) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: app, namespace: 'default' },
    spec: { podSelector: { matchLabels: { app } }, policyTypes: ['Ingress', 'Egress'], ...more },
  });

  /** Datagrams of both families that came to a pod where nobody listens. */
  async function unasked({ namespace }: LivePod): Promise<number> {
    const { stdout } = await namespace.exec(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
    const [names = '', values = ''] = stdout.split('\n').filter((line) => line.startsWith('Udp:'));
    const ipv4 = Number(values.split(' ')[names.split(' ').indexOf('NoPorts')]);
    return ipv4 + Number(/^Udp6NoPorts\s+(\d+)/m.exec(stdout)?.[1]);
  }

  /** What comes to `to` of the first 300 datagrams a family of a pod that begins to send before it has a network. */
  async function firstDatagrams(app: string, to: LivePod): Promise<number> {
    const name = `eager-${app}`;
    // The kubelets leave it alone: it is on no node of theirs.
    const pod = podObject(app, 'elsewhere', name);
    await apply(pod);
    const uid = await kubectl('get', 'pod', name, '-o', 'jsonpath={.metadata.uid}');
    const node = nodeOf(0);
    const metadata = { ...pod.metadata, uid };
    const namespace = await createNamespace(light.lab, name);
    const before = await unasked(to);
    const senders = await Promise.all(
      Object.values(to.addresses).map(async (address, index) => {
        const send = `echo x 2>/dev/null >/dev/udp/${address}/${NO_SERVER}`;
        const script = `n=0; while [ $n -lt 300 ]; do { ${send}; } 2>/dev/null && n=$((n+1)); done`;
        return await namespace.start(`${name}-${index}`, ['bash', '--norc', '-c', script]);
      }),
    );
    await callPlugins(node, { metadata }, namespace, 'ADD');
    for (const sender of senders) await sender.exited(60_000);
    const came = (await unasked(to)) - before;
    await callPlugins(node, { metadata }, namespace, 'DEL');
    await deleteNamespace(namespace);
    await kubectl('delete', 'pod', name, '--force');
    return came;
  }

  beforeAll(async () => {
    await apply(
      policyOf('closed', {
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 'http' }] }],
      }),
      podObject('closed', 'node-1'),
    );
    await kubectl('wait', '--for=condition=Ready', '--timeout=90s', 'pod/closed');
    await eventually(
      (await podOf('beside')).namespace,
      at((await podOf('closed')).addresses),
      [TARGET],
      [], // the policy is in the kernel
    );
    process.kill(light.operator.pid, 'SIGSTOP');
  });
  afterAll(async () => {
    process.kill(light.operator.pid, 'SIGCONT');
    await kubectl('delete', 'networkpolicy', '--all');
    await kubectl('delete', 'pod', '-l', 'app=closed', '--timeout=90s');
  });

  test('its policies are in force: by labels, by the name of a port, in both directions', async () => {
    const [client, beside] = [await podOf('client'), await podOf('beside')];
    await apply(podObject('closed', 'node-1', 'closed-too'));
    await kubectl('wait', '--for=condition=Ready', '--timeout=90s', 'pod/closed-too');
    const pod = (await podsOf('closed')).find(({ name }) => name === 'closed-too') as LivePod;
    const tcp = [`TCP ipv4 ${TARGET}`, `TCP ipv6 ${TARGET}`];
    expect(await answers(client.namespace, at(pod.addresses), [TARGET])).toEqual(tcp);
    expect(await answers(beside.namespace, at(pod.addresses), [TARGET])).toEqual([]);
    expect(await answers(pod.namespace, at(beside.addresses), [TARGET])).toEqual([]);
  });

  test('nothing that it sends gets out, from the first packet on; of a pod without policies something does', async () => {
    const beside = await podOf('beside');
    expect(await firstDatagrams('closed', beside)).toBe(0);
    expect(await firstDatagrams('open', beside)).toBeGreaterThan(0);
  });
});

describe('a Service of type LoadBalancer with an address pool', () => {
  const LB = { ipv4: '198.18.0.200', ipv6: 'fd00:18::200' };
  const balancer = (more: object = {}) => {
    const { spec, ...rest } = service('web', { type: 'LoadBalancer', ...more });
    const ports = spec.ports.map(({ nodePort: _, ...port }) => port);
    return { ...rest, metadata: { name: 'lb', namespace: 'default' }, spec: { ...spec, ports } };
  };
  const pool = {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeTable',
    metadata: { name: 'pool', namespace: SYSTEM_NAMESPACE },
    spec: {
      type: 'AddressPool',
      addressPool: {
        // the first of each is a node's, which no Service gets
        ranges: [
          { first: '198.18.0.11', last: '198.18.0.11' },
          { first: LB.ipv4, last: '198.18.0.210' },
          { first: LB.ipv6, last: 'fd00:18::210' },
        ],
      },
    },
  };
  const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

  async function addresses(): Promise<string> {
    return await kubectl('get', 'service', 'lb', '-o', 'jsonpath={.status.loadBalancer.ingress[*].ip}');
  }

  /** Index of the node that the operator names. */
  async function holder(): Promise<number> {
    const path = 'jsonpath={.spec.announcements[*].node}';
    const names = await kubectl(
      '-n',
      SYSTEM_NAMESPACE,
      'get',
      'cubetable',
      'announcement.default.lb.0',
      '-o',
      path,
    );
    expect(new Set(names.split(' ')).size).toBe(1);
    return light.nodes.findIndex(({ node: { name } }) => names.startsWith(name));
  }

  /** Index of the node whose MAC the Internet's host has for each address; -1: of none. */
  async function heardOf(): Promise<number[]> {
    const macs = await Promise.all(
      light.nodes.map(async ({ node }) =>
        String((await node.namespace.ipJson('link show eth0'))[0]?.address),
      ),
    );
    const found = await light.internet.namespace.ipJson('neigh show');
    return Object.values(LB).map((address) =>
      macs.indexOf(String(found.find(({ dst }) => dst === address)?.lladdr)),
    );
  }

  /** Whether each node's uplink lets questions for the IPv6 address in: a switch that snoops sends them nowhere else. */
  async function listens(): Promise<boolean[]> {
    return await Promise.all(
      light.nodes.map(async ({ node }) =>
        (await node.namespace.exec(['ip', '-6', 'maddress', 'show', 'dev', 'eth0'])).stdout.includes(
          'ff02::1:ff00:200',
        ),
      ),
    );
  }

  async function sayReady(node: string, status: 'True' | 'Unknown'): Promise<void> {
    type Condition = { type: string };
    const { api } = light.cluster;
    const path = `/api/v1/nodes/${node}`;
    const said = (await api.get<{ status: { conditions: Condition[] } }>(path)).status.conditions;
    const ready = { type: 'Ready', status, reason: 'Test', message: 'said by a test' };
    const conditions = [...said.filter(({ type }) => type !== 'Ready'), ready];
    await api.mergePatch(`${path}/status`, { status: { conditions } });
  }

  const outside = async (more: Partial<Way> = {}): Promise<Way> => ({
    name: 'Internet',
    from: light.internet.namespace,
    to: LB,
    port: PORT,
    by: (await podsOf('web')).map(({ name }) => name),
    sees: (await standIns())[(await holder()) as 0 | 1].fictitiousPod,
    ...more,
  });

  test('waits without a pool; with one it has an address a family, which a node answers for', async () => {
    await apply(balancer());
    await sleep(500);
    expect(await addresses()).toBe('');
    await apply(pool);
    await kubectl('wait', '--for=jsonpath={.status.loadBalancer.ingress}', '--timeout=60s', 'service/lb');
    expect((await addresses()).split(' ').sort()).toEqual(Object.values(LB).sort());
    await until('an announcement', async () =>
      (await kubectl('-n', SYSTEM_NAMESPACE, 'get', 'cubetables')).includes('announcement.'),
    );
    await eventuallyWays([await outside()]);
    const index = await holder();
    expect(await heardOf()).toEqual([index, index]);
    expect(await listens()).toEqual([index === 0, index === 1]);
  });

  describe.each([true, false])('checksum offload %s', (offload) => {
    beforeAll(async () => {
      await setOffload(offload);
    });

    test('is reached from the Internet, pods and nodes; a port that it does not serve is refused', async () => {
      const by = (await podsOf('web')).map(({ name }) => name);
      const stands = await standIns();
      const pods = await Promise.all(['client', 'away'].map(podOf));
      await expectWays([
        await outside(),
        ...pods.map(({ name, namespace, addresses }) => ({
          name,
          from: namespace,
          to: LB,
          port: PORT,
          by,
          sees: addresses,
        })),
        ...stands.map(({ gateway }, index) => {
          const { name, namespace } = nodeOf(index);
          return { name, from: namespace, to: LB, port: PORT, by, sees: gateway };
        }),
      ]);
      for (const address of Object.values(LB))
        expect((await connectTcp(light.internet.namespace, address, 81)).error).toBe('ECONNREFUSED');
    });

    test('with policy Local a node with a pod answers, and the pod sees the client', async () => {
      const local = { sees: light.internet.addresses };
      for (const [app, index] of [
        ['beside', 0],
        ['away', 1],
      ] as const) {
        await apply(balancer({ externalTrafficPolicy: 'Local', selector: { app } }));
        await until(
          'neighbours know the node',
          async () => (await heardOf()).join() === [index, index].join(),
        );
        expect(await holder()).toBe(index);
        await eventuallyWays([await outside({ ...local, by: [app] })]);
      }
      await apply(balancer({ externalTrafficPolicy: 'Cluster' }));
      await eventuallyWays([await outside()]);
    });

    test('moves to another node, and everybody finds it there', async () => {
      const before = await holder();
      await kubectl('label', 'node', nodeOf(before).name, `${EXCLUDED}=`);
      await until(
        'neighbours know the node',
        async () => (await heardOf()).join() === [1 - before, 1 - before].join(),
      );
      await expectWays([await outside()]);
      await kubectl('label', 'node', nodeOf(before).name, `${EXCLUDED}-`);
    });
  });

  test('is answered for while the agent is dead, and by another agent after it', async () => {
    const { agent } = light.nodes[await holder()] as LightCluster['nodes'][number];
    await agent.kill();
    await light.internet.namespace.ip('neigh flush dev eth0');
    await expectWays([await outside()]);
    await agent.start();
    await light.internet.namespace.ip('neigh flush dev eth0');
    await expectWays([await outside()]);
  });

  test('moves at once from a node that may not have it, and neighbours hear of it by themselves', async () => {
    const before = await holder();
    expect(await heardOf()).toEqual([before, before]);
    await kubectl('label', 'node', nodeOf(before).name, `${EXCLUDED}=`);
    const began = Date.now();
    const after = 1 - before;
    await until('neighbours know the node', async () => (await heardOf()).join() === [after, after].join());
    light.lab.log(`a load balancer's addresses: another node after ${Date.now() - began} ms`);
    expect(await holder()).toBe(after);
    await until(
      'that node alone listens',
      async () => (await listens()).join() === [after === 0, after === 1].join(),
    );
    await expectWays([await outside()]);
    await kubectl('label', 'node', nodeOf(before).name, `${EXCLUDED}-`);
    await sleep(500);
    expect(await holder()).toBe(after); // it stays where it is
  });

  test('moves from a node that is dead, within the time that its agent has and a moment', async () => {
    const before = await holder();
    const after = 1 - before;
    const { agent, node } = light.nodes[before] as LightCluster['nodes'][number];
    const cable = `port${node.addresses.ipv4.split('.')[3]}`;
    const survivor = after === 0 ? 'beside' : 'away';
    const served = async () => await outside({ by: [survivor] });
    await apply(balancer({ selector: { app: survivor } }));
    await eventuallyWays([await served()]);
    expect(await heardOf()).toEqual([before, before]);
    const began = Date.now();
    try {
      await light.underlay.namespace.ip(`link set ${cable} down`);
      await agent.kill();
      await sayReady(node.name, 'Unknown'); // as the node controller does of a kubelet that is silent
      await until('neighbours know the node', async () => (await heardOf()).join() === [after, after].join());
      await expectWays([await served()]);
      const seconds = (Date.now() - began) / 1000;
      light.lab.log(`a load balancer's addresses: away from a dead node after ${seconds.toFixed(1)} s`);
      // its last renewal may have been up to 10 s before
      expect(seconds).toBeGreaterThan(AGENT_TIMEOUT_S - 11);
      expect(seconds).toBeLessThan(AGENT_TIMEOUT_S + 30);
      expect(await holder()).toBe(after);
    } finally {
      await light.underlay.namespace.ip(`link set ${cable} up`);
      await agent.start();
      await sayReady(node.name, 'True');
    }
    await until(
      'that node alone listens',
      async () => (await listens()).join() === [after === 0, after === 1].join(),
    );
    await light.internet.namespace.ip('neigh flush dev eth0');
    await eventuallyWays([await served()]);
    expect(await heardOf()).toEqual([after, after]);
  });

  test('keeps its address without the pool, and gives it back with its type', async () => {
    await kubectl('-n', SYSTEM_NAMESPACE, 'delete', 'cubetable', 'pool');
    await sleep(500);
    expect((await addresses()).split(' ')).toHaveLength(2);
    const events = await kubectl('get', 'events', '-o', 'jsonpath={range .items[*]}{.reason}{"\\n"}{end}');
    expect(events.split('\n')).toEqual(
      expect.arrayContaining(['AddressAssigned', 'Announced', 'AddressNotInPool']),
    );
    await kubectl(
      'patch',
      'service',
      'lb',
      '-p',
      '{"spec":{"type":"ClusterIP","externalTrafficPolicy":null}}',
    );
    await until(
      'no announcement',
      async () => !(await kubectl('-n', SYSTEM_NAMESPACE, 'get', 'cubetables')).includes('announcement.'),
    );
    expect(await addresses()).toBe('');
    await light.internet.namespace.ip('neigh flush dev eth0');
    for (const address of Object.values(LB))
      expect((await connectTcp(light.internet.namespace, address, PORT)).error).not.toBeNull();
    await kubectl('delete', 'service', 'lb');
  });
});

test('connections live on while the operator is dead and the API server away, and both are caught up with', async () => {
  const client = await podOf('client');
  const server = (await findServerProcess(light.cluster)).pid;
  const served = async () => {
    const names = (await podsOf('web')).map(({ name }) => name);
    const began = Date.now();
    await servedBy(client.namespace, vips.ipv4, names);
    return Date.now() - began;
  };
  const scale = async (replicas: number) => {
    await kubectl('scale', 'deployment/web', `--replicas=${replicas}`);
    const ready = `--for=jsonpath={.status.readyReplicas}=${replicas}`;
    await kubectl('wait', ready, '--timeout=90s', 'deployment/web');
  };
  const loads = await Promise.all(
    [
      ...Object.values(vips).map((address) => [client.namespace, address, PORT] as const),
      ...Object.values(nodeOf(1).addresses).map(
        (address) => [light.internet.namespace, address, NODE_PORTS.web] as const,
      ),
    ].flatMap(([from, address, port]) =>
      [false, true].map((udp) => startLoad(from, address, port, { every: 20, udp, long: udp ? 0 : 4 })),
    ),
  );
  process.kill(light.operator.pid, 'SIGKILL');
  await scale(7);
  await startOperator(light.cluster.machine, await operatorKubeconfig(light.cluster));
  light.lab.log(`a new pod is served ${await served()} ms after another operator was started`);
  process.kill(server, 'SIGSTOP');
  await sleep(10_000);
  process.kill(server, 'SIGCONT');
  await scale(8);
  light.lab.log(
    `a new pod is served ${await served()} ms after it was ready, with an API server that was away`,
  );
  for (const load of loads) {
    const { requests, failures } = await load.end();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(200);
  }
});

test('a deleted pod leaves its Service and its node', async () => {
  const client = await podOf('client');
  await kubectl('scale', 'deployment/web', '--replicas=1');
  let left: PodItem[] = [];
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(200)) {
    left = await items('app=web');
    if (left.length === 1) break;
  }
  expect(left.length).toBe(1);
  await servedBy(
    client.namespace,
    vips.ipv4,
    left.map(({ metadata }) => metadata.name),
  );
  // client, beside, away, and the last of web; pairs are deleted behind the answer of DEL
  let pods: unknown[] = [];
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && pods.length !== 4; await sleep(50)) {
    const devices = await Promise.all(light.nodes.map(({ node }) => node.namespace.ipJson('link show')));
    pods = devices.flat().filter(({ ifname }) => /^cp[0-9a-f]{13}$/.test(String(ifname)));
  }
  expect(pods.length).toBe(4);
});

test('the chain is Ready and nothing is left to do', async () => {
  const inSystem = [
    '-n',
    SYSTEM_NAMESPACE,
    'get',
    'cubes',
    '-o',
    'jsonpath={range .items[*]}{.spec.type} {end}',
  ];
  expect((await kubectl(...inSystem)).trim().split(' ').sort()).toEqual(
    ['Firewall', 'LoadBalancer', 'LoadBalancer', 'Nat', 'Router', 'SocketLB'].flatMap((type) => [type, type]),
  );
  for (const { agent } of light.nodes)
    expect((await agent.cli(['plan', '--state-dir', agent.stateDir])).stdout).toMatch(/nothing to do/i);
});

test('its end leaves nothing', async () => {
  const { id, cgroup } = light.lab;
  await light.lab.close();
  expect({
    namespaces: labNamespaces(id),
    pins: existsSync(labPins(id)),
    files: existsSync(labDirectory(id)),
    cgroup: existsSync(cgroup) && readdirSync(cgroup),
  }).toEqual({ namespaces: [], pins: false, files: false, cgroup: false });
});
