// SPDX-License-Identifier: Apache-2.0
/** The slow path in the kernel: what a cube hands to the agent, within which limits, and what is counted. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { decodePunt, type Punt } from '../../src/dataplane/punt-record.ts';
import { Chain, type ChainCube, Verdict } from './support/chain.ts';
import { ethernet, ip, udp } from './support/packet.ts';

const V4 = { src: '10.244.1.5', dst: '10.244.2.7' };
const V6 = { src: 'fd00:244:1::5', dst: 'fd00:244:2::7' };
const SLOT = 3;
const [PUNTED, LOGGED, PASSED] = [1, 2, 3];

let chain: Chain;
let cube: ChainCube;
let ring: RingBuffer;

async function open(limits: { punt?: [number, number]; log?: [number, number] } = {}): Promise<void> {
  chain = await Chain.open();
  cube = await chain.add({
    object: 'punter',
    schema: { dropReasons: [], counters: [] } as never,
    slot: SLOT,
    variables: {
      ...(limits.punt ? { punt_limit: limit(...limits.punt) } : {}),
      ...(limits.log ? { log_limit: limit(...limits.log) } : {}),
    },
  });
  chain.watch(SLOT, 0, 1);
  chain.attach({ kind: 'interface' }, cube, 1);
  ring = new RingBuffer(chain.shared('punts'), () => undefined);
  ring.unref();
}

function limit(intervalNs: number, burst: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(intervalNs), 0);
  bytes.writeBigUInt64LE(BigInt(intervalNs) * BigInt(burst - 1), 8);
  return bytes;
}

function records(): Punt[] {
  const all: Buffer[] = [];
  for (let some = ring.consume(); some.length > 0; some = ring.consume()) all.push(...some);
  return all.map(decodePunt);
}

/** Sum over CPUs of one kind's counters. */
function counted(kind: 0 | 1): { sent: number; limited: number; lost: number } {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(SLOT * 2 + kind);
  const value = chain.shared('punt_counters').lookup(key) ?? Buffer.alloc(0);
  const sums = [0, 0, 0];
  for (let at = 0; at < value.length; at += 8)
    sums[(at / 8) % 3] = (sums[(at / 8) % 3] ?? 0) + Number(value.readBigUInt64LE(at));
  const [sent = 0, limited = 0, lost = 0] = sums;
  return { sent, limited, lost };
}

const frame = (port: number, addresses = V4, payload = 32) =>
  ethernet({}, ip(addresses, udp({ sport: 1000, dport: port, payload })));

/** No time passes for a bucket with an hour between tokens. */
const HOUR = 3600e9;

beforeEach(() => open());
afterEach(() => {
  ring.close();
  chain.close();
});

async function reopen(limits: Parameters<typeof open>[0]): Promise<void> {
  ring.close();
  chain.close();
  await open(limits);
}

test.each([
  ['IPv4', V4],
  ['IPv6', V6],
])('a punted packet ends in the cube and reaches the agent whole: %s', (_, addresses) => {
  const sent = frame(PUNTED, addresses);
  const result = chain.run(sent);
  expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['punter Punted'] });
  expect(result.seen).toBeUndefined();
  const [record, ...more] = records();
  expect(more).toEqual([]);
  expect(record).toMatchObject({
    slot: SLOT,
    record: {
      port: 1,
      code: 7,
      metadata: 0x1122334455667788n,
      kind: 'Packet',
      length: sent.length,
      etherType: addresses === V4 ? 0x0800 : 0x86dd,
      l3Offset: 14,
      tuple: { ...addresses, sport: 1000, dport: PUNTED, proto: 17 },
      packet: sent,
    },
  });
  expect(counted(0)).toEqual({ sent: 1, limited: 0, lost: 0 });
});

test('a logged packet goes on, and its headers reach the agent', () => {
  const sent = frame(LOGGED, V4, 400);
  const result = chain.run(sent);
  expect(result).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: 0 } });
  const [record] = records();
  expect(record?.record).toMatchObject({
    code: 9,
    metadata: 42n,
    kind: 'Log',
    length: sent.length,
    packet: sent.subarray(0, 128),
  });
  expect(counted(1)).toEqual({ sent: 1, limited: 0, lost: 0 });
});

test('other packets cost no record', () => {
  expect(chain.run(frame(PASSED)).seen?.port).toBe(0);
  expect(records()).toEqual([]);
});

test('a packet larger than a record is cut off, and its length says so', () => {
  const sent = frame(PUNTED, V4, 3000);
  chain.run(sent);
  const [record] = records();
  expect(record?.record).toMatchObject({ length: sent.length, packet: sent.subarray(0, 2048) });
});

test('over its rate a cube punts nothing and counts each packet', async () => {
  await reopen({ punt: [HOUR, 5] });
  const drops = Array.from({ length: 8 }, () => chain.run(frame(PUNTED)).drops[0]);
  expect(drops).toEqual([...Array(5).fill('punter Punted'), ...Array(3).fill('punter PuntLimited')]);
  expect(records()).toHaveLength(5);
  expect(counted(0)).toEqual({ sent: 5, limited: 3, lost: 0 });
});

test('logs have a rate of their own, and packets over it go on', async () => {
  await reopen({ punt: [HOUR, 1], log: [HOUR, 2] });
  chain.run(frame(PUNTED));
  for (let i = 0; i < 5; i++) expect(chain.run(frame(LOGGED)).seen?.port).toBe(0);
  expect(records()).toHaveLength(3);
  expect(counted(1)).toEqual({ sent: 2, limited: 3, lost: 0 });
});

test('a rate of none keeps everything from the agent', async () => {
  await reopen({ punt: [0, 1] });
  expect(chain.run(frame(PUNTED)).drops).toEqual(['punter PuntLimited']);
});

test('what the agent is too slow for is counted as lost', async () => {
  await reopen({ punt: [1, 1] });
  // 1 MiB of records that nobody takes
  for (let i = 0; i < 600; i++) chain.run(frame(PUNTED, V4, 2500));
  const { sent, lost } = counted(0);
  expect(sent).toBeGreaterThan(400);
  expect(lost).toBe(600 - sent);
  expect(chain.run(frame(PUNTED, V4, 2500)).drops).toEqual(['punter PuntLost']);
  expect(records()).toHaveLength(sent);
  expect(chain.run(frame(PUNTED)).drops).toEqual(['punter Punted']);
});

test('a dry run says what it would do and hands over nothing', () => {
  const result = chain.run(frame(PUNTED), { dry: true });
  expect(result.events.find(({ kind }) => kind === 'drop')).toMatchObject({ slot: SLOT, value: 19 });
  chain.run(frame(LOGGED), { dry: true });
  expect(records()).toEqual([]);
  expect(counted(0)).toEqual({ sent: 0, limited: 0, lost: 0 });
  expect(counted(1)).toEqual({ sent: 0, limited: 0, lost: 0 });
});
