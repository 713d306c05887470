// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { CubeEvent } from '../generated/tcx.ts';
import { EdgeKind, edgeWord } from '../layout.ts';
import type { TraceNames } from './names.ts';
import { EventKind, storyOf } from './story.ts';

const NAMES = {
  cube: (slot: number) => ({
    key: `net/cube${slot}`,
    type: 'Bridge',
    port: (id: number) => `p${id}`,
    nameObject: () => undefined,
  }),
  interface: (ifindex: number) => `eth${ifindex}`,
  podAt: () => undefined,
} as unknown as TraceNames;

const event = (kind: number, slot: number, hops: number, value = 0, object = 0n): CubeEvent =>
  ({
    kind,
    slot,
    hops,
    value,
    object,
    length: 60,
    tuple: { src: '10.0.0.1', dst: '10.0.0.2', sport: 0, dport: 0, proto: 1 },
    flags: 0,
  }) as unknown as CubeEvent;
const out = (slot: number, hops: number, port: number, kind: keyof typeof EdgeKind, target: number) =>
  event(EventKind.Output, slot, hops, port, edgeWord(EdgeKind[kind], target));
const MTU = 16;

test('a copy that is dropped on its way does not end the frame itself', () => {
  const story = storyOf(
    [
      event(EventKind.Enter, 0, 0),
      event(EventKind.Hop, 1, 1),
      out(1, 1, 1, 'Cube', 2),
      event(EventKind.Hop, 2, 2),
      event(EventKind.Drop, 2, 2, MTU),
      out(1, 1, 2, 'Device', 5),
    ],
    NAMES,
  );
  expect(story).toMatchObject({ verdict: 'Sent', to: 'eth5' });
  expect(story).not.toHaveProperty('drop');
  expect(story.hops.map(({ cube, outputs }) => [cube, outputs.length])).toEqual([
    ['net/cube1', 2],
    ['net/cube2', 0],
  ]);
  expect(story.hops[1]?.drop?.reason).toBe('Mtu');
});

test('a packet that is refused and told is answered', () => {
  const story = storyOf(
    [
      event(EventKind.Enter, 0, 0),
      event(EventKind.Hop, 1, 1),
      event(EventKind.Drop, 1, 1, MTU),
      out(1, 1, 0, 'Device', 5),
    ],
    NAMES,
  );
  expect(story).toMatchObject({ verdict: 'Answered', to: 'eth5', drop: { reason: 'Mtu' } });
});

test('a copy that comes back to a cube is another visit of it', () => {
  const story = storyOf(
    [
      event(EventKind.Hop, 1, 1),
      out(1, 1, 1, 'Cube', 2),
      event(EventKind.Hop, 2, 2),
      out(2, 2, 0, 'Cube', 1),
      event(EventKind.Hop, 1, 3),
      out(1, 3, 3, 'Device', 7),
      out(1, 1, 2, 'Device', 5),
    ],
    NAMES,
  );
  expect(story.hops.map(({ outputs }) => outputs.map(({ port }) => port))).toEqual([
    ['p1', 'p2'],
    ['p0'],
    ['p3'],
  ]);
});
