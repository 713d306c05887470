// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { type Carried, carriedFrom, layoutOfPin, statePinOf } from './carry.ts';

const sessions = (extra: Partial<Carried> = {}): Carried => ({
  version: 2,
  size: 64,
  writer: 'program',
  ...extra,
});

test('the name of a pin says map, version and size', () => {
  expect(statePinOf('fast_sessions', 2, 64)).toBe('fast_sessions_2_64');
  expect(layoutOfPin('fast_sessions_2_64')).toEqual({ map: 'fast_sessions', version: 2, size: 64 });
  expect(layoutOfPin(statePinOf('drops', 1, undefined))).toEqual({
    map: 'drops',
    version: 1,
    size: undefined,
  });
  expect(layoutOfPin('odd')).toBeUndefined();
});

test('sessions go along to a table of another size', () => {
  expect(carriedFrom('s_2_64', sessions(), ['s_2_64', 's_2_32', 't_2_32'])).toBe('s_2_32');
  expect(carriedFrom('s_2_64', sessions(), ['s_2_128'])).toBe('s_2_128');
  expect(carriedFrom('s_2_64', sessions(), ['s_2_64'])).toBeUndefined();
});

test('to another layout only where the type says how', () => {
  expect(carriedFrom('s_2_64', sessions(), ['s_1_64'])).toBeUndefined();
  const migrate: Carried['migrate'] = (_version, key, value) => ({ key, value });
  expect(carriedFrom('s_2_64', sessions({ migrate }), ['s_0_64', 's_1_64'])).toBe('s_1_64');
});

test('what user space writes goes along as a whole, or is made anew', () => {
  const rows = sessions({ writer: 'agent' });
  expect(carriedFrom('s_2_64', rows, ['s_2_32'])).toBe('s_2_32');
  expect(carriedFrom('s_2_64', rows, ['s_2_128'])).toBeUndefined();
  expect(carriedFrom('s_2_64', rows, ['s_1_32'])).toBeUndefined();
  expect(carriedFrom('s_2_own', sessions({ writer: 'agent', size: undefined }), ['s_2_32'])).toBeUndefined();
});

test('nothing is known of a map that the type does not declare', () => {
  expect(carriedFrom('drops_2_own', undefined, ['drops_1_own'])).toBeUndefined();
});
