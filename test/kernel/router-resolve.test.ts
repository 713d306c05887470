// SPDX-License-Identifier: Apache-2.0
/**
 * The router on a port where it finds MACs itself: which packets it hands over, what it does with those that come back, and
 * what it hears. Its image answers as on a node, by the records of the real program.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Router } from '../../src/api/generated/types.ts';
import type { PacketOut } from '../../src/cubes/cube-type.ts';
import { neighbours as codec } from '../../src/cubes/router/generated/codec.ts';
import { RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { decodePunt } from '../../src/dataplane/punt-record.ts';
import { GATEWAY_MAC, ipBytes } from './support/bytes.ts';
import { Chain, type ChainCube } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { TestInjector } from './support/injector.ts';
import { arp, echo, ethernet, icmp, ip, ipv6, linkLayerOption, solicitation, udp } from './support/packet.ts';
import { addRouter, apply, type TestRouter } from './support/router.ts';

const [PODS, LAN] = [0, 1];
const HOST_MAC = '02:00:5e:00:00:07';
const OTHER_MAC = '02:00:5e:00:00:08';
/** Of every second of the clock that the image is told; the kernel's clock goes by itself. */
const LATER = 3600;

interface Family {
  own: string;
  pod: string;
  host: string;
  gateway: string;
  beyond: string;
}
const V4: Family = {
  own: '10.9.0.1',
  pod: '10.244.1.5',
  host: '10.9.0.7',
  gateway: '10.9.0.254',
  beyond: '192.0.2.9',
};
const V6: Family = {
  own: 'fd09::1',
  pod: 'fd00:244:1::5',
  host: 'fd09::7',
  gateway: 'fd09::fe',
  beyond: '2001:db8::9',
};

let chain: Chain;
let router: TestRouter;
let ring: RingBuffer;
let injector: TestInjector;
let wire: ChainCube;

async function open(neighbours: Partial<Router['neighbours']> = {}): Promise<void> {
  chain = await Chain.open();
  router = await addRouter(chain, {
    ports: [
      { name: 'pods', id: PODS, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'], endpoint: 'Pods' },
      { name: 'lan', id: LAN, addresses: ['10.9.0.1/24', 'fd09::1/64'], endpoint: 'Cube' },
    ],
    spec: {
      routes: [
        { destination: '192.0.2.0/24', type: 'NextHop', nextHop: { address: V4.gateway } },
        { destination: '2001:db8::/32', type: 'NextHop', nextHop: { address: V6.gateway } },
      ],
      neighbours: { ports: ['lan'], static: [], reachableSeconds: 30, maxNeighbours: 64, ...neighbours },
    },
  });
  router.image.tick(now());
  wire = await chain.addPass(2);
  chain.edge(wire.slot, 1, { kind: 'cube', target: router.cube.slot, port: LAN });
  chain.attach({ kind: 'interface' }, router.cube, PODS);
  ring = new RingBuffer(chain.shared('punts'), () => undefined);
  ring.unref();
  injector = await TestInjector.open(chain);
}

function close(): void {
  injector.close();
  ring.close();
  chain.close();
}

beforeEach(() => open());
afterEach(close);

function now(): number {
  return Number(process.hrtime.bigint() / 1_000_000n) / 1000;
}

/** Gives the records of the ring to the image, as the agent does, and returns what it sends. */
function records(): PacketOut[] {
  const sent: PacketOut[] = [];
  for (let some = ring.consume(); some.length > 0; some = ring.consume()) {
    for (const { record } of some.map(decodePunt)) sent.push(...(router.image.punted(record).packets ?? []));
  }
  router.write();
  return sent;
}

/** Lets that many seconds pass for the image. */
function pass(seconds: number, from = now()): PacketOut[] {
  router.image.tick(from + seconds);
  router.write();
  return [...router.image.takePackets()];
}

/** Sends a packet in again, as the agent does by its device. */
function resume({ port, packet, metadata = 0n }: PacketOut): ReturnType<Chain['run']> {
  const request = injector.request(packet, { slot: router.cube.slot, port, metadata });
  return chain.runBy(injector.program, request);
}

const toHost = (f: Family, payload = 32) =>
  ethernet({}, ip({ src: f.pod, dst: f.host }, udp({ sport: 1000, dport: 2000, payload })));

function answer(f: Family, { mac = HOST_MAC, from = f.host } = {}): Buffer {
  if (f === V4) {
    const said = { operation: 2, senderMac: mac, sender: from, targetMac: GATEWAY_MAC, target: f.own };
    return ethernet({ src: mac, dst: GATEWAY_MAC }, arp(said));
  }
  return advertisement(from, mac, { to: f.own, flags: 0x60000000 });
}

function advertisement(
  from: string,
  mac: string | undefined,
  { to = 'ff02::1', flags = 0x20000000, hopLimit = 255 } = {},
): Buffer {
  const option = mac === undefined ? Buffer.alloc(0) : linkLayerOption(2, mac);
  const payload = Buffer.concat([ipBytes(from), option]);
  return ethernet(
    { src: mac ?? HOST_MAC, dst: to === 'ff02::1' ? '33:33:00:00:00:01' : GATEWAY_MAC },
    ipv6({ src: from, dst: to, hopLimit }, icmp({ type: 136, v6: true, rest: flags, payload })),
  );
}

/** A frame that comes in on the LAN, through another cube as all frames there do. */
function fromLan(frame: Uint8Array): ReturnType<Chain['run']> {
  chain.attach({ kind: 'interface' }, wire, 0);
  try {
    return chain.run(frame);
  } finally {
    chain.attach({ kind: 'interface' }, router.cube, PODS);
  }
}

function row(address: string) {
  const key = new Uint8Array(codec.keySize);
  codec.encodeKey({ addr: address, port: LAN }, key);
  const value = router.cube.map('neighbours').lookup(Buffer.from(key));
  return value && codec.decodeValue(value);
}

/** The host is known from here on. */
function introduce(f: Family, options: { mac?: string; from?: string } = {}): void {
  const { from = f.host } = options;
  chain.run(ethernet({}, ip({ src: f.pod, dst: from }, udp({ sport: 1, dport: 2 }))));
  records();
  fromLan(answer(f, options));
  records();
  expect(row(from)).toMatchObject({ state: 2 });
}

describe.each([
  ['IPv4', V4],
  ['IPv6', V6],
])('%s', (_, f) => {
  test('a packet to a neighbour that nobody knows waits; the answer sends it on', () => {
    const result = chain.run(toHost(f));
    expect(result).toMatchObject({ drops: ['router Punted'], counts: ['router forwarded'] });
    expect(result.seen).toBeUndefined();
    const [question, ...more] = records();
    expect(more).toEqual([]);
    expect(question).toMatchObject({ port: LAN, direction: 'out' });
    const asked = dissect(question?.packet as Buffer);
    expect(verifyChecksums(question?.packet as Buffer)).toEqual([]);
    if (f === V4) {
      expect(asked).toMatchObject({
        eth: { dst: 'ff:ff:ff:ff:ff:ff', src: GATEWAY_MAC },
        arp: { operation: 1, senderMac: GATEWAY_MAC, sender: f.own, target: f.host },
      });
    } else {
      expect(asked).toMatchObject({
        eth: { dst: '33:33:ff:00:00:07', src: GATEWAY_MAC },
        ip: { src: f.own, dst: 'ff02::1:ff00:7', ttl: 255, icmp: { type: 135, code: 0 } },
      });
      expect(question?.packet.subarray(62)).toEqual(
        new Uint8Array(Buffer.concat([ipBytes(f.host), linkLayerOption(1, GATEWAY_MAC)])),
      );
    }
    expect(row(f.host)).toMatchObject({ state: 1 });

    expect(fromLan(answer(f))).toMatchObject({ drops: ['router Punted'] });
    const [held] = records();
    expect(held).toMatchObject({ port: PODS, direction: 'in' });
    expect(row(f.host)).toMatchObject({ state: 2, mac: HOST_MAC });
    const sent = resume(held as PacketOut);
    expect(sent).toMatchObject({ drops: [], seen: { port: LAN } });
    expect(dissect(sent.frame)).toMatchObject({
      eth: { dst: HOST_MAC, src: GATEWAY_MAC },
      ip: { src: f.pod, dst: f.host, ttl: 63 },
    });
    expect(verifyChecksums(sent.frame)).toEqual([]);

    const next = chain.run(toHost(f));
    expect(next).toMatchObject({ drops: [], seen: { port: LAN } });
    expect(dissect(next.frame).eth).toEqual(dissect(sent.frame).eth);
    expect(records()).toEqual([]);
    expect(row(f.host)?.used).toBeGreaterThan(0);
  });

  test('the gateway of a route is asked for, not the destination', () => {
    chain.run(ethernet({}, ip({ src: f.pod, dst: f.beyond }, echo({ v6: f === V6 }))));
    const [question] = records();
    expect(question).toMatchObject({ port: LAN, direction: 'out' });
    expect(row(f.gateway)).toMatchObject({ state: 1 });
    fromLan(answer(f, { from: f.gateway }));
    const [held] = records();
    expect(dissect(resume(held as PacketOut).frame)).toMatchObject({
      eth: { dst: HOST_MAC },
      ip: { dst: f.beyond },
    });
  });

  test('nobody answers three questions: the sender is told, and those who follow at once', () => {
    chain.run(toHost(f));
    const start = now();
    expect(records()).toHaveLength(1);
    expect(pass(1.1, start)).toHaveLength(1);
    expect(pass(2.2, start)).toHaveLength(1);
    const [held, ...more] = pass(3.3, start);
    expect(more).toEqual([]);
    expect(row(f.host)).toMatchObject({ state: 3 });
    const unreachable = f === V4 ? { type: 3, code: 1 } : { type: 1, code: 3 };
    const told = resume(held as PacketOut);
    expect(told).toMatchObject({
      drops: ['router NeighbourUnreachable'],
      counts: ['router icmpErrors'],
      seen: { port: PODS },
    });
    expect(dissect(told.frame)).toMatchObject({ ip: { dst: f.pod, icmp: unreachable } });
    expect(verifyChecksums(told.frame)).toEqual([]);
    const next = chain.run(toHost(f));
    expect(next).toMatchObject({ drops: ['router NeighbourUnreachable'], seen: { port: PODS } });
    expect(dissect(next.frame)).toMatchObject({ ip: { icmp: unreachable } });
    expect(records()).toEqual([]);
    // then it is asked again
    pass(9, start);
    expect(row(f.host)).toBeUndefined();
    expect(chain.run(toHost(f)).drops).toEqual(['router Punted']);
  });

  test('of many packets to one neighbour the newest four wait, and what is more is counted', () => {
    const drops = Array.from({ length: 12 }, () => chain.run(toHost(f)).drops[0]);
    expect(drops.filter((drop) => drop === 'router Punted').length).toBeGreaterThanOrEqual(8);
    const [, ...discarded] = records();
    const room = drops.filter((drop) => drop === 'router Punted').length;
    expect(discarded).toHaveLength(room - 4);
    expect(resume(discarded[0] as PacketOut).drops).toEqual(['router NeighbourQueueFull']);
    // the row is there now, and limits what is handed over
    const later = Array.from({ length: 20 }, () => chain.run(toHost(f)).drops[0]);
    expect(later.filter((drop) => drop === 'router NeighbourQueueFull').length).toBeGreaterThan(0);
    expect(new Set(later)).toEqual(new Set(['router Punted', 'router NeighbourQueueFull']));
  });

  test('a MAC past its time is used on, and its host is asked whether it is there', async () => {
    close();
    await open({ reachableSeconds: 1 });
    introduce(f);
    await untilStale(f);
    const [probe] = records();
    expect(probe).toMatchObject({ port: LAN, direction: 'out' });
    expect(dissect(probe?.packet as Buffer).eth).toEqual({
      ...dissect(probe?.packet as Buffer).eth,
      dst: HOST_MAC,
    });
    const before = row(f.host)?.staleAt ?? 0;
    fromLan(answer(f));
    expect(records()).toEqual([]);
    expect(row(f.host)?.staleAt).toBeGreaterThan(before);
  });

  test('silent to three questions, everybody is asked; another MAC answers', async () => {
    close();
    await open({ reachableSeconds: 1 });
    introduce(f);
    await untilStale(f);
    const start = now();
    records();
    pass(1.2, start);
    pass(2.3, start);
    const [question] = pass(3.4, start);
    expect(dissect(question?.packet as Buffer).eth?.dst).toBe(
      f === V4 ? 'ff:ff:ff:ff:ff:ff' : '33:33:ff:00:00:07',
    );
    expect(row(f.host)).toMatchObject({ state: 1 });
    expect(chain.run(toHost(f)).drops).toEqual(['router Punted']);
    records();
    fromLan(answer(f, { mac: OTHER_MAC }));
    const [held] = records();
    expect(dissect(resume(held as PacketOut).frame).eth?.dst).toBe(OTHER_MAC);
  });

  test('an announcement of another MAC counts, and is checked', () => {
    introduce(f);
    const said =
      f === V4
        ? ethernet(
            { src: OTHER_MAC, dst: 'ff:ff:ff:ff:ff:ff' },
            arp({ operation: 1, senderMac: OTHER_MAC, sender: f.host, target: f.host }),
          )
        : advertisement(f.host, OTHER_MAC);
    fromLan(said);
    records();
    expect(row(f.host)).toMatchObject({ mac: OTHER_MAC });
    const next = chain.run(toHost(f));
    expect(dissect(next.frame).eth?.dst).toBe(OTHER_MAC);
  });

  test('a question of the host to the router is answered and tells its MAC', () => {
    introduce(f);
    const asks =
      f === V4
        ? ethernet(
            { src: OTHER_MAC, dst: 'ff:ff:ff:ff:ff:ff' },
            arp({ operation: 1, senderMac: OTHER_MAC, sender: f.host, target: f.own }),
          )
        : ethernet(
            { src: OTHER_MAC, dst: '33:33:ff:00:00:01' },
            ipv6(
              { src: f.host, dst: 'ff02::1:ff00:1', hopLimit: 255 },
              solicitation(f.own, linkLayerOption(1, OTHER_MAC)),
            ),
          );
    expect(fromLan(asks)).toMatchObject({ drops: [], counts: ['router arpReplies'], seen: { port: LAN } });
    records();
    expect(row(f.host)).toMatchObject({ mac: OTHER_MAC });
    // what it says again is nothing new
    fromLan(asks);
    expect(ring.consume()).toEqual([]);
  });

  test('nobody gets into the table by talking', () => {
    expect(fromLan(answer(f)).drops).toEqual(['router LinkLocalControl']);
    expect(records()).toEqual([]);
    expect(row(f.host)).toBeUndefined();
  });

  test('an answer of the router itself waits for a MAC too, and is sent as it was', () => {
    const ping = ip({ src: f.host, dst: f.own }, echo({ v6: f === V6 }));
    const result = fromLan(ethernet({ src: HOST_MAC }, ping));
    expect(result).toMatchObject({ drops: ['router Punted'], counts: ['router echoReplies'] });
    records();
    fromLan(answer(f));
    const [held] = records();
    const sent = resume(held as PacketOut);
    expect(sent).toMatchObject({ drops: [], counts: [], seen: { port: LAN } });
    expect(dissect(sent.frame)).toMatchObject({
      eth: { dst: HOST_MAC, src: GATEWAY_MAC },
      ip: { src: f.own, dst: f.host, ttl: 64, icmp: { type: f === V4 ? 0 : 129 } },
    });
  });

  test('a fixed neighbour is never asked, and what others say of it does not count', async () => {
    close();
    await open({ static: [{ port: 'lan', address: f.host, mac: OTHER_MAC }] });
    expect(row(f.host)).toMatchObject({ state: 4, mac: OTHER_MAC });
    expect(dissect(chain.run(toHost(f)).frame).eth?.dst).toBe(OTHER_MAC);
    expect(fromLan(answer(f)).drops).toEqual(['router LinkLocalControl']);
    expect(records()).toEqual([]);
    pass(LATER);
    expect(row(f.host)).toMatchObject({ state: 4, mac: OTHER_MAC });
  });

  test('a packet that is cut off is not kept, but its neighbour is asked for', () => {
    chain.run(toHost(f, 3000));
    expect(records().map(({ direction }) => direction)).toEqual(['out']);
    fromLan(answer(f));
    expect(records()).toEqual([]);
    expect(row(f.host)).toMatchObject({ state: 2 });
  });

  test('a dry run names the neighbour and hands nothing over', () => {
    const before = chain.run(toHost(f), { dry: true });
    expect(before.events.map(({ kind, value }) => `${kind} ${value}`)).toContain('decision 7');
    expect(ring.consume()).toEqual([]);
    introduce(f);
    const known = chain.run(toHost(f), { dry: true });
    const decision = known.events.find(({ kind, value }) => kind === 'decision' && value === 6);
    const packet = { src: f.pod, dst: f.host, sport: 1000, dport: 2000, proto: 17 };
    expect(router.image.nameObject('neighbour', decision?.object ?? 0n, packet)).toBe(
      `${f.host} on port lan, at ${HOST_MAC}`,
    );
    expect(row(f.host)?.used).toBe(0);
  });
});

/** Sends packets to the host until one is told as stale: the kernel's clock has to reach that second. */
async function untilStale(f: Family): Promise<void> {
  for (const end = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const result = chain.run(toHost(f));
    expect(result).toMatchObject({ drops: [], seen: { port: LAN } });
    if ((row(f.host)?.told ?? 0) > 0) return;
    if (Date.now() > end) throw new Error('no record of a stale neighbour');
  }
}

describe('what is no valid advertisement teaches nothing (RFC 4861 7.1.2)', () => {
  const payload = Buffer.concat([ipBytes(V6.host), linkLayerOption(2, HOST_MAC)]);
  const at = (content: ReturnType<typeof icmp>, dst = V6.own) =>
    ethernet({ src: HOST_MAC, dst: GATEWAY_MAC }, ipv6({ src: V6.host, dst, hopLimit: 255 }, content));
  test.each([
    ['a wrong checksum', at(icmp({ type: 136, v6: true, rest: 0x60000000, payload, checksum: 7 }))],
    ['a code', at(icmp({ type: 136, code: 1, v6: true, rest: 0x60000000, payload }))],
    [
      'a group as its MAC',
      at(
        icmp({
          type: 136,
          v6: true,
          rest: 0x60000000,
          payload: Buffer.concat([ipBytes(V6.host), linkLayerOption(2, '33:33:00:00:00:01')]),
        }),
      ),
    ],
    ['no MAC', at(icmp({ type: 136, v6: true, rest: 0x60000000, payload: ipBytes(V6.host) }))],
    [
      'an option of length zero',
      at(
        icmp({
          type: 136,
          v6: true,
          rest: 0x60000000,
          payload: Buffer.concat([ipBytes(V6.host), Buffer.alloc(8)]),
        }),
      ),
    ],
    ['a solicited one to a group', at(icmp({ type: 136, v6: true, rest: 0x60000000, payload }), 'ff02::1')],
  ])('%s', (_, frame) => {
    chain.run(toHost(V6));
    records();
    fromLan(frame);
    expect(records()).toEqual([]);
    expect(row(V6.host)).toMatchObject({ state: 1 });
  });

  test('one that does not override another MAC only makes it due for a check', () => {
    introduce(V6);
    const before = row(V6.host)?.staleAt ?? 0;
    fromLan(advertisement(V6.host, OTHER_MAC, { to: V6.own, flags: 0x40000000 }));
    records();
    expect(row(V6.host)).toMatchObject({ state: 2, mac: HOST_MAC });
    expect(row(V6.host)?.staleAt).toBeLessThan(before - 20);
  });
});

test('more neighbours than fit are not asked for, and those in use stay', () => {
  introduce(V4);
  const sent: PacketOut[] = [];
  for (let i = 20; i < 100; i++) {
    chain.run(ethernet({}, ip({ src: V4.pod, dst: `10.9.0.${i}` }, udp({ sport: 1, dport: 2 }))));
    sent.push(...records());
  }
  expect(sent.filter(({ direction }) => direction === 'out')).toHaveLength(32);
  const discarded = sent.filter(({ direction }) => direction === 'in');
  expect(discarded).toHaveLength(80 - 32);
  expect(resume(discarded[0] as PacketOut).drops).toEqual(['router NeighbourQueueFull']);
  expect(row(V4.host)).toMatchObject({ state: 2 });
});

test('the next image keeps what this one knew', async () => {
  introduce(V4);
  const { router: type } = await import('../../src/cubes/router/type.ts');
  const input = { ...router.input, ports: router.input.ports.map((port) => ({ ...port, id: port.id + 1 })) };
  const next = type.image(input, router.node, router.image);
  next.tick(now());
  next.settle();
  const write = next.take().writes.find(({ map }) => map === 'neighbours');
  expect(write?.count).toBe(1);
  expect(codec.decodeKey(write?.keys as Uint8Array)).toEqual({ addr: V4.host, port: LAN + 1 });
  expect(codec.decodeValue(write?.values as Uint8Array)).toMatchObject({ state: 2, mac: HOST_MAC });
});

test('an agent that starts again keeps the neighbours that the kernel has, and the fixed ones', async () => {
  close();
  await open({ static: [{ port: 'lan', address: '10.9.0.11', mac: OTHER_MAC }] });
  introduce(V4);
  introduce(V6);
  chain.run(ethernet({}, ip({ src: V4.pod, dst: '10.9.0.30' }, udp({ sport: 1, dport: 2 }))));
  records();
  expect(row('10.9.0.30')).toMatchObject({ state: 1 });
  const { keys, values, count } = router.cube.map('neighbours').dumpSync();
  const image = router.imageAnew();
  image.adopt('neighbours', count, keys, values);
  image.tick(now());
  image.settle();
  expect(image.usage().neighbours).toEqual({ used: 3, max: 64 });
  apply(router.cube, image.take());
  expect(row(V4.host)).toMatchObject({ state: 2, mac: HOST_MAC });
  expect(row(V6.host)).toMatchObject({ state: 2, mac: HOST_MAC });
  expect(row('10.9.0.11')).toMatchObject({ state: 4, mac: OTHER_MAC });
  // what waited for an answer died with the agent
  expect(row('10.9.0.30')).toBeUndefined();
});
