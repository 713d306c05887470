// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { clock, monotonic } from './images.ts';

test('the clock of images is the monotonic one, with its fractions of a second', () => {
  for (const until = monotonic() + 1100; monotonic() < until; ) {
    const before = monotonic();
    const now = clock() * 1000;
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(monotonic() + 1);
  }
});
