// SPDX-License-Identifier: Apache-2.0
/** ICMP errors about translated packets (RFC 5508), and fragments. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { echo, ethernet, fragments, icmp, icmpError, ip, type Layer4, tcp, udp } from './support/packet.ts';
import { INSIDE, OUTSIDE, Translator } from './support/translator.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      client: '10.244.1.5',
      server: '10.244.2.7',
      own: '198.51.100.10',
      peer: '203.0.113.7',
      way: '192.0.2.77',
      inner: '10.244.0.1',
      unreachable: [3, 3],
    },
  ],
  [
    'IPv6',
    {
      client: 'fd00:244:1::5',
      server: 'fd00:244:2::7',
      own: '2001:db8::10',
      peer: '2001:db8:7::7',
      way: '2001:db8:77::77',
      inner: 'fd00:244::1',
      unreachable: [1, 4],
    },
  ],
] as const;

let nat: Translator;
beforeAll(async () => {
  nat = await Translator.open({
    spec: {
      forwardRules: FAMILIES.map(([, { server }]) => ({
        sources: [],
        protocol: 'UDP' as const,
        port: 53,
        target: { address: server, port: 5353 },
      })),
    },
  });
});
afterAll(() => nat.close());
beforeEach(() => nat.clear());

const packet = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));
/** The IP packet of a frame, cut after `length` bytes. */
const quote = (frame: Uint8Array, length = 48) => frame.subarray(14, 14 + length);

describe.each(FAMILIES)('%s', (_, f) => {
  const v6 = f.client.includes(':');
  const [type, code] = f.unreachable;
  const error = (src: string, dst: string, quoted: Uint8Array) =>
    packet(src, dst, icmpError(type, code, quoted));
  const long = v6 ? 200 : 100;

  test.each([
    ['TCP', tcp({ sport: 4000, dport: 80, flags: 'S' }), 'tcp'],
    ['UDP', udp({ sport: 4000, dport: 80, payload: 40 }), 'udp'],
    ['echo', echo({ id: 4000, v6 }), 'icmp'],
  ] as const)('an error about %s reaches the client with its own packet in it', (_, l4, kind) => {
    const sent = nat.inside(packet(f.client, f.peer, l4)).frame;
    for (const from of [f.peer, f.way]) {
      for (const length of [v6 ? 48 : 28, long]) {
        const result = nat.outside(error(from, f.own, quote(sent, length)));
        expect(result).toMatchObject({ drops: [], seen: { port: INSIDE } });
        const found = dissect(result.frame).ip;
        expect(found).toMatchObject({
          src: from,
          dst: f.client,
          quoted: { src: f.client, dst: f.peer },
        });
        if (kind === 'icmp') expect((found?.quoted?.icmp?.rest ?? 0) >>> 16).toBe(4000);
        else expect(found?.quoted?.body.readUInt16BE(0)).toBe(4000);
        expect(verifyChecksums(result.frame).filter((what) => !what.includes('quoted'))).toEqual([]);
      }
    }
  });

  test('an error from the inside about a forwarded packet speaks with the outside address', () => {
    const sent = nat.outside(packet(f.peer, f.own, udp({ sport: 4000, dport: 53, payload: 40 }))).frame;
    for (const from of [f.server, f.inner]) {
      const result = nat.inside(error(from, f.peer, quote(sent, long)));
      expect(result).toMatchObject({ drops: [], seen: { port: OUTSIDE } });
      const found = dissect(result.frame).ip;
      expect(found).toMatchObject({ src: f.own, dst: f.peer, quoted: { src: f.peer, dst: f.own } });
      expect(found?.quoted?.body.readUInt16BE(2)).toBe(53);
      expect(verifyChecksums(result.frame).filter((what) => !what.includes('quoted'))).toEqual([]);
    }
  });

  test('an error of a hairpin is turned back on both sides', () => {
    const sent = nat.inside(packet(f.client, f.own, udp({ sport: 4000, dport: 53, payload: 40 }))).frame;
    const result = nat.inside(error(f.server, f.own, quote(sent, long)));
    expect(result).toMatchObject({ drops: [], seen: { port: INSIDE } });
    const found = dissect(result.frame).ip;
    expect(found).toMatchObject({ src: f.own, dst: f.client, quoted: { src: f.client, dst: f.own } });
    expect(found?.quoted?.body.readUInt16BE(0)).toBe(4000);
    expect(found?.quoted?.body.readUInt16BE(2)).toBe(53);
    expect(verifyChecksums(result.frame).filter((what) => !what.includes('quoted'))).toEqual([]);
  });

  test('an error changes no session, and without one it is dropped', () => {
    const sent = nat.inside(packet(f.client, f.peer, udp({ sport: 4000, dport: 80, payload: 40 }))).frame;
    const before = nat.halves();
    nat.outside(error(f.way, f.own, quote(sent)));
    expect(nat.halves()).toEqual(before);
    nat.clear();
    expect(nat.outside(error(f.way, f.own, quote(sent))).drops).toEqual(['nat NoSession']);
    const inner = packet(f.peer, f.client, udp({ sport: 1, dport: 2, payload: 40 }));
    expect(nat.inside(error(f.client, f.peer, quote(inner))).drops).toEqual(['nat NoSession']);
  });

  test.each([
    ['UDP', udp({ sport: 4000, dport: 80, payload: 3000 })],
    ['echo', echo({ id: 4000, v6, payload: 3000 })],
  ] as const)('fragments of %s go the way of the first one, and only after it', (_, l4) => {
    const [first, second, third] = fragments({ src: f.client, dst: f.peer }, l4, 1400, v6 ? 99 : 98) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    expect(nat.inside(second).drops).toEqual(['nat FragmentWithoutFirst']);
    const frames = [first, second, third].map((frame) => {
      const result = nat.inside(frame);
      expect(result).toMatchObject({ drops: [], seen: { port: OUTSIDE } });
      expect(dissect(result.frame).ip).toMatchObject({ src: f.own, dst: f.peer });
      return result.frame;
    });
    const body = Buffer.concat(frames.map((frame) => dissect(frame).ip?.body ?? Buffer.alloc(0)));
    const whole = ethernet({}, ip({ src: f.own, dst: f.peer }, { protocol: l4.protocol, build: () => body }));
    expect(verifyChecksums(whole)).toEqual([]);
    expect(nat.halves()).toHaveLength(2);
    const id = l4.protocol === 17 ? body.readUInt16BE(0) : body.readUInt16BE(4);
    const reply =
      l4.protocol === 17
        ? udp({ sport: 80, dport: id, payload: 3000 })
        : echo({ id, reply: true, v6, payload: 3000 });
    for (const frame of fragments({ src: f.peer, dst: f.own }, reply, 1400, 77)) {
      const result = nat.outside(frame);
      expect(result).toMatchObject({ drops: [], seen: { port: INSIDE } });
      expect(dissect(result.frame).ip?.dst).toBe(f.client);
    }
  });

  test('what is neither echo nor error takes no part in the session of an echo with the identifier 0', () => {
    expect(nat.inside(packet(f.client, f.peer, echo({ id: 0, v6 }))).drops).toEqual([]);
    const other = icmp({ type: v6 ? 139 : 13, payload: 12, ...(v6 ? { v6 } : {}) });
    const unknown = packet(f.client, f.peer, other);
    expect(nat.inside(unknown).drops).toEqual(['nat NotTranslatable']);
    // a question to the NAT itself
    expect(nat.outside(packet(f.peer, f.own, echo({ id: 0, v6 })))).toMatchObject({
      drops: [],
      counts: ['nat echoReplies'],
    });
    const unasked = packet(f.client, f.peer, echo({ id: 0, reply: true, v6 }));
    expect(nat.inside(unasked).drops).toEqual(['nat NoSession']);
    expect(nat.inside(error(f.client, f.peer, quote(packet(f.peer, f.client, other)))).drops).toEqual([
      'nat NoSession',
    ]);
    const reply = quote(packet(f.peer, f.client, echo({ id: 0, reply: true, v6 })));
    expect(nat.inside(error(f.client, f.peer, reply))).toMatchObject({ drops: [], seen: { port: OUTSIDE } });
  });

  test('ICMP of the other family is not translated', () => {
    const foreign = packet(f.client, f.peer, { ...echo({ id: 7, v6: !v6 }), protocol: v6 ? 1 : 58 });
    expect(nat.inside(foreign).drops).toEqual(['nat NotTranslatable']);
  });

  test('a session that begins anew is not ended by a half that is left of its predecessor', () => {
    const ask = () => nat.outside(packet(f.peer, f.own, udp({ sport: 4000, dport: 53, payload: 8 })));
    const answer = () => nat.inside(packet(f.server, f.peer, udp({ sport: 5353, dport: 4000, payload: 8 })));
    ask();
    answer();
    expect(ask().counts).toContain('nat promoted');
    nat.age(3600);
    nat.remove((half) => !half.reply); // reclaimed a moment before the other one, which is a little younger
    expect(ask().counts).toContain('nat newSessions');
    const result = answer();
    expect(result).toMatchObject({ drops: [], counts: ['nat reverseTranslated'] });
    expect(dissect(result.frame).ip).toMatchObject({ src: f.own, udp: { sport: 53 } });
  });

  test('a later fragment whose session is gone is dropped', () => {
    const l4 = udp({ sport: 4001, dport: 80, payload: 3000 });
    const [first, second] = fragments({ src: f.client, dst: f.peer }, l4, 1400, 55) as [Buffer, Buffer];
    nat.inside(first);
    nat.clear();
    expect(nat.inside(second).drops).toEqual(['nat NoSession']);
  });
});
