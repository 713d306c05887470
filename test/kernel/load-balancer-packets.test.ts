// SPDX-License-Identifier: Apache-2.0
/** Packets that need care: ICMP errors, fragments, a backend that reaches itself, segments not cut yet. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { echo, ethernet, fragments, icmpError, ip, type Tcp, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      client: '10.244.1.5',
      vip: '10.96.0.10',
      backend: '10.244.2.7',
      router: '10.244.2.1',
      self: '169.254.99.1',
    },
  ],
  [
    'IPv6',
    {
      client: 'fd00:1::5',
      vip: 'fd00:96::10',
      backend: 'fd00:2::7',
      router: 'fd00:2::1',
      self: 'fd00:c0be::1',
    },
  ],
] as const;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
});
afterAll(() => lb.close());
beforeEach(() => {
  lb.clear();
  const vips = FAMILIES.map(([, f]) => f.vip);
  lb.set(
    service(
      'web',
      [frontend(vips), frontend(vips, { name: 'dns', port: 53, protocol: 'UDP' })],
      FAMILIES.map(([, f]) =>
        backend(f.backend, {
          ports: [
            { name: '', port: 8080 },
            { name: 'dns', port: 5353 },
          ],
        }),
      ),
    ),
  );
});

describe.each(FAMILIES)('%s', (name, f) => {
  const v6 = name === 'IPv6';
  const there = { src: f.client, dst: f.vip };
  const ask = (size = 20) => udp({ sport: 40000, dport: 53, payload: size });
  const unreachable = (quoted: Uint8Array) => icmpError(v6 ? 1 : 3, v6 ? 4 : 3, quoted);
  const quote = (frame: Uint8Array) => Buffer.from(frame.subarray(14));

  test.each([
    ['the backend', f.backend],
    ['a router on the way', f.router],
  ])('an ICMP error of %s about a translated packet reaches the client', (_, sender) => {
    const out = lb.client(ethernet({}, ip(there, ask())));
    const error = lb.server(ethernet({}, ip({ src: sender, dst: f.client }, unreachable(quote(out.frame)))));
    expect(error).toMatchObject({ drops: [], seen: { port: CLIENT } });
    expect(verifyChecksums(error.frame)).toEqual([]);
    const packet = dissect(error.frame).ip;
    // the router speaks for itself; the backend is known to the client only as the service
    expect(packet).toMatchObject({ src: sender === f.backend ? f.vip : sender, dst: f.client });
    expect(packet?.quoted).toMatchObject({ ...there, udp: { sport: 40000, dport: 53 } });
  });

  test('an ICMP error of the client about a reply reaches the backend', () => {
    lb.client(ethernet({}, ip(there, ask())));
    const reply = lb.server(
      ethernet({}, ip({ src: f.backend, dst: f.client }, udp({ sport: 5353, dport: 40000, payload: 30 }))),
    );
    const error = lb.client(ethernet({}, ip(there, unreachable(quote(reply.frame)))));
    expect(error).toMatchObject({ drops: [], seen: { port: SERVER } });
    expect(verifyChecksums(error.frame)).toEqual([]);
    const packet = dissect(error.frame).ip;
    expect(packet).toMatchObject({ src: f.client, dst: f.backend });
    expect(packet?.quoted).toMatchObject({
      src: f.backend,
      dst: f.client,
      udp: { sport: 5353, dport: 40000 },
    });
    expect(lb.halves().every((half) => half.session.state.flags === 2)).toBe(true);
  });

  test('an ICMP error of no session is dropped when it is about a service, and passes otherwise', () => {
    const reply = ip({ src: f.vip, dst: f.client }, udp({ sport: 53, dport: 40000, payload: 30 }));
    expect(lb.client(ethernet({}, ip(there, unreachable(reply.bytes))))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer NoSession'],
    });
    const other = ip({ src: f.router, dst: f.client }, udp({ sport: 53, dport: 40000, payload: 30 }));
    const result = lb.client(ethernet({}, ip({ src: f.client, dst: f.router }, unreachable(other.bytes))));
    expect(result.counts).toEqual(['load-balancer passed']);
  });

  test('all fragments of a datagram go to one backend', () => {
    const parts = fragments(there, ask(200), 80);
    const results = parts.map((part) => lb.client(part));
    for (const [i, result] of results.entries()) {
      expect(result).toMatchObject({ drops: [], seen: { port: SERVER } });
      expect(dissect(result.frame).ip).toMatchObject({ dst: f.backend, offset: i * 80 });
    }
    // the content of the whole has the checksum of its new addresses
    const body = Buffer.concat(results.map(({ frame }) => dissect(frame).ip?.body ?? Buffer.alloc(0)));
    const whole = ethernet({}, ip({ src: f.client, dst: f.backend }, { protocol: 17, build: () => body }));
    expect(verifyChecksums(whole)).toEqual([]);
    expect(dissect(whole).ip?.udp?.dport).toBe(5353);
    const back = fragments(
      { src: f.backend, dst: f.client },
      udp({ sport: 5353, dport: 40000, payload: 100 }),
      64,
      99,
    );
    for (const part of back) expect(dissect(lb.server(part).frame).ip?.src).toBe(f.vip);
  });

  test.each([
    ['client', CLIENT],
    ['server', SERVER],
  ])('a later fragment without its first is dropped: %s side', (_, port) => {
    const [, later] = fragments(there, ask(200), 80, 1000 + port);
    const side = port === CLIENT ? lb.client.bind(lb) : lb.server.bind(lb);
    expect(side(later ?? Buffer.alloc(0))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['load-balancer FragmentWithoutFirst'],
    });
  });

  test('a backend reaches itself through its service', () => {
    const own = (o: Partial<Tcp>) =>
      ethernet({}, ip({ src: f.backend, dst: f.vip }, tcp({ sport: 40000, dport: 80, ...o })));
    const answer = (o: Partial<Tcp>) =>
      ethernet({}, ip({ src: f.backend, dst: f.self }, tcp({ sport: 8080, dport: 40000, ...o })));
    const syn = lb.client(own({ flags: 'S', seq: 1 }));
    expect(syn).toMatchObject({ drops: [], seen: { port: CLIENT } }); // back where it came from
    expect(syn.counts).toContain('load-balancer hairpins');
    expect(dissect(syn.frame).ip).toMatchObject({
      src: f.self,
      dst: f.backend,
      tcp: { sport: 40000, dport: 8080 },
    });
    expect(verifyChecksums(syn.frame)).toEqual([]);
    const back = lb.client(answer({ flags: 'SA', seq: 50, ack: 2 }));
    expect(back).toMatchObject({ drops: [], seen: { port: CLIENT } });
    expect(dissect(back.frame).ip).toMatchObject({
      src: f.vip,
      dst: f.backend,
      tcp: { sport: 80, dport: 40000 },
    });
    expect(verifyChecksums(back.frame)).toEqual([]);
    expect(lb.client(own({ flags: 'A', seq: 2, ack: 51 })).counts).toContain('load-balancer promoted');
    const later = lb.client(answer({ flags: 'A', seq: 51, ack: 2 }));
    expect(dissect(later.frame).ip).toMatchObject({ src: f.vip, dst: f.backend });
    const error = lb.client(ethernet({}, ip({ src: f.backend, dst: f.self }, unreachable(quote(syn.frame)))));
    expect(verifyChecksums(error.frame)).toEqual([]);
    expect(dissect(error.frame).ip).toMatchObject({
      src: f.vip,
      dst: f.backend,
      quoted: { src: f.backend, dst: f.vip, tcp: { sport: 40000, dport: 80 } },
    });
  });

  test('segments of a large send stay one packet', () => {
    lb.client(ethernet({}, ip(there, tcp({ sport: 40000, dport: 80, flags: 'S' }))));
    const large = lb.client(
      ethernet({}, ip(there, tcp({ sport: 40000, dport: 80, flags: 'A', payload: 3000 }))),
      { gsoSize: 1000 },
    );
    expect(large.drops).toEqual([]);
    expect(dissect(large.frame).ip).toMatchObject({ dst: f.backend, tcp: { dport: 8080 } });
  });

  test('echo to a service address passes: a service is ports, not a host', () => {
    const ping = ethernet({}, ip(there, echo(v6 ? { v6 } : {})));
    const result = lb.client(ping);
    expect(result).toMatchObject({ counts: ['load-balancer passed'], seen: { port: SERVER } });
    expect(result.frame).toEqual(ping);
  });
});

test('frames that are no IP pass in both directions', () => {
  const frame = ethernet({}, Buffer.alloc(60));
  expect(lb.client(frame)).toMatchObject({ counts: ['load-balancer passed'], seen: { port: SERVER } });
  expect(lb.server(frame)).toMatchObject({ counts: ['load-balancer passed'], seen: { port: CLIENT } });
});

test('UDP without a checksum keeps none', () => {
  const [[, f]] = FAMILIES;
  const bare = ip({ src: f.client, dst: f.vip }, udp({ sport: 40000, dport: 53, payload: 20, checksum: 0 }));
  const result = lb.client(ethernet({}, bare));
  expect(dissect(result.frame).ip).toMatchObject({ dst: f.backend, udp: { checksum: 0 } });
});
