// SPDX-License-Identifier: Apache-2.0
/** The entry program at XDP: what it hands to cubes, what it lets go on to TC, what it drops. */
import { describe, expect, test } from '@jest/globals';
import { schema } from '../../src/cubes/ddos-mitigator/schema.ts';
import { INSIDE, OUTSIDE } from './support/mitigator.ts';
import { ethernet, ip, tcp, udp } from './support/packet.ts';
import { IFINDEX, XdpChain, XdpVerdict } from './support/xdp-chain.ts';

const frameOf = (src: string, dst: string) => ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 })));
const FRAMES = { IPv4: frameOf('203.0.113.7', '10.0.0.1'), IPv6: frameOf('2001:db8::7', 'fd00::1') };
const both = Object.entries(FRAMES);

const mitigator = (chain: XdpChain, slot: number) =>
  chain.add({ object: 'ddos-mitigator-xdp', program: 'ddos_mitigator', schema, slot });

describe.each(both)('%s', (_, frame) => {
  test('without a cube the failure policy decides', async () => {
    using chain = await XdpChain.open();
    expect(chain.run(frame)).toMatchObject({
      verdict: XdpVerdict.drop,
      drops: ['entry ChainNotProgrammed'],
    });
    chain.attach({ failOpen: true });
    expect(chain.run(frame)).toMatchObject({ verdict: XdpVerdict.pass, drops: [] });
  });

  test('an empty slot is no cube: the failure policy decides', async () => {
    using chain = await XdpChain.open();
    chain.edge(255, 8, 'cube', 77, 0);
    expect(chain.run(frame).drops).toEqual(['entry ChainNotProgrammed']);
    chain.attach({ failOpen: true });
    expect(chain.run(frame).verdict).toBe(XdpVerdict.pass);
  });

  test('an interface that is not ours is left alone', async () => {
    using chain = await XdpChain.open();
    chain.detach();
    expect(chain.run(frame)).toMatchObject({ verdict: XdpVerdict.pass, drops: [] });
  });

  test('two cubes, one after the other, then TC; back out by the interface; each edge that ends it', async () => {
    using chain = await XdpChain.open();
    const first = await mitigator(chain, 1);
    await mitigator(chain, 2);
    chain.attach({}, first, OUTSIDE);
    chain.edge(1, INSIDE, 'cube', 2, OUTSIDE);
    chain.edge(2, INSIDE, 'pass');
    const result = chain.run(frame);
    expect(result).toMatchObject({ verdict: XdpVerdict.pass, drops: [] });
    expect(result.counts).toEqual(['ddos-mitigator-xdp passed', 'ddos-mitigator-xdp@2 passed']);
    expect(result.frame.equals(frame)).toBe(true);
    expect([first.port(OUTSIDE).rxPackets, first.port(INSIDE).txPackets, first.port(INSIDE).txBytes]).toEqual(
      [1, 1, frame.length],
    );
    chain.edge(2, INSIDE, 'device', IFINDEX);
    expect(chain.run(frame)).toMatchObject({ verdict: XdpVerdict.tx, drops: [] });
    chain.edge(2, INSIDE, 'device', IFINDEX + 1);
    expect(chain.run(frame).drops).toEqual(['ddos-mitigator-xdp@2 RedirectFailed']);
    chain.edge(2, INSIDE, 'cut');
    expect(chain.run(frame).drops).toEqual(['ddos-mitigator-xdp@2 ChainNotProgrammed']);
    chain.edge(2, INSIDE, 'none');
    expect(chain.run(frame).drops).toEqual(['ddos-mitigator-xdp@2 NoEdge']);
    chain.edge(1, INSIDE, 'cube', 99, OUTSIDE);
    expect(chain.run(frame).drops).toEqual(['ddos-mitigator-xdp TailCallFailed']);
  });

  test('a flip of the epoch changes all edges at once', async () => {
    using chain = await XdpChain.open();
    const cube = await mitigator(chain, 1);
    chain.attach({}, cube, OUTSIDE);
    chain.edge(1, INSIDE, 'pass');
    expect(chain.run(frame).verdict).toBe(XdpVerdict.pass);
    chain.configure(1);
    expect(chain.run(frame).drops).toEqual(['entry ChainNotProgrammed']);
    chain.attach({}, cube, OUTSIDE);
    chain.edge(1, INSIDE, 'device', IFINDEX);
    expect(chain.run(frame).verdict).toBe(XdpVerdict.tx);
    chain.configure(2);
    expect(chain.run(frame).verdict).toBe(XdpVerdict.pass);
  });

  test('cubes that lead to each other end at the limit of hops, counted', async () => {
    using chain = await XdpChain.open();
    const cube = await mitigator(chain, 1);
    chain.attach({}, cube, OUTSIDE);
    chain.edge(1, INSIDE, 'cube', 1, OUTSIDE);
    expect(chain.run(frame)).toMatchObject({
      verdict: XdpVerdict.drop,
      drops: ['ddos-mitigator-xdp HopLimit'],
    });
  });

  test('a dry run goes the same way and counts nothing', async () => {
    using chain = await XdpChain.open();
    const cube = await mitigator(chain, 1);
    chain.attach({}, cube, OUTSIDE);
    chain.edge(1, INSIDE, 'pass');
    expect(chain.run(frame, { dry: true })).toMatchObject({
      verdict: XdpVerdict.drop,
      drops: [],
      counts: [],
    });
    expect(cube.port(OUTSIDE).rxPackets).toBe(0);
  });
});

test('a malformed packet ends at the entry, as at TC', async () => {
  using chain = await XdpChain.open();
  const cube = await mitigator(chain, 1);
  chain.attach({}, cube, OUTSIDE);
  chain.edge(1, INSIDE, 'pass');
  const frame = Buffer.from(FRAMES.IPv4);
  frame[14] = 0x44; // a header of four words
  expect(chain.run(frame)).toMatchObject({ verdict: XdpVerdict.drop, drops: ['entry Malformed'] });
  const cut = ethernet({}, ip({ src: '203.0.113.7', dst: '10.0.0.1' }, tcp({ sport: 1, dport: 2 }))).subarray(
    0,
    40,
  );
  expect(chain.run(cut)).toMatchObject({ verdict: XdpVerdict.drop, drops: ['entry Malformed'] });
});
