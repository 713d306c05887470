// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { claimsOf } from './claim.ts';
import type { InterfaceInfo } from './graph-model.ts';
import { interfaceEnd, mtuOf } from './interface-end.ts';

const info = (name: string, ifindex: number, mtu = 1500): InterfaceInfo => ({
  name,
  ifindex,
  mtu,
  mac: '02:00:00:00:00:01',
  up: true,
});
const INTERFACES = new Map(
  [info('eth0', 2), info('eth1', 3, 9000), info('eth2', 4, 1400)].map((one) => [one.name, one]),
);
const endOf = (name: string, others?: string[], uplink: string | undefined = 'eth0') =>
  interfaceEnd({ type: 'Interface', interface: { name, ...(others ? { others } : {}) } }, uplink, INTERFACES);

describe('an Interface endpoint', () => {
  test('is one interface, by its name or as the uplink', () => {
    expect(endOf('eth1')).toEqual({
      type: 'Interface',
      name: 'eth1',
      info: INTERFACES.get('eth1'),
      open: true,
    });
    expect(endOf('$(node.uplink)')).toMatchObject({ name: 'eth0', info: { ifindex: 2 } });
    expect(
      interfaceEnd({ type: 'Interface', interface: { name: '$(node.uplink)' } }, undefined, INTERFACES),
    ).toEqual({
      type: 'Interface',
      name: '$(node.uplink)',
      info: undefined,
      open: true,
    });
  });

  test('has others, of which those that are not there, and itself, are left out', () => {
    const end = endOf('$(node.uplink)', ['eth1', 'eth0', 'eth9', 'eth2']);
    expect(end.others?.map(({ name }) => name)).toEqual(['eth1', 'eth2']);
    expect(mtuOf(end)).toBe(1400);
    expect(endOf('eth0', ['eth9'])).toEqual(endOf('eth0'));
  });

  test('takes all of them for its link alone', () => {
    expect(claimsOf(endOf('eth0', ['eth1'])).map(({ id }) => id)).toEqual([
      'Interface eth0',
      'Interface eth1',
    ]);
  });
});
