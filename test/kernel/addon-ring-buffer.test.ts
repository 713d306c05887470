// SPDX-License-Identifier: Apache-2.0
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type BpfObject, loadObject, RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32, u64 } from './fixtures/addon-object.ts';

let object: BpfObject;
let sequence = 0;
beforeAll(async () => {
  object = await loadObject({ path: objectPath('addon'), variables: { secret: u64(42n) } });
});
afterAll(() => object.close());

/** Has the kernel write records; their sequence numbers go on from the last call's. */
function emit(count: number): void {
  const ctxIn = Buffer.concat([u32(count, 0), u64(BigInt(sequence))]);
  const { ctxOut } = object.program('emit').testRun({ ctxIn });
  expect(ctxOut.readUInt32LE(4)).toBe(count);
  sequence += count;
}

async function until(done: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!done() && Date.now() < end) await turn();
}

test('records arrive in order, whole, in bounded turns', async () => {
  const turns: Buffer[][] = [];
  const reader = new RingBuffer(object.map('events'), (records) => turns.push(records), { maxPerTurn: 10 });
  const first = sequence;
  emit(95);
  await until(() => turns.flat().length === 95);
  const records = turns.flat();
  expect(records.map((record) => Number(record.readBigUInt64LE()) - first)).toEqual(
    Array.from({ length: 95 }, (_, i) => i),
  );
  expect(records.every((record) => record.length === 16 && record.readBigUInt64LE(8) === 42n)).toBe(true);
  expect(Math.max(...turns.map((records) => records.length))).toBe(10);
  emit(1);
  await until(() => turns.flat().length === 96);
  expect(turns.flat()).toHaveLength(96);
  reader.close();
  reader.close();
  expect(() => reader.consume()).toThrow(expect.objectContaining({ code: 'EBADF' }));
});

test('records may be taken without waiting', () => {
  using reader = new RingBuffer(object.map('events'), () => {}, { maxPerTurn: 4 });
  emit(6);
  expect(reader.consume()).toHaveLength(4);
  expect(reader.consume()).toHaveLength(2);
  expect(reader.consume()).toHaveLength(0);
});

test('a reader may close itself from its listener', async () => {
  let calls = 0;
  const reader = new RingBuffer(object.map('events'), () => {
    calls++;
    reader.close();
  });
  emit(3);
  await until(() => calls > 0);
  emit(3);
  for (let i = 0; i < 20; i++) await turn();
  expect(calls).toBe(1);
});

test('a map of another kind is refused', () => {
  expect(() => new RingBuffer(object.map('lengths'), () => {})).toThrow(
    /map lengths is of type 1, not a ring/,
  );
});
