// SPDX-License-Identifier: Apache-2.0
/** Copies of a flooded frame that go to cubes: how deep, what a drop on their way is, and what a dry run tells. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runJson } from './fixtures/run-json.ts';

const namespace = `copies-${process.pid}`;
const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

interface Deep {
  /** Number of the bridge, cubes passed. */
  readonly arrived: [bridge: number, cubes: number][];
  readonly drops: string[];
  readonly counts: string[];
}

let seen: { readonly deep: Deep; readonly empty: Deep; readonly rehearsed: string[] };

beforeAll(async () => {
  ip('netns', 'add', namespace);
  ip('-n', namespace, 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  const links = JSON.parse(ip('-n', namespace, '-json', 'link')) as { ifindex: number; ifname: string }[];
  const devices = links.filter(({ ifname }) => ifname !== 'lo').map(({ ifindex }) => String(ifindex));
  const inside = ['nsenter', `--net=/run/netns/${namespace}`];
  seen = (await runJson('./copies-child.ts', inside, devices)) as typeof seen;
}, 120_000);
afterAll(() => {
  ip('netns', 'del', namespace);
});

test('copies of copies go three deep, each whole before the frame itself; what is deeper is counted', () => {
  expect(seen.deep).toEqual({
    arrived: [
      [3, 5],
      [2, 4],
      [1, 3],
      [0, 2],
    ],
    drops: [],
    counts: ['bridge copies', 'bridge@2 copies', 'bridge@3 copies', 'bridge@4 copyFailures'],
  });
});

test('a copy that is dropped on its way is counted there, and everything else goes on', () => {
  expect(seen.empty).toEqual({
    arrived: [
      [1, 3],
      [0, 2],
    ],
    drops: ['entry TailCallFailed'],
    counts: ['bridge copies', 'bridge@2 copies'],
  });
});

test('a dry run tells of each copy where it happens', () => {
  expect(seen.rehearsed).toEqual([
    ...['enter 0', 'hop 1', 'decision 1'],
    ...['output 1', 'hop 2', 'decision 2'],
    ...['output 2', 'drop 0'],
    ...['output 2', 'hop 100'],
    ...['output 1', 'hop 100'],
  ]);
});
