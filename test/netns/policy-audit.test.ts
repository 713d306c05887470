// SPDX-License-Identifier: Apache-2.0
/** Policies in audit mode on real connections of two pods: what is refused passes and is told, and ends when they are enforced. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import type { FlowRecord } from '../../src/dataplane/flows/flow-record.ts';
import type { Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from './support/answers.ts';
import {
  conditionOf,
  cubeTable,
  FAMILIES,
  openTwoNodes,
  SYSTEM,
  type TwoNodes,
} from './support/two-nodes.ts';

jest.setTimeout(300_000);

const SAMPLE = new URL('../../samples/network-policy.yaml', import.meta.url).pathname;
// biome-ignore lint/suspicious/noExplicitAny: documents of any kind
const [CHAIN] = parseAllDocuments(readFileSync(SAMPLE, 'utf8')).map((document) => document.toJS() as any);
const PORT = 8080;
const CUBE = 'kubernetes.policy.node-a';

let lab: TwoNodes;
/** The chain as it is in its file. */
let written: typeof CHAIN;
let web: Pod;
let client: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('policy audit', {
    nodes: 1,
    chain: (chain) => {
      chain.spec = CHAIN.spec;
      written = chain;
    },
  });
  web = await lab.addPod(0, 'web', 11);
  client = await lab.addPod(0, 'client', 12);
  await startServer(web.namespace, 'web', PORT);
});
afterAll(async () => {
  await lab?.close();
});

const addresses = (pod: Pod) => FAMILIES.map((family) => pod.addresses[family] ?? '');

/** `web` refuses what comes in, `client` what goes out. */
function write(audit: { web?: boolean; client?: boolean }): void {
  const policies: Policy[] = [
    { namespace: 'shop', name: 'closed', types: ['Ingress'] },
    { namespace: 'guests', name: 'locked', types: ['Egress'] },
  ];
  const identities: Identity[] = [
    { id: 1, namespace: 'shop', addresses: addresses(web), ...(audit.web ? { audit: true } : {}) },
    { id: 2, namespace: 'guests', addresses: addresses(client), ...(audit.client ? { audit: true } : {}) },
  ];
  lab.manifests.write(
    'policy.yaml',
    cubeTable('policies', { type: 'Policy', policies }),
    cubeTable('identities', { type: 'Identity', identities }),
  );
}

function writeMode(policyMode: 'Enforce' | 'Audit'): void {
  const chain = structuredClone(written);
  for (const cube of chain.spec.cubes) if (cube.name === 'policy') cube.firewall.policyMode = policyMode;
  lab.manifests.write('chain.yaml', chain);
}

async function ready(): Promise<{ reason?: string; message?: string } | undefined> {
  const status = (await lab.statuses(0)).get(`Cube/${SYSTEM}/${CUBE}`);
  return status && conditionOf(status.status, 'Ready');
}

async function untilReason(reason: string): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100))
    if ((await ready())?.reason === reason) return;
  expect((await ready())?.reason).toBe(reason);
}

test('enforced: nothing passes; audited at one end only: still nothing', async () => {
  write({});
  await eventually(client.namespace, web, [PORT], []);
  await untilReason('Ready');
  write({ web: true });
  await untilReason('PolicyAudit');
  expect(await answers(client.namespace, web, [PORT])).toEqual([]);
  expect((await ready())?.message).toContain('for pods of the namespaces shop,');
});

test('audited at both ends: everything passes, and is told with the policy and the direction', async () => {
  write({ web: true, client: true });
  await eventually(client.namespace, web, [PORT], everything(PORT));
  const { agent } = lab.worker(0);
  expect((await agent.cli(['get', 'cubes', '-n', SYSTEM])).stdout).toMatch(
    /policy\.node-a +.* True +PolicyAudit/,
  );
  const following = agent.cli(['flows', '--verdict', 'audit', '-o', 'json', '--count', '8']);
  const knocking = { on: true };
  const knock = (async () => {
    while (knocking.on) await answers(client.namespace, web, [PORT]);
  })();
  const flows = (await following).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as FlowRecord);
  knocking.on = false;
  await knock;
  const said = new Set(
    flows.map(({ verdict, direction, family, rule }) => `${verdict} ${direction} ${family} ${rule?.text}`),
  );
  for (const family of ['IPv4', 'IPv6']) {
    expect(said).toContain(
      `Audit Egress ${family} default deny of NetworkPolicy guests/locked, in audit mode`,
    );
    expect(said).toContain(
      `Audit Ingress ${family} default deny of NetworkPolicy shop/closed, in audit mode`,
    );
  }
  const drops = (await agent.cli(['drops'])).stdout;
  expect(drops).toMatch(/policy\.node-a +Audit +\d+/);
  expect(drops).toMatch(/default deny of NetworkPolicy shop\/closed, in audit mode +Ingress +\d+/);
});

test('connections that audit let through end when it is turned off, and open again with it', async () => {
  const start = () => startLoad(client.namespace, web.addresses.ipv6 ?? '', PORT, { long: 4, every: 50 });
  const kept = await start();
  await sleep(1_000);
  expect((await kept.end()).failures).toEqual([]);
  const cut = await start();
  write({ client: true });
  await eventually(client.namespace, web, [PORT], []);
  expect((await cut.end()).failures.length).toBeGreaterThan(0);
  write({ web: true, client: true });
  await eventually(client.namespace, web, [PORT], everything(PORT));
});

test('the mode of the firewall: all policies of the node, and back', async () => {
  write({});
  await eventually(client.namespace, web, [PORT], []);
  writeMode('Audit');
  await eventually(client.namespace, web, [PORT], everything(PORT));
  await untilReason('PolicyAudit');
  expect((await ready())?.message).toContain('spec.firewall.policyMode is Audit');
  const cut = await startLoad(client.namespace, web.addresses.ipv4 ?? '', PORT, { long: 4, every: 50 });
  writeMode('Enforce');
  await eventually(client.namespace, web, [PORT], []);
  expect((await cut.end()).failures.length).toBeGreaterThan(0);
  await untilReason('Ready');
});
