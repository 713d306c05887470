// SPDX-License-Identifier: Apache-2.0
/** samples/network-policy.yaml on two nodes: real sockets of pods meet policies and pods that change. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import type { DryRun } from '../../src/dataplane/inspection.ts';
import type { Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from './support/answers.ts';
import { cubeTable, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(300_000);

const SAMPLE = new URL('../../samples/network-policy.yaml', import.meta.url).pathname;
// biome-ignore lint/suspicious/noExplicitAny: documents of any kind
const documents = parseAllDocuments(readFileSync(SAMPLE, 'utf8')).map((document) => document.toJS() as any);
const POLICIES: Policy[] = documents[1].spec.policies;
const IDENTITIES: Identity[] = documents[2].spec.identities;
/** Ports of `web`. */
const [NAMED, NEXT, LAST, BEYOND] = [8080, 8081, 8089, 8090] as const;

let lab: TwoNodes;
let web: Pod;
let client: Pod;
let probe: Pod;
let far: Pod;

function write(policies: readonly Policy[], identities: readonly Identity[]): void {
  lab.manifests.write(
    'policy.yaml',
    cubeTable('policies', { type: 'Policy', policies }),
    cubeTable('identities', { type: 'Identity', identities }),
  );
}

beforeAll(async () => {
  lab = await openTwoNodes('network policy', {
    chain: (chain) => {
      chain.spec = documents[0].spec;
    },
  });
  web = await lab.addPod(0, 'web', 11);
  client = await lab.addPod(0, 'client', 12);
  probe = await lab.addPod(0, 'probe', 13);
  far = await lab.addPod(1, 'far', 11);
  for (const port of [NAMED, NEXT, LAST, BEYOND]) await startServer(web.namespace, 'web', port);
  await startServer(client.namespace, 'client', NAMED);
});
afterAll(async () => {
  await lab?.close();
});

test('without policies all pods reach each other', async () => {
  write([], IDENTITIES);
  for (const from of [client, probe, far])
    await eventually(from.namespace, web, [NAMED, BEYOND], everything(NAMED, BEYOND));
});

test('a default deny leaves a namespace to its node alone; egress goes on', async () => {
  write(POLICIES.slice(0, 1), IDENTITIES);
  await eventually(client.namespace, web, [NAMED], []);
  const [fromProbe, fromFar, fromNode, toOthers] = await Promise.all([
    answers(probe.namespace, web, [NAMED]),
    answers(far.namespace, web, [NAMED]),
    answers(lab.worker(0).node.namespace, web, [NAMED]),
    answers(probe.namespace, client, [NAMED]),
  ]);
  expect({ fromProbe, fromFar, fromNode, toOthers }).toEqual({
    fromProbe: [],
    fromFar: [],
    fromNode: everything(NAMED),
    toOthers: [],
  });
});

test('policies allow by label, by namespace, by block with a hole, by name and range of ports', async () => {
  write(POLICIES, IDENTITIES);
  await eventually(client.namespace, web, [NAMED, NEXT], everything(NAMED));
  const ports = [NAMED, NEXT, LAST, BEYOND];
  expect(await answers(probe.namespace, web, ports)).toEqual(everything(NAMED, NEXT, LAST));
  expect(await answers(far.namespace, web, ports)).toEqual(everything(NEXT));
  expect(await answers(client.namespace, web, ports)).toEqual(everything(NAMED)); // in the hole of the block
  expect(await answers(probe.namespace, client, [NAMED])).toEqual([]); // isolated, and nothing allows it
});

test('a trace tells which policy decided', async () => {
  const dry = async (from: string, port: number) => {
    const packet = `tcp ${(from === 'client' ? client : probe).addresses.ipv4}:4000 > ${web.addresses.ipv4}:${port}`;
    const argv = ['trace', '--dry-run', '--from', `default/${from}`, '--packet', packet, '-o', 'json'];
    return JSON.parse((await lab.worker(0).agent.cli(argv)).stdout) as DryRun;
  };
  const decisions = ({ hops }: DryRun) =>
    hops
      .filter(({ cube }) => cube.includes('.policy.'))
      .flatMap(({ decisions: list }) => list.map(({ object }) => object));
  const allowed = await dry('client', NAMED);
  expect(allowed.verdict).toBe('Delivered');
  expect(decisions(allowed)).toContain('NetworkPolicy shop/web, ingress entry 0');
  const dropped = await dry('client', LAST);
  expect(decisions(dropped)).toContain(
    'NetworkPolicy shop/default-deny, which isolates the receiver for ingress, as does NetworkPolicy shop/web',
  );
});

interface Dropped {
  by: string;
  reason: string;
  packets: number;
  rules?: { text: string; packets: number; action: string; origin: Record<string, unknown> }[];
}

test('drops and traces of real packets name the policy', async () => {
  const { agent } = lab.worker(0);
  const drops = async () => {
    const list = JSON.parse((await agent.cli(['drops', '-o', 'json'])).stdout) as Dropped[];
    const place = list.find(({ by, reason }) => by.includes('.policy.') && reason === 'DroppedByRule');
    return place?.rules?.find(({ text }) => text === 'default deny of NetworkPolicy shop/default-deny');
  };
  const before = (await drops())?.packets ?? 0;
  expect(await answers(client.namespace, web, [BEYOND])).toEqual([]);
  const after = await drops();
  expect(after?.packets).toBeGreaterThan(before);
  expect(after).toMatchObject({
    action: 'Drop',
    origin: {
      kind: 'NetworkPolicy',
      namespace: 'shop',
      name: 'default-deny',
      direction: 'Ingress',
      defaultDenyOf: ['shop/default-deny'],
    },
  });
  const text = (await agent.cli(['drops'])).stdout;
  expect(text).toMatch(/RULE OR POLICY +DIRECTION +PACKETS\n/);
  expect(text).toMatch(/default deny of NetworkPolicy shop\/default-deny +Ingress +\d+/);
  for (const family of ['ipv4', 'ipv6'] as const) {
    const [from, to] = [client.addresses[family], web.addresses[family]];
    const at = (address = '', port = 0) =>
      family === 'ipv6' ? `[${address}]:${port}` : `${address}:${port}`;
    const packet = `tcp ${at(from, 4000)} > ${at(to, BEYOND)}`;
    const argv = ['trace', '--dry-run', '--from', 'default/client', '--packet', packet];
    const story = JSON.parse((await agent.cli([...argv, '-o', 'json'])).stdout) as DryRun;
    expect(story.drop?.rule).toMatchObject({
      text: 'default deny of NetworkPolicy shop/default-deny, shop/web',
      origin: { direction: 'Ingress', defaultDenyOf: ['shop/default-deny', 'shop/web'] },
    });
    expect((await agent.cli(argv)).stdout).toContain('By: default deny of NetworkPolicy shop/default-deny');
  }
});

test('an established connection ends when its pod gets other labels, and only then', async () => {
  const clients = () => startLoad(client.namespace, web.addresses.ipv4 ?? '', NAMED, { long: 4, every: 50 });
  const kept = await clients();
  write([...POLICIES, { namespace: 'other', name: 'no-pods' }], [...IDENTITIES].reverse());
  await sleep(1_000);
  write(POLICIES, [
    ...IDENTITIES,
    { id: 9, namespace: 'shop', labels: { app: 'new' }, addresses: ['10.244.1.99'] },
  ]);
  await sleep(1_000);
  expect((await kept.end()).failures).toEqual([]);
  const load = await clients();
  const relabelled = IDENTITIES.map((each) => (each.id === 2 ? { ...each, labels: { app: 'guest' } } : each));
  write(POLICIES, relabelled);
  await eventually(client.namespace, web, [NAMED], []);
  const report = await load.end();
  expect(report.failures.length).toBeGreaterThan(0);
  write(POLICIES, IDENTITIES);
  await eventually(client.namespace, web, [NAMED], everything(NAMED));
});

test('without the policies everything is open again', async () => {
  write([], IDENTITIES);
  await eventually(client.namespace, web, [BEYOND], everything(BEYOND));
  expect(await answers(far.namespace, web, [NAMED, BEYOND])).toEqual(everything(NAMED, BEYOND));
  for (const { agent } of lab.workers) expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});
