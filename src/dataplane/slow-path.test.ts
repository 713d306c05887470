// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { PuntAnswer, PuntRecord } from '../cubes/cube-type.ts';
import type { Running } from './images.ts';
import { SlowPath } from './slow-path.ts';

interface Line {
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

function open(): { path: SlowPath; lines: Line[] } {
  const lines: Line[] = [];
  const info = (fields: object, message: string) => {
    lines.push({ message, fields: fields as Record<string, unknown> });
  };
  return { path: new SlowPath({ debug: info, info, warn: info, error: info }, 0), lines };
}

function cube(slot: number, punted?: (record: PuntRecord) => PuntAnswer): Running {
  const ports = [{ name: 'outside', id: 0, addresses: [] }];
  return {
    instance: { slot, cubeKey: `infra/cube-${slot}` },
    plan: { cube: { input: { ports } } },
    image: punted === undefined ? {} : { punted },
  } as unknown as Running;
}

function punt(slot: number, fields: Partial<PuntRecord> = {}) {
  const tuple = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1, dport: 23, proto: 6 };
  const record: PuntRecord = {
    kind: 'Log',
    code: 3,
    metadata: 9n,
    port: 0,
    time: 0,
    tuple,
    etherType: 0x0800,
    l3Offset: 14,
    packet: new Uint8Array(60),
    length: 60,
    ...fields,
  };
  return { slot, record };
}

test('a record goes to the image of its cube, whose words the log gets with cube, port and addresses', () => {
  const { path, lines } = open();
  const codes: number[] = [];
  const wall = cube(4, ({ code }) => {
    codes.push(code);
    return { logs: [{ message: 'refused', fields: { rule: 'no-telnet' } }] };
  });
  expect(path.add([punt(4)])).toBe(true);
  expect(path.add([punt(4, { code: 5 })])).toBe(false);
  expect(path.handle([cube(1), wall], 10)).toEqual({ packets: [], isChanged: true });
  expect(codes).toEqual([3, 5]);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toEqual({
    message: 'refused',
    fields: {
      cube: 'infra/cube-4',
      port: 'outside',
      rule: 'no-telnet',
      src: '10.0.0.1',
      dst: '10.0.0.2',
      sport: 1,
      dport: 23,
      proto: 6,
      length: 60,
    },
  });
});

test('a cube that has nothing to say gets a line with its numbers', () => {
  const { path, lines } = open();
  path.add([punt(1, { kind: 'Packet' }), punt(1)]);
  expect(path.handle([cube(1)], 0).isChanged).toBe(false);
  expect(lines.map(({ message }) => message)).toEqual(['a packet was handed over', 'a packet passed']);
  expect(lines[0]?.fields).toMatchObject({ code: 3, metadata: '0x9' });
});

test('packets that it answers with go to its own slot', () => {
  const { path } = open();
  const packet = new Uint8Array(60);
  path.add([punt(7, { kind: 'Packet' })]);
  const resend = cube(7, ({ port }) => ({ packets: [{ port, direction: 'in', packet, metadata: 5n }] }));
  expect(path.handle([resend], 0).packets).toEqual([
    { slot: 7, port: 0, direction: 'in', packet, metadata: 5n },
  ]);
});

test('what nobody waits for any more, and whose cube is gone, is counted and left', () => {
  const { path, lines } = open();
  path.add([punt(1), punt(2, { time: 9000 }), punt(1, { time: 9000 })]);
  path.handle([cube(1)], 9500);
  expect(path.counts).toEqual({ handled: 1, stale: 1, orphaned: 1, overflowed: 0 });
  expect(lines).toHaveLength(1);
});

test('a flood of records fills neither the memory nor the log', () => {
  const { path, lines } = open();
  for (let i = 0; i < 50; i++) path.add(Array.from({ length: 100 }, () => punt(1)));
  path.handle([cube(1)], 0);
  expect(path.counts).toMatchObject({ handled: 4096, overflowed: 904 });
  expect(lines).toHaveLength(400);
  path.add([punt(1, { time: 1000 })]);
  path.handle([cube(1)], 1000);
  expect(lines[400]?.fields).toMatchObject({ linesLeftOut: 3696 });
});
