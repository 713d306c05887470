// SPDX-License-Identifier: Apache-2.0
/** What the DDoS mitigator lets through and what it refuses, packet by packet, at both hooks. */
import { describe, expect, jest, test } from '@jest/globals';
import type { DDoSMitigator } from '../../src/api/generated/types.ts';
import type { PrefixRow } from '../../src/cubes/ddos-mitigator/image.ts';
import { schema } from '../../src/cubes/ddos-mitigator/schema.ts';
import { Chain } from './support/chain.ts';
import { addMitigator, enterBy, INSIDE, OUTSIDE, outcome, SIZES } from './support/mitigator.ts';
import { arp, ethernet, icmp, ip, ipv4, type Layer4, tcp, udp } from './support/packet.ts';
import { XdpChain } from './support/xdp-chain.ts';

jest.setTimeout(120_000);

const FAMILIES = [
  { family: 'IPv4', client: '203.0.113.7', near: '203.0.113.0/24', other: '192.0.2.9', server: '10.0.0.1' },
  { family: 'IPv6', client: '2001:db8::7', near: '2001:db8::/64', other: '2001:db9::9', server: 'fd00::1' },
] as const;

const full = (address: string) => `${address}/${address.includes(':') ? 128 : 32}`;

const HOOKS = { TC: Chain, XDP: XdpChain } as const;
type Hook = keyof typeof HOOKS;

async function open(
  hook: Hook,
  spec: Partial<DDoSMitigator> = {},
  tables: Record<string, readonly PrefixRow[]> = {},
) {
  const chain = await HOOKS[hook].open();
  const mitigator = await addMitigator(chain, spec, tables);
  const run = (frame: Uint8Array, dry = false) => outcome(chain, frame, dry);
  const send = (src: string, dst: string, l4: Layer4 = udp({ sport: 1, dport: 2 })) =>
    run(ethernet({}, ip({ src, dst }, l4)));
  /** `passed`, or the reason of the drop. */
  const fate = (src: string, dst: string, l4?: Layer4): string => {
    const { left, drops } = send(src, dst, l4);
    return left !== undefined && drops.length === 0 ? 'passed' : drops.join();
  };
  return { chain, ...mitigator, run, send, fate, [Symbol.dispose]: () => chain.close() };
}

const CASES = FAMILIES.flatMap((family) => (['TC', 'XDP'] as const).map((hook) => ({ hook, ...family })));

describe.each(CASES)('$hook, $family', ({ hook, client, near, other, server }) => {
  test('an unlisted packet passes to inside, unchanged and counted', async () => {
    using lab = await open(hook);
    const frame = ethernet({}, ip({ src: client, dst: server }, tcp({ sport: 1, dport: 80, flags: 'S' })));
    const result = lab.run(frame);
    expect(result).toMatchObject({ drops: [], counts: ['passed'], left: INSIDE });
    expect(result.frame.equals(frame)).toBe(true);
  });

  test.each([
    ['an address', (it: string) => full(it)],
    ['a prefix', () => near],
  ])('%s of the deny list is refused as source, not as destination', async (_, prefix) => {
    using lab = await open(hook, { denySources: [prefix(client)] });
    expect(lab.fate(client, server)).toBe('SourceDenied');
    expect(lab.fate(other, server)).toBe('passed');
    expect(lab.fate(other, client)).toBe('passed');
  });

  test.each([
    ['an address', (it: string) => full(it)],
    ['a prefix', () => near],
  ])('%s of the list of destinations is refused as destination, not as source', async (_, prefix) => {
    using lab = await open(hook, { denyDestinations: [prefix(client)] });
    expect(lab.fate(server, client)).toBe('DestinationDenied');
    expect(lab.fate(server, other)).toBe('passed');
    expect(lab.fate(client, server)).toBe('passed');
  });

  test('the longest prefix decides, and an allowed source passes everything', async () => {
    using lab = await open(hook, {
      denySources: [near],
      allowSources: [full(client)],
      denyDestinations: [full(server)],
      sourceRate: { packetsPerSecond: 1, burst: 1 },
    });
    const neighbour = near.replace(/0?\/.*/, '8');
    expect(lab.fate(neighbour, other)).toBe('SourceDenied');
    for (let i = 0; i < 20; i++) expect(lab.fate(client, server)).toBe('passed');
    expect(lab.send(client, server).counts).toContain('allowed');
    expect(lab.fate(other, server)).toBe('DestinationDenied');
  });

  test('where a prefix is denied and allowed, it is allowed; when that ends it is denied', async () => {
    using lab = await open(hook, {}, { 'test/a': [{ cidr: near, list: 'DenySource' }] });
    expect(lab.set('test/b', [{ cidr: near, list: 'AllowSource' }])).toEqual([]);
    expect(lab.fate(client, server)).toBe('passed');
    lab.set('test/b', undefined);
    expect(lab.fate(client, server)).toBe('SourceDenied');
    lab.set('test/a', undefined);
    expect(lab.fate(client, server)).toBe('passed');
  });

  test('a prefix of two tables stays until both are gone', async () => {
    using lab = await open(
      hook,
      {},
      { 'test/a': [{ cidr: full(client) }], 'test/b': [{ cidr: full(client) }] },
    );
    lab.set('test/a', []);
    expect(lab.fate(client, server)).toBe('SourceDenied');
    lab.set('test/b', undefined);
    expect(lab.fate(client, server)).toBe('passed');
  });

  test('what comes from inside passes to outside, whatever the lists say', async () => {
    using lab = await open(hook, { denySources: [near], denyDestinations: [full(server)] });
    enterBy(lab.chain, lab.cube, INSIDE);
    expect(lab.send(client, server)).toMatchObject({ drops: [], counts: [], left: OUTSIDE });
  });

  test('an ICMP error is judged by who sent it, not by what it quotes', async () => {
    using lab = await open(hook, { denySources: [full(client)] });
    const v6 = client.includes(':');
    const error = (src: string, quotedDst: string) =>
      lab.fate(
        src,
        server,
        icmp({
          v6,
          type: v6 ? 1 : 3,
          payload: ip({ src: server, dst: quotedDst }, udp({ sport: 5, dport: 6 })).bytes,
        }),
      );
    expect(error(client, other)).toBe('SourceDenied');
    expect(error(other, client)).toBe('passed');
  });

  test('a source above its rate is refused, others are not; tokens come back', async () => {
    using lab = await open(hook, { sourceRate: { packetsPerSecond: 1, burst: 5 } });
    const from = performance.now();
    const fates = Array.from({ length: 60 }, () => lab.fate(client, server));
    const passed = fates.filter((fate) => fate === 'passed').length;
    expect(new Set(fates)).toEqual(new Set(['passed', 'SourceRateExceeded']));
    expect(passed).toBeGreaterThanOrEqual(5);
    expect(passed).toBeLessThanOrEqual(7 + (performance.now() - from) / 1000);
    expect(lab.fate(other, server)).toBe('passed');
    for (const deadline = Date.now() + 30_000; ; ) {
      if (lab.fate(client, server) === 'passed') break;
      expect(Date.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  test('SYNs to one address and port are limited, whoever sends them; nothing else is', async () => {
    using lab = await open(hook, { synGuard: { synsPerSecond: 1, burst: 5 } });
    const from = performance.now();
    const syn = (dport: number, flags = 'S') => tcp({ sport: 1000, dport, flags });
    const fates = Array.from({ length: 60 }, (_, i) =>
      lab.fate(client.replace(/7$/, String(10 + i)), server, syn(80)),
    );
    const passed = fates.filter((fate) => fate === 'passed').length;
    expect(new Set(fates)).toEqual(new Set(['passed', 'SynRateExceeded']));
    expect(passed).toBeGreaterThanOrEqual(5);
    expect(passed).toBeLessThanOrEqual(7 + (performance.now() - from) / 1000);
    for (const flags of ['A', 'SA', 'FA', 'R']) {
      for (let i = 0; i < 10; i++)
        expect([flags, lab.fate(client, server, syn(80, flags))]).toEqual([flags, 'passed']);
    }
    expect(lab.fate(client, server, syn(81))).toBe('passed');
    expect(lab.fate(client, other, syn(80))).toBe('passed');
    expect(lab.fate(client, server, udp({ sport: 1, dport: 80 }))).toBe('passed');
  });

  test('a dry run takes no token and makes no bucket', async () => {
    using lab = await open(hook, { sourceRate: { packetsPerSecond: 1, burst: 1 } });
    const frame = ethernet({}, ip({ src: client, dst: server }, udp({ sport: 1, dport: 2 })));
    for (let i = 0; i < 50; i++) lab.run(frame, true);
    expect(lab.cube.map('source_buckets').dumpSync().count).toBe(0);
    expect(lab.fate(client, server)).toBe('passed');
  });
});

test('IPv6 sources of one /64 share a bucket, IPv4 addresses do not', async () => {
  using lab = await open('TC', { sourceRate: { packetsPerSecond: 1, burst: 5 } });
  const fates = (sources: string[], dst: string) => new Set(sources.map((src) => lab.fate(src, dst)));
  const many = (make: (i: number) => string) => Array.from({ length: 60 }, (_, i) => make(i + 1));
  expect(
    fates(
      many((i) => `2001:db8::${i}`),
      'fd00::1',
    ),
  ).toEqual(new Set(['passed', 'SourceRateExceeded']));
  expect(
    fates(
      many((i) => `2001:db8:0:${i}::1`),
      'fd00::1',
    ),
  ).toEqual(new Set(['passed']));
  expect(
    fates(
      many((i) => `203.0.113.${i}`),
      '10.0.0.1',
    ),
  ).toEqual(new Set(['passed']));
});

test('a list of one family says nothing of the other, not even ::/0', async () => {
  using lab = await open('TC', { denySources: ['::/0'], denyDestinations: ['::/0'] });
  expect(lab.fate('2001:db8::1', 'fd00::1')).toBe('SourceDenied');
  expect(lab.fate('203.0.113.7', '10.0.0.1')).toBe('passed');
  using v4 = await open('TC', { denySources: ['0.0.0.0/0'] });
  expect(v4.fate('203.0.113.7', '10.0.0.1')).toBe('SourceDenied');
  expect(v4.fate('2001:db8::1', 'fd00::1')).toBe('passed');
});

test('a dry run tells what was decided', async () => {
  using chain = await Chain.open();
  await addMitigator(chain, {
    denySources: ['203.0.113.7/32'],
    denyDestinations: ['10.0.0.9/32'],
    allowSources: ['203.0.113.8/32'],
  });
  const decisions = (src: string, dst: string) =>
    chain
      .run(ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 }))), { dry: true })
      .events.filter(({ kind }) => kind === 'decision')
      .map(({ value }) => schema.decisions.find(({ id }) => id === value)?.name);
  expect(decisions('203.0.113.7', '10.0.0.1')).toEqual(['SourceDenied']);
  expect(decisions('203.0.113.8', '10.0.0.9')).toEqual(['SourceAllowed']);
  expect(decisions('203.0.113.9', '10.0.0.9')).toEqual(['DestinationDenied']);
  expect(decisions('203.0.113.9', '10.0.0.1')).toEqual(['Unlisted']);
});

test('ARP passes both ways', async () => {
  using lab = await open('TC', { denySources: ['0.0.0.0/0'] });
  const frame = ethernet(
    {},
    arp({ operation: 1, senderMac: '02:00:00:00:00:07', sender: '203.0.113.7', target: '10.0.0.1' }),
  );
  expect(lab.run(frame)).toMatchObject({ drops: [], left: INSIDE });
  enterBy(lab.chain, lab.cube, INSIDE);
  expect(lab.run(frame)).toMatchObject({ drops: [], left: OUTSIDE });
});

test('later fragments of a listed source are refused too', async () => {
  using lab = await open('TC', { denySources: ['203.0.113.7/32'] });
  const later = ethernet({}, ipv4({ src: '203.0.113.7', dst: '10.0.0.1', offset: 1480 }, Buffer.alloc(40)));
  expect(lab.run(later).drops).toEqual(['SourceDenied']);
});

test('a prefix file is read as it stands; what does not fit is said, the rest is in force', async () => {
  using lab = await open('TC');
  const text = '# bots\n203.0.113.7\n\n198.51.100.0/24   # a network\n2001:db8::/32\n';
  expect(lab.set('test/file', [{ file: 'bots.prefixes', list: 'DenySource', text }])).toEqual([]);
  expect(['203.0.113.7', '198.51.100.9', '192.0.2.1'].map((src) => lab.fate(src, '10.0.0.1'))).toEqual([
    'SourceDenied',
    'SourceDenied',
    'passed',
  ]);
  expect(lab.set('test/file', [{ file: 'bots.prefixes', list: 'DenySource' }])).toEqual([
    expect.stringContaining('bots.prefixes'),
  ]);
  const many = Array.from({ length: SIZES.maxSourceHosts + 10 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  expect(
    lab.set('test/file', [{ file: 'bots.prefixes', list: 'DenySource', text: many.join('\n') }]),
  ).toEqual([
    `there is no room for 10 of its prefixes (maxSourceHosts is ${SIZES.maxSourceHosts}); the others are in force. Raise it in spec.ddosMitigator.sizes of the Cube`,
  ]);
  expect(lab.fate('10.1.0.0', '10.0.0.1')).toBe('SourceDenied');
  expect(lab.fate('203.0.113.7', '10.0.0.1')).toBe('passed');
  // the whole list is replaced by another of the same size
  const others = Array.from({ length: SIZES.maxSourceHosts }, (_, i) => `10.2.${i >> 8}.${i & 255}`);
  expect(
    lab.set('test/file', [{ file: 'bots.prefixes', list: 'DenySource', text: others.join('\n') }]),
  ).toEqual([]);
  expect(lab.fate('10.1.0.0', '10.0.0.1')).toBe('passed');
  expect(lab.fate('10.2.0.0', '10.0.0.1')).toBe('SourceDenied');
});

test('a full list, whose buckets do not all have room, refuses what it lists while it changes, and nothing else', async () => {
  using lab = await open('XDP');
  const address = (i: number) => {
    const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 0; // a bijection of 32 bits
    return [mixed >>> 24, (mixed >>> 16) & 255, (mixed >>> 8) & 255, mixed & 255].join('.');
  };
  const all = Array.from({ length: SIZES.maxSourceHosts - 1 }, (_, i) => i);
  const deny = (list: readonly number[]) => {
    const text = ['0.0.0.0', ...list.map(address)].join('\n');
    expect(lab.set('test/bots', [{ file: 'bots.prefixes', list: 'DenySource', text }])).toEqual([]);
  };
  const refused = () => all.filter((i) => lab.fate(address(i), '10.0.0.1') === 'SourceDenied');
  deny(all);
  const { values } = lab.cube.map('source_v4').dumpSync();
  const elsewhere = Array.from({ length: values.length / 64 }, (_, i) => values.readUInt32LE(64 * i + 60));
  expect(elsewhere.filter((count) => count > 0).length).toBeGreaterThan(1); // one is that of 0.0.0.0
  expect(refused()).toEqual(all);
  const odd = all.filter((i) => i % 2 === 1);
  deny(odd);
  expect(refused()).toEqual(odd);
  const third = odd.filter((i) => i % 3 === 0);
  lab.set('test/friends', [
    { file: 'friends.prefixes', list: 'AllowSource', text: third.map(address).join('\n') },
  ]);
  expect(refused()).toEqual(odd.filter((i) => i % 3 !== 0));
  lab.set('test/friends', undefined);
  expect(refused()).toEqual(odd);
});
