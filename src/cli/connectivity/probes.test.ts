// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { clientPod, clientsOf, policyObjects, serverPods } from './objects.ts';
import { decodeOutcomes, encodeOutcomes, verdictOf } from './probe.ts';
import { missingFor, probesOf } from './probes.ts';
import { testReports } from './report.ts';
import { names, PHASES, type Stage } from './stage.ts';
import { TESTS } from './tests.ts';

const both = (host: number) => ({ ipv4: `10.244.0.${host}`, ipv6: `fd00:244::${host}` });
const node = (index: number) => ({
  name: `node-${index}`,
  addresses: { ipv4: `198.18.0.1${index}`, ipv6: `fd00:18::1${index}` },
  gateway: both(1),
  uplink: 'eth0',
});
const service = (host: number) => ({
  addresses: { ipv4: `10.96.0.${host}`, ipv6: `fd00:96::${host}` },
  port: 80,
  nodePorts: { TCP: 30_080, UDP: 30_081 },
});
const stage: Stage = {
  namespace: 'try',
  nodes: [node(1), node(2)],
  pods: Object.fromEntries(
    ['server-1', 'server-2', 'guarded-1', 'guarded-2'].map((name, at) => [name, both(at + 9)]),
  ),
  services: Object.fromEntries(
    ['servers', 'affine', 'local', 'server-1', 'server-2', 'client-1', 'client-2'].map((name, at) => [
      name,
      service(at + 9),
    ]),
  ),
  apiServer: { addresses: { ipv4: '10.96.0.1' }, port: 443, nodePorts: {} },
  hasDns: true,
  hostPort: 28_282,
  external: 'https://example.org',
};
const all = () => true;
const everything = (of: Stage) => PHASES.flatMap((phase) => probesOf(of, phase, all));

test('each test has probes where the cluster has all that it needs, by clients that are there', () => {
  const probes = everything(stage);
  expect(new Set(probes.map((probe) => probe.test))).toEqual(new Set(TESTS.map(({ name }) => name)));
  for (const phase of PHASES) {
    const clients = new Set(clientsOf(phase, stage.nodes).map(({ name }) => name));
    expect(new Set(probesOf(stage, phase, all).map(({ client }) => client))).toEqual(clients);
  }
  expect(
    probes
      .filter((probe) => probe.test === 'pod-to-pod-other-node')
      .map(({ path, kind, address }) => `${path} ${kind} ${address}`),
  ).toEqual([
    'client-1 > server-2 TCP 10.244.0.10',
    'client-1 > server-2 UDP 10.244.0.10',
    'client-1 > server-2 TCP fd00:244::10',
    'client-1 > server-2 UDP fd00:244::10',
    'client-2 > server-1 TCP 10.244.0.9',
    'client-2 > server-1 UDP 10.244.0.9',
    'client-2 > server-1 TCP fd00:244::9',
    'client-2 > server-1 UDP fd00:244::9',
  ]);
});

test('a family that pods do not have is not tried, nor is what needs another node', () => {
  const small: Stage = {
    ...stage,
    nodes: [node(1)],
    pods: { 'server-1': { ipv4: '10.244.0.9' }, 'guarded-1': { ipv4: '10.244.0.10' } },
  };
  const probes = everything(small);
  expect(probes.filter(({ family }) => family === 6)).toEqual([]);
  const tried = new Set<string>(probes.map((probe) => probe.test));
  const others = TESTS.filter(({ name }) => !tried.has(name));
  expect(others.map((one) => missingFor(one, small))).toEqual(others.map(() => 'there is one node'));
  expect(others.map(({ name }) => name)).toContain('pod-to-pod-other-node');
});

test('what clients have to say fits into a termination message', () => {
  for (const phase of PHASES)
    for (const { name } of clientsOf(phase, stage.nodes)) {
      const outcomes = probesOf(stage, phase, all)
        .filter(({ client }) => client === name)
        .map(({ expect: { type, ...more } }) => ({
          by: 'by' in more ? more.by : [],
          sawClient: true,
          tries: 20,
          error: 'EHOSTUNREACH',
        }));
      const text = encodeOutcomes(outcomes);
      expect(text.length).toBeLessThan(4096);
      expect(decodeOutcomes(text)).toEqual(outcomes);
    }
  expect(decodeOutcomes('Killed')).toBeUndefined();
});

test('verdicts', () => {
  const said = (by: string[], error?: string, sawClient = true) => ({
    by,
    sawClient,
    tries: 1,
    ...(error === undefined ? {} : { error }),
  });
  const why = (...args: Parameters<typeof verdictOf>) => verdictOf(...args).why;
  const one = { type: 'Answered', by: ['a'], seesClient: true } as const;
  expect(verdictOf(one, said(['a']))).toEqual({ passed: true, why: '' });
  expect(why(one, said(['a'], undefined, false))).toMatch('another address than that of the client');
  expect(why(one, said(['b']))).toBe('b answered, not a');
  expect(why(one, said([], 'Timeout'))).toBe('no answer in time');
  expect(why(one, said(['a'], 'ECONNREFUSED'))).toBe('refused (ECONNREFUSED), though a answered before');
  expect(why(one, undefined)).toMatch('did not say');
  const each = { type: 'AnsweredByEach', by: ['a', 'b'] } as const;
  expect(verdictOf(each, said(['b', 'a'])).passed).toBe(true);
  expect(why(each, said(['a']))).toBe('b never answered');
  const same = { type: 'AnsweredByOne', by: ['a', 'b'] } as const;
  expect(verdictOf(same, said(['b'])).passed).toBe(true);
  expect(why(same, said(['a', 'b']))).toMatch('not always the same');
  expect(verdictOf({ type: 'Silence' }, said([], 'Timeout')).passed).toBe(true);
  expect(why({ type: 'Silence' }, said(['a']))).toBe('a answered; nobody may');
  expect(verdictOf({ type: 'Answered', by: [] }, said([])).passed).toBe(true);
});

test('a report has each wanted test in order, with why it was left out', () => {
  const [probe] = probesOf(stage, 'deny', all);
  if (probe === undefined) throw new Error('there is none');
  const outcome = { by: ['guarded-1'], sawClient: true, tries: 9 };
  const reports = testReports({ ...stage, hasDns: false }, [{ probe, outcome }], (name) =>
    /deny|dns/.test(name),
  );
  expect(reports).toMatchObject([
    { name: 'headless-dns', result: 'Skipped', skipped: expect.stringContaining('kube-dns'), paths: [] },
    {
      name: 'policy-deny',
      result: 'Failed',
      paths: [{ path: 'deny-friend > guarded-1', kind: 'TCP', family: 'IPv4', passed: false, tries: 9 }],
    },
  ]);
});

test('pods: clients are not started again, policies are about the guarded servers', () => {
  const frame = { namespace: 'try', image: 'image', nodes: stage.nodes, hostPort: 28_282 };
  const friend = clientsOf('allow', stage.nodes)[0];
  if (friend === undefined) throw new Error('there is none');
  expect(clientPod(frame, friend, [])).toMatchObject({
    metadata: { name: names.friend('allow'), labels: { 'cubeplane.io/connectivity-friend': 'yes' } },
    spec: { nodeName: 'node-1', restartPolicy: 'Never', containers: [{ name: 'server' }, { name: 'probe' }] },
  });
  expect(serverPods(frame).map(({ metadata }) => metadata.name)).toEqual(
    [1, 2].flatMap((at) => [names.server(at), names.guarded(at), names.host(at)]),
  );
  expect(PHASES.map((phase) => policyObjects('try', phase).length)).toEqual([0, 1, 2, 0]);
});
