// SPDX-License-Identifier: Apache-2.0
/** config/provider/kubernetes.yaml from a directory of manifests: what real sockets of pods and nodes reach with it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Machine, type Pod } from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from './support/answers.ts';
import { vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

const PROVIDER = new URL('../../config/provider/kubernetes.yaml', import.meta.url).pathname;

let lab: TwoNodes;
let here: Pod;
let beside: Pod;
let away: Pod;
let outside: Machine;

const nodeOf = (index: number): Namespace => lab.worker(index).node.namespace;
/** Something with addresses, as {@link answers} asks it. */
const at = (addresses: { ipv4?: string; ipv6?: string }): Pod => ({ addresses }) as Pod;

beforeAll(async () => {
  lab = await openTwoNodes('provider', {
    chain: (chain) => {
      chain.spec = parse(readFileSync(PROVIDER, 'utf8')).spec;
    },
  });
  here = await lab.addPod(0, 'here', 11);
  beside = await lab.addPod(0, 'beside', 12);
  away = await lab.addPod(1, 'away', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  await outside.namespace.ip(
    `route add 10.244.1.0/24 via ${lab.worker(0).node.addresses.ipv4}`,
    `route add fd00:244:0:1::/64 via ${lab.worker(0).node.addresses.ipv6}`,
  );
  for (const pod of [here, beside, away]) await startServer(pod.namespace, pod.name, TARGET);
  await startServer(outside.namespace, 'outside', TARGET);
  for (const { node } of lab.workers)
    for (const address of Object.values(node.addresses))
      await startServer(node.namespace, node.name, TARGET, address);
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [beside, away] });
  lab.writeService({ name: 'self', number: 11, ports: named, backends: [here] });
  await lab.untilFrontends(0, 8);
});
afterAll(async () => {
  await lab?.close();
});

test('all of it is taken, and nothing is left to do', async () => {
  for (const { agent } of lab.workers) expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  test('pods reach pods of their node and of others', async () => {
    for (const [from, to] of [
      [here, beside],
      [here, away],
      [away, beside],
    ] as const)
      expect(await answers(from.namespace, to, [TARGET])).toEqual(everything(TARGET));
  });

  test.each(FAMILIES.flatMap((family) => ['TCP', 'UDP'].map((protocol) => [protocol, family] as const)))(
    'a Service is answered by pods here and elsewhere, and by the client itself: %s over %s',
    async (protocol, family) => {
      const udp = protocol === 'UDP';
      const web = await ask(here.namespace, vipsOf(10)[family], PORT, { count: 100, udp });
      expect({ failures: web.failures, by: Object.keys(web.by).sort(), seenAs: web.seenAs }).toEqual({
        failures: [],
        by: ['away', 'beside'],
        seenAs: here.addresses[family],
      });
      const self = await ask(here.namespace, vipsOf(11)[family], PORT, { count: 20, udp });
      expect({ failures: self.failures, by: Object.keys(self.by) }).toEqual({ failures: [], by: ['here'] });
    },
  );

  test('nodes reach pods of their own and of other nodes', async () => {
    for (const [index, to] of [
      [0, here],
      [0, away],
      [1, here],
    ] as const)
      expect(await answers(nodeOf(index), to, [TARGET])).toEqual(everything(TARGET));
  });

  test('pods reach their own node, other nodes and what is behind the node', async () => {
    for (const to of [lab.worker(0).node, lab.worker(1).node, outside])
      expect(await answers(here.namespace, at(to.addresses), [TARGET])).toEqual(everything(TARGET));
  });
});

test("default deny: other pods and nodes are refused, the pod's own node is not", async () => {
  const table = (name: string, spec: object) => ({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeTable',
    metadata: { name, namespace: SYSTEM },
    spec,
  });
  const addresses = Object.values(here.addresses);
  lab.manifests.write(
    'policy.yaml',
    table('policies', {
      type: 'Policy',
      policies: [{ namespace: 'default', name: 'default-deny', types: ['Ingress'] }],
    }),
    table('identities', { type: 'Identity', identities: [{ id: 1, namespace: 'default', addresses }] }),
  );
  await eventually(beside.namespace, here, [TARGET], []);
  const [fromAway, fromOther, fromOwn] = await Promise.all([
    answers(away.namespace, here, [TARGET]),
    answers(nodeOf(1), here, [TARGET]),
    answers(nodeOf(0), here, [TARGET]),
  ]);
  expect({ fromAway, fromOther, fromOwn }).toEqual({
    fromAway: [],
    fromOther: [],
    fromOwn: everything(TARGET),
  });
  lab.manifests.remove('policy.yaml');
  await eventually(beside.namespace, here, [TARGET], everything(TARGET));
});
