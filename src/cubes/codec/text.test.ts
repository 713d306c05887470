// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { checkLength, getMac, getText, putMac, putText } from './text.ts';

test('MAC addresses', () => {
  const bytes = new Uint8Array(8);
  putMac(bytes, 1, '02:0A:bc:00:ff:10', 'mac');
  expect([...bytes]).toEqual([0, 2, 10, 0xbc, 0, 255, 16, 0]);
  expect(getMac(bytes, 1)).toBe('02:0a:bc:00:ff:10');
  for (const text of ['', '02:0a:bc:00:ff', '02-0a-bc-00-ff-10', '2:0a:bc:00:ff:10', '02:0a:bc:00:ff:10:']) {
    expect(() => putMac(bytes, 1, text, 'pod.mac')).toThrow(
      new TypeError(`pod.mac: ${JSON.stringify(text)} is no MAC address`),
    );
  }
});

test('text is padded with zeros and may fill its field', () => {
  const bytes = new Uint8Array(6).fill(7);
  putText(bytes, 1, 'é', 4, 'name');
  expect([...bytes]).toEqual([7, 0xc3, 0xa9, 0, 0, 7]);
  expect(getText(bytes, 1, 4)).toBe('é');
  putText(bytes, 1, 'abcd', 4, 'name');
  expect(getText(bytes, 1, 4)).toBe('abcd');
  expect(() => putText(bytes, 1, 'abcde', 4, 'name')).toThrow('name: "abcde" does not fit into 4 bytes');
  expect(() => putText(bytes, 1, 'a\0b', 4, 'name')).toThrow(RangeError);
});

test('lists longer than their array are refused', () => {
  expect(() => checkLength([1, 2], 2, 'x')).not.toThrow();
  expect(() => checkLength([1, 2, 3], 2, 'x')).toThrow('x: 3 elements do not fit into 2');
});
