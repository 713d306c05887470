// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  ADDRESSES_ANNOTATION,
  type Assignment,
  assignAddresses,
  LOAD_BALANCER_CLASS,
  POOL_ANNOTATION,
} from './address-assignment.ts';
import { type AddressPool, rangesOf } from './address-ranges.ts';
import { Diagnostics } from './diagnostic.ts';
import type { ServiceInput } from './inputs.ts';

function pool(name: string, ranges: Parameters<typeof rangesOf>[0], isAutomatic = true): AddressPool {
  return { name, ranges: rangesOf(ranges, new Diagnostics(name)), isAutomatic };
}

/** Two addresses a family: .1 and .2. */
const SMALL = pool('small', [{ prefix: '192.0.2.0/30' }, { first: '2001:db8::1', last: '2001:db8::2' }]);
const RESERVED = pool('reserved', [{ prefix: '198.51.100.7/32' }], false);

interface Extra {
  spec?: ServiceInput['spec'];
  metadata?: ServiceInput['metadata'];
  /** In its status, written by the operator. */
  has?: string[];
  /** In its status, written by somebody else. */
  foreign?: string[];
}

function service(name: string, { spec, metadata, has, foreign }: Extra = {}): ServiceInput {
  const ingress = (has ?? foreign ?? []).map((ip) => ({ ip, ipMode: 'VIP' }));
  return {
    metadata: { namespace: 'd', name, creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.1', ipFamilies: ['IPv4', 'IPv6'], ...spec },
    status: { loadBalancer: { ingress } },
    ...(has === undefined ? {} : { ownsAddresses: true }),
  };
}
const asking = (addresses: string) => ({ annotations: { [ADDRESSES_ANNOTATION]: addresses } });
const from = (name: string) => ({ annotations: { [POOL_ANNOTATION]: name } });

function assign(
  services: ServiceInput[],
  pools: AddressPool[] = [SMALL],
  others = new Map<string, string>(),
): Record<string, { addresses: readonly string[]; said: string[] }> {
  const found = assignAddresses({ pools, services, others });
  return Object.fromEntries(
    [...found].map(([key, { addresses, diagnostics }]: [string, Assignment]) => [
      key.slice(2),
      { addresses, said: diagnostics.map(({ reason }) => reason) },
    ]),
  );
}
const given = (...addresses: string[]) => ({ addresses, said: [] as string[] });

describe('what a Service gets', () => {
  test('one address a family, in the order of its families, the first ones that are free', () => {
    expect(assign([service('a'), service('b', { spec: { ipFamilies: ['IPv6'] } })])).toEqual({
      a: given('192.0.2.1', '2001:db8::1'),
      b: given('2001:db8::2'),
    });
    const swapped = service('a', { spec: { ipFamilies: ['IPv6', 'IPv4'] } });
    expect(assign([swapped])).toEqual({ a: given('2001:db8::1', '192.0.2.1') });
  });

  test('no address of a node, an external IP, or a load balancer of somebody else', () => {
    const external = service('x', { spec: { type: 'ClusterIP', externalIPs: ['2001:db8::1'] } });
    const cloud = service('y', { foreign: ['2001:db8::2'] });
    const others = new Map([['192.0.2.1', 'node n']]);
    expect(assign([external, cloud, service('a')], [SMALL], others)).toEqual({
      a: { addresses: ['192.0.2.2'], said: ['AddressesExhausted'] },
    });
  });

  test('no address that another Service spells in another way', () => {
    const external = service('x', {
      spec: { type: 'ClusterIP', externalIPs: ['2001:DB8:0::1', '', 'web', '192.0.2.1'] },
    });
    const cloud = service('y', { foreign: ['2001:0db8::0002'] });
    const five = pool('five', [{ first: '2001:db8::1', last: '2001:db8::5' }]);
    const six = { ipFamilies: ['IPv6'] };
    expect(assign([external, cloud, service('a', { spec: six })], [five])).toEqual({
      a: given('2001:db8::3'),
    });
    expect(
      assign([external, service('b', { spec: six, metadata: asking('2001:db8::0:1') })], [five]),
    ).toEqual({ b: { addresses: [], said: ['AddressTaken'] } });
  });

  test('nothing without a pool, unless it asks for one by its class', () => {
    expect(assign([service('a')], [])).toEqual({});
    const classed = service('a', { spec: { loadBalancerClass: LOAD_BALANCER_CLASS, ipFamilies: ['IPv4'] } });
    expect(assign([classed], [])).toEqual({ a: { addresses: [], said: ['AddressesExhausted'] } });
    expect(assign([classed])).toEqual({ a: given('192.0.2.1') });
  });

  test('nothing where its addresses are the matter of others', () => {
    const label = (name: string) => ({ labels: { [name]: '' } });
    expect(
      assign([
        service('class', { spec: { loadBalancerClass: 'example.com/cloud' } }),
        service('type', { spec: { type: 'NodePort' } }),
        service('proxy', { metadata: label('service.kubernetes.io/service-proxy-name') }),
        service('headless', { metadata: label('service.kubernetes.io/headless') }),
        service('cloud', { foreign: ['203.0.113.1'] }),
      ]),
    ).toEqual({});
  });

  test('what it asks for, also of a pool that is for those who ask', () => {
    expect(
      assign(
        [
          service('a', { metadata: asking('198.51.100.7, 2001:db8::2') }),
          service('b', { spec: { ipFamilies: ['IPv4'], loadBalancerIP: '192.0.2.2' } }),
        ],
        [RESERVED, SMALL],
      ),
    ).toEqual({ a: given('198.51.100.7', '2001:db8::2'), b: given('192.0.2.2') });
  });

  test('an address of the pool that it names', () => {
    const four = { spec: { ipFamilies: ['IPv4'] } };
    const pools = [RESERVED, SMALL];
    expect(assign([service('a', { ...four, metadata: from('reserved') })], pools)).toEqual({
      a: given('198.51.100.7'),
    });
    expect(assign([service('a', { ...four, metadata: from('none') })], pools)).toEqual({
      a: { addresses: [], said: ['PoolNotFound', 'AddressesExhausted'] },
    });
  });

  test('an answer that says why it gets none', () => {
    const four = { ipFamilies: ['IPv4'] };
    expect(
      assign([
        service('a', { spec: four, has: ['192.0.2.1'] }),
        service('b', { spec: four, metadata: asking('192.0.2.1') }),
        service('c', { spec: four, metadata: asking('203.0.113.9') }),
        service('d', { spec: four, metadata: asking('web') }),
        service('e', { spec: four }),
      ]),
    ).toEqual({
      a: given('192.0.2.1'),
      b: { addresses: [], said: ['AddressTaken'] },
      c: { addresses: [], said: ['AddressNotInPool'] },
      // what cannot be read asks for nothing
      d: { addresses: ['192.0.2.2'], said: ['InvalidAddress'] },
      e: { addresses: [], said: ['AddressesExhausted'] },
    });
  });
});

describe('what a Service has', () => {
  test('stays, whatever comes before it and whatever becomes of the pool', () => {
    const has = ['192.0.2.2', '2001:db8::2'];
    expect(assign([service('a'), service('z', { has })])).toEqual({
      a: given('192.0.2.1', '2001:db8::1'),
      z: given(...has),
    });
    for (const pools of [[], [RESERVED]])
      expect(assign([service('z', { has })], pools)).toEqual({
        z: { addresses: has, said: ['AddressNotInPool', 'AddressNotInPool'] },
      });
  });

  test('stays when another Service calls it its external IP', () => {
    const has = ['192.0.2.1', '2001:db8::1'];
    const other = service('x', { spec: { type: 'ClusterIP', externalIPs: has } });
    const own = service('z', { has, spec: { ipFamilies: ['IPv4', 'IPv6'], externalIPs: has } });
    expect(assign([other, own])).toEqual({ z: given(...has) });
  });

  test('is another when it asks for another, and of one family when it has one', () => {
    const has = ['192.0.2.1', '2001:db8::1'];
    expect(assign([service('a', { has, metadata: asking('192.0.2.2') })])).toEqual({
      a: given('192.0.2.2', '2001:db8::1'),
    });
    expect(assign([service('a', { has, metadata: from('reserved') })], [RESERVED, SMALL])).toEqual({
      a: { addresses: ['198.51.100.7'], said: ['AddressesExhausted'] },
    });
    expect(assign([service('a', { has, spec: { ipFamilies: ['IPv6'] } })])).toEqual({
      a: given('2001:db8::1'),
    });
  });

  test('goes when it is no load balancer of the pools any more', () => {
    expect(assign([service('a', { has: ['192.0.2.1'], spec: { type: 'ClusterIP' } })])).toEqual({});
  });

  test('of two with the same address the older one keeps it', () => {
    const young = { creationTimestamp: '2026-02-01T00:00:00Z' };
    const four = { ipFamilies: ['IPv4'] };
    expect(
      assign([
        service('a', { has: ['192.0.2.1'], spec: four, metadata: young }),
        service('b', { has: ['192.0.2.1'], spec: four }),
      ]),
    ).toEqual({ a: given('192.0.2.2'), b: given('192.0.2.1') });
  });
});

test('in any order of any Services no address is given twice, and nothing changes by itself', () => {
  const families = fc.constantFrom<string[]>(['IPv4'], ['IPv6'], ['IPv4', 'IPv6'], ['IPv6', 'IPv4']);
  const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2', '203.0.113.9', 'x');
  const annotations = fc.record(
    {
      [ADDRESSES_ANNOTATION]: fc.array(address, { maxLength: 2 }).map((list) => list.join(',')),
      [POOL_ANNOTATION]: fc.constantFrom('small', 'reserved', 'none'),
    },
    { requiredKeys: [] },
  );
  const any = fc.record({ families, annotations, has: fc.option(fc.array(address, { maxLength: 3 })) });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 6 }), fc.infiniteStream(fc.double()), (list, keys) => {
      const services = list.map(({ families: ipFamilies, annotations: said, has }, index) =>
        service(`s${index}`, {
          spec: { ipFamilies },
          metadata: { annotations: said },
          ...(has === null ? {} : { has }),
        }),
      );
      const first = assign(services, [RESERVED, SMALL]);
      const all = Object.values(first).flatMap(({ addresses }) => addresses);
      expect(new Set(all).size).toBe(all.length);
      const after = services.map((one) =>
        service(one.metadata.name ?? '', {
          spec: one.spec,
          metadata: one.metadata,
          has: [...(first[one.metadata.name ?? '']?.addresses ?? [])],
        }),
      );
      const shuffled = after
        .map((one) => ({ one, key: keys.next().value ?? 0 }))
        .sort((a, b) => a.key - b.key)
        .map(({ one }) => one);
      const addressesOf = (found: typeof first) =>
        Object.fromEntries(Object.entries(found).map(([key, { addresses }]) => [key, addresses]));
      expect(addressesOf(assign(shuffled, [RESERVED, SMALL]))).toEqual(addressesOf(first));
    }),
  );
});

test('ten thousand Services get their addresses in one go', () => {
  const wide = pool('wide', [{ prefix: '10.0.0.0/16' }, { prefix: '2001:db8::/64' }]);
  const services = Array.from({ length: 10_000 }, (_, index) => service(`s${index}`));
  const found = assign(services, [wide]);
  expect(new Set(Object.values(found).flatMap(({ addresses }) => addresses)).size).toBe(20_000);
});

test('a prefix gives its hosts, a range all its addresses, and nonsense is told', () => {
  const diagnostics = new Diagnostics('CubeTable s/p');
  const texts = (inputs: Parameters<typeof rangesOf>[0]) =>
    rangesOf(inputs, diagnostics).map(({ family, first, last }) => `${family} ${first} ${last}`);
  expect(
    texts([
      { prefix: '0.0.0.0/29' },
      { prefix: '0.0.0.8/31' },
      { prefix: '0.0.0.9/32' },
      { prefix: '::/126' },
      { prefix: '::8/127' },
      { first: '0.0.0.0', last: '0.0.0.7' },
    ]),
  ).toEqual(['4 1 6', '4 8 9', '4 9 9', '6 1 3', '6 8 9', '4 0 7']);
  expect(diagnostics.list).toEqual([]);
  expect(
    texts([
      { first: '192.0.2.9', last: '192.0.2.1' },
      { first: '192.0.2.9', last: '2001:db8::1' },
      { prefix: 'web' },
    ]),
  ).toEqual([]);
  expect(diagnostics.list.map(({ reason, field }) => `${reason} ${field}`)).toEqual(
    [0, 1, 2].map((index) => `InvalidRange spec.addressPool.ranges[${index}]`),
  );
});
