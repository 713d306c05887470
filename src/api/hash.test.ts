// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson, contentHash, specHash } from './hash.ts';

/** The same value with the members of its objects in reverse order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

test('the order of members does not count', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(contentHash(reversed(value))).toBe(contentHash(value));
    }),
  );
});

test('canonical JSON is JSON of the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('the order of a list counts, an undefined member does not', () => {
  expect(contentHash([1, 2])).not.toBe(contentHash([2, 1]));
  expect(contentHash({ a: 1, b: undefined })).toBe(contentHash({ a: 1 }));
});

test('the hash never changes from release to release', () => {
  expect(contentHash({ b: [1, 'x', null, true], a: { d: 2.5, c: '' } })).toBe(
    contentHash(JSON.parse('{"a":{"c":"","d":2.5},"b":[1,"x",null,true]}')),
  );
  expect(canonicalJson({ b: [1, 'x', null, true], a: { d: 2.5, c: '' } })).toBe(
    '{"a":{"c":"","d":2.5},"b":[1,"x",null,true]}',
  );
  expect(specHash({ spec: {} })).toBe('44136fa355b3678a');
});
