// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { contains, parseAddress, parsePrefix } from '../../api/ip.ts';
import { type AddressRange, pickAddress, REST_MS, rangeOf } from './ranges.ts';

function range(subnet: string, gateway?: string): AddressRange {
  const checked = rangeOf(subnet, gateway);
  if (!checked.ok) throw new Error(checked.message);
  return checked.value;
}

const EMPTY = { taken: new Set<string>(), released: new Map<string, number>(), last: undefined };

describe('a range', () => {
  test.each([
    ['10.244.1.0/24', { family: 4, subnet: '10.244.1.0/24', gateway: '10.244.1.1' }],
    ['10.244.1.77/24', { family: 4, subnet: '10.244.1.0/24', gateway: '10.244.1.1' }],
    ['FD00:244::/64', { family: 6, subnet: 'fd00:244::/64', gateway: 'fd00:244::1' }],
  ])('%s', (text, value) => {
    expect(rangeOf(text)).toEqual({ ok: true, value });
  });

  test.each([
    ['10.244.1.0', undefined, 'subnet'],
    ['10.244.1.0/31', undefined, 'subnet'],
    ['nonsense', undefined, 'subnet'],
    ['10.244.1.0/24', '10.244.2.1', 'gateway'],
    ['10.244.1.0/24', 'fd00::1', 'gateway'],
    ['10.244.1.0/24', 7, 'gateway'],
  ])('%s with gateway %s is refused by the field %s', (subnet, gateway, field) => {
    expect(rangeOf(subnet, gateway)).toMatchObject({ ok: false, field });
  });
});

describe('the next address', () => {
  test('is the one behind the last, round and round', () => {
    const pool = { ...EMPTY, range: range('10.0.0.0/29') };
    const given: string[] = [];
    for (let i = 0; i < 6; i++) {
      const pick = pickAddress({ ...pool, last: given.at(-1) }, 0);
      if (pick.ok) given.push(pick.address);
    }
    expect(given).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.2', '10.0.0.3']);
  });

  test('is none of network, broadcast, gateway and fictitious pod', () => {
    const taken = new Set<string>();
    const pool = { ...EMPTY, taken, range: range('10.0.0.0/29') };
    for (let pick = pickAddress(pool, 0); pick.ok; pick = pickAddress(pool, 0)) taken.add(pick.address);
    expect([...taken]).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']);
    expect(pickAddress(pool, 0)).toEqual({
      ok: false,
      why: 'Exhausted',
      message: 'range 10.0.0.0/29: no address is free',
    });
  });

  test('respects a gateway that is not the first', () => {
    expect(pickAddress({ ...EMPTY, range: range('10.0.0.0/29', '10.0.0.2') }, 0)).toEqual({
      ok: true,
      address: '10.0.0.1',
    });
  });

  test('was released the longest ago where no other is free, and has rested', () => {
    const taken = new Set(['10.0.0.2', '10.0.0.3']);
    const released = new Map([
      ['10.0.0.4', 2000],
      ['10.0.0.5', 1000],
    ]);
    const pool = { ...EMPTY, taken, released, range: range('10.0.0.0/29') };
    expect(pickAddress(pool, 1000 + REST_MS)).toEqual({ ok: true, address: '10.0.0.5' });
    expect(pickAddress(pool, 999 + REST_MS)).toMatchObject({ ok: false, why: 'Resting' });
    // The clock was set back.
    expect(pickAddress(pool, 0)).toEqual({ ok: true, address: '10.0.0.5' });
  });

  test('is found at once in a range of 2^64', () => {
    expect(
      pickAddress({ ...EMPTY, range: range('fd00::/64'), last: 'fd00::ffff:ffff:ffff:fffe' }, 0),
    ).toEqual({
      ok: true,
      address: 'fd00::2',
    });
  });
});

type Step =
  | { readonly op: 'add' }
  | { readonly op: 'delete'; readonly which: number }
  | { readonly op: 'wait' };

test('in any history no address is given twice, outside the range, or before it has rested', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ op: 'add' as const }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('delete' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.constant({ op: 'wait' as const }) },
  );
  const subnets = fc.constantFrom(
    '10.9.8.0/28',
    '10.9.8.16/29',
    '192.0.2.4/30',
    'fd00:1::/124',
    'fd00:2::/64',
  );
  fc.assert(
    fc.property(subnets, fc.array(step, { maxLength: 120 }), (subnet, steps) => {
      const one = range(subnet);
      const prefix = parsePrefix(one.subnet);
      if (prefix === undefined) throw new Error(subnet);
      const taken = new Set<string>();
      const released = new Map<string, number>();
      const size =
        prefix.family === 4 ? 2 ** (32 - prefix.length) - 4 : 2 ** Math.min(128 - prefix.length, 20) - 3;
      let last: string | undefined;
      let now = 1_000_000;
      for (const { op, ...rest } of steps) {
        now += op === 'wait' ? REST_MS : 10;
        if (op === 'delete' && 'which' in rest && taken.size > 0) {
          const address = [...taken][(rest as { which: number }).which % taken.size] as string;
          taken.delete(address);
          released.set(address, now);
        }
        if (op !== 'add') continue;
        const pick = pickAddress({ range: one, taken, released, last }, now);
        if (!pick.ok) {
          const resting = [...released].filter(([address, at]) => !taken.has(address) && now - at < REST_MS);
          expect(pick.why).toBe(resting.length > 0 ? 'Resting' : 'Exhausted');
          expect(taken.size + resting.length).toBeGreaterThanOrEqual(size);
          expect(pick.message).toContain(subnet);
          continue;
        }
        const parsed = parseAddress(pick.address);
        expect(parsed !== undefined && contains(prefix, parsed)).toBe(true);
        expect(taken.has(pick.address)).toBe(false);
        expect(pick.address).not.toBe(one.gateway);
        expect(now - (released.get(pick.address) ?? 0)).toBeGreaterThanOrEqual(REST_MS);
        taken.add(pick.address);
        last = pick.address;
      }
    }),
    { numRuns: 300 },
  );
});
