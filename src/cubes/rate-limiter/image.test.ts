// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { Limit } from '../../api/generated/types.ts';
import { bucketRates, defaultBurst } from './bucket.ts';
import { buckets, limits as limitsCodec } from './generated/codec.ts';
import { RateLimiterImage } from './image.ts';

const rate = { bitsPerSecond: 1_000_000 };
const limit = (name: string, ...addresses: string[]): Limit => ({ name, addresses, egress: rate });

/** Address → number of its limit, as written. */
function numbers(image: RateLimiterImage): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { map, op, count, keys, values } of image.take().writes)
    for (let i = 0; map === 'limits' && i < count; i++)
      found[limitsCodec.decodeKey(keys, i * 16)] =
        op === 'delete' ? -1 : limitsCodec.decodeValue(values, i * 4);
  return found;
}

test('a rate in ticks: 10 Mbit/s are 0.8 µs a byte', () => {
  expect(bucketRates({ bitsPerSecond: 10_000_000, burst: 80 })).toEqual({
    perByte: 800n * 16n * 65536n,
    tolerance: 8_000n * 16n,
  });
  expect(bucketRates({ bitsPerSecond: 1e15, burst: 1 }).tolerance).toBe(1n);
  expect([1000, 100_000_000].map(defaultBurst)).toEqual([1_000_000, 25_000_000]);
});

test('addresses of a limit share its number; of two limits the spec has the address, then the smaller key', () => {
  const image = new RateLimiterImage({ limits: [limit('s', '10.0.0.1')], maxLimits: 16 });
  image.setTable('b', [limit('b', '10.0.0.2', 'fd00::2')]);
  image.setTable('a', [limit('a', '10.0.0.1', '10.0.0.2')]);
  expect(numbers(image)).toEqual({ '10.0.0.1': 0, '10.0.0.2': 1, 'fd00::2': 2 });
  expect(image.problems().map(({ table, message }) => `${table}: ${message}`)).toEqual([
    expect.stringContaining('a: limit a: address 10.0.0.1 has the limit s already'),
    expect.stringContaining('b: limit b: address 10.0.0.2 has the limit a already'),
  ]);
  image.setTable('a', undefined);
  expect(image.problems()).toEqual([]);
  expect(numbers(image)).toEqual({ 'fd00::2': 1 }); // the bucket of an address goes on
});

test('what does not fit is told', () => {
  const image = new RateLimiterImage({ limits: [], maxLimits: 16 });
  image.setTable(
    'a',
    Array.from({ length: 17 }, (_, i) => limit(`l${i}`, `10.0.0.${i + 1}`)),
  );
  expect(image.problems()).toMatchObject([{ reason: 'TooManyLimits', table: 'a' }]);
  expect(Object.keys(numbers(image)).length).toBe(16);
});

test('an agent that starts again writes nothing, also where the program has taken from a bucket', () => {
  const spec = { limits: [limit('s', '10.0.0.1')], maxLimits: 16 };
  const first = new RateLimiterImage(spec);
  const again = new RateLimiterImage(spec);
  for (const { map, count, keys, values } of first.take().writes) {
    if (map === 'limit_drops') continue;
    if (map === 'buckets') buckets.encodeValue({ ...buckets.decodeValue(values, 64), full: 77n }, values, 64);
    again.adopt(map, count, keys, values);
  }
  again.settle();
  expect(again.take().writes).toEqual([]);
  expect(again.nameObject('limit', 1n)).toBe('egress limit of s');
  expect(again.nameObject('limit', 0n)).toBeUndefined();
});
