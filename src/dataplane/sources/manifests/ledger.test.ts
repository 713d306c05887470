// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { Ledger } from './ledger.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');
const LATER = new Date('2027-01-01T00:00:00Z');
const cube = (spec: unknown, labels = {}) => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'Cube',
  metadata: { namespace: 'default', name: 'r', labels },
  spec,
});

test('the generation counts changes of the spec, whatever the order of its fields, and survives a restart', () => {
  const ledger = new Ledger();
  const first = ledger.see(cube({ a: 1, b: 2 }), NOW);
  expect(first).toMatchObject({ generation: 1, creationTimestamp: '2026-01-02T03:04:05Z' });
  expect(first.uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(ledger.see(cube({ b: 2, a: 1 }, { x: 'y' }), LATER)).toEqual(first);
  const again = new Ledger(JSON.parse(JSON.stringify(ledger.data())));
  expect(again.see(cube({ a: 1, b: 3 }), LATER)).toEqual({ ...first, generation: 2 });
});

test('an object that comes again is a new one with the same uid', () => {
  const ledger = new Ledger();
  const first = ledger.see(cube({ a: 1 }), NOW);
  ledger.see(cube({ a: 2 }), NOW);
  ledger.keepOnly(new Set());
  expect(ledger.see(cube({ a: 3 }), LATER)).toEqual({ ...first, creationTimestamp: '2027-01-01T00:00:00Z' });
});

test('of a kind without spec every field counts', () => {
  const ledger = new Ledger();
  const slice = (address: string) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'default', name: 's' },
    endpoints: [{ addresses: [address] }],
  });
  ledger.see(slice('10.0.0.1'), NOW);
  expect(ledger.see(slice('10.0.0.2'), NOW).generation).toBe(2);
});

test('it says whether there is something to save', () => {
  const ledger = new Ledger();
  ledger.see(cube({}), NOW);
  expect(ledger.changed).toBe(true);
  ledger.changed = false;
  ledger.see(cube({}), NOW);
  expect(ledger.changed).toBe(false);
});
