// SPDX-License-Identifier: Apache-2.0
/** The bounds of the table of neighbours; what its states do to packets is in test/kernel/router-resolve.test.ts. */
import { expect, test } from '@jest/globals';
import { parsePrefix } from '../../api/ip.ts';
import { neighbours as codec } from './generated/codec.ts';
import { HELD_ALL, HELD_EACH, Neighbours, Resume } from './neighbours.ts';

const PORT = 3;
const packet = { port: 1, packet: Uint8Array.of(1, 2, 3) };

function table({ max = 16384, port = PORT, name = 'lan' } = {}): Neighbours {
  const addresses = ['10.0.0.1/8', 'fd00::1/64'].flatMap((text) => parsePrefix(text) ?? []);
  return new Neighbours({
    ports: [{ id: port, name, addresses }],
    statics: [],
    gatewayMac: '02:c0:be:00:00:01',
    reachableSeconds: 30,
    max,
  });
}

const host = (i: number) => `10.1.${i >> 8}.${i & 255}`;
const heard = (address: string) => ({ address, mac: '02:00:00:00:00:07', solicited: true, override: true });

/** How many packets go out as questions, and what becomes of those that came. */
function sent(neighbours: Neighbours): {
  questions: number;
  send: number;
  unreachable: number;
  discard: number;
} {
  const packets = neighbours.takePackets();
  const of = (wanted: bigint) => packets.filter(({ metadata }) => metadata === wanted).length;
  return {
    questions: packets.filter(({ direction }) => direction === 'out').length,
    send: of(Resume.Send),
    unreachable: of(Resume.Unreachable),
    discard: of(Resume.Discard),
  };
}

test('packets that wait are bounded for all neighbours together, and leave room when they go', () => {
  const neighbours = table();
  const full = HELD_ALL / HELD_EACH;
  for (let i = 0; i < full; i++)
    for (let n = 0; n < HELD_EACH; n++) neighbours.unresolved(PORT, host(i), packet, 100);
  expect(sent(neighbours)).toEqual({ questions: full, send: 0, unreachable: 0, discard: 0 });
  neighbours.unresolved(PORT, host(full), packet, 100);
  expect(sent(neighbours)).toEqual({ questions: 1, send: 0, unreachable: 0, discard: 1 });
  neighbours.heard(PORT, heard(host(0)), 100);
  expect(sent(neighbours).send).toBe(HELD_EACH);
  for (let n = 0; n < HELD_EACH; n++) neighbours.unresolved(PORT, host(full), packet, 100);
  expect(sent(neighbours).discard).toBe(0);
});

test('questions have a rate; one that is left out counts as lost', () => {
  const neighbours = table();
  for (let i = 0; i < 700; i++) neighbours.unresolved(PORT, host(i), undefined, 100);
  expect(sent(neighbours).questions).toBe(500);
  for (const second of [101, 102]) {
    expect(neighbours.tick(second)).toBe(second + 1);
    expect(sent(neighbours).questions).toBe(500);
  }
  neighbours.tick(103);
  neighbours.unresolved(PORT, host(1), packet, 103);
  expect(sent(neighbours)).toEqual({ questions: 0, send: 0, unreachable: 1, discard: 0 });
});

test('a scan takes half of the table at most, and one that did not answer makes room for one that may', () => {
  const neighbours = table({ max: 16 });
  neighbours.unresolved(PORT, host(1000), packet, 100);
  neighbours.heard(PORT, heard(host(1000)), 100);
  for (let i = 0; i < 50; i++) neighbours.unresolved(PORT, host(i), packet, 100);
  expect(neighbours.size).toBe(1 + 8);
  for (const second of [101, 102, 103]) neighbours.tick(second);
  expect(sent(neighbours)).toMatchObject({ unreachable: 8, discard: 42, send: 1 });
  neighbours.unresolved(PORT, host(60), packet, 103);
  expect(sent(neighbours)).toEqual({ questions: 1, send: 0, unreachable: 0, discard: 0 });
  expect(neighbours.size).toBe(1 + 8);
});

test('without an address of the family nobody is asked', () => {
  const neighbours = new Neighbours({
    ports: [{ id: PORT, name: 'lan', addresses: [parsePrefix('10.0.0.1/8') ?? []].flat() }],
    statics: [],
    gatewayMac: '02:c0:be:00:00:01',
    reachableSeconds: 30,
    max: 16,
  });
  neighbours.unresolved(PORT, 'fd00::7', packet, 100);
  expect(sent(neighbours)).toEqual({ questions: 0, send: 0, unreachable: 1, discard: 0 });
  expect(neighbours.size).toBe(0);
});

test('with the port goes what was known; packets that wait go along with a port that has another number', () => {
  const before = table();
  before.unresolved(PORT, host(1), packet, 100);
  before.unresolved(PORT, host(2), packet, 100);
  before.heard(PORT, heard(host(1)), 100);
  before.takePackets();

  const after = table({ port: 5 });
  after.inherit(before, 101);
  expect(after.size).toBe(2);
  expect(sent(after).questions).toBe(1);
  after.unresolved(5, host(1), packet, 101);
  expect(sent(after).send).toBe(1);
  after.heard(5, heard(host(2)), 101);
  expect(sent(after).send).toBe(1);

  const other = table({ name: 'wan' });
  other.inherit(before, 101);
  expect(other.size).toBe(0);
});

test('one that nobody sends to is forgotten', () => {
  const neighbours = table();
  neighbours.unresolved(PORT, host(1), packet, 100);
  neighbours.heard(PORT, heard(host(1)), 100.5);
  neighbours.tick(150);
  expect(neighbours.size).toBe(1);
  expect(neighbours.tick(191)).toBeUndefined();
  expect(neighbours.size).toBe(0);
});

test('a row that another agent wrote is taken over as it is, whatever its second', () => {
  const changed: number[] = [];
  for (let staleAt = 1; staleAt < 4_000_000; staleAt = Math.ceil(staleAt * 1.07)) {
    const neighbours = table();
    const key = new Uint8Array(codec.keySize);
    const value = new Uint8Array(codec.valueSize);
    codec.encodeKey({ addr: '10.1.0.1', port: PORT }, key);
    const noted = { used: 0, toldAt: 0, told: 0 };
    codec.encodeValue({ mac: '02:00:00:00:00:07', state: 2, staleAt, ...noted }, value);
    neighbours.rows.adopt(1, key, value);
    neighbours.adopt(key, value, 100);
    neighbours.rows.settle();
    const { updates, deletes } = neighbours.rows.take();
    if (updates.length + deletes.length > 0) changed.push(staleAt);
  }
  expect(changed).toEqual([]);
});
