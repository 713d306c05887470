// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { listen } from '../cubes/router/neighbour-frames.ts';
import { announcementFrames, solicitedNodeGroup } from './announcement-frames.ts';
import { Announcer, type Answered, answeredBy, membershipsOf } from './announcer.ts';
import type { Graph } from './graph-model.ts';
import type { LinkInfo } from './kernel/netlink.ts';

const MAC = '02:00:00:00:00:07';
const UPLINK = { name: 'eth0', ifindex: 2, mac: MAC };
const at = (address: string, info = UPLINK): Answered => ({
  addresses: [address],
  slot: 3,
  port: 0,
  interface: info,
});

describe('frames', () => {
  test.each(['192.0.2.1', '2001:db8::c8'])('%s is heard by who knows it already', (address) => {
    const frames = announcementFrames(address, MAC);
    expect(frames).toHaveLength(address.includes(':') ? 1 : 2);
    // a reader of ours that proves checksums and form
    for (const frame of frames)
      expect(listen(frame, 14, () => false)).toEqual({ address, mac: MAC, solicited: false, override: true });
  });

  test('the group of an IPv6 address (RFC 4291 2.7.1)', () => {
    expect(solicitedNodeGroup('2001:db8::1:2:3')).toBe('ff02::1:ff02:3');
    expect(solicitedNodeGroup('4037::1:800:200e:8c6c')).toBe('ff02::1:ff0e:8c6c');
    expect(solicitedNodeGroup('192.0.2.1')).toBeUndefined();
  });
});

describe('an address', () => {
  const told = (announcer: Announcer, answered: Answered[], now: number) =>
    announcer.follow(answered, now).map(({ slot, port, direction, packet, metadata }) => {
      expect([slot, port, direction]).toEqual([3, 0, 'out']);
      expect(metadata).toBe(BigInt(answered[0]?.interface.ifindex ?? 0));
      return listen(packet, 14, () => false)?.address;
    });

  test('is told three times, and no more', () => {
    const announcer = new Announcer();
    const answered = [at('2001:db8::1')];
    const times = [];
    for (let now = 100; now < 130; now++) if (told(announcer, answered, now).length > 0) times.push(now);
    expect(times).toEqual([100, 101, 103]);
    expect(announcer.dueAt).toBeUndefined();
  });

  test('is told anew after it was away, and when the interface or its MAC is another', () => {
    const announcer = new Announcer();
    told(announcer, [at('2001:db8::1')], 100);
    expect(told(announcer, [], 100)).toEqual([]);
    expect(announcer.dueAt).toBeUndefined();
    expect(told(announcer, [at('2001:db8::1')], 100)).toEqual(['2001:db8::1']);
    for (const other of [
      { ...UPLINK, ifindex: 9 },
      { ...UPLINK, mac: '02:00:00:00:00:08' },
    ])
      expect(told(announcer, [at('2001:db8::1', other)], 100)).toEqual(['2001:db8::1']);
  });

  test('waits where many are new at once', () => {
    const announcer = new Announcer();
    const addresses = Array.from({ length: 300 }, (_, index) => `2001:db8::${index.toString(16)}`);
    const answered = [{ ...at(''), addresses }];
    const first = told(announcer, answered, 100);
    expect(first).toHaveLength(128);
    expect(announcer.dueAt).toBe(101);
    const heard = new Set(first);
    for (let now = 101; now < 140; now++)
      for (const address of told(announcer, answered, now)) heard.add(address);
    expect(heard.size).toBe(300);
    expect(announcer.dueAt).toBeUndefined();
  });
});

test('a cube answers at the interfaces that its port is linked to, while they are up', () => {
  const addresses = ['192.0.2.1', '2001:db8::1'];
  const running = {
    instance: { slot: 3, cubeKey: 's/nat' },
    plan: { cube: { input: { ports: [{ name: 'outside', id: 0 }] } } },
    image: { announced: () => ({ port: 'outside', addresses }) },
  };
  const silent = { ...running, image: {} };
  const info = { ...UPLINK, up: true } as LinkInfo;
  const link = {
    ends: [
      { type: 'Interface', name: '$(node.uplink)', info, open: true },
      { type: 'Cube', cube: 's/nat', port: 'outside' },
    ],
  };
  const graph = { links: new Map([['s/uplink', link]]) } as unknown as Graph;
  const found = (interfaces: LinkInfo[], of: Graph | undefined = graph) =>
    answeredBy([running, silent] as never, of, new Map(interfaces.map((one) => [one.name, one]))).map(
      ({ addresses, slot, interface: { ifindex } }) => `${addresses.join(' ')} ${slot} ${ifindex}`,
    );
  expect(found([info])).toEqual(['192.0.2.1 2001:db8::1 3 2']);
  expect(found([{ ...info, up: false }])).toEqual([]);
  expect(found([])).toEqual([]);
  expect(found([info], { links: new Map() } as unknown as Graph)).toEqual([]);
  // one of several, whose subnet has an address, is told of it; what is in no subnet is told of by the first
  const several = (networks: readonly string[]) => {
    const others = [{ name: 'eth1', ifindex: 5, mac: '02:00:00:00:00:05', up: true, networks }] as LinkInfo[];
    const ends = [{ ...link.ends[0], others }, link.ends[1]];
    const of = { links: new Map([['s/uplink', { ends }]]) } as unknown as Graph;
    const first = { ...info, networks: ['192.0.2.10/24', 'fe80::1/64'] };
    return found([first, ...others], of);
  };
  expect(several([])).toEqual(['192.0.2.1 2001:db8::1 3 2']);
  expect(several(['2001:db8::5/64'])).toEqual(['192.0.2.1 3 2', '2001:db8::1 3 5']);
  expect(several(['192.0.2.200/25', '2001:db8::5/64'])).toEqual(['192.0.2.1 3 2', '2001:db8::1 3 5']);
  expect(several(['192.0.2.5/25', '2001:db8::5/64'])).toEqual(['192.0.2.1 3 2', '192.0.2.1 2001:db8::1 3 5']);
  // the same lists as long as they are the same: what follows compares them so
  const twice = [0, 1].map(() => answeredBy([running] as never, graph, new Map([['eth0', info]])));
  expect(twice[0]?.[0]?.addresses).toBe(twice[1]?.[0]?.addresses);
  expect(membershipsOf([at('192.0.2.1'), at('2001:db8::1'), at('2001:db9::1')])).toEqual([
    { group: 'ff02::1:ff00:1', interface: 'eth0', ifindex: 2 },
  ]);
});
