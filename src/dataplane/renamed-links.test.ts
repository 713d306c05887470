// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { renamedLinks } from './renamed-links.ts';

type Links = Record<string, number>;
const mapOf = (links: Links) =>
  new Map(Object.entries(links).map(([pin, ifindex]) => [pin, { ifindex }] as const));
const rename = (observed: Links, desired: Links) =>
  renamedLinks(mapOf(observed), mapOf(desired)).renames.map(({ from, pin }) => `${from} ${pin}`);

describe('an attachment', () => {
  test('of an interface with another name is named anew', () => {
    expect(rename({ eth0: 2, eth1: 3 }, { eth0: 2, eth7: 3 })).toEqual(['eth1 eth7']);
    expect(rename({ eth0: 2, eth1: 3 }, { eth0: 2, eth1: 3 })).toEqual([]);
    expect(rename({ eth0: 2 }, { eth0: 9 })).toEqual([]); // another interface of that name
  });

  test('takes the pin of one that is gone', () => {
    expect(rename({ eth0: 2, eth1: 3 }, { eth1: 2 })).toEqual(['eth0 eth1']);
  });

  test('exchanges its name with another one', () => {
    expect(rename({ eth0: 2, eth1: 3 }, { eth0: 3, eth1: 2 })).toEqual([
      'eth1 _reth0',
      'eth0 eth1',
      '_reth0 eth0',
    ]);
  });

  test('of the program of copies is none of those of the entry', () => {
    expect(rename({ eth0_out: 2 }, { eth1: 2 })).toEqual([]);
    expect(rename({ eth0_out: 2, eth0: 2 }, { eth1_out: 2, eth1: 2 })).toEqual([
      'eth0_out eth1_out',
      'eth0 eth1',
    ]);
  });
});

test('none that is wanted is ever lost, also where an agent is killed between two renames', () => {
  const pins = ['a', 'b', 'c', 'd', 'e'];
  const links = fc
    .shuffledSubarray(pins)
    .chain((names) =>
      fc
        .shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: names.length })
        .map((ifindexes) => Object.fromEntries(names.map((name, i) => [name, ifindexes[i] as number]))),
    );
  fc.assert(
    fc.property(links, links, fc.nat(), (observed, desired, cut) => {
      const wanted = Object.values(desired).filter((ifindex) => Object.values(observed).includes(ifindex));
      let state = mapOf(observed);
      const follow = (most: number): void => {
        const { renames } = renamedLinks(state, mapOf(desired));
        for (const { from, pin } of renames.slice(0, most)) {
          const link = state.get(from);
          if (link === undefined) throw new Error(`${from} is not there`);
          state = new Map(state);
          state.delete(from);
          state.set(pin, link);
          const left = new Set([...state.values()].map(({ ifindex }) => ifindex));
          expect(wanted.filter((ifindex) => !left.has(ifindex))).toEqual([]);
        }
      };
      follow(cut % 8);
      follow(Number.POSITIVE_INFINITY);
      for (const [pin, ifindex] of Object.entries(desired))
        if (wanted.includes(ifindex)) expect([pin, state.get(pin)?.ifindex]).toEqual([pin, ifindex]);
    }),
    { numRuns: 2000 },
  );
});
