// SPDX-License-Identifier: Apache-2.0
/** The programs that the bench puts beside cubes find, and insert, all that they mean to: else its figures say nothing. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FAMILIES } from '../bench/connect.ts';
import { Rig } from '../bench/flows.ts';
import { FromPod } from '../bench/from-pod.ts';
import { Outside } from '../bench/outside.ts';
import { SCENARIOS } from '../bench/scenarios.ts';
import { Bench } from '../bench/suites/cubes.ts';
import { dropsIn, type Way } from '../bench/way.ts';

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
    expect(dropsIn(rig.chain)).toBe(0);
  } finally {
    rig.close();
  }
});

/** Kinds of traffic, with the rows that a packet of each leaves. */
describe.each<[string, () => Promise<Way>, Record<string, number>]>([
  [
    'Nat, LoadBalancer and Router',
    () => Outside.open(),
    { 'request.tcp': 0, 'reply.tcp': 0, 'request.udp': 0, 'reply.udp': 0, new: 2 },
  ],
  ['LoadBalancer, Firewall with policies and Router', () => FromPod.open(), { request: 0, new: 3 }],
])('%s', (_, open, kinds) => {
  let way: Way;
  beforeEach(async () => {
    way = await open();
  });
  afterEach(() => way?.close());

  test.each(FAMILIES)(
    'every packet goes the whole way, and rows are as many as beside it: %s',
    async (family) => {
      const all = await way.traffic(family, FLOWS);
      expect(all.map(({ name }) => name)).toEqual(Object.keys(kinds));
      for (const { name, way: to, sender, beside, enter, isNew } of all) {
        way.forget();
        const before = { sent: way.sent()[to], opened: way.newSessions() };
        enter();
        sender.time(way.chain.entry, FLOWS);
        const sent = way.sent()[to] - before.sent;
        const opened = way.newSessions() - before.opened;
        expect({ name, sent, opened }).toEqual({ name, sent: FLOWS, opened: isNew ? FLOWS : 0 });
        const rows = way.forget();
        expect(rows >= FLOWS).toBe(isNew);
        sender.time(beside, FLOWS);
        expect(way.forget()).toBe(rows);
      }
      expect(dropsIn(way.chain)).toBe(0);
    },
  );
});
