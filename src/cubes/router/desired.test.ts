// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Route, Router } from '../../api/generated/types.ts';
import type { CubeInput, CubePort } from '../cube-type.ts';
import { desired, NO_DELIVERY } from './desired.ts';
import { ownFilter } from './own-filter.ts';
import { NO_MTU, type RouteRow } from './route-row.ts';
import { router } from './type.ts';

const NODE = { name: 'a', gatewayMac: '02:c0:be:00:00:01', overlayVni: 7, addresses: [], redirectPeer: true };

function cube(ports: Partial<CubePort>[], spec: Partial<Router> = {}): CubeInput<Router> {
  return {
    namespace: 'net',
    name: 'router',
    uid: 'u',
    spec: {
      routes: [],
      icmp: { errorsPerSecond: 100, burst: 50 },
      neighbours: { ports: [], static: [], reachableSeconds: 30, maxNeighbours: 1024 },
      maxRoutes: 16384,
      ...spec,
    },
    ports: ports.map((port, id) => ({ name: `p${id}`, id, addresses: [], ...port })),
  };
}

const problems = (ports: Partial<CubePort>[], routes: Route[] = [], spec: Partial<Router> = {}) =>
  router.check(cube(ports, { routes, ...spec })).map(({ reason, field }) => `${reason} ${field}`);

describe('a tunnel to a node of the same subnet', () => {
  const ports: Partial<CubePort>[] = [
    { name: 'overlay', endpoint: 'Overlay', mtu: 1450 },
    { name: 'host', endpoint: 'Stack' },
  ];
  const node = { ...NODE, directNetworks: ['198.18.0.0/24', 'fd00:18::/64'] };
  const way = (destination: string, remote: string, at = node, of = ports) => {
    const route: Route = { destination, type: 'Tunnel', tunnel: { remote } };
    const resolved = desired(cube(of), at).resolve(route, 'route', '');
    return 'reason' in resolved ? resolved.reason : [resolved.port, resolved.gateway, resolved.mtu];
  };

  test('is no tunnel, but the host that knows the way', () => {
    expect(way('10.244.2.0/24', '198.18.0.12')).toEqual([1, '::', NO_MTU]);
    expect(way('fd00:244:2::/64', 'fd00:18::12')).toEqual([1, '::', NO_MTU]);
  });

  test.each([
    ['on another subnet', way('10.244.2.0/24', '198.19.0.12')],
    ['of another family', way('fd00:244:2::/64', '198.18.0.12')],
    [
      'where the chain does not want it',
      way('10.244.2.0/24', '198.18.0.12', { ...NODE, directNetworks: [] }),
    ],
    ['without a port to the host', way('10.244.2.0/24', '198.18.0.12', node, ports.slice(0, 1))],
  ])('stays a tunnel %s', (_, result) => {
    expect(result).toEqual([0, expect.stringMatching(/^198\.1/), 1450]);
  });
});

describe('what is refused', () => {
  test.each([
    ['10.244.1.0/24'],
    ['10.244.1.255/24'],
    ['0.0.0.0/8'],
    ['127.0.0.1/8'],
    ['224.0.0.1/4'],
    ['::/64'],
    ['::1/128'],
    ['ff02::1/64'],
    ['no address'],
  ])('the address %s', (address) => {
    expect(problems([{ addresses: [address] }])).toEqual(['InvalidAddress spec.ports[p0].addresses[0]']);
  });

  test.each([
    ['10.0.0.0/31'],
    ['10.0.0.1/31'],
    ['10.0.0.0/32'],
    ['fd00::/64'],
    ['fe80::1/64'],
    ['169.254.1.1/16'],
  ])('but not %s', (address) => {
    expect(problems([{ addresses: [address] }])).toEqual([]);
  });

  test('an address on two ports', () => {
    expect(problems([{ addresses: ['10.0.0.1/24'] }, { addresses: ['10.0.0.1/16'] }])).toEqual([
      'DuplicateAddress spec.ports[p1].addresses[0]',
    ]);
  });

  test.each<[string, Route, string]>([
    [
      'an unknown port',
      { destination: '10.9.0.0/16', type: 'Port', port: 'x' },
      'UnknownPort spec.router.routes[0].port',
    ],
    [
      'an unknown port of a next hop',
      { destination: '10.9.0.0/16', type: 'NextHop', nextHop: { address: '10.0.0.9', port: 'x' } },
      'UnknownPort spec.router.routes[0].nextHop.port',
    ],
    [
      'a next hop out of reach',
      { destination: '10.9.0.0/16', type: 'NextHop', nextHop: { address: '10.7.0.9' } },
      'NextHopUnreachable spec.router.routes[0].nextHop',
    ],
    [
      'itself as next hop',
      { destination: '10.9.0.0/16', type: 'NextHop', nextHop: { address: '10.0.0.1' } },
      'InvalidRoute spec.router.routes[0].nextHop.address',
    ],
    [
      'a next hop of the other family',
      { destination: '10.9.0.0/16', type: 'NextHop', nextHop: { address: 'fd00::1' } },
      'InvalidRoute spec.router.routes[0].nextHop.address',
    ],
    [
      'a tunnel without overlay',
      { destination: '10.9.0.0/16', type: 'Tunnel', tunnel: { remote: '172.18.0.3' } },
      'NoOverlay spec.router.routes[0]',
    ],
    [
      'a tunnel to nowhere',
      { destination: '10.9.0.0/16', type: 'Tunnel', tunnel: { remote: '0.0.0.0' } },
      'InvalidRoute spec.router.routes[0].tunnel.remote',
    ],
  ])('%s', (_, route, expected) => {
    expect(problems([{ addresses: ['10.0.0.1/24'] }], [route])).toEqual([expected]);
  });

  test('a prefix twice, and more routes than fit', () => {
    const blackholes = Array.from(
      { length: 17 },
      (_, i): Route => ({ destination: `10.${i}.0.0/16`, type: 'Blackhole' }),
    );
    expect(problems([], [...blackholes.slice(0, 2), ...blackholes.slice(1, 2)])).toEqual([
      'DuplicateRoute spec.router.routes[2].destination',
    ]);
    expect(problems([], blackholes, { maxRoutes: 16 })).toEqual(['TooManyRoutes spec.router.maxRoutes']);
  });
});

describe('rows', () => {
  const rows = (ports: Partial<CubePort>[], spec: Partial<Router> = {}): Record<string, Partial<RouteRow>> =>
    Object.fromEntries(
      desired(cube(ports, spec), NODE).routes.map((row) => [`${row.addr}/${row.length}`, row]),
    );

  test('the smallest MTU of route, port and router holds', () => {
    const routes: Route[] = [
      { destination: '10.9.0.0/16', type: 'Port', port: 'p0', mtu: 1300 },
      { destination: '10.8.0.0/16', type: 'Port', port: 'p1', mtu: 9000 },
    ];
    const ports = [{ addresses: ['10.0.0.1/24'], mtu: 1400 }, { addresses: ['10.1.0.1/24'] }];
    const mtus = (spec: Partial<Router>) =>
      Object.values(rows(ports, { routes, ...spec })).map(({ mtu }) => mtu);
    expect(mtus({})).toEqual([1400, NO_MTU, 1300, 9000]);
    expect(mtus({ mtu: 1350 })).toEqual([1350, 1350, 1300, 1350]);
  });

  test('a link-local prefix is connected to nothing', () => {
    expect(rows([{ addresses: ['fe80::1/64', 'fd00::1/64'] }])).toHaveProperty(['fd00::/64']);
    expect(Object.keys(rows([{ addresses: ['fe80::1/64'] }]))).toEqual([]);
  });

  test('a next hop is reached by the port with the longest prefix', () => {
    const ports = [{ addresses: ['10.0.0.1/8'] }, { addresses: ['10.5.0.1/16'] }];
    const routes: Route[] = [{ destination: '0.0.0.0/0', type: 'NextHop', nextHop: { address: '10.5.0.9' } }];
    expect(rows(ports, { routes })['0.0.0.0/96']).toMatchObject({ port: 1, gateway: '10.5.0.9' });
  });

  test('addresses that the host has too', () => {
    const ports: Partial<CubePort>[] = [{ addresses: ['10.0.0.1/24', 'fd00::1/64'] }, { name: 'host' }];
    const own = (spec: Partial<Router>, endpoint?: 'Stack') =>
      desired(cube([ports[0] ?? {}, { ...ports[1], ...(endpoint ? { endpoint } : {}) }], spec), NODE).own;
    expect(own({}).map(({ delivery }) => delivery)).toEqual([NO_DELIVERY, NO_DELIVERY]);
    expect(own({}, 'Stack').map(({ delivery }) => delivery)).toEqual([1, 1]);
    const routes: Route[] = [{ destination: '10.0.0.1/32', type: 'Port', port: 'host' }];
    expect(own({ routes }).map(({ delivery }) => delivery)).toEqual([1, NO_DELIVERY]);
    expect(Object.keys(rows(ports, { routes }))).toEqual(['10.0.0.0/120', 'fd00::/64']); // it is no route
  });

  test('errors come from the port, else from another one, else from nowhere', () => {
    expect(
      desired(
        cube([
          { addresses: ['10.0.0.1/24'] },
          { addresses: ['10.1.0.1/24', 'fe80::1/64', 'fd01::1/64'] },
          {},
        ]),
        NODE,
      ).ports,
    ).toEqual([
      { port: 0, sourceV4: '10.0.0.1', sourceV6: 'fd01::1' },
      { port: 1, sourceV4: '10.1.0.1', sourceV6: 'fd01::1' },
      { port: 2, sourceV4: '10.0.0.1', sourceV6: 'fd01::1' },
    ]);
    expect(desired(cube([{}]), NODE).ports).toEqual([{ port: 0, sourceV4: '::', sourceV6: '::' }]);
  });
});

test('the limit becomes an interval and a tolerance', () => {
  const limit = (errorsPerSecond: number, burst: number) => {
    const { rodata } = router.instance(cube([], { icmp: { errorsPerSecond, burst } }), NODE);
    const view = new DataView((rodata.reply_limit ?? new Uint8Array(16)).buffer);
    return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  };
  expect(limit(100, 50)).toEqual([10_000_000n, 490_000_000n]);
  expect(limit(0, 50)).toEqual([0n, 0n]);
  expect(limit(100000, 1)).toEqual([10_000n, 0n]);
});

test('a change of addresses, routes or sizes is another instance; that of the limit is one of constants', () => {
  const base = cube([{ addresses: ['10.0.0.1/24'] }]);
  const of = (input: CubeInput<Router>) =>
    JSON.stringify(router.instance(input, NODE), (_, v) => (v instanceof Uint8Array ? [...v] : v));
  expect(of(base)).toBe(of(structuredClone(base)));
  const changes = [
    cube([{ addresses: ['10.0.0.2/24'] }]),
    cube([{ addresses: ['10.0.0.1/24'], mtu: 1400 }]),
    cube([{ addresses: ['10.0.0.1/24'] }], { maxRoutes: 100 }),
    cube([{ addresses: ['10.0.0.1/24'] }], { routes: [{ destination: '10.9.0.0/16', type: 'Blackhole' }] }),
    cube([{ addresses: ['10.0.0.1/24'] }], { icmp: { errorsPerSecond: 1, burst: 1 } }),
  ];
  expect(new Set([base, ...changes].map(of)).size).toBe(changes.length + 1);
});

test('the filter has at most one bit for each address, and none without', () => {
  const bits = (words: number[]) =>
    words
      .join()
      .split(',')
      .reduce((n, w) => n + (Number(w).toString(2).match(/1/g) ?? []).length, 0);
  expect(bits(ownFilter([]))).toBe(0);
  expect(bits(ownFilter(['10.0.0.1']))).toBe(1);
  expect(bits(ownFilter(['10.0.0.1', '10.0.0.1']))).toBe(1);
  expect(bits(ownFilter(['10.0.0.1', 'fd00::1', '10.0.0.2']))).toBeGreaterThan(1);
});
