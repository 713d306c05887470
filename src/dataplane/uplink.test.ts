// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { GraphLink } from './graph-model.ts';
import { lacksUplink, UPLINK, uplinkOf } from './uplink.ts';

const device = (name: string, ...addresses: string[]) => [name, { name, addresses }] as const;
const interfaces = new Map([
  device('lo', '127.0.0.1', '::1'),
  device('eth0', '198.18.0.11', 'fd00:18::11'),
  device('eth1', '198.19.0.11'),
]);
const view = (uplink?: string) => ({ interfaces, uplink });

test('the interface of the default route, also where another one has the address of the node', () => {
  expect(uplinkOf(view('eth1'), ['198.18.0.11'])).toBe('eth1');
});

test('without a default route the interface of an address of the node, the first address first', () => {
  expect(uplinkOf(view(), ['203.0.113.1', 'fd00:18::11', '198.19.0.11'])).toBe('eth0');
  expect(uplinkOf(view(), ['203.0.113.1'])).toBeUndefined();
  expect(uplinkOf(view(), [])).toBeUndefined();
});

test('a graph lacks its uplink while a link ends in the variable', () => {
  const links = (...names: string[]) =>
    new Map(
      names.map((name) => {
        const ends = [{ type: 'Cube' }, { type: 'Interface', name }];
        return [name, { ends } as unknown as GraphLink] as const;
      }),
    );
  expect(lacksUplink({ links: links('eth0', UPLINK) })).toBe(true);
  expect(lacksUplink({ links: links('eth0') })).toBe(false);
});
