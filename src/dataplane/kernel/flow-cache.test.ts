// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { flowRecords as recordsMap } from '../generated/tcx.ts';
import { flowRecords } from './flow-cache.ts';

test.each([
  [1, 32_768],
  [2, 32_768],
  [8, 32_768],
  [16, 16_384],
  [64, 4096],
  [128, 2048],
  [1024, 1024],
])('%i processors have %i records each', (cpus, records) => {
  expect(flowRecords(cpus)).toBe(cpus * records);
});

test('all records together take 64 MiB, or 1,024 each', () => {
  for (let cpus = 1; cpus <= 4096; cpus++) {
    const records = flowRecords(cpus) / cpus;
    expect(Math.log2(records) % 1).toBe(0);
    if (records > 1024) expect(records * cpus * recordsMap.valueSize).toBeLessThanOrEqual(64 << 20);
  }
});
