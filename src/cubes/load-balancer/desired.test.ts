// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Backend, Frontend, LoadBalancer } from '../../api/generated/types.ts';
import { desired } from './desired.ts';

const NODE = { name: 'node-a', zone: 'z1', addresses: ['192.0.2.11', '2001:db8::11'] };

const SPEC = {
  algorithm: 'Random',
  scopes: ['ClusterIP', 'LoadBalancer', 'NodePort'],
  clusterSources: [] as string[],
  noBackends: 'Reject',
} as LoadBalancer;

const frontend = (options: Partial<Frontend> = {}): Frontend => ({
  name: 'http',
  addresses: ['10.96.0.1'],
  port: 80,
  protocol: 'TCP',
  scope: 'ClusterIP',
  affinity: { type: 'None', timeoutSeconds: 10 },
  sourceRanges: [],
  trafficPolicy: 'Cluster',
  ...options,
});
const backend = (address: string, options: Partial<Backend> = {}): Backend => ({
  address,
  weight: 1,
  state: 'Ready',
  node: 'node-a',
  ports: [{ name: 'http', port: 8080 }],
  ...options,
});
const of = (frontends: Frontend[], backends: Backend[], spec: Partial<LoadBalancer> = {}) =>
  desired({ ...SPEC, ...spec }, NODE, { namespace: 'default', name: 'web', frontends, backends });
/** Addresses that the first frontend picks from. */
const picked = (result: ReturnType<typeof desired>, index = 0) =>
  result.frontends[index]?.picks.map(({ backend: at }) => result.backends[at]?.address);

describe('desired', () => {
  test('each family is served by its own backends', () => {
    const result = of(
      [frontend({ addresses: ['10.96.0.1', 'fd00:96::1'] })],
      [backend('10.244.0.1'), backend('fd00::1')],
    );
    expect(result.frontends.map(({ address }) => address)).toEqual(['10.96.0.1', 'fd00:96::1']);
    expect([picked(result), picked(result, 1)]).toEqual([['10.244.0.1'], ['fd00::1']]);
  });

  test('a port of a backend belongs to the frontend of its name and protocol', () => {
    const ports = [
      { name: 'http', port: 8080 },
      { name: 'dns', port: 53, protocol: 'UDP' as const },
    ];
    const result = of(
      [frontend(), frontend({ name: 'dns', port: 53, protocol: 'UDP' }), frontend({ name: 'dns', port: 53 })],
      [backend('10.244.0.1', { ports })],
    );
    expect(result.backends.map(({ port, proto }) => [port, proto])).toEqual([
      [8080, 6],
      [53, 17],
    ]);
    expect(result.frontends.map(({ picks }) => picks.length)).toEqual([1, 1, 0]);
  });

  test.each([
    ['Ready before Serving', ['Ready', 'Serving', 'Terminating', 'NotReady'], [0]],
    ['Serving where nothing is Ready', ['NotReady', 'Serving', 'Terminating'], [1]],
    ['nobody', ['NotReady', 'Terminating'], []],
  ] as const)('%s', (_, states, expected) => {
    const backends = states.map((state, i) => backend(`10.244.0.${i}`, { state }));
    const result = of([frontend()], backends);
    expect(picked(result)).toEqual(expected.map((i) => `10.244.0.${i}`));
    expect(result.backends).toHaveLength(states.length); // their sessions stay
  });

  test('weight 0 takes no connections and keeps its row', () => {
    const result = of(
      [frontend()],
      [backend('10.244.0.1', { weight: 0 }), backend('10.244.0.2', { weight: 7 })],
    );
    expect(picked(result)).toEqual(['10.244.0.2']);
    expect(result.backends.map(({ weight }) => weight)).toEqual([0, 7]);
  });

  test('a backend that is listed twice counts once, in its better state', () => {
    const result = of([frontend()], [backend('10.244.0.1', { state: 'Terminating' }), backend('10.244.0.1')]);
    expect(picked(result)).toEqual(['10.244.0.1']);
    expect(result.backends).toHaveLength(1);
  });

  test('Local: its own backends; silence only where others have some', () => {
    const local = [frontend({ trafficPolicy: 'Local' })];
    const there = backend('10.244.0.2', { node: 'node-b' });
    expect(picked(of(local, [backend('10.244.0.1'), there]))).toEqual(['10.244.0.1']);
    expect(of(local, [there]).frontends).toMatchObject([{ picks: [], local: true }]);
    expect(of(local, []).frontends).toMatchObject([{ picks: [], local: false, reject: true }]);
  });

  test('pods reach by any backend what is Local for clients outside', () => {
    const there = backend('10.244.0.2', { node: 'node-b' });
    const local = [
      frontend({ trafficPolicy: 'Local' }),
      frontend({ trafficPolicy: 'Local', scope: 'LoadBalancer', addresses: ['203.0.113.1'] }),
    ];
    const result = of(local, [there], { clients: 'Pods' });
    expect([picked(result), picked(result, 1)]).toEqual([[], ['10.244.0.2']]);
    expect(result.frontends).toMatchObject([{ local: true }, { local: false }]);
  });

  describe('hints: node-a in zone z1 picks', () => {
    const zones = (...list: string[]) => ({ zones: list });
    const nodes = (...list: string[]) => ({ nodes: list });
    const cases: [string, (Backend['hints'] | undefined)[], number[]][] = [
      ['all without hints', [undefined, undefined], [0, 1]],
      ['those of its zone', [zones('z1'), zones('z2'), zones('z2', 'z1')], [0, 2]],
      ['all while one has no hint yet', [zones('z1'), undefined], [0, 1]],
      ['all where nobody is meant for its zone', [zones('z2'), zones('z3')], [0, 1]],
      ['those of the node', [nodes('node-a'), nodes('node-b')], [0]],
      [
        'those of its zone where none is meant for the node',
        [
          { ...nodes('node-b'), ...zones('z1') },
          { ...nodes('node-c'), ...zones('z2') },
        ],
        [0],
      ],
      [
        'those of the node before those of the zone',
        [
          { ...nodes('node-a'), ...zones('z1') },
          { ...nodes('node-b'), ...zones('z1') },
        ],
        [0],
      ],
      [
        'those of the zone while one has no hint for nodes',
        [{ ...nodes('node-a'), ...zones('z1') }, zones('z1'), zones('z2')],
        [0, 1],
      ],
    ];
    const hinted = (list: (Backend['hints'] | undefined)[], options: Partial<Backend> = {}) =>
      list.map((hints, i) => backend(`10.244.0.${i}`, { ...(hints ? { hints } : {}), ...options }));

    test.each(cases)('%s', (_, list, expected) => {
      expect(picked(of([frontend()], hinted(list)))).toEqual(expected.map((i) => `10.244.0.${i}`));
    });

    test('all that serve where none is Ready', () => {
      const list = hinted([zones('z1'), zones('z2')], { state: 'Serving' });
      expect(picked(of([frontend()], list))).toHaveLength(2);
    });

    test('among its own backends with policy Local, whatever they are meant for', () => {
      const list = hinted([zones('z2'), zones('z1')]);
      const away = list.map((one, i) => (i === 1 ? { ...one, node: 'node-b' } : one));
      expect(picked(of([frontend({ trafficPolicy: 'Local' })], away))).toEqual(['10.244.0.0']);
    });

    test('in each family by itself', () => {
      const v4 = backend('10.244.0.1', { hints: zones('z2') });
      const v6 = [backend('fd00::1', { hints: zones('z1') }), backend('fd00::2', { hints: zones('z2') })];
      const result = of([frontend({ addresses: ['10.96.0.1', 'fd00:96::1'] })], [v4, ...v6]);
      expect([picked(result), picked(result, 1)]).toEqual([['10.244.0.1'], ['fd00::1']]);
    });

    test('nobody by zone on a node without one', () => {
      const service = { namespace: 'default', name: 'web', frontends: [frontend()] };
      const backends = hinted([zones('z1'), zones('z2')]);
      expect(picked(desired(SPEC, { name: 'node-a', addresses: [] }, { ...service, backends }))).toHaveLength(
        2,
      );
    });
  });

  test('an address that gives a name several ports is a backend at each of them', () => {
    // two pods with hostNetwork on one node, whose containers give the name different numbers
    const ports = [8080, 8081, 8080].map((port) => ({ name: 'http', port }));
    const result = of([frontend()], [backend('192.0.2.11', { ports })]);
    expect(result.backends.map(({ port }) => port)).toEqual([8080, 8081]);
    expect(result.frontends[0]?.picks.map(({ backend: at }) => at)).toEqual([0, 1]);
  });

  test('health: Ready addresses of the node, each once; terminating ones do not count', () => {
    const service = {
      namespace: 'default',
      name: 'web',
      frontends: [frontend()],
      healthCheckNodePort: 32100,
    };
    const healthOf = (...backends: Backend[]) =>
      desired(SPEC, { name: 'node-a', addresses: [] }, { ...service, backends }).health;
    expect(
      healthOf(
        backend('10.244.0.1'),
        backend('10.244.0.1', { ports: [{ name: 'dns', port: 53 }] }),
        backend('fd00::1'),
        backend('10.244.0.2', { node: 'node-b' }),
        backend('10.244.0.3', { state: 'Serving' }),
      ),
    ).toEqual({ namespace: 'default', name: 'web', port: 32100, localEndpoints: 2 });
    expect(healthOf(backend('10.244.0.1', { node: 'node-b' }))).toMatchObject({
      port: 32100,
      localEndpoints: 0,
    });
    expect(of([frontend()], []).health).toBeUndefined();
  });

  test('what is said at the frontend wins over the load balancer', () => {
    const result = of([frontend({ algorithm: 'Maglev', noBackends: 'Drop' }), frontend({ port: 81 })], []);
    expect(result.frontends).toMatchObject([
      { maglev: true, reject: false },
      { maglev: false, reject: true },
    ]);
  });

  test('an address and port that is listed twice is what it is first', () => {
    const result = of([frontend({ sourceRanges: ['10.0.0.0/8'] }), frontend({ scope: 'LoadBalancer' })], []);
    expect(result.frontends).toMatchObject([{ sourceRanges: ['10.0.0.0/8'] }]);
  });

  test('what is not done names the service, the port and the remedy', () => {
    const sctp = frontend({ protocol: 'SCTP', port: 2905 });
    expect(of([sctp], [backend('10.244.0.1')]).problems).toEqual([
      {
        reason: 'SctpPortChange',
        message: expect.stringMatching(/default\/web.*2905.*10\.244\.0\.1.*8080.*port/),
      },
    ]);
    expect(of([frontend({ scope: 'External' })], []).frontends).toEqual([]);
  });

  test('a node port is one of all addresses of the node, in the families that the service has', () => {
    const port = frontend({ scope: 'NodePort', addresses: [], port: 30080 });
    const placesOf = (...frontends: Frontend[]) =>
      of(frontends, []).frontends.map(({ address, port }) => `${address} ${port}`);
    expect(placesOf(port)).toEqual(['192.0.2.11 30080', '2001:db8::11 30080']);
    expect(placesOf(frontend(), port)).toEqual(['10.96.0.1 80', '192.0.2.11 30080']);
    expect(placesOf({ ...port, addresses: ['192.0.2.99'] })).toEqual(['192.0.2.99 30080']);
  });

  test('the external policy may be ignored, the internal one never', () => {
    const local = [
      frontend({ trafficPolicy: 'Local' }),
      frontend({ trafficPolicy: 'Local', scope: 'NodePort', addresses: [], port: 30080 }),
    ];
    const backends = [backend('10.244.0.1'), backend('10.244.1.1', { node: 'node-b' })];
    const numbers = (spec: Partial<LoadBalancer>) =>
      desired({ ...SPEC, ...spec }, NODE, {
        namespace: 'default',
        name: 'web',
        frontends: local,
        backends,
      }).frontends.map(({ picks, hides }) => [picks.length, hides]);
    expect(numbers({})).toEqual([
      [1, 'None'],
      [1, 'None'],
    ]);
    expect(numbers({ clients: 'Pods' })).toEqual([
      [1, 'None'],
      [2, 'None'],
    ]);
    expect(numbers({ clusterSources: ['10.244.0.254'] })).toEqual([
      [1, 'None'],
      [1, 'Host'],
    ]);
    expect(numbers({ clusterSources: ['10.244.0.254'], clients: 'Pods' })).toEqual([
      [1, 'None'],
      [2, 'All'],
    ]);
  });
});
