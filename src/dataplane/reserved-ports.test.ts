// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatPorts, joinPorts, parsePorts, planReservation, subtractPorts } from './reserved-ports.ts';

const NAT = [{ first: 49152, last: 65535 }];

test('text of the kernel and back', () => {
  expect(parsePorts('8080,9000-9002\n')).toEqual([
    { first: 8080, last: 8080 },
    { first: 9000, last: 9002 },
  ]);
  expect(parsePorts('\n')).toEqual([]);
  expect(formatPorts(parsePorts('8080,9000-9002'))).toBe('8080,9000-9002');
});

test('what others reserved stays when ours is given back', () => {
  const others = parsePorts('8080,50000-50010,65000-65535');
  const made = planReservation(others, [], NAT);
  expect(formatPorts(made.all)).toBe('8080,49152-65535');
  expect(formatPorts(made.ours)).toBe('49152-49999,50011-64999');
  expect(formatPorts(planReservation(made.all, made.ours, []).all)).toBe('8080,50000-50010,65000-65535');
});

test('the same wish again changes nothing, and a reboot, after which the kernel has none, makes all of it anew', () => {
  const made = planReservation(parsePorts('8080'), [], NAT);
  expect(planReservation(made.all, made.ours, NAT)).toEqual(made);
  expect(planReservation([], made.ours, NAT)).toEqual({ all: NAT, ours: NAT });
});

const range = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 12 }))
  .map(([first, more]) => ({ first, last: first + more }));
const ranges = fc.array(range, { maxLength: 6 });
const portsOf = (list: readonly { first: number; last: number }[]) =>
  new Set(list.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)));

test('ranges are sets of ports', () => {
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const [one, two] = [portsOf(a), portsOf(b)];
      expect(portsOf(joinPorts([...a, ...b]))).toEqual(portsOf([...a, ...b]));
      expect(portsOf(subtractPorts(a, b))).toEqual(new Set([...one].filter((port) => !two.has(port))));
      const { all, ours } = planReservation(joinPorts(a), [], b);
      expect(portsOf(planReservation(all, ours, []).all)).toEqual(one);
    }),
  );
});
