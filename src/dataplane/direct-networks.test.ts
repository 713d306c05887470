// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { directNetworks, isIn } from './direct-networks.ts';

const eth = (name: string, ...networks: string[]) => ({
  name,
  networks,
  addresses: networks.map((text) => text.replace(/\/.*/, '')),
});
const interfaces = [
  eth('lo', '127.0.0.1/8'),
  eth('eth0', '198.18.0.11/24', 'fd00:18::11/64', 'fe80::1/64'),
  eth('eth1', '192.168.7.2/30'),
];

test('the subnets of the interface that has the address of the node', () => {
  expect(directNetworks(interfaces, ['fd00:18::11'], 'eth1')).toEqual([
    { network: '198.18.0.0/24', device: 'eth0' },
    { network: 'fd00:18::/64', device: 'eth0' },
  ]);
});

test('of every such interface; while the node is not known, of the uplink', () => {
  expect(directNetworks(interfaces, ['198.18.0.11', '192.168.7.2'], undefined)).toHaveLength(3);
  expect(directNetworks(interfaces, [], 'eth1')).toEqual([{ network: '192.168.7.0/30', device: 'eth1' }]);
  expect(directNetworks(interfaces, [], undefined)).toEqual([]);
});

test('an address of the other family is in no network', () => {
  expect(isIn('198.18.0.0/24', '198.18.0.200')).toBe(true);
  expect(isIn('198.18.0.0/24', '198.18.1.1')).toBe(false);
  expect(isIn('::/0', '198.18.0.1')).toBe(false);
});
