// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { SILENT } from '../../k8s/log.ts';
import { ManifestSource } from './manifests.ts';
import type { SourceHandler, SourceObject } from './source.ts';

const NODES = `apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {kubernetes.io/os: linux}}
spec: {podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 198.18.0.11}, {type: InternalIP, address: "fd00:18::11"}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-b, labels: {kubernetes.io/os: linux}}
spec: {podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 198.18.0.12}]}
`;
const CHAIN = `apiVersion: cubeplane.io/v1alpha1
kind: ServiceChain
metadata: {name: net, namespace: cubeplane-system}
spec:
  cubes:
  - {name: ilb, type: LoadBalancer, loadBalancer: {}, tables: [{type: Service}]}
  - name: router
    type: Router
    router: {}
    tables: [{type: Route}]
    ports: [{name: pods, addresses: [$(node.podCIDRs.ipv4.gateway), $(node.podCIDRs.ipv6.gateway)]}]
  links:
  - {name: pods, endpoints: [{type: Pods}, {type: Cube, cube: {name: ilb, port: pods}}]}
  - {name: ilb-router, endpoints: [{type: Cube, cube: {name: ilb, port: server}}, {type: Cube, cube: {name: router, port: pods}}]}
  - {name: overlay, endpoints: [{type: Cube, cube: {name: router, port: overlay}}, {type: Overlay}]}
`;
const service = (port: number | string) => `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: ${port}}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.10]}, {addresses: [10.244.2.10]}]
`;

let root = '';
let source: ManifestSource | undefined;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cubeplane-manifests-'));
  mkdirSync(join(root, 'dir'));
});
afterEach(async () => {
  await source?.stop();
  source = undefined;
  rmSync(root, { recursive: true, force: true });
});

function put(name: string, text: string): void {
  writeFileSync(join(root, 'dir', `.${name}.new`), text);
  renameSync(join(root, 'dir', `.${name}.new`), join(root, 'dir', name));
}

/** Remembers what it was handed, and the order. */
class Recorder implements SourceHandler {
  readonly objects = new Map<string, SourceObject>();
  readonly events: string[] = [];
  set(object: SourceObject): void {
    const key = `${object.kind} ${object.metadata.name}`;
    this.objects.set(key, object);
    this.events.push(`set ${key}`);
  }
  delete(kind: string, _namespace: string | undefined, name: string): void {
    this.objects.delete(`${kind} ${name}`);
    this.events.push(`delete ${kind} ${name}`);
  }
  synced(): void {
    this.events.push('synced');
  }
  async until(ready: () => boolean): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (!ready()) {
      if (Date.now() > deadline) throw new Error(`never so; events: ${this.events.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function begin(node = 'node-a'): Promise<Recorder> {
  const recorder = new Recorder();
  const options = { directory: join(root, 'dir'), node, stateRoot: join(root, 'state'), log: SILENT };
  source = new ManifestSource(options);
  await source.start(recorder);
  return recorder;
}

const report = (node = 'node-a') =>
  JSON.parse(readFileSync(join(root, 'state', node, 'status/manifests.json'), 'utf8'));

test('a chain, services and nodes become the objects of this node', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  put('web.yaml', service(80));
  const recorder = await begin();
  await recorder.until(() => recorder.events.includes('synced'));
  expect([...recorder.objects.keys()].sort()).toEqual([
    'Cube net.ilb.node-a',
    'Cube net.router.node-a',
    'CubeLink net.ilb-router.node-a',
    'CubeLink net.overlay.node-a',
    'CubeLink net.pods.node-a',
    'CubeNode node-a',
    'CubeTable node.node-a.0',
    'CubeTable node.node-b.0',
    'CubeTable service.default.web.0',
    'Node node-a',
  ]);
  expect(recorder.events.at(-1)).toBe('synced');
  const router = recorder.objects.get('Cube net.router.node-a');
  expect(router).toMatchObject({
    metadata: { namespace: 'cubeplane-system', generation: 1, labels: { 'cubeplane.io/chain': 'net' } },
    spec: { nodeName: 'node-a', ports: [{ name: 'pods', addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] }] },
  });
  const commit = recorder.objects.get('CubeNode node-a')?.spec as { chains: { members: unknown[] }[] };
  expect(commit.chains[0]?.members).toHaveLength(5);
  expect(source?.health()).toEqual({ synced: true });
});

test('a change of one file changes what it says and nothing else; a removed file takes its objects along', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  put('web.yaml', service(80));
  const recorder = await begin();
  await recorder.until(() => recorder.events.includes('synced'));
  recorder.events.length = 0;
  put('web.yaml', service(81));
  await recorder.until(() => recorder.events.length > 0);
  expect(recorder.events).toEqual(['set CubeTable service.default.web.0']);
  expect(recorder.objects.get('CubeTable service.default.web.0')?.metadata.generation).toBe(2);
  rmSync(join(root, 'dir/web.yaml'));
  await recorder.until(() => recorder.events.length > 1);
  expect(recorder.events[1]).toBe('delete CubeTable service.default.web.0');
});

test('a broken file keeps its last good version in force, says so, and does so after a restart', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  put('web.yaml', service(80));
  const first = await begin();
  await first.until(() => first.events.includes('synced'));
  const before = first.objects.get('CubeTable service.default.web.0');
  put('web.yaml', service('99999'));
  await first.until(() => source?.health().problem !== undefined);
  expect(source?.health().problem).toMatch(/^web.yaml:4: Service web: spec.ports\[0\].port: .*99999/);
  expect(first.objects.get('CubeTable service.default.web.0')).toBe(before);
  await first.until(() => report().problems.length === 1);
  expect(report().problems[0]).toMatchObject({ file: 'web.yaml', line: 4, reason: 'OutOfRange' });
  await source?.stop();

  const second = await begin();
  await second.until(() => second.events.includes('synced'));
  expect(second.objects.get('CubeTable service.default.web.0')).toEqual(before);
  put('web.yaml', service(82));
  await second.until(() => source?.health().problem === undefined);
  expect(second.objects.get('CubeTable service.default.web.0')?.metadata.generation).toBe(2);
});

test('a directory that disappears keeps everything, and one that comes late is waited for', async () => {
  renameSync(join(root, 'dir'), join(root, 'gone'));
  const recorder = await begin();
  await recorder.until(() => source?.health().problem?.includes('cannot be read') === true);
  expect(recorder.events).toEqual([]);
  renameSync(join(root, 'gone'), join(root, 'dir'));
  put('nodes.yaml', NODES);
  await recorder.until(() => recorder.objects.has('Node node-a'));
  const events = recorder.events.length;
  rmSync(join(root, 'dir'), { recursive: true });
  await recorder.until(() => source?.health().problem !== undefined);
  expect(recorder.events).toHaveLength(events);
  expect(recorder.objects.has('Node node-a')).toBe(true);
});

test('a refused chain leaves its last stamp; its status says why', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  const recorder = await begin();
  await recorder.until(() => recorder.events.includes('synced'));
  const before = recorder.events.length;
  put('chain.yaml', CHAIN.replace('spec:\n', 'spec:\n  updateStrategy: {type: OnDelete}\n'));
  const path = join(root, 'state/node-a/status/ServiceChain/cubeplane-system_net.json');
  await recorder.until(() => existsSync(path) && readFileSync(path, 'utf8').includes('NotSupported'));
  expect(JSON.parse(readFileSync(path, 'utf8')).status).toMatchObject({
    observedGeneration: 2,
    conditions: [{ type: 'Accepted', status: 'False', reason: 'NotSupported', observedGeneration: 2 }],
  });
  expect(recorder.events).toHaveLength(before);
});

test('a paused chain keeps its stamp over a restart', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  const first = await begin();
  await first.until(() => first.events.includes('synced'));
  const before = first.objects.get('CubeNode node-a')?.spec;
  await first.until(() => existsSync(join(root, 'state/node-a/manifests/stamps.json')));
  await source?.stop();
  put(
    'chain.yaml',
    CHAIN.replace('spec:\n', 'spec:\n  paused: true\n').replace('router: {}', 'router: {mtu: 1400}'),
  );
  const second = await begin();
  await second.until(() => second.events.includes('synced'));
  expect(second.objects.get('CubeNode node-a')?.spec).toEqual(before);
});

test('a status is written for the object it belongs to, comes back at the next start, and goes with the object', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  const first = await begin();
  await first.until(() => first.events.includes('synced'));
  const uid = first.objects.get('Cube net.ilb.node-a')?.metadata.uid ?? '';
  const target = { kind: 'Cube', namespace: 'cubeplane-system', name: 'net.ilb.node-a', uid } as const;
  const status = { observedGeneration: 1, conditions: [] };
  expect(await source?.writeStatus(target, status)).toBe(true);
  expect(await source?.writeStatus({ ...target, uid: 'another' }, status)).toBe(false);
  expect(await source?.writeStatus({ ...target, name: 'none' }, status)).toBe(false);
  const path = join(root, 'state/node-a/status/Cube/cubeplane-system_net.ilb.node-a.json');
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ metadata: { uid }, status });
  await source?.stop();

  const second = await begin();
  await second.until(() => second.events.includes('synced'));
  expect(second.objects.get('Cube net.ilb.node-a')?.status).toEqual(status);
  rmSync(join(root, 'dir/chain.yaml'));
  await second.until(() => !existsSync(path));
});

test('two agents on one directory are two nodes', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  const recorder = await begin('node-b');
  await recorder.until(() => recorder.events.includes('synced'));
  expect(recorder.objects.get('Cube net.router.node-b')?.spec).toMatchObject({
    ports: [{ addresses: ['10.244.2.1/24'] }],
  });
  expect(recorder.objects.has('Cube net.router.node-a')).toBe(false);
});

test('what cannot be translated of a good object is a warning', async () => {
  put('nodes.yaml', NODES);
  put('chain.yaml', CHAIN);
  put('web.yaml', service(80).replace('10.96.0.10', '10.96.0.999'));
  const recorder = await begin();
  await recorder.until(() => existsSync(join(root, 'state/node-a/status/manifests.json')));
  expect(report().warnings[0]).toMatchObject({ object: 'Service default/web', reason: 'InvalidAddress' });
});

const TABLE = `apiVersion: cubeplane.io/v1alpha1
kind: CubeTable
metadata: {name: bots, namespace: net}
spec:
  type: Prefix
  prefixes: [{cidr: 192.0.2.0/24}]
  prefixFile: {name: bots.prefixes}
`;

test('a table gets the prefixes of its file; a broken file keeps its last good version, also over a restart', async () => {
  put('table.yaml', TABLE);
  put('bots.prefixes', '10.0.0.1\n10.0.0.2 # two\n');
  let recorder = await begin();
  await recorder.until(() => recorder.events.includes('synced'));
  const spec = () => recorder.objects.get('CubeTable bots')?.spec;
  const rows = (text: string) => ({
    type: 'Prefix',
    prefixes: [
      { cidr: '192.0.2.0/24', list: 'DenySource' },
      { file: 'bots.prefixes', list: 'DenySource', text },
    ],
  });
  expect(spec()).toEqual(rows('10.0.0.1\n10.0.0.2 # two\n'));
  await recorder.until(() => existsSync(join(root, 'state/node-a/status/manifests.json')));
  expect(report().problems).toEqual([]);

  put('bots.prefixes', '10.0.0.1\n\n10.0.0.300\n10.0.0.7/24\n');
  await recorder.until(() => report().problems.length === 2);
  expect(report().problems).toEqual([
    expect.objectContaining({ file: 'bots.prefixes', line: 3, reason: 'InvalidPrefix' }),
    expect.objectContaining({
      file: 'bots.prefixes',
      line: 4,
      message: '"10.0.0.7/24" has bits set to the right of the prefix length',
      remedy: 'write the network address',
    }),
  ]);
  expect(spec()).toEqual(rows('10.0.0.1\n10.0.0.2 # two\n'));
  await source?.stop();
  recorder = await begin();
  await recorder.until(() => recorder.events.includes('synced'));
  expect(spec()).toEqual(rows('10.0.0.1\n10.0.0.2 # two\n'));

  put('bots.prefixes', '10.0.0.3\n');
  await recorder.until(() => JSON.stringify(spec()) === JSON.stringify(rows('10.0.0.3\n')));
  expect(recorder.objects.get('CubeTable bots')?.metadata.generation).toBe(1);
  rmSync(join(root, 'dir', 'bots.prefixes'));
  await recorder.until(() => report().problems.length === 1);
  expect(report().problems).toEqual([
    expect.objectContaining({
      file: 'table.yaml',
      object: 'CubeTable net/bots',
      field: 'spec.prefixFile.name',
      reason: 'FileNotFound',
      message: 'there is no file bots.prefixes beside the manifests',
    }),
  ]);
  expect(spec()).toEqual({ type: 'Prefix', prefixes: [{ cidr: '192.0.2.0/24', list: 'DenySource' }] });
});
