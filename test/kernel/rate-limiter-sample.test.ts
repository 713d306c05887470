// SPDX-License-Identifier: Apache-2.0
/** samples/rate-limiter.yaml, validated, filled into the kernel and met by packets. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import type { Limit, RateLimiter } from '../../src/api/generated/types.ts';
import { validate } from '../../src/api/validate.ts';
import { type Direction, frameOf, Limiter, TICKS } from './support/limiter.ts';

interface Sample {
  readonly kind: string;
  readonly spec: { readonly limits?: Limit[]; readonly cubes?: { readonly rateLimiter?: RateLimiter }[] };
}

const objects = parseAllDocuments(
  readFileSync(new URL('../../samples/rate-limiter.yaml', import.meta.url), 'utf8'),
).map((document) => {
  const result = validate(document.toJS());
  if (!result.ok) throw new Error(result.message);
  return result.object as unknown as Sample;
});

/** Bytes of a frame; BPF_PROG_TEST_RUN takes none above a page. */
const LENGTH = 3000;
const MANY = 2000;
const PEER = { ipv4: '203.0.113.9', ipv6: '2001:db8::9' } as const;

test('the sample holds its addresses to their rates, and nobody else', async () => {
  const spec = objects.find(({ kind }) => kind === 'ServiceChain')?.spec.cubes?.[0]?.rateLimiter;
  const rows = objects.find(({ kind }) => kind === 'CubeTable')?.spec.limits;
  if (spec === undefined || rows === undefined) throw new Error('the sample has no limits');
  using lab = await Limiter.open(spec);
  expect(lab.set('cubeplane-system/bandwidth', rows)).toEqual([]);

  /** Packets that pass until the first one is dropped, of {@link MANY}, and how long they took, s. */
  const until = (direction: Direction, address: string): { passed: number; seconds: number } => {
    const frame = frameOf(direction, address, address.includes(':') ? PEER.ipv6 : PEER.ipv4, LENGTH);
    const from = performance.now();
    let passed = 0;
    while (passed < MANY && lab.fate(direction, frame) === 'passed') passed++;
    return { passed, seconds: (performance.now() - from) / 1000 };
  };
  const bits = LENGTH * 8;
  // The burst, one more while anything is left, and what the rate gives back meanwhile.
  const expectBurst = ({ passed, seconds }: ReturnType<typeof until>, burst: number, rate: number): void => {
    expect(passed).toBeGreaterThanOrEqual(Math.floor((burst + rate * Math.max(0, seconds - 0.05)) / bits));
    expect(passed).toBeLessThanOrEqual((burst + rate * seconds) / bits + 2);
  };
  expectBurst(until('egress', '10.244.1.5'), 5_000_000, 10_000_000);
  // One bucket for both addresses of the pod.
  expect(until('egress', 'fd00:244:0:1::5').passed).toBeLessThan(5_000_000 / bits / 2);
  // The table's limit is the second one: what its rate allows in a quarter of a second, more than packets are run one by one.
  expect(lab.fate('egress', frameOf('egress', '10.244.1.9', PEER.ipv4, LENGTH))).toBe('passed');
  expect(lab.bucket(3)).toMatchObject({ tolerance: 250_000_000n * TICKS });
  expect(lab.bucket(3).full).toBeGreaterThan(0n);
  expect(until('ingress', '10.244.1.9').passed).toBe(MANY);
  expect(until('egress', '10.244.1.6').passed).toBe(MANY);
});
