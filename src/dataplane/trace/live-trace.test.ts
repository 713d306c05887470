// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { CubeEvent } from '../generated/tcx.ts';
import { LiveTrace } from './live-trace.ts';
import { EventKind } from './story.ts';

const event = (number: number, kind: number, value = 0) =>
  ({ mark: (number * 65_536 + 2) >>> 0, kind, value }) as CubeEvent;

test('events of packets that mix are told apart, and come when a packet is through', () => {
  const live = new LiveTrace(0);
  live.add([event(40_000, EventKind.Enter), event(2, EventKind.Enter)], 0);
  live.add([event(40_000, EventKind.Hop), event(2, EventKind.Drop)], 50);
  expect(live.take(60)).toEqual({ packets: [], lost: 0 });
  const { packets } = live.take(200);
  expect(packets.map((events) => events.map(({ kind }) => kind))).toEqual([
    [EventKind.Enter, EventKind.Hop],
    [EventKind.Enter, EventKind.Drop],
  ]);
  expect(live.take(300).packets).toEqual([]);
});

test('a number that comes again begins another packet', () => {
  const live = new LiveTrace(0);
  live.add([event(7, EventKind.Enter), event(7, EventKind.Hop), event(7, EventKind.Enter)], 0);
  expect(live.take(200).packets.map(({ length }) => length)).toEqual([2, 1]);
});

test('what nobody asks for is counted, not kept', () => {
  const live = new LiveTrace(0);
  for (let i = 0; i < 10_001; i++) live.add([event(1, EventKind.Enter)], 0);
  live.add([event(1, EventKind.Enter)], 0);
  expect(live.take(500)).toMatchObject({ lost: 2 });
});
