// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { Explanation } from '../../cubes/cube-type.ts';
import type { FlowEvent } from '../generated/tcx.ts';
import { packOwn } from '../tables.ts';
import type { NamedCube } from '../trace/names.ts';
import { PKT } from '../trace/packet-words.ts';
import { FlowBuffer } from './flow-buffer.ts';
import { type FlowNames, flowRecord } from './flow-record.ts';
import { namespacesOf } from './flow-world.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      client: '10.244.1.5',
      far: '10.244.2.7',
      own: '172.18.0.2',
      other: '172.18.0.3',
      vip: '10.96.0.10',
      world: '198.51.100.7',
      flag: 1,
    },
  ],
  [
    'IPv6',
    {
      client: 'fd00:1::5',
      far: 'fd00:2::7',
      own: 'fd00:18::2',
      other: 'fd00:18::3',
      vip: 'fd00:96::10',
      world: '2001:db8::7',
      flag: 2,
    },
  ],
] as const;
const RULE: Explanation = {
  text: 'default deny of NetworkPolicy shop/deny',
  action: 'Drop',
  origin: {
    kind: 'NetworkPolicy',
    namespace: 'shop',
    name: 'deny',
    direction: 'Ingress',
    defaultDenyOf: ['shop/deny'],
  },
};
const BOOT = Date.UTC(2026, 0, 1);

const CUBES: Record<number, Partial<NamedCube>> = {
  1: {
    key: 'net/fw',
    type: 'Firewall',
    port: (id) => ['outside', 'inside'][id] ?? '',
    explain: (object) => (object === 7n ? RULE : undefined),
    serviceOf: () => undefined,
  },
  2: {
    key: 'net/ilb',
    type: 'LoadBalancer',
    port: () => 'pods',
    explain: () => undefined,
    serviceOf: ({ dst }, object) => ({
      namespace: 'shop',
      name: 'web',
      ...(object === undefined ? {} : { backend: { address: dst.replace('96', '244'), port: 8080 } }),
    }),
  },
};

describe.each(FAMILIES)('%s', (family, f) => {
  const names: FlowNames = {
    node: 'node-a',
    cube: (slot) => CUBES[slot] as NamedCube | undefined,
    interface: () => undefined,
    podAt: (address) =>
      address === f.client
        ? { namespace: 'shop', name: 'client', interface: 'v', mac: '', addresses: [address] }
        : undefined,
    isOwn: (address) => address === f.own,
    isOtherNode: (address) => address === f.other,
    namespaceAt: (address) => (address === f.far ? 'ops' : undefined),
  };
  const event = (over: Partial<FlowEvent> & { src?: string; dst?: string }): FlowEvent =>
    ({
      time: 1_500_000_000n,
      object: 0n,
      slot: 1,
      ifindex: 3,
      length: 74,
      flags: f.flag | PKT.PORTS,
      reason: 0,
      verdict: 0,
      port: 1,
      l4Proto: 6,
      tuple: { src: over.src ?? f.client, dst: over.dst ?? f.world, sport: 40000, dport: 80, proto: 6 },
      ...over,
    }) as FlowEvent;
  const record = (over: Parameters<typeof event>[0]) => flowRecord(event(over), names, BOOT);

  test('a drop: reason, policy, who sent it to whom', () => {
    const { src, dst } = { src: f.far, dst: f.client };
    expect(record({ verdict: 1, reason: 32, object: 7n, port: 0, src, dst })).toEqual({
      time: '2026-01-01T00:00:01.500Z',
      node: 'node-a',
      cube: 'net/fw',
      verdict: 'Dropped',
      reason: 'DroppedByRule',
      rule: RULE,
      direction: 'Ingress',
      family,
      protocol: 'TCP',
      source: { kind: 'Pod', namespace: 'ops', address: f.far, port: 40000 },
      destination: { kind: 'Pod', namespace: 'shop', name: 'client', address: f.client, port: 80 },
      length: 74,
    });
  });

  test('a connection to a Service: the Service and who got it; a refused one has no backend', () => {
    const made = record({ slot: 2, object: 0n, dst: f.vip });
    expect(made).toMatchObject({
      verdict: 'Forwarded',
      direction: 'Egress',
      destination: { kind: 'Service', namespace: 'shop', name: 'web', address: f.vip, port: 80 },
      backend: { kind: 'World', port: 8080 },
    });
    expect(made).not.toHaveProperty('reason');
    expect(record({ slot: 2, verdict: 1, reason: 32, dst: f.vip })).not.toHaveProperty('backend');
  });

  test('nodes, this and others, and the world; direction by the port of the cube', () => {
    const kinds = [f.own, f.other, f.world].map((src) => record({ src, port: 0 }));
    expect(kinds.map(({ source: { kind, name } }) => [kind, name])).toEqual([
      ['Node', 'node-a'],
      ['Node', undefined],
      ['World', undefined],
    ]);
    expect(kinds.map(({ direction }) => direction)).toEqual(['Ingress', 'Ingress', 'Ingress']);
    expect(record({}).direction).toBe('Egress');
  });

  test('before the first cube, and without ports', () => {
    const flags = f.flag | PKT.ICMP_ERROR | PKT.PORTS;
    const refused = record({ slot: 0, verdict: 1, reason: 3, flags, l4Proto: family === 'IPv4' ? 1 : 58 });
    expect(refused).toMatchObject({ cube: 'entry', protocol: family === 'IPv4' ? 'ICMP' : 'ICMPv6' });
    expect(refused.source).not.toHaveProperty('port');
    const frame = record({ slot: 0, verdict: 1, reason: 3, flags: 0 });
    expect(frame).not.toHaveProperty('family');
    expect(frame).not.toHaveProperty('protocol');
    expect(record({ slot: 9 })).toMatchObject({ cube: 'slot 9' });
  });
});

test('pods of other nodes are known by the tables of identities', () => {
  const rows = [
    { id: 1, namespace: 'ops', addresses: ['10.244.2.7', 'fd00:2::7'] },
    { id: 2, namespace: 'x' },
  ];
  const tables = [packOwn('n/ids', 'Identity', rows), packOwn('n/policies', 'Policy', [{ name: 'p' }])];
  expect([...namespacesOf(tables)]).toEqual([
    ['10.244.2.7', 'ops'],
    ['fd00:2::7', 'ops'],
  ]);
});

test('a reader that is slow loses what does not fit, and is told so', () => {
  const buffer = new FlowBuffer(0);
  const flow = { node: 'a' } as Parameters<FlowBuffer['add']>[0][number];
  buffer.add(
    Array.from({ length: 10_003 }, () => flow),
    2,
  );
  buffer.add([flow], 1);
  const page = buffer.take(5);
  expect([page.flows.length, page.lost, page.suppressed]).toEqual([10_000, 4, 3]);
  expect(buffer.take(6)).toEqual({ flows: [], lost: 0, suppressed: 0 });
  expect(buffer.askedAt).toBe(6);
});
