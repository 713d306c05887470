// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { limitsOfPod, servesLimits, whyNotLimited } from './pod-limits.ts';

const pod = {
  ...{ namespace: 'default', name: 'web', interface: 'cp0', mac: '02:00:00:00:00:01' },
  addresses: ['10.244.1.5', 'fd00:244:0:1::5'],
};

test('one limit for all addresses of a pod; none where it asks for none', () => {
  const ingress = { bitsPerSecond: 1_000_000 };
  expect(limitsOfPod({ ...pod, bandwidth: { ingress } })).toEqual([
    { name: 'pod default/web', addresses: pod.addresses, ingress },
  ]);
  expect(limitsOfPod(pod)).toEqual([]);
});

test('a RateLimiter limits pods when it takes tables of limits', () => {
  const serves = (type: string, tables?: { type: string }[]) =>
    servesLimits({ spec: { nodeName: 'n', type, ...(tables ? { tables } : {}) } } as never);
  expect([
    serves('RateLimiter', [{ type: 'Limit' }]),
    serves('RateLimiter'),
    serves('Firewall', [{ type: 'Limit' }]),
  ]).toEqual([true, false, false]);
});

test('why a pod is not limited', () => {
  const limiter = (tables: string[], table?: string) => ({
    tables: new Set(tables),
    image: { problems: () => (table === undefined ? [] : [{ reason: 'X', message: 'no room', table }]) },
  });
  const own = 'limits default/web';
  expect(whyNotLimited(pod, [])).toContain('no RateLimiter');
  expect(whyNotLimited(pod, [limiter([own]), limiter([])])).toContain('not have them');
  expect(whyNotLimited(pod, [limiter([own], own)])).toBe('no room');
  expect(whyNotLimited(pod, [limiter([own], 'limits default/other')])).toBeUndefined();
});
