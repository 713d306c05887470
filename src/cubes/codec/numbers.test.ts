// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import * as numbers from './numbers.ts';

type Put<T> = (bytes: Uint8Array, at: number, value: T, field: string) => void;
type Get<T> = (bytes: Uint8Array, at: number) => T;

/** [name, bytes, values, DataView's way of writing it] */
const small: [string, number, fc.Arbitrary<number>, (view: DataView, value: number) => void][] = [
  ['U8', 1, fc.integer({ min: 0, max: 0xff }), (view, value) => view.setUint8(3, value)],
  ['U16', 2, fc.integer({ min: 0, max: 0xffff }), (view, value) => view.setUint16(3, value, true)],
  ['U32', 4, fc.integer({ min: 0, max: 0xffffffff }), (view, value) => view.setUint32(3, value, true)],
  ['S8', 1, fc.integer({ min: -128, max: 127 }), (view, value) => view.setInt8(3, value)],
  ['S16', 2, fc.integer({ min: -0x8000, max: 0x7fff }), (view, value) => view.setInt16(3, value, true)],
  ['S32', 4, fc.integer(), (view, value) => view.setInt32(3, value, true)],
  ['Be16', 2, fc.integer({ min: 0, max: 0xffff }), (view, value) => view.setUint16(3, value)],
  ['Be32', 4, fc.integer({ min: 0, max: 0xffffffff }), (view, value) => view.setUint32(3, value)],
  ['U53', 8, fc.maxSafeNat(), (view, value) => view.setBigUint64(3, BigInt(value), true)],
];
const large: [string, fc.Arbitrary<bigint>, (view: DataView, value: bigint) => void][] = [
  ['U64', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (view, value) => view.setBigUint64(3, value, true)],
  ['S64', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (view, v) => view.setBigInt64(3, v, true)],
  ['Be64', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (view, value) => view.setBigUint64(3, value)],
];

function functions<T>(name: string): [Put<T>, Get<T>] {
  const all = numbers as unknown as Record<string, Put<T> & Get<T>>;
  return [all[`put${name}`] as Put<T>, all[`get${name}`] as Get<T>];
}

describe('agree with DataView and read back', () => {
  test.each(small)('%s', (name, _size, values, expected) => {
    const [put, get] = functions<number>(name);
    fc.assert(
      fc.property(values, (value) => {
        const bytes = new Uint8Array(16).fill(0x5a);
        const wanted = Uint8Array.from(bytes);
        put(bytes, 3, value, 'x');
        expected(new DataView(wanted.buffer), value);
        expect(bytes).toEqual(wanted);
        expect(get(bytes, 3)).toBe(value);
      }),
    );
  });

  test.each(large)('%s', (name, values, expected) => {
    const [put, get] = functions<bigint>(name);
    fc.assert(
      fc.property(values, (value) => {
        const bytes = new Uint8Array(16).fill(0x5a);
        const wanted = Uint8Array.from(bytes);
        put(bytes, 3, value, 'x');
        expected(new DataView(wanted.buffer), value);
        expect(bytes).toEqual(wanted);
        expect(get(bytes, 3)).toBe(value);
      }),
    );
  });
});

test('values that do not fit are refused with the field', () => {
  const bytes = new Uint8Array(8);
  const refused: [Put<number>, number[]][] = [
    [numbers.putU8, [-1, 256, 1.5, Number.NaN]],
    [numbers.putU16, [-1, 65536, 0.1]],
    [numbers.putU32, [-1, 2 ** 32, 0.5]],
    [numbers.putS8, [128, -129]],
    [numbers.putS16, [32768, -32769]],
    [numbers.putS32, [2 ** 31, -(2 ** 31) - 1, 0.5]],
    [numbers.putBe16, [-1, 65536]],
    [numbers.putBe32, [-1, 2 ** 32]],
    [numbers.putU53, [-1, 2 ** 53, 0.5]],
  ];
  for (const [put, values] of refused) {
    for (const value of values) {
      expect(() => put(bytes, 0, value, 'route.mtu')).toThrow(
        new RangeError(`route.mtu: ${value} does not fit`),
      );
    }
  }
  for (const [put, values] of [
    [numbers.putU64, [-1n, 2n ** 64n]],
    [numbers.putBe64, [-1n, 2n ** 64n]],
    [numbers.putS64, [2n ** 63n, -(2n ** 63n) - 1n]],
  ] as [Put<bigint>, bigint[]][]) {
    for (const value of values) expect(() => put(bytes, 0, value, 'x')).toThrow(RangeError);
  }
  expect(bytes).toEqual(new Uint8Array(8));
});

test('rows that do not fit into their bytes are refused', () => {
  expect(() => numbers.checkRoom(new Uint8Array(8), 4, 4, 'x')).not.toThrow();
  expect(() => numbers.checkRoom(new Uint8Array(8), 5, 4, 'x')).toThrow('x: 4 bytes at 5 do not fit into 8');
  expect(() => numbers.checkRoom(new Uint8Array(8), -1, 4, 'x')).toThrow(RangeError);
});
