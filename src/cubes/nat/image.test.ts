// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Frontend, Nat, Service } from '../../api/generated/types.ts';
import type { MapWrite } from '../cube-type.ts';
import { NatImage } from './image.ts';

const spec: Nat = {
  sourceRules: [
    { type: 'Exclude', sources: [], destinations: ['192.0.2.0/24'] },
    { type: 'Masquerade', sources: ['10.0.0.0/8'], destinations: [] },
  ],
  forwardRules: [{ sources: [], protocol: 'TCP', port: 80, target: { address: '10.0.0.1', port: 8080 } }],
  exclusions: [],
  role: 'Gateway',
  maxServices: 64,
  portRange: { first: 49152, last: 65535 },
  rejects: { errorsPerSecond: 1000, burst: 1000 },
  sessions: {
    maxEstablished: 16,
    maxEmbryonic: 16,
    timeouts: { tcpSyn: 1, tcpEstablished: 1, tcpClosing: 1, udp: 1, udpStream: 1, sctp: 1, icmp: 1 },
  },
};
const imageOf = (changes: Partial<Nat> = {}) =>
  new NatImage(
    {
      spec: { ...spec, ...changes },
      ports: [
        { name: 'outside', id: 0, addresses: ['198.51.100.10/24'] },
        { name: 'inside', id: 1, addresses: [] },
      ],
    },
    { name: 'node-a', addresses: [] },
  );
const adopt = (image: NatImage, writes: readonly MapWrite[]) => {
  for (const { map, count, keys, values } of writes) image.adopt(map, count, keys, values);
};

test('an agent that starts again finds what it wrote and writes nothing', () => {
  const first = imageOf();
  first.settle();
  const { writes } = first.take();
  expect(writes.map(({ map }) => map).sort()).toEqual(['forward_rules', 'matches', 'pool', 'source_rules']);
  expect(first.take()).toEqual({ writes: [], afterGrace: [] });

  const second = imageOf();
  adopt(second, writes);
  second.settle();
  expect(second.take()).toEqual({ writes: [], afterGrace: [] });
  expect(second.usage()).toEqual(first.usage());
});

test('rows that nobody wants any more are removed when packets under way have passed', () => {
  const first = imageOf();
  first.settle();
  const { writes } = first.take();
  const second = imageOf({ forwardRules: [] });
  adopt(second, writes);
  second.settle();
  const change = second.take();
  expect(change.afterGrace.map(({ map, op }) => `${op} ${map}`)).toEqual(['delete matches']);
  expect(second.usage().forward_rules).toMatchObject({ used: 0 });
});

test('rules are named by their place', () => {
  const image = imageOf();
  expect(image.nameObject('sourceRule', 1n)).toBe('sourceRules[1] (Masquerade)');
  expect(image.nameObject('forwardRule', 0n)).toBe('forwardRules[0] to 10.0.0.1 port 8080');
  expect(image.nameObject('forwardRule', 7n)).toBeUndefined();
});

describe('Services of a discriminator', () => {
  const frontend = (options: Partial<Frontend>): Frontend => ({
    name: '',
    addresses: [],
    port: 80,
    protocol: 'TCP',
    scope: 'External',
    affinity: { type: 'None', timeoutSeconds: 1 },
    sourceRanges: [],
    trafficPolicy: 'Cluster',
    ...options,
  });
  const service = (...frontends: Frontend[]): Service => ({
    namespace: 'n',
    name: 'web',
    frontends,
    backends: [],
  });
  const discriminator = (maxServices = 64, node = ['192.0.2.11', '2001:db8::11']) =>
    new NatImage(
      { spec: { ...spec, role: 'Discriminator', maxServices }, ports: [] },
      { name: 'node-a', addresses: node },
    );
  const rowsOf = (image: NatImage) => image.usage().services?.used;

  test('are a set, whoever names a row', () => {
    const image = discriminator();
    const both = frontend({ addresses: ['198.51.100.1', '198.51.100.2'] });
    image.setTable('n/a', [service(both, frontend({ scope: 'ClusterIP', addresses: ['10.96.0.1'] }))]);
    image.setTable('n/b', [service(frontend({ addresses: ['198.51.100.2'] }))]);
    expect(rowsOf(image)).toBe(2);
    image.setTable('n/a', undefined);
    expect(rowsOf(image)).toBe(1);
    image.setTable('n/b', [service(frontend({ addresses: ['198.51.100.3'] }))]);
    expect(rowsOf(image)).toBe(1);
    image.setTable('n/b', undefined);
    expect(rowsOf(image)).toBe(0);
  });

  test('follow the addresses of the node, in the families of the Service', () => {
    const image = discriminator();
    const port = frontend({ scope: 'NodePort', port: 30080 });
    image.setTable('n/a', [service(port)]);
    image.setTable('n/b', [service(frontend({ addresses: ['198.51.100.1'] }), { ...port, port: 30081 })]);
    expect(rowsOf(image)).toBe(4);
    const node = { name: 'a', gatewayMac: '', overlayVni: 1, redirectPeer: true };
    image.setNode({ ...node, addresses: ['192.0.2.11', '192.0.2.12', '2001:db8::11'] });
    expect(rowsOf(image)).toBe(6);
  });

  test('that do not fit are told, and those of a gateway are not looked at', () => {
    const many = service(frontend({ addresses: ['198.51.100.1', '198.51.100.2', '198.51.100.3'] }));
    expect(discriminator(2).setTable('n/a', [many])).toMatchObject([
      { reason: 'MapFull', field: 'spec.nat.maxServices', message: expect.stringMatching(/n\/web.*1 of/) },
    ]);
    expect(imageOf().setTable('n/a', [many])).toMatchObject([{ reason: 'TableUnused' }]);
  });
});

describe('addresses that tables announce', () => {
  const own = [
    { address: '192.0.2.200', node: 'node-a' },
    { address: '2001:db8::c8', node: 'node-a' },
    { address: '192.0.2.201', node: 'node-b' },
  ];
  const discriminator = () => {
    const ports = [{ name: 'outside', id: 0, addresses: ['192.0.2.11/32'] }];
    const node = { name: 'node-a', addresses: ['192.0.2.11'] };
    return new NatImage({ spec: { ...spec, role: 'Discriminator' }, ports }, node);
  };
  const announce = (image: NatImage, rows: typeof own | undefined, key = 'n/a') =>
    image.setTable(key, rows, undefined, 'Announcement');
  const rowsOf = (image: NatImage) => image.usage().matches?.used ?? 0;

  test('come and go as rows; those of other nodes are none', () => {
    const image = discriminator();
    image.settle();
    const before = rowsOf(image);
    image.take();
    expect(announce(image, own)).toEqual([]);
    expect(image.announced()).toEqual({ port: 'outside', addresses: ['192.0.2.200', '2001:db8::c8'] });
    const added = image.take();
    expect(added.writes.map(({ map, op, count }) => `${op} ${count} ${map}`)).toEqual(['update 2 matches']);
    expect(rowsOf(image)).toBe(before + 2);
    announce(image, own.slice(0, 1), 'n/b');
    announce(image, undefined);
    expect(image.announced().addresses).toEqual(['192.0.2.200']);
    image.setTable('n/b', undefined);
    const removed = image.take();
    expect(removed.writes).toEqual([]);
    expect(removed.afterGrace.map(({ op, count }) => `${op} ${count}`)).toEqual(['delete 2']);
    expect(rowsOf(image)).toBe(before);
  });

  test('are found again by an agent that starts anew, and go where nobody names them', () => {
    const first = discriminator();
    announce(first, own);
    first.settle();
    const { writes } = first.take();
    const same = discriminator();
    adopt(same, writes);
    announce(same, own);
    same.settle();
    expect(same.take()).toEqual({ writes: [], afterGrace: [] });
    const other = discriminator();
    adopt(other, writes);
    other.settle();
    expect(other.take().afterGrace.map(({ op, count, map }) => `${op} ${count} ${map}`)).toEqual([
      'delete 2 matches',
    ]);
  });

  test('that no host has are told, and those of a gateway are not looked at', () => {
    expect(announce(discriminator(), [{ address: '224.0.0.1', node: 'node-a' }])).toMatchObject([
      { reason: 'InvalidAddress', field: 'spec.announcements[0].address' },
    ]);
    const gateway = imageOf();
    expect(announce(gateway, own)).toMatchObject([{ reason: 'TableUnused' }]);
    expect(gateway.announced().addresses).toEqual([]);
    expect(gateway.setTable('n/a', undefined)).toEqual([]);
  });
});
