// SPDX-License-Identifier: Apache-2.0
/** The programs that the bench puts beside cubes find, and insert, all that they mean to: else its figures say nothing. */
import { describe, expect, jest, test } from '@jest/globals';
import { FAMILIES } from '../bench/connect.ts';
import { Rig } from '../bench/flows.ts';
import { SCENARIOS } from '../bench/scenarios.ts';
import { Bench } from '../bench/suites/cubes.ts';

jest.setTimeout(120_000);

/** A power of two: so many flows of each kind. */
const FLOWS = 64;

describe.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('%s', (_, scenario) => {
  test.each(FAMILIES)('%s', async (family) => {
    const bench = await Bench.open(scenario);
    try {
      const kinds = await bench.kinds(family, FLOWS);
      for (const { name, traffic, sender } of kinds) {
        const before = bench.fates();
        bench.enter(traffic.port);
        sender.time(bench.chain.entry, FLOWS);
        const after = bench.fates();
        expect([name, after[traffic.fate] - before[traffic.fate]]).toEqual([name, FLOWS]);
      }
    } finally {
      bench.close();
    }
  });
});

test.each([false, true])('LoadBalancer and Router, a Firewall between them: %s', async (firewall) => {
  const rig = await Rig.open({ firewall });
  try {
    for (const family of FAMILIES) {
      const { sender } = await rig.sender(family, rig.establish(family, FLOWS));
      const before = rig.sent();
      rig.fromClient();
      sender.time(rig.chain.entry, FLOWS);
      expect(rig.sent().requests - before.requests).toBe(FLOWS);
    }
    expect(rig.drops()).toBe(0);
  } finally {
    rig.close();
  }
});
