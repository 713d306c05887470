// SPDX-License-Identifier: Apache-2.0
/** What the rate limiter lets through and what it drops, packet by packet. */
import { describe, expect, jest, test } from '@jest/globals';
import { schema } from '../../src/cubes/rate-limiter/schema.ts';
import { type Direction, frameOf, Limiter, TICKS } from './support/limiter.ts';
import { arp, ethernet, icmp, ip, tcp, udp } from './support/packet.ts';

jest.setTimeout(120_000);

const POD = { ipv4: '10.244.1.5', ipv6: 'fd00:244:1::5' } as const;
const PEER = { ipv4: '192.0.2.9', ipv6: '2001:db8::9' } as const;
const FAMILIES = ['ipv4', 'ipv6'] as const;
type Family = (typeof FAMILIES)[number];
const DIRECTIONS = ['ingress', 'egress'] as const;
const REASON = { ingress: 'IngressRateExceeded', egress: 'EgressRateExceeded' } as const;
/** Number of the bucket of the first limit. */
const BUCKET = { ingress: 0, egress: 1 } as const;

/** A frame of so many bytes, towards the pod or from it. */
function frame(direction: Direction, family: Family, length: number, pod: string = POD[family]): Buffer {
  return frameOf(direction, pod, PEER[family], length);
}

const slow = { bitsPerSecond: 1000, burst: 8000 };
const BOTH = [POD.ipv4, POD.ipv6];

describe.each(DIRECTIONS)('%s', (direction) => {
  const other: Direction = direction === 'ingress' ? 'egress' : 'ingress';

  test.each(FAMILIES)('%s: the burst passes, what is over is dropped and counted', async (family) => {
    using lab = await Limiter.open({ limits: [{ addresses: BOTH, [direction]: slow }] });
    const packet = frame(direction, family, 100);
    const from = performance.now();
    const fates = Array.from({ length: 30 }, () => lab.fate(direction, packet));
    const passed = fates.filter((fate) => fate === 'passed').length;
    // 10 are the burst, one more while anything is in the bucket, one each 0.8 s
    expect(passed).toBeGreaterThanOrEqual(10);
    expect(passed).toBeLessThanOrEqual(11 + (performance.now() - from) / 800);
    expect(new Set(fates)).toEqual(new Set(['passed', REASON[direction]]));
    const dropped = 30 - passed;
    expect(lab.dropped(BUCKET[direction])).toEqual({ packets: dropped, bytes: dropped * 100 });
    expect(lab.cube.tally().get('count rate-limiter limited')).toBe(passed);
    expect(lab.cube.tally().get(`drop rate-limiter ${REASON[direction]}`)).toBe(dropped);
    expect(lab.cube.tally().get(`drop rate-limiter ${REASON[other]}`)).toBeUndefined();
    for (let i = 0; i < 30; i++) expect(lab.fate(other, frame(other, family, 100))).toBe('passed');
  });

  test('both families share the bucket; other addresses have none', async () => {
    using lab = await Limiter.open({ limits: [{ addresses: BOTH, [direction]: slow }] });
    for (let i = 0; i < 20; i++) lab.fate(direction, frame(direction, 'ipv4', 100));
    expect(lab.fate(direction, frame(direction, 'ipv6', 100))).toBe(REASON[direction]);
    for (const [family, address] of [
      ['ipv4', '10.244.1.6'],
      ['ipv6', 'fd00:244:1::6'],
    ] as const)
      for (let i = 0; i < 30; i++)
        expect(lab.fate(direction, frame(direction, family, 100, address))).toBe('passed');
  });

  test('the peer’s address is not what is limited', async () => {
    using lab = await Limiter.open({ limits: [{ addresses: [PEER.ipv4], [direction]: slow }] });
    for (let i = 0; i < 30; i++) expect(lab.fate(direction, frame(direction, 'ipv4', 100))).toBe('passed');
  });

  test('it fills again at its rate, and no further than the burst', async () => {
    const rate = { bitsPerSecond: 80_000, burst: 8000 }; // 10 bytes a millisecond, 1000 at once
    using lab = await Limiter.open({ limits: [{ addresses: BOTH, [direction]: rate }] });
    const packet = frame(direction, 'ipv4', 100);
    const take = () => {
      let passed = 0;
      while (lab.fate(direction, packet) === 'passed') passed++;
      return passed;
    };
    const from = performance.now();
    let passed = take();
    await new Promise((resolve) => setTimeout(resolve, 60));
    passed += take();
    const most = 10 + (performance.now() - from) / 10 + 2;
    expect(passed).toBeGreaterThanOrEqual(15);
    expect(passed).toBeLessThanOrEqual(most);
    await new Promise((resolve) => setTimeout(resolve, 400)); // four times the burst
    const again = performance.now();
    passed = take();
    expect(passed).toBeGreaterThanOrEqual(10);
    expect(passed).toBeLessThanOrEqual(10 + (performance.now() - again) / 10 + 1);
  });
});

/** What a packet takes out of a bucket that is far from full, in bytes. */
function priceOf(lab: Limiter, direction: Direction, packet: Uint8Array, gsoSize?: number): number {
  lab.fate(direction, packet, gsoSize === undefined ? {} : { gsoSize });
  const { full } = lab.bucket(BUCKET[direction]);
  lab.fate(direction, packet, gsoSize === undefined ? {} : { gsoSize });
  const ticks = lab.bucket(BUCKET[direction]).full - full;
  return Math.round(Number(ticks) / 8 / (Number(TICKS) * 1e6));
}

/** A byte is 8 ms. */
const counting = { bitsPerSecond: 1000, burst: 2 ** 35 };

describe.each(FAMILIES)('%s: a packet costs what it is on the wire', (family) => {
  const network = family === 'ipv4' ? 20 : 40;

  test.each([60, 61, 1514].map((length) => length + network - 20))('%i bytes of frame', async (length) => {
    using lab = await Limiter.open({ limits: [{ addresses: BOTH, egress: counting }] });
    expect(priceOf(lab, 'egress', frame('egress', family, length))).toBe(length);
  });

  test.each([
    ['UDP of 3 segments', () => udp({ sport: 1, dport: 2, payload: 2500 }), 8, 1000, 2500],
    ['UDP of whole segments', () => udp({ sport: 1, dport: 2, payload: 3000 }), 8, 1000, 3000],
    ['TCP of 3 segments', () => tcp({ sport: 1, dport: 2, payload: 2001 }), 20, 1000, 2001],
    [
      'TCP with timestamps',
      () => tcp({ sport: 1, dport: 2, options: Buffer.alloc(12, 1), payload: 3400 }),
      32,
      1388,
      3400,
    ],
  ] as const)('segments that are still one: %s', async (_, l4, header, size, payload) => {
    using lab = await Limiter.open({ limits: [{ addresses: BOTH, ingress: counting }] });
    const packet = ethernet({}, ip({ src: PEER[family], dst: POD[family] }, l4()));
    const segments = Math.ceil(payload / size);
    expect(priceOf(lab, 'ingress', packet, size)).toBe(payload + segments * (14 + network + header));
  });
});

test('a packet larger than the burst passes when the bucket is full, and is paid for whole', async () => {
  using lab = await Limiter.open({
    limits: [{ addresses: BOTH, egress: { bitsPerSecond: 1000, burst: 1 } }],
  });
  const packet = frame('egress', 'ipv4', 1000);
  expect(lab.fate('egress', packet)).toBe('passed');
  expect(lab.fate('egress', packet)).toBe('EgressRateExceeded');
  const { full } = lab.bucket(1);
  const now = process.hrtime.bigint() * TICKS;
  const seconds = Number(full - now) / 16e9;
  expect(seconds).toBeGreaterThan(7.5);
  expect(seconds).toBeLessThanOrEqual(8);
});

test('no CPU’s packet is forgotten', async () => {
  const [runs, rounds] = [20_000, 4];
  using lab = await Limiter.open({
    limits: [{ addresses: BOTH, egress: { bitsPerSecond: 1000, burst: 2 ** 35 } }],
  });
  lab.enter('egress');
  const options = { dataIn: frame('egress', 'ipv4', 100), ctxIn: lab.chain.context(), repeat: runs };
  const from = process.hrtime.bigint() * TICKS;
  await Promise.all(Array.from({ length: rounds }, () => lab.chain.entry.testRunAsync(options)));
  const to = process.hrtime.bigint() * TICKS;
  const passed = BigInt(lab.cube.tally().get('count rate-limiter limited') ?? 0);
  expect(passed).toBe(BigInt(runs * rounds));
  // each takes 0.8 s, so that only the first one found the bucket full
  const { full, perByte } = lab.bucket(1);
  const cost = (100n * perByte + 0x8000n) >> 16n;
  expect(full - passed * cost).toBeGreaterThanOrEqual(from);
  expect(full - passed * cost).toBeLessThanOrEqual(to);
});

test('an ICMP error is of those that it is sent between', async () => {
  using lab = await Limiter.open({ limits: [{ addresses: [POD.ipv4], ingress: slow, egress: slow }] });
  const quoted = ip({ src: '192.0.2.1', dst: '192.0.2.2' }, udp({ sport: 5, dport: 6 })).bytes;
  const error = ethernet(
    {},
    ip({ src: POD.ipv4, dst: PEER.ipv4 }, icmp({ v6: false, type: 3, payload: quoted })),
  );
  for (let i = 0; i < 30; i++) lab.fate('egress', error);
  expect(lab.fate('egress', error)).toBe('EgressRateExceeded');
});

test('ARP and neighbour discovery pass and take nothing', async () => {
  using lab = await Limiter.open({ limits: [{ addresses: BOTH, ingress: slow, egress: slow }] });
  const solicitation = ethernet(
    {},
    ip(
      { src: PEER.ipv6, dst: POD.ipv6, ttl: 255 },
      icmp({ v6: true, type: 135, payload: Buffer.concat([Buffer.alloc(4), Buffer.alloc(16, 1)]) }),
    ),
  );
  for (const packet of [
    ethernet({}, arp({ operation: 1, senderMac: '02:00:00:00:00:09', sender: PEER.ipv4, target: POD.ipv4 })),
    solicitation,
  ])
    for (let i = 0; i < 30; i++) expect(lab.fate('ingress', packet)).toBe('passed');
  expect(lab.bucket(0).full).toBe(0n);
});

test('a dry run takes nothing, counts nothing, and names the limit', async () => {
  using lab = await Limiter.open({ limits: [{ name: 'web', addresses: BOTH, ingress: slow }] });
  const packet = frame('ingress', 'ipv4', 100);
  const said = () => {
    lab.enter('ingress');
    return lab.chain
      .run(packet, { dry: true })
      .events.filter(({ kind }) => kind === 'decision')
      .map(({ value, object }) => [
        schema.decisions.find(({ id }) => id === value)?.name,
        lab.image.nameObject('limit', object),
      ]);
  };
  expect(said()).toEqual([['WithinLimit', 'ingress limit of web']]);
  expect(lab.bucket(0).full).toBe(0n);
  for (let i = 0; i < 20; i++) lab.fate('ingress', packet);
  const before = lab.dropped(0);
  expect(said()).toEqual([['OverLimit', 'ingress limit of web']]);
  expect(lab.dropped(0)).toEqual(before);
});

test('a limit comes and goes with its table; a new one begins with a full bucket and no drops', async () => {
  using lab = await Limiter.open();
  const packet = frame('egress', 'ipv4', 100);
  const many = () => new Set(Array.from({ length: 20 }, () => lab.fate('egress', packet)));
  expect(many()).toEqual(new Set(['passed']));
  lab.set('test/a', [{ addresses: [POD.ipv4], egress: slow }]);
  expect(many()).toEqual(new Set(['passed', 'EgressRateExceeded']));
  lab.set('test/a', undefined);
  expect(many()).toEqual(new Set(['passed']));
  lab.set('test/b', [{ addresses: [POD.ipv4], egress: slow }]);
  expect(lab.dropped(1).packets).toBe(0);
  expect(lab.fate('egress', packet)).toBe('passed');
});

test('what other tables do leaves a bucket as it is; another rate makes it full again', async () => {
  using lab = await Limiter.open();
  const packet = frame('egress', 'ipv4', 100);
  lab.set('test/b', [{ addresses: [POD.ipv4], egress: slow }]);
  for (let i = 0; i < 20; i++) lab.fate('egress', packet);
  lab.set('test/a', [{ addresses: ['10.244.1.7'], egress: slow }]);
  lab.set('test/b', [{ name: 'b', addresses: [POD.ipv4], ingress: slow, egress: slow }]);
  expect(lab.fate('egress', packet)).toBe('EgressRateExceeded');
  lab.set('test/b', [{ addresses: [POD.ipv4], egress: { ...slow, bitsPerSecond: 2000 } }]);
  expect(lab.fate('egress', packet)).toBe('passed');
});
