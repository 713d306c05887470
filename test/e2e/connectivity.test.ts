// SPDX-License-Identifier: Apache-2.0
/**
 * `cubeplane connectivity test` in a light cluster: all of it works; then one thing after another is broken, and the test
 * names the paths that it is needed for, and the place.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { ConnectivityReport, PathReport } from '../../src/cli/connectivity/report.ts';
import { SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { openLab } from '../harness/lab.ts';
import { type LightCluster, startLightCluster } from '../harness/light/cluster.ts';
import { type Result, run } from '../harness/process.ts';

jest.setTimeout(180_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const NAMESPACE = 'cubeplane-connectivity-test';

let light: LightCluster;
beforeAll(async () => {
  light = await startLightCluster(await openLab('connectivity test'));
}, FIRST_BUILD_MS);
afterAll(async () => {
  await light?.lab.close();
});

const kubectl = async (...args: string[]): Promise<string> =>
  (await light.cluster.kubectl(args, { timeoutMs: 120_000 })).stdout;
const apply = async (object: object) =>
  await light.cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) });

const argv = (...args: string[]): string[] => [
  ...[process.execPath, MAIN, 'connectivity', 'test', '--kubeconfig', light.kubeconfig],
  ...['--state-dir', light.nodes[0]?.agent.stateDir ?? '', ...args],
];

async function connectivity(...args: string[]): Promise<Result> {
  return await run(argv(...args), { anyStatus: true, timeoutMs: 170_000, env: { NO_COLOR: '1' } });
}

async function report(...args: string[]): Promise<ConnectivityReport> {
  const { stdout, stderr, status } = await connectivity('-o', 'json', ...args);
  try {
    const parsed = JSON.parse(stdout) as ConnectivityReport;
    expect(status).toBe(parsed.passed ? 0 : 1);
    return parsed;
  } catch (cause) {
    throw new Error(`no report (status ${status}): ${stderr}${stdout}`, { cause });
  }
}

const resultsOf = ({ tests }: ConnectivityReport): Record<string, string> =>
  Object.fromEntries(tests.map(({ name, result }) => [name, result]));

/** The paths of a test that do not work. */
function badOf({ tests }: ConnectivityReport, name: string): readonly PathReport[] {
  const bad = tests.find((one) => one.name === name)?.paths.filter(({ passed }) => !passed) ?? [];
  expect(bad).not.toEqual([]);
  return bad;
}

const hasNamespace = async (): Promise<boolean> =>
  (await kubectl('get', 'namespaces', '-o', 'name')).includes(NAMESPACE);

/** Does something as soon as an object of the test is there. */
async function once(kind: string, name: string, then: () => Promise<unknown>): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(50)) {
    const found = await kubectl('get', kind, '-n', NAMESPACE, '--ignore-not-found', '-o', 'name', name);
    if (found !== '') {
      await then();
      return;
    }
  }
  throw new Error(`there is no ${kind} ${name}`);
}

test('where all works it says so, of every test that can be done, and leaves nothing', async () => {
  const { stdout, stderr, status } = await connectivity('--external', 'http://203.0.113.5:8080/');
  // that server answers no HTTP: the URL below is one of the cluster's own
  expect(status).toBe(1);
  expect(stderr).toContain('namespace cubeplane-connectivity-test is removed');
  const failed = stdout.split('\n').filter((line) => / Failed /.test(line));
  expect(failed).toEqual([expect.stringMatching(/^pod-to-world +Failed +0\/2/)]);
  expect(stdout).toMatch(/^headless-dns +Skipped +left out: the cluster has no DNS/m);
  expect(stdout).toMatch(/^pod-to-pod-other-node +Passed +8\/8/m);
  expect(stdout).toMatch(/^policy-undone +Passed +16\/16/m);
  expect(stdout.trim().split('\n').at(-1)).toBe(
    '2 of 184 paths do not work: IPv4 and IPv6 on node-1 and node-2.',
  );
  expect(await hasNamespace()).toBe(false);
});

test('with one node it tries what one node has, and says what it leaves out', async () => {
  const found = await report('--single-node', '--nodes', 'node-2', '--test', 'pod-to-pod|world');
  expect(found).toMatchObject({ passed: true, nodes: ['node-2'], families: ['IPv4', 'IPv6'] });
  expect(found.tests.map(({ name, result, skipped }) => [name, result, skipped])).toEqual([
    ['pod-to-pod-same-node', 'Passed', undefined],
    ['pod-to-pod-other-node', 'Skipped', 'there is one node'],
    ['pod-to-world', 'Skipped', expect.stringContaining('--external URL')],
  ]);
});

test("somebody else's namespace is left alone", async () => {
  const { status, stderr } = await connectivity('--namespace', 'default');
  expect(status).toBe(4);
  expect(stderr).toMatch(/namespace default is none of this test.*\n.*give --namespace NAME/);
  expect(await kubectl('get', 'pods', '-n', 'default', '-o', 'name')).toBe('');
});

test('at Ctrl-C it removes what it made', async () => {
  const running = await light.lab.start('interrupted', argv());
  await running.waitForOutput(/servers run/);
  running.kill('SIGINT');
  expect(await running.exited(90_000)).toBe(1);
  expect(await running.output()).toMatch(/it was ended while it waited/);
  expect(await hasNamespace()).toBe(false);
});

test('a policy that denies is named, at the node of the pod that it is about', async () => {
  const deny = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'closed', namespace: NAMESPACE },
    spec: {
      podSelector: { matchLabels: { 'cubeplane.io/connectivity-name': 'server-2' } },
      policyTypes: ['Ingress'],
    },
  };
  const [found] = await Promise.all([
    report('--test', '^pod-to-pod|pod-to-service-same|node-to-pod-same'),
    once('services', 'headless', () => apply(deny)),
  ]);
  expect(resultsOf(found)).toMatchObject({
    'pod-to-pod-same-node': 'Failed', // on node-2
    'pod-to-pod-other-node': 'Failed',
    'node-to-pod-same-node': 'Passed', // as probes of the kubelet, which no policy holds up
  });
  const place = {
    node: 'node-2',
    by: `${SYSTEM_NAMESPACE}/kubernetes.policy.node-2`,
    reason: 'DroppedByRule',
  };
  const bad = badOf(found, 'pod-to-pod-other-node');
  expect(bad.map(({ path }) => path)).toEqual(Array(4).fill('client-1 > server-2'));
  for (const path of bad) expect(path).toMatchObject({ why: 'no answer in time', place });
});

test('a Service without endpoints is named, at the balancer of the client', async () => {
  const patch = '{"spec":{"selector":{"nobody":"has-it"}}}';
  const [found] = await Promise.all([
    report('--test', 'pod-to-service|pod-to-pod-other'),
    once('services', 'server-2', () => kubectl('patch', 'service', 'server-2', '-n', NAMESPACE, '-p', patch)),
  ]);
  expect(resultsOf(found)).toEqual({
    'pod-to-pod-other-node': 'Passed',
    'pod-to-service': 'Passed',
    'pod-to-service-same-node': 'Failed', // of node-2
    'pod-to-service-other-node': 'Failed', // of node-1
  });
  for (const path of badOf(found, 'pod-to-service-other-node'))
    expect(path).toMatchObject({
      path: 'client-1 > Service server-2',
      place: {
        node: 'node-1',
        by: `${SYSTEM_NAMESPACE}/kubernetes.ilb.node-1`,
        reason: 'NoBackend',
      },
    });
});

test('where a link of the chain is missing, the trace tells which other way packets took', async () => {
  const chain = JSON.parse(
    await kubectl('get', 'servicechain', 'kubernetes', '-n', SYSTEM_NAMESPACE, '-o', 'json'),
  ) as { spec: { links: { name: string }[] } };
  const links = chain.spec.links.filter(({ name }) => name !== 'overlay');
  const object = ['servicechain', 'kubernetes', '-n', SYSTEM_NAMESPACE];
  const patchLinks = async (value: readonly object[]) => {
    const patch = JSON.stringify([{ op: 'replace', path: '/spec/links', value }]);
    await kubectl('patch', ...object, '--type=json', '-p', patch);
  };
  const waitFor = async (what: string) => await kubectl('wait', ...object, `--for=${what}`, '--timeout=60s');
  await patchLinks(links);
  // the router says that its routes lead nowhere
  await waitFor('condition=Ready=False');
  const found = await report('--test', '^pod-to-pod');
  await patchLinks(chain.spec.links);
  await waitFor('condition=Ready');
  expect(resultsOf(found)).toEqual({ 'pod-to-pod-same-node': 'Passed', 'pod-to-pod-other-node': 'Failed' });
  const [bad] = badOf(found, 'pod-to-pod-other-node');
  expect(bad).toMatchObject({
    path: 'client-1 > server-2',
    place: { node: 'node-1', reason: 'SentAway', description: expect.stringContaining('on eth0') },
  });
  const router = bad?.trace?.[0]?.story?.hops.find(({ type }) => type === 'Router');
  expect(router?.outputs).toEqual([expect.objectContaining({ port: 'uplink' })]); // not overlay
});

test('what is lost between the nodes is told apart from what a cube drops', async () => {
  const { namespace } = (light.nodes[1] as LightCluster['nodes'][number]).node;
  const rules = [
    'add table inet broken',
    'add chain inet broken in { type filter hook input priority 0; }',
    'add rule inet broken in udp dport 4789 drop',
  ];
  await namespace.exec(['nft', rules.join('; ')]);
  const found = await report('--test', '^pod-to-pod');
  await namespace.exec(['nft', 'delete table inet broken']);
  expect(resultsOf(found)).toEqual({ 'pod-to-pod-same-node': 'Passed', 'pod-to-pod-other-node': 'Failed' });
  for (const path of badOf(found, 'pod-to-pod-other-node'))
    expect(path.place).toMatchObject({ reason: 'BetweenNodes', remedy: expect.stringContaining('4789') });
});

test('a node whose agent is away and whose overlay is gone is named', async () => {
  const { node, agent } = light.nodes[1] as LightCluster['nodes'][number];
  const running = await light.lab.start('agent-away', argv('-o', 'json', '--test', '^pod-to-pod'));
  await running.waitForOutput(/servers run/);
  await agent.kill();
  await node.namespace.ip('link delete cubevxlan');
  // without its agent, pods of the node do not end
  await running.waitForOutput(/is removed/, 90_000);
  await agent.start();
  expect(await running.exited(90_000)).toBe(1);
  const output = await running.output();
  const found = JSON.parse(output.slice(output.indexOf('\n{'))) as ConnectivityReport;
  const bad = badOf(found, 'pod-to-pod-other-node');
  expect(bad.filter(({ path }) => path === 'client-1 > server-2')).toHaveLength(4);
  for (const { path, place, why } of bad)
    if (path === 'client-1 > server-2')
      expect(place).toMatchObject({ node: 'node-2', reason: 'AgentNotReached' });
    else expect(why).toMatch(/its client did not end within 45 s: ContainerCreating: .*agent/);
});

test('afterwards all works again', async () => {
  const found = await report();
  expect(found.tests.filter(({ result }) => result === 'Failed')).toEqual([]);
  expect(found.passed).toBe(true);
});
