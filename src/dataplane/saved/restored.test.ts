// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { EMPTY_KERNEL, type KernelState } from '../state.ts';
import { packOwn } from '../tables.ts';
import { isBare, isRestorable } from './restored.ts';

const link = (ifindex: number) => ({ ifindex, entry: 'e' });
const whole: KernelState = {
  ...EMPTY_KERNEL,
  ready: true,
  epoch: 7,
  links: new Map([
    ['eth0', link(2)],
    ['veth1', link(0)],
  ]),
};
const older = { abi: 0, links: new Map(), xdp: new Map(), cgroup: new Map() };

test.each<[string, KernelState, boolean]>([
  ['a node that was booted', EMPTY_KERNEL, true],
  ['one whose agent was killed before its graph was in force', { ...whole, epoch: 0 }, true],
  ['one whose devices are all gone', { ...whole, links: new Map([['eth0', link(0)]]) }, true],
  ['one of whose devices some are gone', whole, false],
  ['one with cubes at a cgroup alone', { ...whole, links: new Map() }, false],
  ['one that an agent of another ABI serves', { ...EMPTY_KERNEL, older }, false],
])('%s', (_, kernel, expected) => {
  expect(isBare(kernel)).toBe(expected);
});

test('an address that the node answered for may be another one’s by now', () => {
  const types = ['Service', 'Policy', 'Announcement', 'Route'].map((type) => packOwn(type, type, []));
  expect(types.filter(isRestorable).map(({ type }) => type)).toEqual(['Service', 'Policy', 'Route']);
});
