// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { Graph } from './graph-model.ts';
import { type HostNetwork, hostNetwork, planHostNetwork } from './host-routes.ts';
import { overlaySources } from './overlay.ts';

const sources = overlaySources([
  { prefix: '10.244.2.0/24', remote: '198.18.0.12' },
  { prefix: 'fd00:244:0:2::/64', remote: '198.18.0.12' },
]);

const graphOf = (addresses: readonly string[], endpoint = 'Stack'): Graph => {
  const ports = [
    { name: 'pods', id: 0, addresses, endpoint: 'Cube' },
    { name: 'uplink', id: 1, addresses: ['192.168.7.2/30'], endpoint: 'Interface' },
    { name: 'host', id: 2, addresses: [], endpoint },
  ];
  const ends = [
    { type: 'Cube', cube: 'ns/r', port: 'host' },
    { type: endpoint, open: true },
  ];
  return {
    cubes: new Map([['ns/r', { input: { ports } }]]),
    links: new Map([['ns/l', { ends }]]),
  } as unknown as Graph;
};

const wish = hostNetwork(graphOf(['10.244.1.1/24', 'fd00:244:0:1::1/64']), sources, 1430);
const nothing: HostNetwork = { addresses: [], routes: [] };

test("prefixes of the router's ports and of other nodes, from the port's address of the family", () => {
  expect(wish).toEqual({
    addresses: ['10.244.1.1', 'fd00:244:0:1::1'],
    routes: [
      { prefix: '10.244.1.0/24', source: '10.244.1.1' },
      { prefix: 'fd00:244:0:1::/64', source: 'fd00:244:0:1::1' },
      { prefix: '10.244.2.0/24', source: '10.244.1.1', mtu: 1430 },
      { prefix: 'fd00:244:0:2::/64', source: 'fd00:244:0:1::1', mtu: 1430 },
    ],
  });
});

test('nodes of the subnet are reached past cube0, by an address of the same family', () => {
  const direct = [
    { network: '198.18.0.0/24', device: 'eth0' },
    { network: '192.168.0.0/16', device: 'eth1' },
  ];
  const { routes } = hostNetwork(graphOf(['10.244.1.1/24', 'fd00:244:0:1::1/64']), sources, 1430, direct);
  expect(routes.slice(2)).toEqual([
    { prefix: '10.244.2.0/24', source: '10.244.1.1', direct: { device: 'eth0', via: '198.18.0.12' } },
    { prefix: 'fd00:244:0:2::/64', source: 'fd00:244:0:1::1', mtu: 1430 },
  ]);
  const there = { addresses: wish.addresses, routes };
  expect(planHostNetwork(wish, there)).toEqual({
    make: ['route replace 10.244.2.0/24 via 198.18.0.12 dev eth0 src 10.244.1.1 metric 77'],
    remove: [],
  });
  // back to cube0 when the chain sends nothing to the host any more
  expect(planHostNetwork(there, wish)).toEqual({
    make: [],
    remove: ['route replace 10.244.2.0/24 dev cube0 src 10.244.1.1 metric 77 mtu 1430'],
  });
  expect(planHostNetwork(there, nothing).remove).toContain('route delete 10.244.2.0/24 dev eth0 metric 77');
});

test('no way to the other nodes without an address of the family; nothing without a link to the stack', () => {
  expect(hostNetwork(graphOf(['10.244.1.1/24']), sources, 1430).routes.map(({ prefix }) => prefix)).toEqual([
    '10.244.1.0/24',
    '10.244.2.0/24',
  ]);
  expect(hostNetwork(graphOf(['10.244.1.1/24'], 'Overlay'), sources, 1430)).toEqual(nothing);
});

test('what is missing is made, what is there stays, what nobody asks for goes', () => {
  expect(planHostNetwork(nothing, wish)).toEqual({
    make: [
      'address add 10.244.1.1/32 dev cube0',
      'address add fd00:244:0:1::1/128 dev cube0 nodad',
      'route replace 10.244.1.0/24 dev cube0 src 10.244.1.1 metric 77',
      'route replace fd00:244:0:1::/64 dev cube0 src fd00:244:0:1::1 metric 77',
      'route replace 10.244.2.0/24 dev cube0 src 10.244.1.1 metric 77 mtu 1430',
      'route replace fd00:244:0:2::/64 dev cube0 src fd00:244:0:1::1 metric 77 mtu 1430',
    ],
    remove: [],
  });
  expect(planHostNetwork({ ...wish, addresses: [...wish.addresses, 'fe80::1'] }, wish)).toEqual({
    make: [],
    remove: [],
  });
  expect(planHostNetwork(wish, nothing).remove).toEqual([
    'route delete 10.244.1.0/24 dev cube0 metric 77',
    'route delete fd00:244:0:1::/64 dev cube0 metric 77',
    'route delete 10.244.2.0/24 dev cube0 metric 77',
    'route delete fd00:244:0:2::/64 dev cube0 metric 77',
    'address delete 10.244.1.1/32 dev cube0',
    'address delete fd00:244:0:1::1/128 dev cube0',
  ]);
});

test('a route with another MTU or source is replaced', () => {
  const there = { ...wish, routes: wish.routes.map((route) => ({ ...route, mtu: 1450 })) };
  expect(planHostNetwork(there, wish).make).toHaveLength(4);
});
