// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { until } from './until.ts';

test('what a look finds is returned, also after looks that failed or found nothing', async () => {
  const looks: (() => number | false | undefined)[] = [
    () => undefined,
    () => false,
    () => {
      throw new Error('not there yet');
    },
    () => 0,
  ];
  expect(await until('a number', () => looks.shift()?.())).toBe(0);
  expect(looks).toEqual([]);
  expect(await until('it is so', async () => true)).toBe(true);
});

test('what did not come about is told, with why and with what was seen', async () => {
  await expect(until('the end', () => false, 60)).rejects.toThrow(/^the end: not within 0.06 s$/);
  const failing = () => Promise.reject(new Error('nobody answers'));
  await expect(until('the end', failing, 60, () => 'its log')).rejects.toThrow(
    /^the end: not within 0.06 s: nobody answers\nits log$/,
  );
});
