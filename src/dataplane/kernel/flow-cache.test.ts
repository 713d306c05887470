// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { flowCache } from '../generated/tcx.ts';
import { flowCacheSize } from './flow-cache.ts';

test.each([
  [1, 16_384],
  [2, 16_384],
  [16, 16_384],
  [64, 4096],
  [128, 2048],
  [1024, 1024],
])('%i processors have %i records each', (cpus, records) => {
  expect(flowCacheSize(cpus)).toBe(records);
});

test('all records together take 64 MiB, or 1,024 each', () => {
  for (let cpus = 1; cpus <= 4096; cpus++) {
    const records = flowCacheSize(cpus);
    expect(Math.log2(records) % 1).toBe(0);
    if (records > 1024) expect(records * cpus * flowCache.valueSize).toBeLessThanOrEqual(64 << 20);
  }
});
