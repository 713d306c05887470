// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { encodeAddress } from '../layout.ts';
import { type Attachment, deviceOf, macOf } from './attachment.ts';
import { concerns, hostProblems, insideProblems, promised } from './check.ts';
import { resultOf } from './result.ts';

const KEY = 'a/eth0';
const one: Attachment = {
  phase: 'Ready',
  network: 'net',
  containerId: 'a',
  ifname: 'eth0',
  netns: '/run/netns/a',
  device: deviceOf(KEY),
  mac: macOf(KEY),
  addresses: ['10.1.0.2', 'fd00::2'],
  gateways: ['10.1.0.1'],
  mtu: { device: 1500, route: 1450 },
  pod: { namespace: 'cni', name: 'a' },
  createdAt: 0,
};
const GATEWAY_MAC = '02:c0:be:00:00:01';
const device = {
  name: 'eth0',
  ifindex: 2,
  mac: one.mac,
  mtu: 1500,
  up: true,
  addresses: ['10.1.0.2/32', 'fd00::2/128'],
};
const routes = [{ dst: 'default', via: '10.1.0.1', mtu: 1450 }, { dst: '10.1.0.1' }];
const neighbours = new Map([['10.1.0.1', GATEWAY_MAC]]);
const whole = { device, routes, neighbours };
const host = { name: one.device, ifindex: 9, mac: GATEWAY_MAC, mtu: 1500, up: true, addresses: [] };
const record = { ...one.pod, interface: one.device, mac: one.mac, addresses: [...one.addresses] };

test('all as ADD left it', () => {
  expect(insideProblems(one, whole)).toEqual([]);
  expect(hostProblems(one, host, [record])).toEqual([]);
  expect(promised(one, { ...resultOf(one, '1.1.0') })).toEqual([]);
});

test.each([
  ['no device', { ...whole, device: undefined }, 'no such interface'],
  ['MAC', { ...whole, device: { ...device, mac: '02:00:00:00:00:01' } }, 'MAC'],
  ['down', { ...whole, device: { ...device, up: false } }, 'down'],
  ['MTU', { ...whole, device: { ...device, mtu: 1400 } }, 'MTU is 1400'],
  ['address', { ...whole, device: { ...device, addresses: ['10.1.0.2/32'] } }, 'fd00::2/128'],
  [
    'length of an address',
    { ...whole, device: { ...device, addresses: ['10.1.0.2/24', 'fd00::2/128'] } },
    '10.1.0.2/32',
  ],
  ['default route', { ...whole, routes: routes.slice(1) }, 'default route via 10.1.0.1'],
  [
    'MTU of it',
    { ...whole, routes: [{ dst: 'default', via: '10.1.0.1' }, { dst: '10.1.0.1' }] },
    'not set, not 1450',
  ],
  ['route to the gateway', { ...whole, routes: routes.slice(0, 1) }, 'route to the gateway 10.1.0.1'],
  ['neighbour', { ...whole, neighbours: new Map<string, string>() }, 'neighbour 10.1.0.1 is gone'],
])('inside, what is broken is named: %s', (_, view, names) => {
  expect(insideProblems(one, view).join()).toContain(names);
});

test.each([
  ['gone', undefined, [record], 'is gone'],
  ['down', { ...host, up: false }, [record], 'is down'],
  ['MAC', { ...host, mac: one.mac }, [record], 'MAC'],
  ['MTU', { ...host, mtu: 9000 }, [record], 'MTU'],
  ['unplugged', host, [], 'cni/a is not plugged'],
  ['plugged otherwise', host, [{ ...record, addresses: [] }], 'other addresses'],
])('on the host too: %s', (_, view, pods, names) => {
  expect(hostProblems(one, view, pods).join()).toContain(names);
});

test('a result that somebody has changed', () => {
  const { interfaces, ips } = resultOf(one, '1.1.0');
  expect(promised(one, {})).toHaveLength(3);
  expect(
    promised(one, { interfaces, ips: [{ address: '10.1.0.2/32' }, { address: 'FD00:0::2/128' }] }),
  ).toEqual([]);
  expect(promised(one, { interfaces: [{ ...interfaces[1], mac: 'x' }], ips }).join()).toContain('MAC x');
  expect(promised(one, { interfaces: 7, ips: [null] })).toHaveLength(3);
});

test('actions that are due count where they are about the interface', () => {
  const subject = { ...one, ifindex: 9 };
  const [key, other] = [encodeAddress('fd00::2'), encodeAddress('10.1.0.3')];
  expect(
    concerns(
      {
        op: 'WriteRows',
        map: 'pods',
        rows: [
          [other, ''],
          [key, ''],
        ],
      },
      subject,
    ),
  ).toBe(true);
  expect(concerns({ op: 'DeleteRows', map: 'pods', keys: [other] }, subject)).toBe(false);
  expect(concerns({ op: 'WriteRows', map: 'overlay_sources', rows: [[key, '']] }, subject)).toBe(false);
  const attach = { op: 'Attach', pin: 'x', name: one.device, ifindex: 9, entry: 'e' } as const;
  expect(concerns(attach, subject)).toBe(true);
  expect(concerns({ ...attach, name: 'eth1' }, subject)).toBe(false);
  expect(concerns({ op: 'Detach', pin: one.device }, subject)).toBe(true);
  expect(concerns({ op: 'Grace' }, subject)).toBe(false);
});
