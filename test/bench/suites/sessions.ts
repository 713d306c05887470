// SPDX-License-Identifier: Apache-2.0

/**
 * Memory of the tables that hold sessions, as the kernel accounts it: all of it is taken when the table is made, full or
 * empty. A session of LoadBalancer and Nat is two entries, one for each direction; one of Firewall is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type BpfMap, MapFlag } from '../../../src/dataplane/kernel/addon/index.ts';
import { Chain } from '../../kernel/support/chain.ts';
import { type CubeSpec, loadCube } from '../load.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { type Measure, measureOf } from '../measure.ts';

const MIB = 2 ** 20;
const TABLES = ['established', 'embryonic'] as const;

/** Each with the sizes that it has by default. */
const CUBES: readonly (CubeSpec & { readonly name: string; readonly entries: number })[] = [
  { name: 'load-balancer', type: 'LoadBalancer', spec: {}, ports: [], entries: 2 },
  {
    name: 'nat',
    type: 'Nat',
    spec: { sourceRules: [{ type: 'Masquerade' }] },
    ports: [
      { name: 'outside', id: 0, addresses: ['198.51.100.10/24', '2001:db8::10/64'] },
      { name: 'inside', id: 1, addresses: [] },
    ],
    entries: 2,
  },
  {
    name: 'firewall',
    type: 'Firewall',
    spec: {},
    ports: ['outside', 'inside'].map((name, id) => ({ name, id, addresses: [] })),
    entries: 1,
  },
];

/** Bytes that a map of this process takes, by its descriptor's record in /proc. */
function bytesOf(map: BpfMap): number {
  const { id } = map.info();
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    const record = read(`/proc/self/fdinfo/${fd}`);
    if (new RegExp(`^map_id:\\t${id}$`, 'm').test(record))
      return Number(/^memlock:\t(\d+)$/m.exec(record)?.[1]);
  }
  throw new Error(`map ${id} has no descriptor here`);
}

/** Empty when the descriptor is closed meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function run({ say }: SuiteOptions): Promise<readonly Measure[]> {
  const measures: Measure[] = [];
  for (const { name, entries, ...spec } of CUBES) {
    using chain = await Chain.open();
    const cube = await loadCube(chain, 1, spec);
    let total = 0;
    for (const table of TABLES) {
      const map = cube.map(table);
      const { maxEntries, keySize, valueSize, flags } = map.info();
      const bytes = bytesOf(map);
      if (flags & MapFlag.NoPrealloc) throw new Error(`${name}: ${table} takes its memory as entries come`);
      total += bytes;
      const note = `${maxEntries / entries} sessions of ${entries} × (${keySize} + ${valueSize}) bytes, preallocated`;
      measures.push(
        measureOf({ name: `sessions.${name}.${table}`, unit: 'B', better: 'lower', note }, [
          (bytes / maxEntries) * entries,
        ]),
      );
    }
    measures.push(
      measureOf({ name: `sessions.${name}.both-tables`, unit: 'MB', better: 'lower' }, [total / MIB]),
    );
    say(name);
  }
  return measures;
}

export const suite: Suite = {
  name: 'sessions',
  summary:
    'bytes of kernel memory a session of LoadBalancer, Nat and Firewall, and of their tables at their default sizes',
  run,
};
