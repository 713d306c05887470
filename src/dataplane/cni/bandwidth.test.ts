// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { bandwidthOf } from './bandwidth.ts';

test('as runtimes write it', () => {
  expect(bandwidthOf({ ingressRate: 1e6, ingressBurst: 5e5, egressRate: 2e6, egressBurst: 7e5 })).toEqual({
    ingress: { bitsPerSecond: 1e6, burst: 5e5 },
    egress: { bitsPerSecond: 2e6, burst: 7e5 },
  });
  expect(bandwidthOf({ ingressRate: 0, ingressBurst: 0, egressRate: 1e15, egressBurst: 0 })).toEqual({
    egress: { bitsPerSecond: 1e15 },
  });
});

test('as containerd writes it, by the names of Go', () => {
  const value = { IngressRate: 1e6, IngressBurst: 5e5, EgressRate: 2e6, EgressBurst: 7e5 };
  expect(bandwidthOf(value)).toEqual({
    ingress: { bitsPerSecond: 1e6, burst: 5e5 },
    egress: { bitsPerSecond: 2e6, burst: 7e5 },
  });
});

test.each([2 ** 31 - 1, 2 ** 32 - 1])('a burst of %i is what a runtime writes that knows none', (burst) => {
  expect(bandwidthOf({ ingressRate: 1e6, ingressBurst: burst })).toEqual({ ingress: { bitsPerSecond: 1e6 } });
});

test.each([{}, { ingressRate: 0, egressRate: 0 }, { ingressRate: null, unshapedSubnets: [] }])(
  'nothing: %j',
  (value) => {
    expect(bandwidthOf(value)).toBeUndefined();
  },
);

test.each<[string, unknown, string]>([
  ['a list', [], 'bandwidth: not an object'],
  ['a number', 7, 'bandwidth: not an object'],
  ['a negative rate', { ingressRate: -1 }, 'bandwidth.ingressRate: -1'],
  ['a negative burst', { egressRate: 1e6, egressBurst: -5 }, 'bandwidth.egressBurst: -5'],
  ['a text', { egressRate: '10M' }, 'bandwidth.egressRate: "10M"'],
  ['half a bit', { egressRate: 1000.5 }, 'bandwidth.egressRate: 1000.5'],
  ['a burst without rate', { egressBurst: 1000 }, 'bandwidth.egressBurst: 1000, and no egressRate'],
  ['less than anybody needs', { ingressRate: 999 }, 'bandwidth.ingressRate: 999'],
  ['a rate that is too large', { ingressRate: 1e16 }, 'bandwidth.ingressRate: 1000000000000000'],
  ['a burst that is too large', { ingressRate: 1e6, ingressBurst: 2 ** 35 + 1 }, 'ingressBurst: 34359738369'],
  ['subnets', { ingressRate: 1e6, shapedSubnets: ['10.0.0.0/8'] }, 'bandwidth.shapedSubnets'],
])('refused: %s', (_, value, message) => {
  expect(() => bandwidthOf(value)).toThrow(message);
});
