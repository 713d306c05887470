// SPDX-License-Identifier: Apache-2.0
/**
 * A node goes over from bridge, host-local and real kube-proxy to Cubeplane and back, step by step as docs/migration.md has it, while
 * the other node is Cubeplane's all the time: pods of both, and nodes, reach each other and Services before, between and after.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { cniPlaces } from '../harness/cni.ts';
import { SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { type LightCluster, startLightCluster } from '../harness/light/cluster.ts';
import { Namespace } from '../harness/netns.ts';
import type { Running } from '../harness/process.ts';
import type { DualStack } from '../harness/topology.ts';
import { startLoad } from '../harness/traffic.ts';
import { survey } from '../netns/support/sockets.ts';
import type { Way } from '../netns/support/ways.ts';

jest.setTimeout(300_000);

const FIRST_BUILD_MS = 30 * 60_000;
const PROVIDER = join(import.meta.dirname, '../../config/provider');
const LABEL = 'cubeplane.io/network';
const PORT = 80;
const TARGET = 8080;
const PLUGINS = '/usr/lib/cni';

interface LivePod {
  readonly name: string;
  readonly node: string;
  readonly namespace: Namespace;
  readonly addresses: DualStack;
}

let lab: Lab;
let light: LightCluster;
let proxy: Running;

const worker = (index: number) => light.nodes[index] as LightCluster['nodes'][number];
const kubectl = async (...args: string[]): Promise<string> =>
  (await light.cluster.kubectl(args, { timeoutMs: 120_000 })).stdout;
const apply = async (...items: object[]) =>
  await light.cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  });

/** The provider for nodes with the label alone, without the tunnel between nodes of a subnet. */
function writeProvider(): string {
  const directory = join(lab.directory, 'provider');
  mkdirSync(directory);
  const patch = [
    { op: 'replace', path: '/spec/target/nodes/selector/matchLabels', value: { [LABEL]: 'yes' } },
    { op: 'add', path: '/spec/links/3/endpoints/1/overlay/directRouting', value: 'SameSubnet' },
  ];
  const kustomization = {
    resources: [relative(directory, PROVIDER)],
    patches: [{ target: { kind: 'ServiceChain', name: 'kubernetes' }, patch: JSON.stringify(patch) }],
  };
  writeFileSync(join(directory, 'kustomization.yaml'), JSON.stringify(kustomization));
  return directory;
}

/** It serves on while the cluster hears that it ends, as pods behind Services should. */
const container = {
  name: 'main',
  image: 'none',
  ports: [{ name: 'http', containerPort: TARGET }],
  lifecycle: { preStop: { sleep: { seconds: 10 } } },
};
const pod = (name: string, nodeName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app: name.replace(/-.*/, '') } },
  spec: { nodeName, terminationGracePeriodSeconds: 15, containers: [container] },
});
/** `client-2` is on node-2. */
const podsOf = (node: number) => [`web-${node}-a`, `web-${node}-b`, `client-${node}`];

async function livePods(): Promise<LivePod[]> {
  const text = await kubectl('get', 'pods', '-o', 'json');
  const { items } = JSON.parse(text) as {
    items: {
      metadata: { name: string; uid: string };
      spec: { nodeName: string };
      status: { podIPs: { ip: string }[] };
    }[];
  };
  return items.map(({ metadata: { name, uid }, spec: { nodeName }, status: { podIPs } }) => {
    const [ipv4 = '', ipv6 = ''] = [/\./, /:/].map((mark) => podIPs.find(({ ip }) => mark.test(ip))?.ip);
    const namespace = new Namespace(lab, `${nodeName}-pod-${uid}`, lab.cgroup);
    return { name, node: nodeName, namespace, addresses: { ipv4, ipv6 } };
  });
}

async function vips(): Promise<DualStack> {
  const text = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIPs[*]}');
  const ips = text.trim().split(' ');
  return { ipv4: ips.find((ip) => ip.includes('.')) ?? '', ipv6: ips.find((ip) => ip.includes(':')) ?? '' };
}

/** From both clients and both nodes to each pod, and to the Service. Pods are seen as themselves. */
async function ways(): Promise<Way[]> {
  const pods = await livePods();
  const web = pods.filter(({ name }) => name.startsWith('web-'));
  expect(new Set(web.map(({ node }) => node))).toEqual(new Set(['node-1', 'node-2']));
  const clients = pods.filter(({ name }) => name.startsWith('client-'));
  const froms = [
    ...clients.map(({ name, namespace, addresses }) => ({ name, from: namespace, sees: addresses })),
    ...light.nodes.map(({ node }) => ({ name: node.name, from: node.namespace, sees: {} })),
  ];
  const to = await vips();
  return froms.flatMap(({ name, from, sees }) => [
    ...pods
      .filter((one) => one.namespace.path !== from.path)
      .map((one) => ({
        name: `${name} to ${one.name}`,
        from,
        sees,
        to: one.addresses,
        port: TARGET,
        by: [one.name],
      })),
    { name: `${name} to Service`, from, sees, to, port: PORT, by: web.map((one) => one.name) },
  ]);
}

/** What does not answer, or not as all that have to, or sees another source. */
async function unreached(list: readonly Way[]): Promise<string[]> {
  const lines: string[] = [];
  for (const from of new Set(list.map((way) => way.from))) {
    const places = list
      .filter((way) => way.from === from)
      .flatMap((way) =>
        Object.values(way.to).flatMap((address: string) =>
          (['tcp', 'udp'] as const).map((protocol) => {
            const count = way.by.length > 1 ? 60 : 2;
            return { way, address, port: way.port, protocol, count };
          }),
        ),
      );
    const outcomes = await survey(
      from,
      places.map(({ way: _, ...place }) => place),
    );
    for (const [i, { way, address, protocol }] of places.entries()) {
      const answers = Object.keys(outcomes[i] ?? {}).map((text) => text.split(' '));
      const seen = [...new Set(answers.map(([by]) => by))].sort();
      const source = address.includes(':') ? way.sees?.ipv6 : way.sees?.ipv4;
      if (source !== undefined && answers.some(([, as]) => as !== source))
        lines.push(`${way.name}, ${protocol} ${address}: seen as ${answers.map(([, as]) => as).join()}`);
      else if (seen.join() !== [...way.by].sort().join())
        lines.push(`${way.name}, ${protocol} ${address}: ${seen.join() || 'nobody'}`);
    }
  }
  return lines;
}

async function allReached(): Promise<void> {
  const list = await ways();
  const deadline = Date.now() + 60_000;
  let missing = await unreached(list);
  while (missing.length > 0 && Date.now() < deadline) missing = await unreached(list);
  expect(missing).toEqual([]);
}

/** CNI as Debian has it, with the routes that a daemon of such a network keeps. */
function writeBridge(cidrs: DualStack): void {
  const { node } = worker(1);
  const { confDir, binDir } = cniPlaces(node);
  for (const directory of [confDir, binDir]) mkdirSync(directory, { recursive: true });
  for (const plugin of ['bridge', 'host-local']) copyFileSync(join(PLUGINS, plugin), join(binDir, plugin));
  const ranges = Object.values(cidrs).map((subnet) => [{ subnet }]);
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }];
  const ipam = { type: 'host-local', dataDir: join(confDir, '../leases'), ranges, routes };
  const plugin = { type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true, ipam };
  const list = { cniVersion: '1.0.0', name: 'bridge', plugins: [plugin] };
  writeFileSync(join(confDir, '10-bridge.conflist'), JSON.stringify(list));
}

async function podCidrs(name: string): Promise<{ ipv4: string; ipv6: string }> {
  const text = await kubectl('get', 'node', name, '-o', 'jsonpath={.spec.podCIDRs[*]}');
  const list = text.trim().split(' ');
  return {
    ipv4: list.find((cidr) => cidr.includes('.')) ?? '',
    ipv6: list.find((cidr) => cidr.includes(':')) ?? '',
  };
}

async function foreignRoutes(what: 'add' | 'delete'): Promise<void> {
  const other = worker(0).node;
  const { ipv4, ipv6 } = await podCidrs('node-1');
  await worker(1).node.namespace.ip(
    `route ${what} ${ipv4} via ${other.addresses.ipv4}`,
    `route ${what} ${ipv6} via ${other.addresses.ipv6}`,
  );
}

async function startProxy(): Promise<Running> {
  const { node } = worker(1);
  const running = await node.namespace.start('kube-proxy', [
    join(light.cluster.binaries, 'kube-proxy'),
    `--kubeconfig=${light.cluster.kubeconfig}`,
    ...['--proxy-mode=iptables', '--conntrack-max-per-core=0', '--hostname-override=node-2'],
  ]);
  await running.waitForOutput(/Caches are synced/);
  return running;
}

interface Check {
  readonly status: number;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly restart: readonly string[];
}

async function check(index: number): Promise<Check> {
  const { agent, node } = worker(index);
  const { confDir } = cniPlaces(node);
  const flags = [
    '--kubeconfig',
    light.cluster.kubeconfig,
    '--state-dir',
    agent.stateDir,
    '--cni-conf-dir',
    confDir,
  ];
  const { status, stdout } = await agent.cli(['migrate', 'check', ...flags, '-o', 'json'], {
    anyStatus: true,
  });
  const { ready, findings } = JSON.parse(stdout) as {
    ready: boolean;
    findings: { reason: string; severity: string; object: string }[];
  };
  const reasons = [
    ...new Set(findings.filter(({ severity }) => severity !== 'Note').map(({ reason }) => reason)),
  ].sort();
  const restart = findings.filter(({ severity }) => severity === 'Restart').map(({ object }) => object);
  return { status, ready, reasons, restart: restart.sort() };
}

async function drain(): Promise<void> {
  await kubectl('drain', 'node-2', '--force', '--timeout=90s');
  lab.log(`${Date.now()} node-2 is drained`);
}

async function open(): Promise<void> {
  await kubectl('uncordon', 'node-2');
  await start(2);
}

async function start(node: number): Promise<void> {
  await apply(...podsOf(node).map((name) => pod(name, `node-${node}`)));
  await kubectl(
    'wait',
    '--for=condition=Ready',
    '--timeout=90s',
    ...podsOf(node).map((name) => `pod/${name}`),
  );
}

/** A client of node-1 asks the Service without pause, from its pod and from its node. */
async function underLoad(work: () => Promise<void>): Promise<void> {
  const client = (await livePods()).find(({ name }) => name === 'client-1') as LivePod;
  const addresses = Object.values(await vips()) as string[];
  const froms = [client.namespace, worker(0).node.namespace];
  const loads = await Promise.all(
    froms.flatMap((from) => addresses.map((address) => startLoad(from, address, PORT, { every: 20 }))),
  );
  lab.log(`${Date.now()} clients ask`);
  await work();
  for (const load of loads) {
    const { requests, failures } = await load.end();
    expect(requests).toBeGreaterThan(100);
    expect(failures).toEqual([]);
  }
}

beforeAll(async () => {
  lab = await openLab('migration test');
  const labels = { [LABEL]: 'yes' };
  light = await startLightCluster(lab, { foreign: ['node-2'], labels, provider: writeProvider() });
  writeBridge(await podCidrs('node-2'));
  await foreignRoutes('add');
  proxy = await startProxy();
  await apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'web' },
      ports: ['TCP', 'UDP'].map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: PORT,
        targetPort: TARGET,
      })),
    },
  });
  await start(1);
  await start(2);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await light?.lab.close();
});

test('before: pods and nodes of both networks reach each other and the Service', async () => {
  await allReached();
  expect(await check(0)).toMatchObject({ ready: true, status: 0 });
  const found = await check(1);
  expect(found).toMatchObject({ ready: false, status: 1 });
  expect(found.reasons).toEqual([
    'ForeignCNIConfig',
    'ForeignDevice',
    'KubeProxyRules',
    'KubeProxyRunning',
    'PodOfOtherNetwork',
  ]);
  expect(found.restart).toContain('default/client-2');
});

test('node-2 goes over; clients of node-1 lose nothing', async () => {
  const { node, agent } = worker(1);
  const { confDir } = cniPlaces(node);
  await underLoad(async () => {
    await drain();
    await proxy.stop();
    await node.namespace.exec([join(light.cluster.binaries, 'kube-proxy'), '--cleanup'], { anyStatus: true });
    await foreignRoutes('delete');
    await node.namespace.ip('link delete cni0');
    renameSync(join(confDir, '10-bridge.conflist'), join(confDir, '10-bridge.conflist.before-cubeplane'));
    await kubectl('label', 'node', 'node-2', `${LABEL}=yes`);
    await agent.start();
    for (
      const deadline = Date.now() + 60_000;
      !existsSync(join(confDir, '05-cubeplane.conflist'));
      await sleep(100)
    )
      if (Date.now() > deadline) throw new Error('the node has no network');
    expect(await check(1)).toMatchObject({ ready: true, status: 0, reasons: [] });
    await open();
  });
});

test('after: all is as in a cluster that never had another network', async () => {
  await allReached();
  const text = await kubectl(
    'get',
    'node',
    'node-2',
    '-o',
    'jsonpath={.status.conditions[*].reason} {.spec.taints}',
  );
  expect(text).toContain('ChainProgrammed');
  expect(text).not.toContain('unavailable');
  expect((await check(1)).reasons).toEqual([]);
});

test('node-2 goes back; clients of node-1 lose nothing', async () => {
  const { node, agent } = worker(1);
  const { confDir } = cniPlaces(node);
  await underLoad(async () => {
    await drain();
    await kubectl('label', 'node', 'node-2', `${LABEL}-`);
    await agent.stop();
    await agent.down();
    await kubectl('delete', 'cubenode', 'node-2');
    const conditions = [{ type: 'NetworkUnavailable', status: 'False', reason: 'OtherNetwork' }];
    await kubectl(
      'patch',
      'node',
      'node-2',
      '--subresource=status',
      '-p',
      JSON.stringify({ status: { conditions } }),
    );
    renameSync(join(confDir, '10-bridge.conflist.before-cubeplane'), join(confDir, '10-bridge.conflist'));
    await foreignRoutes('add');
    proxy = await startProxy();
    await open();
  });
});

test('afterwards: pods and nodes of both networks reach each other, and nothing of Cubeplane is on the node', async () => {
  await allReached();
  const { node } = worker(1);
  const links = await node.namespace.ipJson('link show');
  expect(
    links.map(({ ifname }) => ifname).filter((name) => /^(cp[0-9a-f]{13}|cube)/.test(String(name))),
  ).toEqual([]);
  expect(existsSync(join(cniPlaces(node).confDir, '05-cubeplane.conflist'))).toBe(false);
  const text = await kubectl('get', 'node', 'node-2', '-o', 'jsonpath={.spec.taints}');
  expect(text).not.toContain('unavailable');
  expect(await kubectl('-n', SYSTEM_NAMESPACE, 'get', 'cubes', '-o', 'name')).not.toContain('node-2');
});
