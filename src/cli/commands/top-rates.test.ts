// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { NodeCounters } from '../../dataplane/inspect/counters.ts';
import { rates } from './top-rates.ts';

const counters = (time: number, rxPackets: number, dropped: number): NodeCounters => ({
  node: 'a',
  time,
  drops: [],
  attachments: [{ interface: 'eth0', kind: 'Interface', packets: rxPackets, bytes: 0, drops: dropped }],
  cubes: [
    {
      cube: 'net/r',
      type: 'Router',
      ports: [
        { port: 'a', rxPackets, rxBytes: 2 * rxPackets, txPackets: 0, txBytes: 0 },
        { port: 'b', rxPackets: 0, rxBytes: 0, txPackets: rxPackets, txBytes: 0 },
      ],
      drops: [{ reason: 'NoRoute', description: '', remedy: '', packets: dropped }],
      counters: [],
    },
  ],
  flowCache: { replayed: 0, kept: 0 },
  maps: [],
});

test('what came in between, a second', () => {
  const rows = rates(counters(1000, 100, 4), counters(3000, 300, 10));
  expect(rows).toMatchObject([
    { cube: 'entry', port: 'eth0', rxPackets: 100, drops: 3 },
    { cube: 'net/r', port: 'a', rxPackets: 100, rxBytes: 200, drops: 3 },
    { cube: 'net/r', port: 'b', txPackets: 100 },
  ]);
  expect(rows[2]).not.toHaveProperty('drops');
});

test('a cube that was made anew counts from zero', () => {
  expect(rates(counters(0, 100, 4), counters(1000, 30, 1))[1]).toMatchObject({ rxPackets: 30, drops: 1 });
});
