// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { CubeImage, MapWrite } from '../cube-type.ts';
import { Has, MitigatorImage } from './image.ts';

const SIZES = {
  maxSourceHosts: 16,
  maxSourcePrefixes: 16,
  maxDestinationHosts: 16,
  maxDestinationPrefixes: 16,
  maxSourceBuckets: 16,
  maxSynBuckets: 16,
};
const image = (spec: object = {}) =>
  new MitigatorImage({ denySources: [], denyDestinations: [], allowSources: [], sizes: SIZES, ...spec });

/** What the kernel would hold after writes: `map key` → value. */
class Kernel {
  readonly rows = new Map<string, { map: string; key: Uint8Array; value: Uint8Array }>();
  readonly written: string[] = [];

  take(from: CubeImage): this {
    const { writes, afterGrace } = from.take();
    this.written.length = 0;
    for (const write of [...writes, ...afterGrace]) this.#apply(write);
    return this;
  }

  #apply({ map, op, count, keys, values }: MapWrite): void {
    this.written.push(`${op} ${count} ${map}`);
    for (let i = 0; i < count; i++) {
      const size = keys.length / count;
      const key = keys.slice(i * size, (i + 1) * size);
      const value = values.slice((i * values.length) / count, ((i + 1) * values.length) / count);
      if (op === 'delete') this.rows.delete(`${map} ${key}`);
      else this.rows.set(`${map} ${key}`, { map, key, value });
    }
  }

  /** Rows of a map, and the word that says which maps to look at. */
  count(map: string): number {
    return [...this.rows.values()].filter((row) => row.map === map).length;
  }

  get has(): number {
    return [...this.rows.values()].find(({ map }) => map === 'lists')?.value[0] ?? 0;
  }

  handTo(other: CubeImage): void {
    for (const { map, key, value } of this.rows.values()) other.adopt(map, 1, key, value);
  }
}

test('prefixes go to the map of their length, and the word says which maps hold any', () => {
  const one = image({ denySources: ['10.0.0.1/32', '2001:db8::/32'], denyDestinations: ['10.1.0.0/16'] });
  one.settle();
  const kernel = new Kernel().take(one);
  expect(
    ['source_hosts', 'source_prefixes', 'destination_hosts', 'destination_prefixes'].map((map) =>
      kernel.count(map),
    ),
  ).toEqual([1, 1, 0, 1]);
  expect(kernel.has).toBe(Has.sourceHosts | Has.sourcePrefixesV6 | Has.destinationPrefixesV4);
  expect(kernel.written.at(-1)).toBe('update 1 lists');
});

test('rows found in the kernel are kept, stale ones go, and nothing else is written', () => {
  const spec = { denySources: ['10.0.0.1/32', '10.2.0.0/16'] };
  const one = image(spec);
  one.setTable('t/a', [{ cidr: '10.0.0.9/32', list: 'AllowSource' }, { cidr: '10.3.0.0/16' }]);
  one.settle();
  const kernel = new Kernel().take(one);
  const same = image(spec);
  kernel.handTo(same);
  same.setTable('t/a', [{ cidr: '10.0.0.9/32', list: 'AllowSource' }, { cidr: '10.3.0.0/16' }]);
  same.settle();
  expect(same.take()).toEqual({ writes: [], afterGrace: [] });
  const less = image(spec);
  kernel.handTo(less);
  less.settle();
  kernel.take(less);
  expect(kernel.written.sort()).toEqual([
    'delete 1 source_hosts',
    'delete 1 source_prefixes',
    'update 1 source_v4',
  ]);
});

test('a table that is set again with the same rows writes nothing; one that goes takes only its own along', () => {
  const one = image({ denySources: ['10.0.0.1/32'] });
  one.setTable('t/a', [{ cidr: '10.0.0.1/32' }, { cidr: '10.0.0.2/32' }]);
  const kernel = new Kernel().take(one);
  expect(kernel.count('source_hosts')).toBe(2);
  one.setTable('t/a', [{ cidr: '10.0.0.2/32' }, { cidr: '10.0.0.1/32' }]);
  expect(one.take().writes).toEqual([]);
  one.setTable('t/a', undefined);
  kernel.take(one);
  expect(kernel.count('source_hosts')).toBe(1);
  expect(kernel.has).toBe(Has.sourceHosts);
});

test('a line more and one less in a long file are two writes, and those of their buckets', () => {
  const one = new MitigatorImage({
    denySources: [],
    denyDestinations: [],
    allowSources: [],
    sizes: { ...SIZES, maxSourceHosts: 5000 },
  });
  const file = (lines: string[]) => [{ file: 'a.prefixes', list: 'DenySource', text: lines.join('\n') }];
  const lines = Array.from({ length: 5000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  one.setTable('t/a', file(lines));
  const kernel = new Kernel().take(one);
  one.setTable('t/a', file(['192.0.2.1', ...lines.slice(0, -1)]));
  kernel.take(one);
  expect(kernel.written).toEqual(['delete 1 source_hosts', 'update 1 source_hosts', 'update 2 source_v4']);
});

test('the same prefix twice in one table counts twice and goes with it', () => {
  const one = image();
  one.setTable('t/a', [{ cidr: '10.0.0.1/32' }, { cidr: '10.0.0.1/32' }]);
  const kernel = new Kernel().take(one);
  one.setTable('t/a', undefined);
  kernel.take(one);
  expect([kernel.count('source_hosts'), kernel.has]).toEqual([0, 0]);
});

test('what the lists hold is in the usage, under the limits of the spec', () => {
  const one = image({ denySources: ['10.0.0.1/32'] });
  one.settle();
  one.take();
  expect(one.usage()).toEqual({
    source_hosts: { used: 1, max: 16 },
    source_prefixes: { used: 0, max: 16 },
    destination_hosts: { used: 0, max: 16 },
    destination_prefixes: { used: 0, max: 16 },
  });
});

test.each([
  ['source', '10.0.0.1', '10.0.0.1/32 of the spec'],
  ['source', '10.0.0.2', '10.0.0.0/8 of the spec and CubeTable t/a'],
  ['source', '192.0.2.1', undefined],
  ['source', '2001:db8:1::1', '2001:db8::/32 of CubeTable t/a'],
  ['destination', '10.0.0.1', undefined],
  ['destination', '2001:db9::1', '::/0 of CubeTable t/a'],
])('the %s that decided about %s', (kind, address, expected) => {
  const one = image({ denySources: ['10.0.0.1/32', '10.0.0.0/8'] });
  one.setTable('t/a', [
    { cidr: '10.0.0.0/8', list: 'AllowSource' },
    { cidr: '2001:db8::/32' },
    { cidr: '::/0', list: 'DenyDestination' },
  ]);
  expect(one.nameObject(kind, 0n, { src: address, dst: address, sport: 1, dport: 2, proto: 6 })).toBe(
    expected,
  );
});
