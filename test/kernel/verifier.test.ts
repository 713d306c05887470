// SPDX-License-Identifier: Apache-2.0
/** Every program passes the verifier of this kernel, with room to spare, and the reference page says how much. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { STACK_ALLOWED } from '../../scripts/generate/call-chains.ts';
import {
  ALLOWED,
  LIMIT,
  objectNames,
  type Verified,
  verifyAll,
} from '../../scripts/generate/verifier-table.ts';
import { loadObject } from '../../src/dataplane/kernel/addon/index.ts';

const root = join(import.meta.dirname, '../..');
let verified: Verified[];
beforeAll(async () => {
  verified = await verifyAll(root);
}, 120_000);

test('every object of bpf/ loads', () => {
  expect(new Set(verified.map(({ object }) => object))).toEqual(new Set(objectNames(root)));
  expect(verified.map(({ program }) => program)).toEqual(
    expect.arrayContaining(['entry', 'entry_dry', 'router']),
  );
});

test('none uses more than its share of the limit', () => {
  const over = verified.filter(({ instructions }) => instructions > LIMIT * ALLOWED);
  expect(over).toEqual([]);
});

/** Over it as yet: what is added to one of their chains needs room made before. */
const CROWDED = ['firewall', 'load_balancer', 'router'];

test('of the stack, too, each leaves some for growth', () => {
  for (const { chain, program } of verified) expect(chain.functions[0]).toBe(program);
  const over = verified.filter(({ chain }) => chain.bytes > STACK_ALLOWED);
  expect(over.map(({ program, chain }) => `${program}: ${chain.bytes}`).sort()).toEqual(
    CROWDED.map((name) => expect.stringMatching(`^${name}: `)),
  );
});

test('nor does a router with ports that resolve neighbours, which is off unless asked for', async () => {
  const resolving_ports = Buffer.from(new BigUint64Array([2n]).buffer);
  const path = join(root, 'build/bpf/router.o');
  using object = await loadObject({ path, variables: { resolving_ports } });
  expect(object.program('router').info().verifiedInstructions).toBeLessThan(LIMIT * ALLOWED);
});

test('docs/reference/verifier.md says so; write it anew with node scripts/generate/verifier-table.ts', () => {
  const page = readFileSync(join(root, 'docs/reference/verifier.md'), 'utf8');
  const cells = [...page.matchAll(/^\| (\S+) \| `(\w+)` \| ([\d,]+) \|[^|]+\| (\d+) \|/gm)];
  const rows = new Map(
    cells.map(([, object, program, count, stack]) => [
      `${object} ${program}`,
      { count: Number(count?.replaceAll(',', '')), stack: Number(stack) },
    ]),
  );
  expect([...rows.keys()].sort()).toEqual(
    verified.map(({ object, program }) => `${object} ${program}`).sort(),
  );
  for (const { object, program, instructions, chain } of verified) {
    const row = rows.get(`${object} ${program}`);
    const ratio = (row?.count ?? 0) / instructions;
    expect([object, ratio > 0.8 && ratio < 1.25]).toEqual([object, true]);
    // compilers lay frames out a little differently
    expect([object, Math.abs((row?.stack ?? 0) - chain.bytes) <= 32]).toEqual([object, true]);
  }
});
