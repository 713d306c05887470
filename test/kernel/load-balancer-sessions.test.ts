// SPDX-License-Identifier: Apache-2.0
/** Sessions of the load balancer: translation both ways, how they are confirmed, how they end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Service } from '../../src/api/generated/types.ts';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { u32, Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, sctp, sctpChunk, type Tcp, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { client: '10.244.1.5', vip: '10.96.0.10', backend: '10.244.2.7' }],
  ['IPv6', { client: 'fd00:244:1::5', vip: 'fd00:96::10', backend: 'fd00:244:2::7' }],
] as const;
type Family = (typeof FAMILIES)[number][1];

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
});
afterAll(() => lb.close());
beforeEach(() => {
  lb.clear();
  lb.set(web());
});

function web(weights: readonly number[] = [1]) {
  const vips = FAMILIES.map(([, f]) => f.vip);
  return service(
    'web',
    [
      frontend(vips),
      frontend(vips, { name: 'dns', port: 53, protocol: 'UDP' }),
      frontend(vips, { name: 'sig', port: 2905, protocol: 'SCTP' }),
    ],
    weights.flatMap((weight, i) =>
      FAMILIES.map(([, f]) =>
        backend(f.backend.replace(/7$/, String(7 + i)), {
          weight,
          ports: [
            { name: '', port: 8080 },
            { name: 'dns', port: 5353 },
            { name: 'sig', port: 2905 },
          ],
        }),
      ),
    ),
  );
}

const PORT = 40000;
const up = (f: Family, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.client, dst: f.vip }, tcp({ sport: PORT, dport: 80, ...o })));
const down = (f: Family, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.backend, dst: f.client }, tcp({ sport: 8080, dport: PORT, ...o })));

/** SYN, SYN-ACK, ACK. */
function connect(f: Family) {
  lb.client(up(f, { flags: 'S', seq: 100 }));
  lb.server(down(f, { flags: 'SA', seq: 5000, ack: 101 }));
  return lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 }));
}
const tables = () => lb.halves().map((half) => half.table);

describe.each(FAMILIES)('%s', (_, f) => {
  test('a connection is translated to the backend and back, with right checksums', () => {
    const syn = lb.client(up(f, { flags: 'S', seq: 100, payload: 0 }));
    expect(syn).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: SERVER } });
    expect(dissect(syn.frame).ip).toMatchObject({
      src: f.client,
      dst: f.backend,
      tcp: { sport: PORT, dport: 8080 },
    });
    expect(verifyChecksums(syn.frame)).toEqual([]);
    expect(syn.counts.sort()).toEqual(['load-balancer newSessions', 'load-balancer translated']);

    const back = lb.server(down(f, { flags: 'SA', seq: 5000, ack: 101, payload: 3 }));
    expect(back).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: CLIENT } });
    expect(dissect(back.frame).ip).toMatchObject({
      src: f.vip,
      dst: f.client,
      tcp: { sport: 80, dport: PORT },
    });
    expect(verifyChecksums(back.frame)).toEqual([]);
    expect(back.counts).toEqual(['load-balancer reverseTranslated']);
  });

  test('TCP is established by the acknowledgement of the SYN-ACK alone', () => {
    lb.client(up(f, { flags: 'S', seq: 100 }));
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    expect(lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 })).counts).not.toContain(
      'load-balancer promoted',
    );
    lb.server(down(f, { flags: 'SA', seq: 5000, ack: 101 }));
    expect(lb.client(up(f, { flags: 'A', seq: 101, ack: 5002 })).counts).not.toContain(
      'load-balancer promoted',
    );
    expect(lb.client(up(f, { flags: 'S', seq: 100 })).counts).not.toContain('load-balancer promoted');
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    const ack = lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 }));
    expect(ack.counts.sort()).toEqual(['load-balancer promoted', 'load-balancer translated']);
    expect(tables()).toEqual(['established', 'established']);
    const data = lb.client(up(f, { flags: 'PA', seq: 101, ack: 5001, payload: 100 }));
    expect(data).toMatchObject({ drops: [], counts: ['load-balancer translated'] });
    expect(verifyChecksums(data.frame)).toEqual([]);
  });

  test('a RST of the backend confirms nothing, and the next SYN picks again', () => {
    lb.client(up(f, { flags: 'S', seq: 100 }));
    lb.server(down(f, { flags: 'RA', seq: 0, ack: 101 }));
    expect(lb.client(up(f, { flags: 'A', seq: 101, ack: 1 })).counts).not.toContain('load-balancer promoted');
    expect(lb.client(up(f, { flags: 'S', seq: 200 })).counts).toContain('load-balancer newSessions');
  });

  test.each(['F', 'R'])(
    '%s shortens the timeout in both halves and deletes nothing; a SYN reopens',
    (flag) => {
      connect(f);
      lb.client(up(f, { flags: `${flag}A`, seq: 101, ack: 5001 }));
      expect(tables()).toEqual(['established', 'established']);
      for (const half of lb.halves()) {
        expect(half.session.state.flags & (flag === 'F' ? 4 : 16)).not.toBe(0);
      }
      expect(lb.client(up(f, { flags: 'A', seq: 102, ack: 5001 })).drops).toEqual([]);
      expect(lb.server(down(f, { flags: 'A', seq: 5001, ack: 102 })).seen?.port).toBe(CLIENT);
      const syn = lb.client(up(f, { flags: 'S', seq: 900 }));
      expect(syn.counts).toContain('load-balancer newSessions');
      expect(tables()).toEqual(['embryonic', 'embryonic']);
    },
  );

  test('a FIN of the backend is seen by the forward half', () => {
    connect(f);
    lb.server(down(f, { flags: 'FA', seq: 5001, ack: 101 }));
    for (const half of lb.halves()) expect(half.session.state.flags & 8).not.toBe(0);
  });

  test('a SYN on a live connection goes to its backend, which answers it', () => {
    connect(f);
    const syn = lb.client(up(f, { flags: 'S', seq: 900 }));
    expect(syn.counts).toEqual(['load-balancer translated']);
    expect(tables()).toEqual(['established', 'established']);
  });

  test('closing sessions expire sooner than established ones', () => {
    connect(f);
    lb.age(3600);
    expect(lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 })).drops).toEqual([]);
    lb.client(up(f, { flags: 'FA', seq: 101, ack: 5001 }));
    lb.age(130);
    const late = lb.client(up(f, { flags: 'A', seq: 102, ack: 5001 }));
    expect(late.drops).toEqual(['load-balancer NoSession']);
    expect(late.counts).toContain('load-balancer expired');
    expect(tables()).toEqual([]);
  });

  test('a reply of an expired session is not translated', () => {
    connect(f);
    lb.age(86500);
    const late = lb.server(down(f, { flags: 'A', seq: 5001, ack: 101 }));
    expect(late.counts.sort()).toEqual(['load-balancer expired', 'load-balancer passed']);
    expect(dissect(late.frame).ip?.src).toBe(f.backend);
  });

  test('the middle of an unknown connection is refused by RST', () => {
    const result = lb.client(up(f, { flags: 'A', seq: 7, ack: 8 }));
    expect(result).toMatchObject({ drops: ['load-balancer NoSession'], seen: { port: CLIENT } });
    expect(dissect(result.frame).ip).toMatchObject({ src: f.vip, dst: f.client, tcp: { seq: 8 } });
    expect(verifyChecksums(result.frame)).toEqual([]);
    const rst = lb.client(up(f, { flags: 'R', seq: 7 }));
    expect(rst).toMatchObject({ verdict: Verdict.drop, drops: ['load-balancer NoSession'] });
    expect(rst.seen).toBeUndefined();
  });

  test('UDP is established by the second packet of the client after a reply', () => {
    const ask = ethernet({}, ip({ src: f.client, dst: f.vip }, udp({ sport: PORT, dport: 53, payload: 20 })));
    const answer = ethernet(
      {},
      ip({ src: f.backend, dst: f.client }, udp({ sport: 5353, dport: PORT, payload: 20 })),
    );
    const first = lb.client(ask);
    expect(dissect(first.frame).ip).toMatchObject({ dst: f.backend, udp: { dport: 5353 } });
    expect(verifyChecksums(first.frame)).toEqual([]);
    lb.client(ask);
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    const reply = lb.server(answer);
    expect(dissect(reply.frame).ip).toMatchObject({ src: f.vip, udp: { sport: 53 } });
    expect(verifyChecksums(reply.frame)).toEqual([]);
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    expect(lb.client(ask).counts).toContain('load-balancer promoted');
    expect(tables()).toEqual(['established', 'established']);
    lb.age(190);
    expect(lb.client(ask).counts.sort()).toEqual([
      'load-balancer expired',
      'load-balancer newSessions',
      'load-balancer translated',
    ]);
  });

  test('SCTP is established by the tag of the INIT ACK', () => {
    const chunk = (type: number, tag = 0) => {
      const value = Buffer.alloc(16);
      value.writeUInt32BE(tag);
      return sctpChunk(type, value);
    };
    const there = (type: number, tag: number) =>
      ethernet(
        {},
        ip({ src: f.client, dst: f.vip }, sctp({ sport: PORT, dport: 2905, tag, chunks: [chunk(type, 77)] })),
      );
    const back = (type: number, tag: number) =>
      ethernet(
        {},
        ip(
          { src: f.backend, dst: f.client },
          sctp({ sport: 2905, dport: PORT, tag: 77, chunks: [chunk(type, tag)] }),
        ),
      );
    const unknown = lb.client(there(0, 4711));
    expect(unknown.drops).toEqual(['load-balancer NoSession']);
    const init = lb.client(there(1, 0));
    expect(init.counts).toContain('load-balancer newSessions');
    expect(dissect(init.frame).ip).toMatchObject({ dst: f.backend, sctp: { dport: 2905 } });
    expect(verifyChecksums(init.frame)).toEqual([]);
    expect(dissect(lb.server(back(2, 4711)).frame).ip?.src).toBe(f.vip);
    expect(lb.client(there(10, 4712)).counts).not.toContain('load-balancer promoted');
    expect(lb.client(there(10, 4711)).counts).toContain('load-balancer promoted');
    lb.client(there(7, 4711));
    for (const half of lb.halves()) expect(half.session.state.flags & 4).not.toBe(0);
  });

  test.each([
    ['an answer', 0, ['established', 'established']],
    ['no ABORT', 6, ['embryonic', 'embryonic']],
    ['no SHUTDOWN COMPLETE', 14, ['embryonic', 'embryonic']],
  ])(
    'SCTP in its middle, which Maglev lets in, is established by %s and what follows',
    (_answer, type, expected) => {
      const sig = frontend([f.vip], { port: 2905, protocol: 'SCTP', algorithm: 'Maglev' });
      lb.set(service('web', [sig], [backend(f.backend, { port: 2905 })]));
      const data = (src: string, dst: string, sport: number, dport: number, chunk = 0) =>
        ethernet(
          {},
          ip({ src, dst }, sctp({ sport, dport, tag: 7, chunks: [sctpChunk(chunk, Buffer.alloc(16))] })),
        );
      const there = data(f.client, f.vip, PORT, 2905);
      expect(lb.client(there).counts).toContain('load-balancer newSessions');
      expect(lb.client(there).counts).not.toContain('load-balancer promoted');
      expect(dissect(lb.server(data(f.backend, f.client, 2905, PORT, type)).frame).ip?.src).toBe(f.vip);
      expect(tables()).toEqual(['embryonic', 'embryonic']);
      lb.client(there);
      expect(tables()).toEqual(expected);
    },
  );

  test('a reply longer than its IP header can say is acknowledged by its real length', () => {
    // no frame of a test is longer than 64 KiB, but the length of 0 is all that the cube sees of BIG TCP
    const long = down(f, { flags: 'PA', seq: 5001, ack: 101, payload: 1200 });
    long.writeUInt16BE(0, f.client.includes(':') ? 18 : 16);
    lb.client(up(f, { flags: 'S', seq: 100 }));
    lb.server(down(f, { flags: 'SA', seq: 5000, ack: 101 }));
    expect(lb.server(long).seen?.port).toBe(CLIENT);
    expect(lb.client(up(f, { flags: 'A', seq: 101, ack: 6201 })).counts).toContain('load-balancer promoted');
  });

  test('a half that was pushed out is made again by the other', () => {
    connect(f);
    for (const reverse of [true, false]) {
      const lost = lb.halves().find((half) => half.reverse === reverse);
      lb.cube.map('established').delete(lost?.key ?? Buffer.alloc(40));
      expect(lb.halves()).toHaveLength(1);
      lb.age(20);
      if (reverse) lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 }));
      else lb.server(down(f, { flags: 'A', seq: 5001, ack: 101 }));
      expect(lb.halves()).toHaveLength(2);
      const again = lb.server(down(f, { flags: 'A', seq: 5001, ack: 101 }));
      expect(dissect(again.frame).ip).toMatchObject({ src: f.vip, tcp: { sport: 80 } });
      const there = lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 }));
      expect(dissect(there.frame).ip).toMatchObject({ dst: f.backend, tcp: { dport: 8080, sport: PORT } });
    }
  });

  test('a dry run changes nothing', () => {
    const dry = lb.client(up(f, { flags: 'S', seq: 100 }), { dry: true });
    expect(dry.counts).toEqual([]);
    expect(lb.halves()).toEqual([]);
    expect(dry.events.filter(({ kind }) => kind === 'decision').map(({ value }) => value)).toEqual([1, 2]);
  });

  test('a removed backend keeps its connections until the drain time is over, then resets them', async () => {
    const lb = await Balancer.open({ spec: { drainSeconds: 1 } });
    const ack = up(f, { flags: 'A', seq: 101, ack: 5001 });
    lb.set(web());
    lb.client(up(f, { flags: 'S', seq: 100 }));
    lb.server(down(f, { flags: 'SA', seq: 5000, ack: 101 }));
    lb.client(ack);
    lb.set(web([]));
    expect(dissect(lb.client(ack).frame).ip?.dst).toBe(f.backend);
    lb.set(web()); // it came back in time
    lb.set(web([]));
    expect(dissect(lb.client(ack).frame).ip?.dst).toBe(f.backend);
    await sleep(500);
    expect(dissect(lb.client(ack).frame).ip?.dst).toBe(f.backend);
    await sleep(2800); // up to two units of 1.07 s longer than it says
    const gone = lb.client(ack);
    expect(gone).toMatchObject({ drops: ['load-balancer BackendGone'], seen: { port: CLIENT } });
    expect(gone.counts).toContain('load-balancer rejected');
    expect(dissect(gone.frame).ip).toMatchObject({ src: f.vip, dst: f.client, tcp: { seq: 5001 } });
    expect(lb.halves()).toEqual([]);
    lb.close();
  });

  test('a backend of another generation is gone to old sessions', () => {
    connect(f);
    const row = lb.cube.map('backends');
    for (const half of lb.halves()) {
      const key = u32(half.session.backend);
      const value = row.lookup(key) ?? Buffer.alloc(32);
      value.writeUInt32LE(9, 20);
      row.update(key, value);
    }
    const gone = lb.client(up(f, { flags: 'A', seq: 101, ack: 5001 }));
    expect(gone.drops).toEqual(['load-balancer BackendGone']);
    for (const half of lb.halves()) {
      const value = row.lookup(u32(half.session.backend)) ?? Buffer.alloc(32);
      value.writeUInt32LE(0, 20);
      row.update(u32(half.session.backend), value);
    }
  });
});

test('packets of other protocols and to other addresses pass unchanged', () => {
  const other = ethernet({}, ip({ src: '10.244.1.5', dst: '10.244.9.9' }, tcp({ sport: 1, dport: 80 })));
  const there = lb.client(other);
  expect(there).toMatchObject({ counts: ['load-balancer passed'], drops: [], seen: { port: SERVER } });
  expect(there.frame).toEqual(other);
  expect(lb.server(other)).toMatchObject({ counts: ['load-balancer passed'], seen: { port: CLIENT } });
  const port = ethernet({}, ip({ src: '10.244.1.5', dst: '10.96.0.10' }, tcp({ sport: 1, dport: 81 })));
  expect(lb.client(port)).toMatchObject({ counts: ['load-balancer passed'], seen: { port: SERVER } });
});

test('UDP to a backend that is gone moves to another one at once', async () => {
  const [[, f]] = FAMILIES;
  const ask = ethernet({}, ip({ src: f.client, dst: f.vip }, udp({ sport: PORT, dport: 53, payload: 9 })));
  lb.client(ask);
  lb.set(web([0, 1]));
  expect(dissect(lb.client(ask).frame).ip?.dst).toBe(f.backend); // weight 0: its sessions stay
  const only = web([1, 1]);
  lb.set({ ...only, backends: only.backends.slice(2) });
  await sleep(20); // the programs' clock is that of the last timer tick, and so may not have reached the deadline yet
  const moved = lb.client(ask);
  expect(moved.counts.sort()).toEqual([
    'load-balancer newSessions',
    'load-balancer repicked',
    'load-balancer translated',
  ]);
  expect(dissect(moved.frame).ip?.dst).toBe(f.backend.replace('.7', '.8'));
});

describe.each(FAMILIES)('%s: UDP to a backend that another Service keeps', (_, f) => {
  const other = f.vip.replace(/10$/, '99');
  const udpTo = (dst: string, sport = PORT) =>
    ethernet({}, ip({ src: f.client, dst }, udp({ sport, dport: 53, payload: 9 })));
  const where = (frame: Buffer) => dissect(frame).ip?.dst;
  const second = f.backend.replace(/7$/, '8');
  const both = web([1, 1]);
  afterEach(() => lb.remove('keeper'));
  const keeper: Service = {
    ...web([1, 1]),
    name: 'keeper',
    frontends: web([1, 1]).frontends.map((one) => ({ ...one, addresses: [other] })),
  };
  const without = (service: Service, address: string): Service => ({
    ...service,
    backends: service.backends.filter((one) => one.address !== address),
  });

  /** Returns the backend. */
  function establish(): string {
    const ask = udpTo(f.vip);
    const there = where(lb.client(ask).frame) as string;
    lb.server(ethernet({}, ip({ src: there, dst: f.client }, udp({ sport: 5353, dport: PORT, payload: 9 }))));
    expect(lb.client(ask).counts).toContain('load-balancer promoted');
    return there;
  }

  test.each([
    ['as it begins', 0],
    ['once it is established', 1],
  ])('moves at once, %s', (_name, isEstablished) => {
    lb.set(both, keeper);
    const ask = udpTo(f.vip);
    const before = isEstablished ? establish() : (where(lb.client(ask).frame) as string);
    lb.set(without(both, before));
    const moved = lb.client(ask);
    expect(moved.counts).toContain('load-balancer repicked');
    expect(where(moved.frame)).toBe(before === f.backend ? second : f.backend);
    const stays = lb.client(ask);
    expect(stays.counts).not.toContain('load-balancer repicked');
    expect(where(stays.frame)).toBe(where(moved.frame));
  });

  test('those of the other Service stay, and so do those of a backend that is terminating', () => {
    lb.set(both, keeper);
    const there = where(lb.client(udpTo(other)).frame) as string;
    lb.set(without(both, there));
    for (let i = 0; i < 3; i++) {
      const stays = lb.client(udpTo(other));
      expect(where(stays.frame)).toBe(there);
      expect(stays.counts).not.toContain('load-balancer repicked');
    }
    const ends = (service: Service): Service => ({
      ...service,
      backends: service.backends.map((one) =>
        one.address === there ? { ...one, state: 'Terminating' } : one,
      ),
    });
    lb.set(both);
    lb.set(without(both, there), ends(keeper));
    expect(where(lb.client(udpTo(other)).frame)).toBe(there);
  });

  test('without a Service at its address the packet passes as it is', () => {
    lb.set(both, keeper);
    establish();
    lb.remove('web');
    expect(lb.client(udpTo(f.vip))).toMatchObject({
      counts: ['load-balancer passed', 'load-balancer repicked'],
      seen: { port: SERVER },
    });
  });

  test('streams go on where they are', () => {
    lb.set(both, keeper);
    const open = ethernet({}, ip({ src: f.client, dst: f.vip }, tcp({ sport: PORT, dport: 80, flags: 'S' })));
    const before = where(lb.client(open).frame) as string;
    lb.set(without(both, before));
    expect(where(lb.client(open).frame)).toBe(before);
  });

  test('a dry run tells where it would go, and moves nobody', () => {
    lb.set(both, keeper);
    const before = where(lb.client(udpTo(f.vip)).frame) as string;
    lb.set(without(both, before));
    const halves = lb.halves();
    lb.client(udpTo(f.vip), { dry: true });
    expect(lb.halves()).toEqual(halves);
  });
});

test('reclaim removes what has expired, and only that', () => {
  const [[, four], [, six]] = FAMILIES;
  connect(four);
  lb.age(90000);
  connect(six);
  const program = lb.cube.object.program('reclaim_established');
  const result = program.testRun({ ctxIn: Buffer.alloc(24) }).ctxOut;
  expect([result.readBigUInt64LE(0), result.readBigUInt64LE(8)]).toEqual([4n, 2n]);
  expect(lb.halves().map((half) => half.src.includes(':'))).toEqual([true, true]);
});
