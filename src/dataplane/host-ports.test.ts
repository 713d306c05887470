// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { LoadBalancer } from '../api/generated/types.ts';
import { desired } from '../cubes/load-balancer/desired.ts';
import { hostPortsTaken, servesNodePorts, servicesOfPod } from './host-ports.ts';
import type { HostPort, PodRecord } from './pod-record.ts';

const port = (hostPort: number, more: Partial<HostPort> = {}): HostPort => ({
  hostPort,
  containerPort: 8080,
  protocol: 'TCP',
  hostIP: '',
  ...more,
});
const pod = (name: string, ...hostPorts: HostPort[]): PodRecord => ({
  namespace: 'default',
  name,
  interface: 'cp0',
  mac: '02:00:00:00:00:01',
  addresses: ['10.244.1.5', 'fd00:244:0:1::5'],
  hostPorts,
});
const NODE = { name: 'node-a', addresses: ['192.0.2.11', '198.51.100.11', '2001:db8::11'] };
const spec = {
  algorithm: 'Random',
  clients: 'Any',
  scopes: ['NodePort'],
  noBackends: 'Reject',
} satisfies Partial<LoadBalancer> as LoadBalancer;

test('a balancer of the node leads all of its addresses, or the one that is named, to the pod, which sees the client', () => {
  const rows = servicesOfPod(
    pod('web', port(80), port(53, { protocol: 'UDP', containerPort: 53, hostIP: '198.51.100.11' })),
    'node-a',
  );
  const shown = rows.flatMap((row) => {
    const { frontends, backends, problems } = desired(
      { ...spec, clusterSources: ['10.244.1.254'] },
      NODE,
      row,
    );
    expect(problems).toEqual([]);
    return frontends.map(({ address, port: number, proto, picks, hides, local }) => [
      `${address} ${number}/${proto}`,
      picks.map(({ backend }) => `${backends[backend]?.address} ${backends[backend]?.port}`).join(),
      hides,
      local,
    ]);
  });
  expect(shown).toEqual([
    ['192.0.2.11 80/6', '10.244.1.5 8080', 'Host', false],
    ['198.51.100.11 80/6', '10.244.1.5 8080', 'Host', false],
    ['2001:db8::11 80/6', 'fd00:244:0:1::5 8080', 'Host', false],
    ['198.51.100.11 53/17', '10.244.1.5 53', 'Host', false],
  ]);
});

test.each<[string, HostPort, boolean]>([
  ['the same', port(80), true],
  ['another number', port(81), false],
  ['another protocol', port(80, { protocol: 'UDP' }), false],
  ['one address of all', port(80, { hostIP: '192.0.2.11' }), true],
  ['an unspecified address', port(80, { hostIP: '0.0.0.0' }), true],
])('a port that another pod has: %s', (_, wanted, isTaken) => {
  const other = pod('other', port(80));
  expect(hostPortsTaken([wanted], [other])).toEqual(isTaken ? { port: wanted, by: other } : undefined);
});

test('two addresses of the node may have the same port', () => {
  const other = pod('other', port(80, { hostIP: '192.0.2.11' }));
  expect(hostPortsTaken([port(80, { hostIP: '198.51.100.11' })], [other])).toBeUndefined();
});

test('who serves ports of the node', () => {
  const cube = (type: string, scopes: string[], tables = [{ type: 'Service' }]) =>
    servesNodePorts({ spec: { type, loadBalancer: { scopes }, tables } as never });
  expect(cube('LoadBalancer', ['NodePort'])).toBe(true);
  expect(cube('LoadBalancer', ['ClusterIP'])).toBe(false);
  expect(cube('LoadBalancer', ['NodePort'], [])).toBe(false);
  expect(cube('Router', ['NodePort'])).toBe(false);
});
