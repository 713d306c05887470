// SPDX-License-Identifier: Apache-2.0
/** The flow log of real connections on two nodes: file, `cubeplane flows`, `cubeplane drops --packets`, by the names of pods and policies. */
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import type { FlowRecord } from '../../src/dataplane/flows/flow-record.ts';
import type { Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { vipsOf } from './support/manifests.ts';
import { connectTcp } from './support/sockets.ts';
import { cubeTable, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

const SAMPLE = new URL('../../samples/network-policy.yaml', import.meta.url).pathname;
// biome-ignore lint/suspicious/noExplicitAny: documents of any kind
const [CHAIN] = parseAllDocuments(readFileSync(SAMPLE, 'utf8')).map((document) => document.toJS() as any);
const VIP = vipsOf(10);
const [OPEN, CLOSED] = [8080, 8081] as const;
const ILB = `${SYSTEM}/kubernetes.ilb.node-a`;
const POLICY = `${SYSTEM}/kubernetes.policy.node-a`;

const folder = mkdtempSync(join(tmpdir(), 'flow-log-'));
const file = join(folder, 'flows.json');
let lab: TwoNodes;
let web: Pod;
let client: Pod;
let far: Pod;

const addresses = (pod: Pod) => FAMILIES.map((family) => pod.addresses[family] ?? '');

beforeAll(async () => {
  lab = await openTwoNodes('flow log', {
    chain: (chain) => {
      chain.spec = CHAIN.spec;
    },
    flagsOf: ({ name }) => (name === 'node-a' ? ['--flow-log', file] : []),
  });
  web = await lab.addPod(0, 'web', 11);
  client = await lab.addPod(0, 'client', 12);
  far = await lab.addPod(1, 'far', 11);
  for (const port of [OPEN, CLOSED]) await startServer(web.namespace, 'web', port);
  lab.writeService({
    name: 'web',
    number: 10,
    ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: OPEN }],
    backends: [web],
  });
  const identities: Identity[] = [
    { id: 1, namespace: 'default', labels: { app: 'web' }, addresses: addresses(web) },
    { id: 2, namespace: 'default', labels: { app: 'client' }, addresses: addresses(client) },
    { id: 3, namespace: 'ops', addresses: addresses(far) },
  ];
  const podSelector = { matchLabels: { app: 'web' } };
  const policies: Policy[] = [
    { namespace: 'default', name: 'deny', podSelector, types: ['Ingress'] },
    {
      namespace: 'default',
      name: 'web',
      podSelector,
      ingress: [{ ports: [{ protocol: 'TCP', port: OPEN }] }],
    },
  ];
  lab.manifests.write(
    'policy.yaml',
    cubeTable('policies', { type: 'Policy', policies }),
    cubeTable('identities', { type: 'Identity', identities }),
  );
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    const open = await connectTcp(client.namespace, VIP.ipv4, 80);
    const closed = await connectTcp(client.namespace, web.addresses.ipv4 ?? '', CLOSED);
    if (open.error === null && closed.error !== null) break;
  }
});
afterAll(async () => {
  await lab?.close();
  rmSync(folder, { recursive: true, force: true });
});

const lines = (path = file): FlowRecord[] =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as FlowRecord);

/** The first line that matches, which takes a moment to be written. */
async function line(wanted: (flow: FlowRecord) => boolean): Promise<FlowRecord | undefined> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await sleep(50)) {
    const found = lines().find(wanted);
    if (found !== undefined) return found;
  }
  return undefined;
}

const DENY = {
  text: 'default deny of NetworkPolicy default/deny, default/web',
  action: 'Drop',
  origin: {
    kind: 'NetworkPolicy',
    namespace: 'default',
    name: 'deny',
    direction: 'Ingress',
    defaultDenyOf: ['default/deny', 'default/web'],
  },
};

describe.each(FAMILIES)('%s', (family) => {
  const pod = (name: string, address = '') => ({ kind: 'Pod', namespace: 'default', name, address });
  const from = () => pod('client', client.addresses[family]);
  const to = () => pod('web', web.addresses[family]);

  test('a connection to a Service: the Service and its backend, and the policy that allows it', async () => {
    expect((await connectTcp(client.namespace, VIP[family], 80)).error).toBeNull();
    // Not of another cube: before the Service is in the kernel its address is one of the world, and the set-up asks already.
    const toService = await line(
      ({ cube, destination }) => cube === ILB && destination.address === VIP[family],
    );
    expect(toService).toMatchObject({
      node: 'node-a',
      verdict: 'Forwarded',
      direction: 'Egress',
      family: family === 'ipv4' ? 'IPv4' : 'IPv6',
      protocol: 'TCP',
      source: from(),
      destination: { kind: 'Service', namespace: 'default', name: 'web', port: 80 },
      backend: { ...to(), port: OPEN },
    });
    const allowed = await line(
      ({ verdict, rule, source }) =>
        verdict === 'Forwarded' && rule !== undefined && source.address === client.addresses[family],
    );
    expect(allowed).toMatchObject({
      cube: POLICY,
      direction: 'Ingress',
      rule: { text: 'NetworkPolicy default/web, ingress entry 0', action: 'Allow' },
      destination: { ...to(), port: OPEN },
    });
  });

  test('a drop: the policy; a sender on another node by its namespace', async () => {
    const target = web.addresses[family] ?? '';
    expect((await connectTcp(far.namespace, target, CLOSED)).error).not.toBeNull();
    const dropped = await line(
      ({ verdict, source }) => verdict === 'Dropped' && source.address === far.addresses[family],
    );
    expect(dropped).toMatchObject({
      cube: POLICY,
      reason: 'DroppedByRule',
      rule: DENY,
      direction: 'Ingress',
      source: { kind: 'Pod', namespace: 'ops' },
      destination: { ...to(), port: CLOSED },
    });
    expect(dropped?.source).not.toHaveProperty('name');
  });

  test('live: drops with their policy, and flows of one pod', async () => {
    const { agent } = lab.worker(0);
    const knocking = { on: true };
    const knock = (async () => {
      while (knocking.on) await connectTcp(client.namespace, web.addresses[family] ?? '', CLOSED);
    })();
    // Of the policies: routers also drop what pods say to their link, whenever they do.
    const cube = 'kubernetes.policy.node-a';
    const json = await agent.cli(['drops', '--packets', '--cube', cube, '-o', 'json', '--count', '1']);
    const text = await agent.cli([
      'flows',
      '--pod',
      'default/client',
      '--verdict',
      'dropped',
      '--cube',
      cube,
      '--count',
      '1',
    ]);
    knocking.on = false;
    await knock;
    expect(JSON.parse(json.stdout)).toMatchObject({
      verdict: 'Dropped',
      reason: 'DroppedByRule',
      rule: DENY,
    });
    expect(text.stdout).toMatch(
      /Dropped Ingress TCP {2}default\/client \(.*\) > default\/web \(.*\) {2}Dropped/,
    );
    expect(text.stdout).toContain(DENY.text);
  });
});

test('what the entry refuses, and a file that was renamed', async () => {
  const old = join(folder, 'flows.old');
  renameSync(file, old);
  const before = lines(old).length;
  await client.namespace.exec(['ip', 'address', 'add', '198.51.100.9/32', 'dev', 'eth0']);
  await client.namespace.exec(
    ['ping', '-c', '1', '-W', '1', '-I', '198.51.100.9', web.addresses.ipv4 ?? ''],
    {
      anyStatus: true,
    },
  );
  let spoofed: FlowRecord | undefined;
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && !spoofed; await sleep(100)) {
    try {
      spoofed = lines().find(({ cube }) => cube === 'entry');
    } catch {
      // nothing has been written since
    }
  }
  expect(spoofed).toMatchObject({
    verdict: 'Dropped',
    reason: 'SpoofedSource',
    protocol: 'ICMP',
    source: { kind: 'World', address: '198.51.100.9' },
  });
  expect(lines(old)).toHaveLength(before);
});

test('a flag that is none is refused', async () => {
  const { agent } = lab.worker(0);
  const fails = async (...argv: string[]) => await agent.cli(['flows', ...argv], { anyStatus: true });
  expect(await fails('--verdict', 'maybe')).toMatchObject({ status: 2 });
  expect(await fails('--pod', 'client')).toMatchObject({ status: 2 });
  expect(await fails('--address', 'nowhere')).toMatchObject({ status: 2 });
  expect(await fails('--count', '0')).toMatchObject({ status: 2 });
});
