// SPDX-License-Identifier: Apache-2.0
/** The entry program: what it lets in, what it refuses, and what it hands to the first cube. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Chain, Flag, Verdict } from './support/chain.ts';
import { arp, ethernet, icmp, ip, ipv4, ipv6, solicitation, udp } from './support/packet.ts';

const V4 = { src: '10.244.1.5', dst: '10.244.2.7' };
const V6 = { src: 'fd00:244:1::5', dst: 'fd00:244:2::7' };
const FAMILIES = [
  ['IPv4', V4],
  ['IPv6', V6],
] as const;

let chain: Chain;
beforeAll(async () => {
  chain = await Chain.open();
});
afterAll(() => chain.close());

const frame = (addresses: { src: string; dst: string }) =>
  ethernet({}, ip(addresses, udp({ sport: 1000, dport: 2000, payload: 32 })));

describe('a pod', () => {
  beforeEach(() => chain.attach({ kind: 'pod', addresses: [V4.src, V6.src] }));

  test.each(FAMILIES)('sends from its own address: %s', (_, addresses) => {
    const result = chain.run(frame(addresses));
    expect(result.verdict).toBe(Verdict.ok);
    expect(result.drops).toEqual([]);
    expect(result.seen).toMatchObject({ port: 0, hops: 1, work: { ...addresses, sport: 1000, dport: 2000 } });
  });

  test.each(FAMILIES)('does not send from another address: %s', (_, addresses) => {
    const result = chain.run(frame({ ...addresses, src: addresses.dst }));
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['entry SpoofedSource'] });
    expect(result.seen).toBeUndefined();
  });

  test('does not send from another MAC', () => {
    const other = ethernet({ src: '02:00:00:00:0b:0b' }, ip(V4, udp({ sport: 1, dport: 2 })));
    expect(chain.run(other).drops).toEqual(['entry SpoofedSource']);
  });

  test('does not speak for another address by ARP', () => {
    const claim = (sender: string) =>
      ethernet({}, arp({ operation: 1, senderMac: '02:00:00:00:0a:0a', sender, target: '10.244.1.1' }));
    expect(chain.run(claim(V4.src)).seen?.work).toMatchObject({
      src: V4.src,
      dst: '10.244.1.1',
      flags: Flag.arp,
    });
    expect(chain.run(claim('10.244.1.9')).drops).toEqual(['entry SpoofedSource']);
  });

  test('solicits neighbours from link-local and unspecified addresses', () => {
    for (const src of ['fe80::1', '::']) {
      const ns = ethernet({}, ipv6({ src, dst: 'ff02::1:ff00:1', hopLimit: 255 }, solicitation('fd00::1')));
      const { seen } = chain.run(ns);
      expect(seen?.work.flags).toBe(Flag.ipv6 | Flag.nd | Flag.multicast);
    }
  });

  test("its other link-local multicast is nobody's to handle", () => {
    const mld = ethernet(
      {},
      ipv6({ src: 'fe80::1', dst: 'ff02::16', hopLimit: 1 }, icmp({ type: 143, v6: true })),
    );
    expect(chain.run(mld).drops).toEqual(['entry LinkLocalControl']);
  });

  test('sends neither other protocols nor malformed packets', () => {
    expect(chain.run(ethernet({ etherType: 0x88cc }, new Uint8Array(64))).drops).toEqual([
      'entry Unsupported',
    ]);
    const cut = ethernet({}, ipv4({ ...V4, totalLength: 200 }, udp({ sport: 1, dport: 2 })));
    expect(chain.run(cut).drops).toEqual(['entry Malformed']);
  });

  test('a claim of an IPv4 address inside IPv6 is refused', () => {
    const mapped = ethernet({}, ipv6({ src: `::ffff:${V4.src}`, dst: V6.dst }, udp({ sport: 1, dport: 2 })));
    expect(chain.run(mapped).drops).toEqual(['entry Malformed']);
  });
});

describe('the overlay', () => {
  beforeEach(() => {
    chain.attach({ kind: 'overlay' });
    chain.configure({ overlayVni: 7, lengths4: [120, 112], lengths6: [64] });
    chain.addOverlaySource('10.244.2.0', 120, '172.18.0.2');
    chain.addOverlaySource('10.245.0.0', 112, 'fd18::2');
    chain.addOverlaySource('fd00:244:2::', 64, '172.18.0.2');
    for (const node of ['172.18.0.2', 'fd18::2']) chain.addOverlaySource(node, 128, node);
  });

  test.each([
    ['IPv4 over IPv4', '10.244.2.7', '172.18.0.2'],
    ['IPv6 over IPv4', 'fd00:244:2::7', '172.18.0.2'],
    ['IPv4 over IPv6, by a shorter prefix', '10.245.9.9', 'fd18::2'],
    ['its own IPv4 address', '172.18.0.2', '172.18.0.2'],
    ['its own IPv6 address', 'fd18::2', 'fd18::2'],
  ])('lets in what the sending node owns: %s', (_, src, remote) => {
    const dst = src.includes(':') ? V6.src : V4.src;
    const result = chain.run(frame({ src, dst }), { tunnel: { remote, vni: 7 } });
    expect(result).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { work: { src, dst } } });
    // whoever sends by the tunnel from the address of the node that it comes from
    expect(((result.seen?.work.flags ?? 0) & Flag.overlayNode) !== 0).toBe(src === remote);
  });

  test.each([
    ['another node', '10.244.2.7', { remote: '172.18.0.3', vni: 7 }],
    ['an outer address of the other family', '10.244.2.7', { remote: 'fd18::2', vni: 7 }],
    ['another network', '10.244.2.7', { remote: '172.18.0.2', vni: 8 }],
    ['a source that no node owns', '10.9.9.9', { remote: '172.18.0.2', vni: 7 }],
    ['another node itself', 'fd18::2', { remote: '172.18.0.2', vni: 7 }],
    ['its own address of who is no node', '172.18.0.9', { remote: '172.18.0.9', vni: 7 }],
    ['an IPv6 source that no node owns', 'fd00:99::1', { remote: '172.18.0.2', vni: 7 }],
  ])('refuses %s', (_, src, tunnel) => {
    const result = chain.run(frame({ src, dst: src.includes(':') ? V6.src : V4.src }), { tunnel });
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['entry SpoofedOverlaySource'] });
  });

  test('refuses what is no IP packet, and what came by no tunnel', () => {
    const request = ethernet(
      {},
      arp({ operation: 1, senderMac: '02:00:00:00:0a:0a', sender: '10.244.2.7', target: '10.244.1.1' }),
    );
    expect(chain.run(request, { tunnel: { remote: '172.18.0.2', vni: 7 } }).drops).toEqual([
      'entry SpoofedOverlaySource',
    ]);
    expect(chain.run(frame(V4)).drops).toEqual(['entry Malformed']);
  });
});

describe('an interface', () => {
  test('that is no attachment (any more) goes on to the stack', () => {
    chain.detach();
    const result = chain.run(frame(V4));
    expect(result).toMatchObject({ verdict: Verdict.pass, drops: [] });
    expect(result.frame).toEqual(frame(V4));
  });

  test.each([
    [false, Verdict.drop, ['entry ChainNotProgrammed']],
    [true, Verdict.pass, []],
  ] as const)('without a chain: failOpen %s', (failOpen, verdict, drops) => {
    chain.attach({ kind: 'interface', failOpen });
    chain.edge(0, 8, { kind: 'none' });
    expect(chain.run(frame(V4))).toMatchObject({ verdict, drops });
    chain.edge(0, 8, { kind: 'cube', target: 77 }); // a slot that holds no program
    expect(chain.run(frame(V4))).toMatchObject({ verdict, drops });
  });

  test.each([
    ['a packet', () => frame(V4), V4.dst],
    ['an IPv6 packet', () => frame(V6), V6.dst],
    [
      'an ARP reply',
      () =>
        ethernet(
          {},
          arp({ operation: 2, senderMac: '02:00:00:00:0a:0a', sender: '192.168.7.1', target: '192.168.7.2' }),
        ),
      '192.168.7.2',
    ],
  ])("that the host shares: %s for the host is the host's, whatever the chain does", (_, make, address) => {
    for (const open of [true, false]) {
      chain.attach({ kind: 'interface', failOpen: open });
      chain.hostAddress(address);
      expect(chain.run(make())).toMatchObject({ verdict: Verdict.pass, frame: make(), drops: [] });
      chain.hostAddress(address, true);
      expect(chain.run(make()).seen).toBeDefined();
    }
  });

  test("of a pod: the host's addresses are the chain's to reach", () => {
    chain.attach({ kind: 'pod', addresses: [V4.src] });
    chain.hostAddress(V4.dst);
    expect(chain.run(frame(V4)).seen).toBeDefined();
    chain.hostAddress(V4.dst, true);
  });

  test('counts packets, bytes and drops', () => {
    chain.attach({ kind: 'interface' });
    const before = chain.attachmentCounters();
    chain.run(frame(V4));
    chain.run(ethernet({}, ipv4({ ...V4, version: 5 }, udp({ sport: 1, dport: 2 }))));
    const after = chain.attachmentCounters();
    expect(after.packets - before.packets).toBe(2);
    expect(after.bytes - before.bytes).toBe(frame(V4).length + 42);
    expect(after.drops - before.drops).toBe(1);
  });

  test('takes the bank that the epoch says', () => {
    chain.configure({ epoch: 4 });
    chain.attach({ kind: 'interface' });
    chain.edge(0, 8, { kind: 'cube', target: 255, port: 3 }, 4);
    chain.edge(0, 8, { kind: 'cube', target: 255, port: 9 }, 5);
    expect(chain.run(frame(V4)).seen).toMatchObject({ port: 3, epoch: 4 });
    chain.configure({ epoch: 5 });
    expect(chain.run(frame(V4)).seen).toMatchObject({ port: 9, epoch: 5 });
    chain.configure({ epoch: 0 });
  });

  test('trusts nothing that it finds in cb', () => {
    chain.attach({ kind: 'interface' }); // the kit fills cb with 0xdeadbeef
    expect(chain.run(frame(V4)).seen).toMatchObject({ hops: 1, flags: 1 << 2, epoch: 0 });
    chain.attach({ kind: 'pod', addresses: [V4.src] });
    expect(chain.run(frame(V4)).seen?.flags).toBe(0);
  });
});

describe('a dry run', () => {
  test('reaches the same cube and changes no counter', () => {
    chain.attach({ kind: 'pod', addresses: [V4.src] });
    const before = chain.attachmentCounters();
    const result = chain.run(frame(V4), { dry: true });
    expect(result.seen?.flags).toBe(1);
    expect(chain.attachmentCounters()).toEqual(before);
    expect(result.events).toMatchObject([
      { kind: 'enter', slot: 0, value: 1 },
      { kind: 'hop', slot: 255, value: 0, hops: 1 },
    ]);
  });

  test('tells the reason of a drop without counting it', () => {
    chain.attach({ kind: 'pod', addresses: [V4.src] });
    const result = chain.run(frame({ ...V4, src: '10.0.0.1' }), { dry: true });
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: [] });
    expect(result.events).toMatchObject([
      { kind: 'enter', slot: 0 },
      { kind: 'drop', slot: 0, value: 6, object: 1n },
    ]);
  });

  test('a fragment leaves nothing behind', () => {
    const first = ethernet(
      {},
      ipv4({ ...V4, id: 999, mf: true }, udp({ sport: 5, dport: 6, payload: 24, length: 40 })),
    );
    const later = ethernet({}, ipv4({ ...V4, id: 999, offset: 32 }, new Uint8Array(8)));
    chain.attach({ kind: 'pod', addresses: [V4.src] });
    chain.run(first, { dry: true });
    expect(chain.run(later).seen?.work.flags).toBe(Flag.ipv4 | Flag.fragLater | Flag.fragUnresolved);
    chain.run(first);
    expect(chain.run(later).seen?.work).toMatchObject({
      sport: 5,
      dport: 6,
      flags: Flag.ipv4 | Flag.fragLater | Flag.ports,
    });
  });
});
