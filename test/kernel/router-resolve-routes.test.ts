// SPDX-License-Identifier: Apache-2.0
/** Packets that wait for a MAC: whom they are from, and what the routes have become meanwhile. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { dissect } from './support/dissect.ts';
import { echo, ethernet, ip, udp } from './support/packet.ts';
import { arpReply, HOST, LAN, PODS, ResolvingBench, toward } from './support/resolving-bench.ts';

const HOST_MAC = '02:00:5e:00:00:07';
const OTHER_MAC = '02:00:5e:00:00:08';

let bench: ResolvingBench;
beforeEach(async () => {
  bench = await ResolvingBench.open();
});
afterEach(() => bench.close());

describe('the host that shares an address of the router, which it sends from', () => {
  const fromHost = ethernet({}, ip({ src: '10.244.1.1', dst: '10.9.0.7' }, udp({ sport: 1, dport: 2 })));

  test('is told that nobody answers', () => {
    bench.enter(HOST, fromHost);
    expect(bench.records()).toHaveLength(1);
    for (const seconds of [1.1, 2.2]) bench.pass(seconds);
    const [held, ...more] = bench.pass(3.3);
    expect(more).toEqual([]);
    const told = {
      counts: ['router icmpErrors'],
      drops: ['router NeighbourUnreachable'],
      seen: { port: HOST },
    };
    const resumed = bench.resume(held as NonNullable<typeof held>);
    expect(resumed).toMatchObject(told);
    expect(dissect(resumed.frame)).toMatchObject({ ip: { dst: '10.244.1.1', icmp: { type: 3, code: 1 } } });
    const next = bench.enter(HOST, fromHost);
    expect(next).toMatchObject({ ...told, counts: ['router forwarded', 'router icmpErrors'] });
    expect(dissect(next.frame)).toMatchObject({ ip: { dst: '10.244.1.1', icmp: { type: 3, code: 1 } } });
  });

  test('gets no error about an answer of the router itself', () => {
    bench.enter(HOST, fromHost);
    bench.records();
    for (const seconds of [1.1, 2.2, 3.3]) bench.pass(seconds);
    expect(bench.row('10.9.0.7')).toMatchObject({ state: 3 });
    const ping = ethernet({}, ip({ src: '10.9.0.7', dst: '10.244.1.1' }, echo({})));
    const result = bench.enter(HOST, ping);
    expect(result).toMatchObject({
      drops: ['router NeighbourUnreachable'],
      counts: ['router echoReplies'],
    });
  });
});

describe('routes change while a packet waits', () => {
  const beyond = { destination: '192.0.2.0/24', type: 'NextHop', nextHop: { address: '10.9.0.7' } } as const;

  /** A packet by the route to the gateway that comes back when the gateway has answered. */
  function held(frame = toward('192.0.2.9')) {
    bench.routes([beyond]);
    expect(bench.enter(PODS, frame).drops).toEqual(['router Punted']);
    expect(bench.records()).toHaveLength(1);
    bench.enter(LAN, arpReply(HOST_MAC, '10.9.0.7'));
    const [packet] = bench.records();
    return packet as NonNullable<typeof packet>;
  }

  test.each([
    ['Blackhole', ['router Blackhole'], [], undefined],
    ['Unreachable', ['router Unreachable'], ['router icmpErrors'], { type: 3, code: 1 }],
  ] as const)('to one of type %s, by which it ends', (type, drops, counts, told) => {
    const packet = held();
    bench.routes([{ destination: '192.0.2.0/24', type }]);
    const result = bench.resume(packet);
    expect(result).toMatchObject({ drops, counts });
    if (told) expect(dissect(result.frame)).toMatchObject({ ip: { dst: '10.244.1.5', icmp: told } });
  });

  test('to none: its sender is told', () => {
    const packet = held();
    bench.routes([]);
    expect(bench.resume(packet)).toMatchObject({ drops: ['router NoRoute'], counts: ['router icmpErrors'] });
  });

  test('to one with a smaller MTU, which is told', () => {
    const packet = held(toward('192.0.2.9', 1400));
    bench.routes([{ ...beyond, mtu: 1280 }]);
    const result = bench.resume(packet);
    expect(result).toMatchObject({ drops: ['router PacketTooBig'], counts: ['router icmpErrors'] });
    expect(dissect(result.frame)).toMatchObject({ ip: { icmp: { type: 3, code: 4 } } });
  });

  test('an answer of the router itself has no route to be refused by', () => {
    bench.routes([beyond]);
    const ping = ethernet({ src: HOST_MAC }, ip({ src: '192.0.2.9', dst: '10.9.0.1' }, echo({})));
    expect(bench.enter(LAN, ping)).toMatchObject({ drops: ['router Punted'] });
    bench.records();
    bench.enter(LAN, arpReply(OTHER_MAC, '10.9.0.7'));
    const [packet] = bench.records();
    bench.routes([]);
    const result = bench.resume(packet as NonNullable<typeof packet>);
    expect(result).toMatchObject({ drops: [], seen: { port: LAN } });
    expect(dissect(result.frame)).toMatchObject({ eth: { dst: HOST_MAC }, ip: { dst: '192.0.2.9' } });
  });

  test.each(['Blackhole', 'Port'] as const)(
    'before the agent has read it, to one of type %s: nobody without an address is asked for',
    (type) => {
      bench.routes([beyond]);
      bench.enter(PODS, toward('192.0.2.9'));
      const other =
        type === 'Port'
          ? { destination: '192.0.2.0/24', type, port: 'lan' }
          : { destination: '192.0.2.0/24', type };
      bench.routes([other]);
      const sent = bench.records();
      expect(bench.row('::')).toBeUndefined();
      expect(sent).toHaveLength(type === 'Port' ? 1 : 0);
      if (type === 'Port') expect(bench.row('192.0.2.9')).toMatchObject({ state: 1 });
    },
  );
});
