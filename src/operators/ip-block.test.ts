// SPDX-License-Identifier: Apache-2.0
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { contains, formatPrefix, masked, type Prefix, parsePrefix } from '../api/ip.ts';
import { blocksOf } from './ip-block.ts';

const inside = (text: string, value: bigint, family: 4 | 6): boolean =>
  contains(parsePrefix(text) as Prefix, { family, value });

it('keeps up to 16 exceptions, without those that are within another', () => {
  expect(blocksOf('10.0.0.0/8', ['10.1.0.0/16', '10.1.1.0/24', '10.1.0.0/16'])).toEqual([
    { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] },
  ]);
  const sixteen = Array.from({ length: 16 }, (_, i) => `10.0.${i * 2}.0/24`);
  expect(blocksOf('10.0.0.0/8', sixteen)).toHaveLength(1);
});

it('cuts around many that lie close together in few pieces', () => {
  const close = Array.from({ length: 17 }, (_, i) => `10.9.8.${i * 2}/32`);
  const blocks = blocksOf('0.0.0.0/0', close);
  expect(blocks.length).toBeLessThan(4);
  expect(blocks[0]).toEqual({ cidr: '0.0.0.0/0', except: ['10.9.8.0/26'] });
});

it('takes 1,000 exceptions of a large prefix in well under a second', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `fd00:${(i * 7).toString(16)}::/48`);
  const start = performance.now();
  const blocks = blocksOf('fd00::/8', many);
  expect(performance.now() - start).toBeLessThan(2000);
  expect(blocks.flatMap((block) => block.except).length).toBeGreaterThanOrEqual(1000);
  expect(Math.max(...blocks.map((block) => block.except.length))).toBeLessThanOrEqual(16);
});

it('holds exactly the addresses of the prefix that no exception holds', () => {
  const prefix = fc
    .record({ value: fc.bigInt({ min: 0n, max: 0xffffn }), length: fc.integer({ min: 16, max: 32 }) })
    .map(({ value, length }) => formatPrefix(masked({ family: 4, value: 0x0a00_0000n + value, length })));
  fc.assert(
    fc.property(
      prefix,
      fc.array(prefix, { maxLength: 80, size: 'max' }),
      fc.array(fc.bigInt({ min: 0n, max: 0xffffn }), { minLength: 50, maxLength: 50 }),
      (cidr, except, values) => {
        const blocks = blocksOf(cidr, except);
        for (const block of blocks) expect(block.except.length).toBeLessThanOrEqual(16);
        // The edges of the exceptions are where a mistake would show.
        const edges = except.map((text) => (parsePrefix(text) as Prefix).value - 0x0a00_0000n);
        for (const offset of [...values, ...edges, ...edges.map((edge) => edge + 1n)]) {
          const value = 0x0a00_0000n + offset;
          const expected = inside(cidr, value, 4) && !except.some((hole) => inside(hole, value, 4));
          const holds = blocks.some(
            (block) => inside(block.cidr, value, 4) && !block.except.some((hole) => inside(hole, value, 4)),
          );
          expect(holds).toBe(expected);
        }
      },
    ),
  );
});
