// SPDX-License-Identifier: Apache-2.0
/** Who serves a new connection, and who gets none: picks, affinity, conflicts, source ranges, refusals. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Backend } from '../../src/api/generated/types.ts';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { type RunResult, u32, Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, sctp, sctpChunk, type Tcp, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  [
    'IPv4',
    { client: '10.244.1.5', other: '10.244.9.5', vip: '10.96.0.10', vip2: '10.96.0.11', net: '10.244.2.' },
  ],
  [
    'IPv6',
    { client: 'fd00:1::5', other: 'fd00:9::5', vip: 'fd00:96::10', vip2: 'fd00:96::11', net: 'fd00:2::' },
  ],
] as const;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
});
afterAll(() => lb.close());
beforeEach(() => {
  lb.clear();
  for (const name of ['a', 'b', 'c']) lb.remove(name);
});

const syn = (src: string, dst: string, o: Partial<Tcp> = {}) =>
  ethernet({}, ip({ src, dst }, tcp({ sport: 40000, dport: 80, flags: 'S', ...o })));
const target = (result: RunResult) => dissect(result.frame).ip?.dst ?? '';

describe.each(FAMILIES)('%s', (_, f) => {
  const three = (weights: readonly number[]) =>
    weights.map((weight, i) => backend(`${f.net}${i + 1}`, { weight }));

  test('Random follows the weights; weight 0 gets nothing', () => {
    const weights = [100, 50, 10, 0];
    lb.set(service('a', [frontend([f.vip])], three(weights)));
    const total = 3200;
    lb.enter(CLIENT);
    for (let i = 0; i < total; i++) lb.chain.measure(syn(f.client, f.vip, { sport: 1024 + i }), 1);
    const seen = new Map<string, number>();
    for (const { reverse, src } of lb.halves()) if (reverse) seen.set(src, (seen.get(src) ?? 0) + 1);
    expect([...seen.values()].reduce((sum, count) => sum + count)).toBe(total);
    // chi-square with 2 degrees of freedom: above 20.7 once in 30,000
    const chi = weights.slice(0, 3).reduce((sum, weight, i) => {
      const expected = (total * weight) / 160;
      return sum + ((seen.get(`${f.net}${i + 1}`) ?? 0) - expected) ** 2 / expected;
    }, 0);
    expect(chi).toBeLessThan(20.7);
    expect(seen.get(`${f.net}4`)).toBeUndefined();
  });

  test('Maglev: two nodes agree whatever their ids, also in the middle of a connection', async () => {
    const other = await Balancer.open({ node: 'node-b' });
    const frontends = [frontend([f.vip], { algorithm: 'Maglev' })];
    // the other node has given its first ids to backends of another service
    other.set(service('b', [frontend([f.vip2])], [backend(`${f.net}77`), backend(`${f.net}78`)]));
    lb.set(service('a', frontends, three([1, 1, 2])));
    other.set(service('a', frontends, three([1, 1, 2]).reverse()));
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const opening = syn(f.client, f.vip, { sport: 2000 + i });
      const here = target(lb.client(opening));
      expect(target(other.client(opening))).toBe(here);
      seen.add(here);
      const middle = syn(f.other, f.vip, { sport: 2000 + i, flags: 'A', seq: 9, ack: 9 });
      const late = other.client(middle);
      expect(late.counts).toContain('load-balancer newSessions');
      expect(target(lb.client(middle))).toBe(target(late));
    }
    expect(seen.size).toBe(3);
    other.close();
  });

  test('a session found in the middle is established when the backend goes on with it', () => {
    lb.set(service('a', [frontend([f.vip], { algorithm: 'Maglev' })], three([1])));
    const data = syn(f.client, f.vip, { flags: 'A', seq: 9, ack: 9 });
    const back = (flags: string) =>
      ethernet({}, ip({ src: `${f.net}1`, dst: f.client }, tcp({ sport: 8080, dport: 40000, flags })));
    lb.client(data);
    lb.server(back('R'));
    expect(lb.client(data).counts).not.toContain('load-balancer promoted');
    lb.server(back('A'));
    expect(lb.client(data).counts).toContain('load-balancer promoted');
  });

  test('one client port to two frontends that share a backend', () => {
    const shared = [backend(`${f.net}1`)];
    lb.set(service('a', [frontend([f.vip])], shared), service('b', [frontend([f.vip2])], shared));
    const first = lb.client(syn(f.client, f.vip));
    const second = lb.client(syn(f.client, f.vip2));
    expect(second.counts).toContain('load-balancer sourcePortChanged');
    expect(second.counts).toContain('load-balancer conflicts');
    expect(verifyChecksums(second.frame)).toEqual([]);
    const port = dissect(second.frame).ip?.tcp?.sport ?? 0;
    expect(dissect(first.frame).ip?.tcp?.sport).toBe(40000);
    expect(port).not.toBe(40000);
    expect(port).toBeGreaterThanOrEqual(1024);
    for (const [sport, vip] of [
      [40000, f.vip],
      [port, f.vip2],
    ] as const) {
      const reply = lb.server(
        ethernet(
          {},
          ip(
            { src: `${f.net}1`, dst: f.client },
            tcp({ sport: 8080, dport: sport, flags: 'SA', seq: 70, ack: 1001 }),
          ),
        ),
      );
      expect(dissect(reply.frame).ip).toMatchObject({
        src: vip,
        dst: f.client,
        tcp: { sport: 80, dport: 40000 },
      });
      expect(verifyChecksums(reply.frame)).toEqual([]);
      const ack = lb.client(syn(f.client, vip, { flags: 'A', ack: 71 }));
      expect(ack.counts).toContain('load-balancer promoted');
      expect(dissect(ack.frame).ip?.tcp?.sport).toBe(sport);
    }
  });

  test('a conflict is first solved by another backend', () => {
    lb.set(
      service('a', [frontend([f.vip])], [backend(`${f.net}1`)]),
      service(
        'b',
        [frontend([f.vip2], { algorithm: 'Maglev' })],
        [backend(`${f.net}1`), backend(`${f.net}2`)],
      ),
    );
    let solved = 0;
    for (let i = 0; i < 50; i++) {
      lb.client(syn(f.client, f.vip, { sport: 3000 + i }));
      const second = lb.client(syn(f.client, f.vip2, { sport: 3000 + i }));
      expect(second.drops).toEqual([]);
      if (second.counts.includes('load-balancer conflicts')) solved++;
      if (!second.counts.includes('load-balancer sourcePortChanged'))
        expect(target(second)).toBe(`${f.net}2`);
    }
    expect(solved).toBeGreaterThan(10);
  });

  test('ClientIP: a client keeps its backend until the affinity times out', () => {
    const sticky = frontend([f.vip], { affinity: { type: 'ClientIP', timeoutSeconds: 100 } });
    lb.set(service('a', [sticky], three([1, 1, 1, 1, 1, 1, 1, 1])));
    const first = target(lb.client(syn(f.client, f.vip, { sport: 5000 })));
    for (let i = 1; i < 40; i++) {
      const next = lb.client(syn(f.client, f.vip, { sport: 5000 + i }));
      expect(target(next)).toBe(first);
      expect(next.counts).toContain('load-balancer affinityHits');
    }
    const map = lb.cube.map('affinity');
    const { keys, values } = map.dumpSync();
    values.writeUInt32LE((values.readUInt32LE(8) - 101) >>> 0, 8);
    map.updateBatchSync(keys, values);
    expect(lb.client(syn(f.client, f.vip, { sport: 6000 })).counts).not.toContain(
      'load-balancer affinityHits',
    );
    // a backend that takes no new connections loses its clients
    const now = target(lb.client(syn(f.client, f.vip, { sport: 6001 })));
    lb.set(
      service(
        'a',
        [sticky],
        three([1, 1, 1, 1, 1, 1, 1, 1]).map((one) =>
          one.address === now ? { ...one, state: 'Terminating' } : one,
        ),
      ),
    );
    const moved = lb.client(syn(f.client, f.vip, { sport: 6002 }));
    expect(target(moved)).not.toBe(now);
    expect(moved.counts).not.toContain('load-balancer affinityHits');
  });

  test('ClientIP with Maglev: a client whose affinity has ended is free to get another backend', () => {
    const sticky = frontend([f.vip], {
      algorithm: 'Maglev',
      affinity: { type: 'ClientIP', timeoutSeconds: 100 },
    });
    lb.set(service('a', [sticky], three([1, 1, 1, 1, 1, 1, 1, 1])));
    const map = lb.cube.map('affinity');
    const backends = Array.from({ length: 30 }, (_, i) => {
      const first = target(lb.client(syn(f.client, f.vip, { sport: 5000 + i })));
      expect(target(lb.client(syn(f.client, f.vip, { sport: 6000 + i })))).toBe(first);
      const { keys, values } = map.dumpSync();
      values.writeUInt32LE((values.readUInt32LE(8) - 101) >>> 0, 8);
      map.updateBatchSync(keys, values);
      return first;
    });
    // all eight of them but once in some 10 ^ 9 runs would be too much to ask of 30; four are
    expect(new Set(backends).size).toBeGreaterThanOrEqual(4);
  });

  test('ClientIP: a backend that only another service still sends to loses its clients', () => {
    const sticky = frontend([f.vip], { affinity: { type: 'ClientIP', timeoutSeconds: 100 } });
    const [one, two] = three([1, 1]) as [Backend, Backend];
    const elsewhere = service('b', [frontend([f.vip2])], [one]);
    lb.set(service('a', [sticky], [one]), elsewhere);
    expect(target(lb.client(syn(f.client, f.vip, { sport: 5000 })))).toBe(one.address);
    lb.set(service('a', [sticky], [{ ...one, state: 'Terminating' }, two]), elsewhere);
    const moved = lb.client(syn(f.client, f.vip, { sport: 5001 }));
    expect(target(moved)).toBe(two.address);
    expect(moved.counts).not.toContain('load-balancer affinityHits');
  });

  test('terminating backends take no connections, but those that serve do where nothing is ready', () => {
    lb.set(
      service(
        'a',
        [frontend([f.vip])],
        [
          backend(`${f.net}1`, { state: 'Terminating' }),
          backend(`${f.net}2`, { state: 'Serving' }),
          backend(`${f.net}3`, { state: 'NotReady' }),
        ],
      ),
    );
    for (let i = 0; i < 20; i++) {
      expect(target(lb.client(syn(f.client, f.vip, { sport: 5000 + i })))).toBe(`${f.net}2`);
    }
  });

  test('clients outside the source ranges are dropped', () => {
    const prefix = f.client.includes(':') ? 'fd00:1::/64' : '10.244.1.0/24';
    const ranged = frontend([f.vip], { sourceRanges: [prefix], scope: 'LoadBalancer' });
    lb.set(service('a', [ranged], three([1])));
    expect(lb.client(syn(f.client, f.vip)).drops).toEqual([]);
    expect(lb.client(syn(f.other, f.vip))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer SourceNotAllowed'],
    });
    lb.set(service('a', [frontend([f.vip], { scope: 'LoadBalancer' })], three([1])));
    expect(lb.client(syn(f.other, f.vip)).drops).toEqual([]);
  });

  test('a source range of all of one family lets in no client of the other', () => {
    const [own, foreign] = f.client.includes(':') ? ['::/0', '0.0.0.0/0'] : ['0.0.0.0/0', '::/0'];
    const ranged = (...sourceRanges: string[]) => {
      const [here, elsewhere] = [f.vip, f.vip.includes(':') ? '10.96.0.77' : 'fd00:96::77'];
      const both = frontend([here, elsewhere], { sourceRanges, scope: 'LoadBalancer' });
      lb.set(service('a', [both], three([1])));
    };
    ranged(foreign);
    expect(lb.client(syn(f.client, f.vip)).drops).toEqual(['load-balancer SourceNotAllowed']);
    ranged(foreign, own);
    expect(lb.client(syn(f.client, f.vip)).drops).toEqual([]);
    ranged(own);
    expect(lb.client(syn(f.other, f.vip)).drops).toEqual([]);
  });

  test('without backends: RST for TCP, unreachable for UDP and SCTP, or silence', () => {
    const ports = [
      frontend([f.vip]),
      frontend([f.vip], { name: 'u', protocol: 'UDP' }),
      frontend([f.vip], { name: 's', protocol: 'SCTP' }),
    ];
    lb.set(service('a', ports, []));
    const tcpResult = lb.client(syn(f.client, f.vip, { seq: 41 }));
    expect(tcpResult).toMatchObject({ drops: ['load-balancer NoBackend'], seen: { port: CLIENT } });
    expect(tcpResult.counts).toEqual(['load-balancer rejected']);
    expect(dissect(tcpResult.frame).ip).toMatchObject({ src: f.vip, dst: f.client, tcp: { ack: 42 } });
    const v6 = f.vip.includes(':');
    for (const layer4 of [
      udp({ sport: 9, dport: 80, payload: 30 }),
      sctp({ sport: 9, dport: 80, chunks: [sctpChunk(1, Buffer.alloc(16))] }),
    ]) {
      const result = lb.client(ethernet({}, ip({ src: f.client, dst: f.vip }, layer4)));
      expect(result.drops).toEqual(['load-balancer NoBackend']);
      expect(result.seen?.port).toBe(CLIENT);
      expect(dissect(result.frame).ip).toMatchObject({
        src: f.vip,
        dst: f.client,
        icmp: v6 ? { type: 1, code: 4 } : { type: 3, code: 3 },
      });
      expect(verifyChecksums(result.frame)).toEqual([]);
    }
    lb.set(service('a', [frontend([f.vip], { noBackends: 'Drop' })], []));
    const silent = lb.client(syn(f.client, f.vip));
    expect(silent).toMatchObject({ verdict: Verdict.drop, drops: ['load-balancer NoBackend'], counts: [] });
    expect(silent.seen).toBeUndefined();
  });

  test('refusals are limited', async () => {
    const strict = await Balancer.open({ spec: { rejects: { errorsPerSecond: 1, burst: 2 } } });
    strict.set(service('a', [frontend([f.vip])], []));
    const results = Array.from({ length: 5 }, (_, i) =>
      strict.client(syn(f.client, f.vip, { sport: 100 + i })),
    );
    expect(results.map(({ counts }) => counts[0])).toEqual([
      'load-balancer rejected',
      'load-balancer rejected',
      'load-balancer rejectSuppressed',
      'load-balancer rejectSuppressed',
      'load-balancer rejectSuppressed',
    ]);
    expect(results.at(-1)).toMatchObject({ verdict: Verdict.drop, drops: ['load-balancer NoBackend'] });
    strict.close();
  });

  test('traffic policy Local: only backends of this node, silence where they are elsewhere', () => {
    const local = frontend([f.vip], { trafficPolicy: 'Local' });
    const [here, there] = [backend(`${f.net}1`), backend(`${f.net}2`, { node: 'node-b' })];
    lb.set(service('a', [local], [here, there]));
    for (let i = 0; i < 20; i++) {
      expect(target(lb.client(syn(f.client, f.vip, { sport: 5000 + i })))).toBe(here.address);
    }
    lb.set(service('a', [local], [there]));
    expect(lb.client(syn(f.client, f.vip))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer NoLocalBackend'],
    });
    lb.set(service('a', [local], []));
    expect(lb.client(syn(f.client, f.vip)).counts).toEqual(['load-balancer rejected']);
  });

  test('SCTP to another port is refused in user space, and never sent on by the program', () => {
    const sig = frontend([f.vip], { protocol: 'SCTP', port: 2905 });
    const problems = lb.set(service('a', [sig], [backend(`${f.net}1`, { port: 2906 })]));
    expect(problems).toMatchObject([{ reason: 'SctpPortChange' }]);
    expect(problems[0]?.message).toContain('default/a');
    lb.set(service('a', [sig], [backend(`${f.net}1`, { port: 2905 })]));
    const { keys, values } = lb.cube.map('backends').dumpSync();
    for (let at = 0; at < values.length; at += 32) values.writeUInt16BE(2906, at + 16);
    lb.cube.map('backends').updateBatchSync(keys, values);
    const init = sctp({ sport: 9, dport: 2905, chunks: [sctpChunk(1, Buffer.alloc(16))] });
    expect(lb.client(ethernet({}, ip({ src: f.client, dst: f.vip }, init))).drops).toEqual([
      'load-balancer SctpPortChange',
    ]);
    for (let at = 0; at < values.length; at += 32) values.writeUInt16BE(2905, at + 16);
    lb.cube.map('backends').updateBatchSync(keys, values);
  });

  test('a pick of a row that is free is a counted drop', () => {
    lb.set(service('a', [frontend([f.vip])], three([1])));
    const { keys, values, count } = lb.cube.map('picks').dumpSync();
    const kept = Buffer.from(values);
    for (let i = 0; i < count; i++) values.writeUInt32LE(900, i * 4);
    lb.cube.map('picks').updateBatchSync(keys, values);
    expect(lb.client(syn(f.client, f.vip)).drops).toEqual(['load-balancer BackendInvalid']);
    lb.cube.map('picks').updateBatchSync(keys, kept);
  });

  test('no free source port: a counted drop', () => {
    lb.set(
      service('a', [frontend([f.vip])], [backend(`${f.net}1`)]),
      service('b', [frontend([f.vip2], { name: '' })], [backend(`${f.net}1`)]),
      service(
        'c',
        [frontend([f.vip2], { protocol: 'SCTP' }), frontend([f.vip], { protocol: 'SCTP' })],
        [backend(`${f.net}1`, { port: 80 })],
      ),
    );
    // SCTP ports cannot be changed, so a second frontend of the same backend has no way
    const init = (dst: string) =>
      ethernet(
        {},
        ip({ src: f.client, dst }, sctp({ sport: 9, dport: 80, chunks: [sctpChunk(1, Buffer.alloc(16))] })),
      );
    expect(lb.client(init(f.vip)).drops).toEqual([]);
    expect(lb.client(init(f.vip2))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer ReverseConflict'],
    });
  });
});

test('frontends of other scopes are not served', async () => {
  const inner = await Balancer.open({ spec: { scopes: ['ClusterIP'] } });
  inner.set(
    service(
      'a',
      [frontend(['10.96.0.10']), frontend(['198.51.100.7'], { scope: 'LoadBalancer' })],
      [backend('10.244.2.1')],
    ),
  );
  expect(inner.client(syn('10.244.1.5', '10.96.0.10')).counts).toContain('load-balancer newSessions');
  expect(inner.client(syn('10.244.1.5', '198.51.100.7'))).toMatchObject({
    counts: ['load-balancer passed'],
    seen: { port: SERVER },
  });
  inner.close();
});

test('frontends of a service that is gone are gone', () => {
  lb.set(service('a', [frontend(['10.96.0.10'])], [backend('10.244.2.1')]));
  lb.remove('a');
  expect(lb.client(syn('10.244.1.5', '10.96.0.10')).counts).toEqual(['load-balancer passed']);
  expect(lb.cube.map('frontends').dumpSync().count).toBe(0);
  expect(lb.cube.map('backends').lookup(u32(0))).toBeDefined();
});
