// SPDX-License-Identifier: Apache-2.0
/** Two sessions whose replies would look the same: only one may have them, and none ends or answers for the other. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, service } from './support/balancer.ts';
import { u32, Verdict } from './support/chain.ts';
import { dissect } from './support/dissect.ts';
import { ethernet, ip, type Tcp, tcp } from './support/packet.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      client: '10.244.1.5',
      vip: '10.96.0.10',
      other: '10.96.0.11',
      backend: '10.244.2.7',
      second: '10.244.2.8',
    },
  ],
  [
    'IPv6',
    {
      client: 'fd00:1::5',
      vip: 'fd00:96::10',
      other: 'fd00:96::11',
      backend: 'fd00:2::7',
      second: 'fd00:2::8',
    },
  ],
] as const;
type Family = (typeof FAMILIES)[number][1];
const PORT = 40000;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
});
afterAll(() => lb.close());
beforeEach(() => lb.clear());

const up = (f: Family, dst: string, o: Partial<Tcp>) =>
  lb.client(ethernet({}, ip({ src: f.client, dst }, tcp({ sport: PORT, dport: 80, ...o }))));
const down = (f: Family, src: string, o: Partial<Tcp>) =>
  lb.server(ethernet({}, ip({ src, dst: f.client }, tcp({ sport: 8080, dport: PORT, ...o }))));
const ACK: Partial<Tcp> = { flags: 'A', seq: 101, ack: 5001 };

/** The service under `vip` has the backends, the one under `other` the first of them. */
function serve(f: Family, backends = [backend(f.backend)]): void {
  lb.set(
    service('a', [frontend([f.vip])], backends),
    service('b', [frontend([f.other])], [backend(f.backend)]),
  );
}

function connect(f: Family, server = f.backend as string): void {
  up(f, f.vip, { flags: 'S', seq: 100 });
  down(f, server, { flags: 'SA', seq: 5000, ack: 101 });
  up(f, f.vip, ACK);
}

function pushOut(table: 'established' | 'embryonic', reverse: boolean): void {
  const half = lb.halves().find((one) => one.table === table && one.reverse === reverse);
  expect(half).toBeDefined();
  lb.cube.map(table).delete(half?.key ?? Buffer.alloc(40));
}

describe.each(FAMILIES)('%s', (_, f) => {
  test('a session that is over leaves the replies to the one that has them by now', () => {
    serve(f);
    up(f, f.vip, { flags: 'S' });
    lb.age(130);
    expect(up(f, f.other, { flags: 'S' }).counts).not.toContain('load-balancer conflicts');
    const again = up(f, f.vip, { flags: 'S' });
    expect(again.counts).toEqual(
      expect.arrayContaining(['load-balancer expired', 'load-balancer sourcePortChanged']),
    );
    expect(dissect(down(f, f.backend, { flags: 'SA' }).frame).ip?.src).toBe(f.other);
  });

  test('an established session that lost its replies is over, and does not take them back', () => {
    serve(f);
    connect(f);
    pushOut('established', true);
    up(f, f.other, { flags: 'S' });
    lb.age(20);
    expect(up(f, f.vip, ACK)).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer ReverseConflict'],
    });
    expect(dissect(down(f, f.backend, { flags: 'SA' }).frame).ip?.src).toBe(f.other);
    expect(up(f, f.vip, ACK).drops).toEqual(['load-balancer NoSession']);
  });

  test('a session that lost its replies is not confirmed', () => {
    serve(f);
    up(f, f.vip, { flags: 'S', seq: 100 });
    down(f, f.backend, { flags: 'SA', seq: 5000, ack: 101 });
    pushOut('embryonic', true);
    up(f, f.other, { flags: 'S' });
    expect(up(f, f.vip, ACK)).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer ReverseConflict'],
    });
    expect(dissect(down(f, f.backend, { flags: 'SA' }).frame).ip?.src).toBe(f.other);
  });

  test('a reply to a port that the session has no more confirms nothing', () => {
    serve(f);
    up(f, f.other, { flags: 'S' });
    const port = up(f, f.vip, { flags: 'S', seq: 100 }).seen?.work.sport ?? 0;
    expect(port).not.toBe(PORT);
    const lost = lb.halves().find((one) => !one.reverse && one.dst === f.vip);
    lb.cube.map('embryonic').delete(lost?.key ?? Buffer.alloc(40));
    expect(up(f, f.vip, { flags: 'S', seq: 100 }).counts).toContain('load-balancer sourcePortChanged');
    down(f, f.backend, { dport: port, flags: 'SA', seq: 5000, ack: 101 });
    expect(up(f, f.vip, ACK).counts).not.toContain('load-balancer promoted');
  });

  test('a reply of a session that the client has replaced does not bring it back', () => {
    serve(f);
    connect(f);
    pushOut('established', false);
    serve(f, [backend(f.backend, { weight: 0 }), backend(f.second)]);
    expect(dissect(up(f, f.vip, { flags: 'S', seq: 900 }).frame).ip?.dst).toBe(f.second);
    lb.age(20);
    expect(down(f, f.backend, { flags: 'A', seq: 5001, ack: 101 }).drops).toEqual([
      'load-balancer ReverseConflict',
    ]);
    expect(dissect(up(f, f.vip, { flags: 'S', seq: 900 }).frame).ip?.dst).toBe(f.second);
  });

  test('a connection to a backend that is gone ends no session with another one', () => {
    serve(f);
    connect(f);
    const [half] = lb.halves();
    serve(f, [backend(f.second)]);
    lb.remove('b');
    const id = u32(half?.session.backend ?? 0);
    const row = lb.cube.map('backends').lookup(id) ?? Buffer.alloc(32);
    row.writeUInt32LE(row.readUInt32LE(20) + 1, 20); // its row has got another owner
    lb.cube.map('backends').update(id, row);
    connect(f, f.second);
    const direct = { sport: PORT, dport: 8080, flags: 'S' };
    const out = lb.client(ethernet({}, ip({ src: f.client, dst: f.backend }, tcp(direct))));
    expect(out.counts).toEqual(['load-balancer passed']);
    expect(up(f, f.vip, ACK)).toMatchObject({ drops: [], counts: ['load-balancer translated'] });
    expect(down(f, f.second, { flags: 'A' }).seen?.port).toBe(CLIENT);
    row.writeUInt32LE(row.readUInt32LE(20) - 1, 20);
    lb.cube.map('backends').update(id, row);
  });
});
