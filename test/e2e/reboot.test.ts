// SPDX-License-Identifier: Apache-2.0
/**
 * A node of a light cluster that starts anew while it does not reach the API server: pods that it had get their network again
 * by CNI, with their addresses and under their policies, others wait. Then the API server is back, and has changed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Pins } from '../../src/dataplane/kernel/pins.ts';
import { readLines } from '../../src/dataplane/saved/journal-lines.ts';
import { unpack } from '../../src/dataplane/tables.ts';
import { openLab } from '../harness/lab.ts';
import { type LightCluster, startLightCluster } from '../harness/light/cluster.ts';
import { callPlugins } from '../harness/light/sandbox.ts';
import { createNamespace, deleteNamespace, Namespace } from '../harness/netns.ts';
import { CONTROL_PLANE_HOST, type DualStack, type Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from '../netns/support/answers.ts';
import { reboot } from '../netns/support/reboot.ts';

jest.setTimeout(300_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const PORT = 80;
const TARGET = 8080;

interface LivePod {
  readonly name: string;
  readonly uid: string;
  readonly namespace: Namespace;
  readonly addresses: Required<DualStack>;
}

let light: LightCluster;
/** Of node-1, by name. */
const pods = new Map<string, LivePod>();
let vips: Record<string, Required<DualStack>>;

async function kubectl(...args: string[]): Promise<string> {
  return (await light.cluster.kubectl(args, { timeoutMs: 120_000 })).stdout;
}

const at = (addresses: DualStack): Pod => ({ addresses }) as Pod;
const pod = (name: string): LivePod => {
  const found = pods.get(name);
  if (found === undefined) throw new Error(`no pod ${name}`);
  return found;
};
const first = () => {
  const [one] = light.nodes;
  if (one === undefined) throw new Error('no node');
  return one;
};

const families = (texts: readonly string[]): Required<DualStack> => ({
  ipv4: texts.find((text) => text.includes('.')) ?? '',
  ipv6: texts.find((text) => text.includes(':')) ?? '',
});

const ports = ['TCP', 'UDP'].map((protocol) => ({
  name: protocol.toLowerCase(),
  protocol,
  port: PORT,
  targetPort: TARGET,
}));
const podObject = (name: string, nodeName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app: name } },
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image: 'none', ports: [{ name: 'http', containerPort: TARGET }] }],
  },
});
const service = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default' },
  spec: { ipFamilyPolicy: 'RequireDualStack', selector: { app: name }, ports },
});
const policy = (name: string, spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: 'default' },
  spec,
});

beforeAll(async () => {
  light = await startLightCluster(await openLab('reboot e2e'));
  const items = [
    ...['web', 'client', 'stranger'].map((name) => podObject(name, 'node-1')),
    podObject('away', 'node-2'),
    ...['web', 'away'].map(service),
    policy('default-deny', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] }),
    policy('clients', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
    }),
  ];
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await light.cluster.kubectl(['apply', '-f', '-'], { input });
  await kubectl('wait', '--for=condition=Ready', '--timeout=90s', 'pod', '--all');
  for (const name of ['web', 'client', 'stranger', 'away']) {
    const text = await kubectl('get', 'pod', name, '-o', 'jsonpath={.metadata.uid} {.status.podIPs[*].ip}');
    const [uid = '', ...ips] = text.trim().split(' ');
    const namespace = new Namespace(
      light.lab,
      `${name === 'away' ? 'node-2' : 'node-1'}-pod-${uid}`,
      light.lab.cgroup,
    );
    pods.set(name, { name, uid, namespace, addresses: families(ips) });
  }
  const vipsOf = async (name: string) =>
    families(
      (await kubectl('get', 'service', name, '-o', 'jsonpath={.spec.clusterIPs[*]}')).trim().split(' '),
    );
  vips = { web: await vipsOf('web'), away: await vipsOf('away') };
  await eventually(pod('stranger').namespace, at(pod('web').addresses), [TARGET], []);
  await eventually(pod('client').namespace, at(pod('web').addresses), [TARGET], everything(TARGET));
}, FIRST_BUILD_MS);

afterAll(async () => {
  await light?.lab.close();
});

/** Waits until the identities of all pods are on the disk of node-1. */
async function untilSaved(): Promise<void> {
  const { agent, node } = first();
  const path = join(agent.stateDir, node.name, 'tables.journal');
  const wanted = [...pods.values()].map(({ addresses }) => addresses.ipv4);
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    const tables = existsSync(path) ? (readLines(readFileSync(path, 'utf8'))?.tables.values() ?? []) : [];
    const rows = [...tables].filter(({ type }) => type === 'Identity').flatMap((table) => unpack(table));
    const saved = (rows as { addresses: string[] }[]).flatMap(({ addresses }) => addresses);
    if (wanted.every((address) => saved.includes(address))) return;
  }
  throw new Error('the identities of the pods are not on disk after 60 s');
}

async function setApiServer(state: 'up' | 'down'): Promise<void> {
  await light.underlay.namespace.ip(`link set port${CONTROL_PLANE_HOST} ${state}`);
}

/** As a runtime makes a sandbox for a pod again: another container, another namespace. */
async function makeAgain(
  { name, uid }: Pick<LivePod, 'name' | 'uid'>,
  container: string,
): Promise<Namespace> {
  const { node } = first();
  const namespace = await createNamespace(light.lab, `${node.name}-again-${container}`, {
    cgroup: join(node.namespace.cgroup, 'pods', container),
  });
  const metadata = { name, namespace: 'default', uid };
  try {
    const addresses = families(
      Object.values(await callPlugins(node, { metadata }, namespace, 'ADD', container)),
    );
    pods.set(name, { name, uid, namespace, addresses });
  } catch (error) {
    await deleteNamespace(namespace);
    throw error;
  }
  return namespace;
}

test('pods of before come back with their addresses and policies, others wait; then the API server has the word', async () => {
  await untilSaved();
  const { agent, node } = first();
  const before = new Map(pods);
  light.kubelets.kill('SIGKILL');
  await agent.kill();
  await setApiServer('down');
  for (const name of ['web', 'client', 'stranger'])
    await deleteNamespace(pod(name).namespace).catch(() => {});
  await reboot(node, 0, { pins: new Pins(agent.bpffs, node.name).nodeRoot });
  const { ipv4, ipv6 } = light.internet.addresses;
  await node.namespace.ip(`route add default via ${ipv4}`, `route add default via ${ipv6}`);
  const began = performance.now();
  const running = await agent.launch();
  await running.waitForOutput(/runs on the tables that were saved/, 60_000);

  // The runtime tries again, as it is told.
  const retried = async (name: string) => {
    for (const deadline = Date.now() + 60_000; ; await sleep(200))
      try {
        return await makeAgain(pod(name), `again-${name}`);
      } catch (error) {
        if (Date.now() > deadline || !/"code": ?11/.test(String(error))) throw error;
      }
  };
  const web = await retried('web');
  await startServer(web, 'web', TARGET);
  await retried('stranger');
  await retried('client');
  for (const name of ['web', 'client', 'stranger'])
    expect(pod(name).addresses).toEqual(before.get(name)?.addresses);
  await eventually(pod('client').namespace, at(vips.web ?? {}), [PORT], everything(PORT));
  const ms = Math.round(performance.now() - began);
  process.stderr.write(`a pod reaches a Service ${ms} ms after the start of the agent, without API server\n`);

  expect(await answers(pod('client').namespace, at(pod('web').addresses), [TARGET])).toEqual(
    everything(TARGET),
  );
  expect(await answers(pod('client').namespace, at(vips.away ?? {}), [PORT])).toEqual(everything(PORT));
  expect(await answers(node.namespace, at(pod('web').addresses), [TARGET])).toEqual(everything(TARGET));
  expect(await answers(pod('stranger').namespace, at(pod('web').addresses), [TARGET])).toEqual([]);
  expect(await answers(pod('away').namespace, at(pod('web').addresses), [TARGET])).toEqual([]);
  const unknown = { name: 'fresh', uid: '00000000-0000-4000-8000-000000000001' };
  await expect(makeAgain(unknown, 'fresh')).rejects.toThrow(/"code": ?11.*not known/s);
  const another = { name: 'web', uid: '00000000-0000-4000-8000-000000000002' };
  await expect(makeAgain(another, 'another')).rejects.toThrow(/"code": ?11.*not known/s);
  expect((await agent.cli(['plan'])).stdout).toMatch(/runs on \d+ saved tables/);

  // The cluster goes on without the node.
  await kubectl('delete', 'service', 'away');
  await kubectl('delete', 'networkpolicy', 'clients');
  expect(await answers(pod('client').namespace, at(vips.away ?? {}), [PORT])).toEqual(everything(PORT));
  await setApiServer('up');
  const heard = performance.now();
  await running.waitForOutput(/^ready/m, 120_000);
  await eventually(pod('client').namespace, at(vips.away ?? {}), [PORT], []);
  await eventually(pod('client').namespace, at(pod('web').addresses), [TARGET], []);
  process.stderr.write(
    `the API server has the word ${Math.round(performance.now() - heard)} ms after its return\n`,
  );
  await kubectl('delete', 'networkpolicy', 'default-deny');
  await eventually(pod('stranger').namespace, at(pod('web').addresses), [TARGET], everything(TARGET));
  expect((await agent.cli(['plan'])).stdout).not.toMatch(/saved tables/);
});
