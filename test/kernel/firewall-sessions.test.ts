// SPDX-License-Identifier: Apache-2.0
/** Connections through the firewall: what passes by itself, how they end, and what a change of the rules does to them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dissect } from './support/dissect.ts';
import { FirewallChain, INSIDE, OUTSIDE, type RuleInput } from './support/firewall.ts';
import {
  echo,
  ethernet,
  fragments,
  icmp,
  icmpError,
  ip,
  type Layer4,
  sctp,
  sctpChunk,
  type Tcp,
  tcp,
  udp,
} from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { out: '198.51.100.7', in: '10.0.1.5', hop: '192.0.2.1', v6: false }],
  ['IPv6', { out: '2001:db8:7::7', in: 'fd00:1::5', hop: '2001:db8::1', v6: true }],
] as const;
type Family = (typeof FAMILIES)[number][1];

let fw: FirewallChain;
let strict: FirewallChain;
beforeAll(async () => {
  fw = await FirewallChain.open({});
  strict = await FirewallChain.open({ handshake: 'Strict', defaultActions: { ingress: 'Allow' } });
});
afterAll(() => {
  fw.close();
  strict.close();
});
beforeEach(() => {
  fw.set();
  fw.clear();
  strict.clear();
});

const out = (f: Family, l4: Layer4) => ethernet({}, ip({ src: f.in, dst: f.out }, l4));
const back = (f: Family, l4: Layer4) => ethernet({}, ip({ src: f.out, dst: f.in }, l4));
const up = (o: Partial<Tcp>): Layer4 => tcp({ sport: 40000, dport: 80, ...o });
const down = (o: Partial<Tcp>): Layer4 => tcp({ sport: 80, dport: 40000, ...o });
const tables = (chain = fw) => chain.sessions().map(({ table }) => table);

/** SYN, SYN-ACK, ACK of a connection from inside. */
function connect(f: Family) {
  fw.egress(out(f, up({ flags: 'S', seq: 100 })));
  fw.ingress(back(f, down({ flags: 'SA', seq: 5000, ack: 101 })));
  return fw.egress(out(f, up({ flags: 'A', seq: 101, ack: 5001 })));
}

describe.each(FAMILIES)('%s', (_, f) => {
  test('replies to what went out pass, where nothing may come in; one entry serves both directions', () => {
    expect(fw.ingress(back(f, down({ flags: 'SA' }))).drops).toEqual(['firewall DroppedByDefault']);
    fw.egress(out(f, up({ flags: 'S', seq: 100 })));
    expect(tables()).toEqual(['embryonic']);
    const reply = fw.ingress(back(f, down({ flags: 'SA', seq: 5000, ack: 101 })));
    expect(reply).toMatchObject({ drops: [], seen: { port: INSIDE }, counts: ['firewall known'] });
    const ack = fw.egress(out(f, up({ flags: 'A', seq: 101, ack: 5001 })));
    expect(ack.counts.sort()).toEqual(['firewall known', 'firewall promoted']);
    expect(tables()).toEqual(['established']);
    const data = fw.ingress(back(f, down({ flags: 'PA', seq: 5001, ack: 101, payload: 100 })));
    expect(data.counts).toEqual(['firewall known']);
    expect(fw.ingress(back(f, tcp({ sport: 81, dport: 40000 }))).drops).toEqual([
      'firewall DroppedByDefault',
    ]);
  });

  test('a connection from outside is found by both sides too', () => {
    fw.set(
      { action: 'Allow', ports: [{ protocol: 'TCP', port: 22 }] },
      { action: 'Drop', direction: 'Egress' },
    );
    const syn = tcp({ sport: 5, dport: 22, flags: 'S', seq: 9 });
    expect(fw.ingress(back(f, syn)).counts).toContain('firewall newSessions');
    const answer = tcp({ sport: 22, dport: 5, flags: 'SA', seq: 7, ack: 10 });
    expect(fw.egress(out(f, answer)).seen?.port).toBe(OUTSIDE);
    fw.ingress(back(f, tcp({ sport: 5, dport: 22, flags: 'A', seq: 10, ack: 8 })));
    expect(tables()).toEqual(['established']);
    expect(fw.egress(out(f, tcp({ sport: 23, dport: 5, flags: 'SA' }))).drops).toEqual([
      'firewall DroppedByRule',
    ]);
  });

  test('the reply alone establishes nothing, nor a wrong acknowledgement', () => {
    fw.egress(out(f, up({ flags: 'S', seq: 100 })));
    fw.ingress(back(f, down({ flags: 'SA', seq: 5000, ack: 101 })));
    fw.egress(out(f, up({ flags: 'A', seq: 101, ack: 5002 })));
    expect(tables()).toEqual(['embryonic']);
  });

  test.each(['F', 'R'])('%s shortens the timeout and deletes nothing; a SYN is a new connection', (flag) => {
    connect(f);
    fw.ingress(back(f, down({ flags: `${flag}A`, seq: 5001, ack: 101 })));
    expect(tables()).toEqual(['established']);
    expect(fw.egress(out(f, up({ flags: 'A', seq: 101, ack: 5002 }))).counts).toEqual(['firewall known']);
    // neither does a SYN that the rules refuse: it may be forged, as the packet before it
    expect(fw.ingress(back(f, down({ flags: 'S' }))).drops).toEqual(['firewall DroppedByDefault']);
    expect(tables()).toEqual(['established']);
    expect(fw.ingress(back(f, down({ flags: 'A', seq: 5002, ack: 101 }))).counts).toEqual(['firewall known']);
    expect(fw.egress(out(f, up({ flags: 'S', seq: 900 }))).counts).toContain('firewall newSessions');
    expect(tables()).toEqual(['embryonic']);
  });

  test('idle sessions expire by their state', () => {
    connect(f);
    fw.age(3600);
    expect(fw.ingress(back(f, down({ flags: 'A' }))).counts).toEqual(['firewall known']);
    fw.egress(out(f, up({ flags: 'FA', seq: 101, ack: 5001 })));
    fw.age(130);
    const late = fw.ingress(back(f, down({ flags: 'A' })));
    expect(late.drops).toEqual(['firewall DroppedByDefault']);
    expect(late.counts).toContain('firewall expired');
    expect(tables()).toEqual([]);
  });

  test('UDP: a reply passes; the second packet after it establishes', () => {
    const ask = out(f, udp({ sport: 4000, dport: 53, payload: 20 }));
    const answer = back(f, udp({ sport: 53, dport: 4000, payload: 60 }));
    expect(fw.ingress(answer).drops).toEqual(['firewall DroppedByDefault']);
    fw.egress(ask);
    expect(fw.ingress(answer).seen?.port).toBe(INSIDE);
    expect(tables()).toEqual(['embryonic']);
    expect(fw.egress(ask).counts).toContain('firewall promoted');
    fw.age(100);
    expect(fw.ingress(answer).seen?.port).toBe(INSIDE);
    fw.age(190);
    expect(fw.ingress(answer).drops).toEqual(['firewall DroppedByDefault']);
  });

  test('echo: replies of the same identifier pass', () => {
    const reply = (id: number) => back(f, echo({ id, reply: true, v6: f.v6 }));
    expect(fw.ingress(reply(7)).drops).toEqual(['firewall InvalidState']);
    fw.egress(out(f, echo({ id: 7, v6: f.v6 })));
    expect(fw.ingress(reply(7)).seen?.port).toBe(INSIDE);
    expect(fw.ingress(reply(8)).drops).toEqual(['firewall InvalidState']);
    expect(fw.ingress(back(f, echo({ id: 7, v6: f.v6 }))).drops).toEqual(['firewall DroppedByDefault']);
  });

  test('SCTP is established by the tag of the INIT ACK', () => {
    const chunk = (type: number, tag = 0) => {
      const value = Buffer.alloc(16);
      value.writeUInt32BE(tag, 0);
      return [sctpChunk(type, value)];
    };
    fw.egress(out(f, sctp({ sport: 1, dport: 2, chunks: chunk(1, 11) })));
    fw.ingress(back(f, sctp({ sport: 2, dport: 1, tag: 11, chunks: chunk(2, 22) })));
    fw.egress(out(f, sctp({ sport: 1, dport: 2, tag: 21, chunks: chunk(10) })));
    expect(tables()).toEqual(['embryonic']);
    fw.egress(out(f, sctp({ sport: 1, dport: 2, tag: 22, chunks: chunk(10) })));
    expect(tables()).toEqual(['established']);
  });

  test('an SCTP association whose beginning was not seen is established by an answer and what follows', () => {
    fw.set({ action: 'Allow', protocols: ['SCTP'] });
    const data = (sport: number, dport: number, type = 0) =>
      sctp({ sport, dport, tag: 7, chunks: [sctpChunk(type, Buffer.alloc(16))] });
    fw.egress(out(f, data(1, 2)));
    fw.ingress(back(f, data(2, 1)));
    expect(tables()).toEqual(['embryonic']);
    fw.egress(out(f, data(1, 2)));
    expect(tables()).toEqual(['established']);
    fw.egress(out(f, data(3, 2)));
    fw.ingress(back(f, data(2, 3, 6)));
    fw.egress(out(f, data(3, 2)));
    fw.egress(out(f, data(4, 2)));
    fw.ingress(back(f, data(2, 4, 14)));
    fw.egress(out(f, data(4, 2)));
    // an ABORT is no answer, nor a SHUTDOWN COMPLETE
    expect(tables().sort()).toEqual(['embryonic', 'embryonic', 'established']);
  });

  test('an ICMP error about a known connection is Related and passes, any other is Invalid', () => {
    connect(f);
    const quoted = (l4: Layer4) => ip({ src: f.in, dst: f.out }, l4).bytes;
    const error = (l4: Layer4) =>
      ethernet({}, ip({ src: f.hop, dst: f.in }, icmpError(f.v6 ? 1 : 3, f.v6 ? 3 : 1, quoted(l4))));
    const related = fw.ingress(error(up({ seq: 101 })));
    expect(related).toMatchObject({ seen: { port: INSIDE }, counts: ['firewall related'] });
    expect(fw.ingress(error(tcp({ sport: 40001, dport: 80 }))).drops).toEqual(['firewall InvalidState']);
    // quoted the other way round it is about a packet that never came through here
    const forged = ip({ src: f.out, dst: f.in }, down({})).bytes;
    const reversed = ethernet({}, ip({ src: f.hop, dst: f.in }, icmpError(f.v6 ? 1 : 3, 1, forged)));
    expect(fw.ingress(reversed).drops).toEqual(['firewall InvalidState']);
  });

  test('rules that name Related, Established or Invalid have the last word', () => {
    connect(f);
    fw.set({ action: 'Drop', states: ['Established'], direction: 'Both', protocols: ['TCP'] });
    expect(fw.ingress(back(f, down({ flags: 'A' }))).drops).toEqual(['firewall DroppedByRule']);
    fw.set({
      action: 'Drop',
      states: ['Related'],
      icmp: [{ family: f.v6 ? 'IPv6' : 'IPv4', type: f.v6 ? 1 : 3 }],
    });
    const quoted = ip({ src: f.in, dst: f.out }, up({})).bytes;
    const error = ethernet({}, ip({ src: f.hop, dst: f.in }, icmpError(f.v6 ? 1 : 3, 1, quoted)));
    expect(fw.ingress(error).drops).toEqual(['firewall DroppedByRule']);
    expect(fw.ingress(back(f, down({ flags: 'A' }))).seen?.port).toBe(INSIDE);
    fw.set({ action: 'Allow', states: ['Invalid'], protocols: ['TCP'] });
    const stray = back(f, tcp({ sport: 1, dport: 2, flags: 'R' }));
    expect(fw.ingress(stray).seen?.port).toBe(INSIDE);
    expect(fw.sessions().some(({ dport }) => dport === 1)).toBe(false); // it opens nothing
  });

  test.each(['', 'FS', 'FPU', 'R', 'RA', 'SR'])(
    'TCP flags "%s" without a connection are Invalid',
    (flags) => {
      fw.set({ action: 'Allow' });
      expect(fw.ingress(back(f, down({ flags }))).drops).toEqual(['firewall InvalidState']);
    },
  );

  test('the middle of an unknown connection is New with Loose, Invalid with Strict', () => {
    fw.set({ action: 'Allow', ports: [{ protocol: 'TCP', port: 40000 }] });
    expect(fw.ingress(back(f, down({ flags: 'PA', payload: 9 }))).counts).toContain('firewall newSessions');
    expect(fw.egress(out(f, up({ flags: 'A' }))).seen?.port).toBe(OUTSIDE);
    fw.ingress(back(f, down({ flags: 'A' })));
    expect(tables()).toEqual(['established']);
    expect(strict.ingress(back(f, down({ flags: 'PA' }))).drops).toEqual(['firewall InvalidState']);
    expect(strict.ingress(back(f, down({ flags: 'S' }))).seen?.port).toBe(INSIDE);
  });

  test('later fragments go the way of the first one', () => {
    const datagram = udp({ sport: 4000, dport: 53, payload: 3000 });
    const sent = fragments({ src: f.out, dst: f.in }, datagram, 1000, 77);
    const refused = sent.map((frame) => fw.ingress(frame).drops);
    expect(refused).toEqual([
      ['firewall DroppedByDefault'],
      ...sent.slice(1).map(() => ['firewall FragmentRefused']),
    ]);
    fw.set({ action: 'Allow', ports: [{ protocol: 'UDP', port: 53 }] });
    for (const frame of fragments({ src: f.out, dst: f.in }, datagram, 1000, 78))
      expect(fw.ingress(frame).seen?.port).toBe(INSIDE);
    const orphan = fragments({ src: f.out, dst: f.in }, datagram, 1000, 79)[1] as Buffer;
    expect(fw.ingress(orphan).drops).toEqual(['firewall FragmentWithoutFirst']);
  });

  test('later fragments of ICMP messages have no type that a rule could name, but they are of their protocol', () => {
    const family = f.v6 ? 'IPv6' : 'IPv4';
    const allow: RuleInput = { action: 'Allow', direction: 'Ingress' };
    const drop: RuleInput = { ...allow, action: 'Drop', states: ['Established'] };
    const types = (list: number[]) => list.map((type) => ({ family, type }) as const);
    const sent = () => fragments({ src: f.out, dst: f.in }, echo({ v6: f.v6, payload: 2500 }), 1000, ++id);
    let id = 90;
    fw.set(allow, { ...drop, icmp: types([0, 1, 128, 129, 255]) });
    const [first, ...later] = sent().map((frame) => fw.ingress(frame).drops);
    expect(first).toEqual([]); // it opens a session, as New
    expect(later).toEqual([[], []]);
    fw.clear();
    fw.set(allow, { ...drop, protocols: [f.v6 ? 'ICMPv6' : 'ICMP'] });
    const refused = [['firewall DroppedByRule'], ['firewall DroppedByRule']];
    expect(
      sent()
        .slice(1)
        .map((frame) => fw.ingress(frame).drops),
    ).toEqual([['firewall FragmentWithoutFirst'], ['firewall FragmentWithoutFirst']]);
    expect(
      sent()
        .map((frame) => fw.ingress(frame).drops)
        .slice(1),
    ).toEqual(refused);
  });

  test.each([
    ['TCP', () => down({ flags: 'S', payload: 2000 })],
    ['SCTP', () => sctp({ sport: 80, dport: 40000, chunks: [sctpChunk(1, Buffer.alloc(2000))] })],
    ['echo', () => echo({ v6: f.v6, payload: 2000 })],
  ])(
    'later fragments of refused %s are refused as such, whatever a rule says of Invalid ones',
    (_name, l4) => {
      fw.set({ action: 'Allow', states: ['Invalid'] });
      const sent = fragments({ src: f.out, dst: f.in }, l4(), 1000, 80);
      expect(sent.map((frame) => fw.ingress(frame).drops)).toEqual([
        ['firewall DroppedByDefault'],
        ...sent.slice(1).map(() => ['firewall FragmentRefused']),
      ]);
    },
  );

  test('changed rules end what they refuse and keep what they allow', () => {
    const packet = back(f, down({ flags: 'A', seq: 5001, ack: 101 }));
    connect(f);
    fw.set({ action: 'Drop', direction: 'Egress', ports: [{ protocol: 'TCP', port: 81 }] });
    const kept = fw.ingress(packet);
    expect(kept).toMatchObject({ seen: { port: INSIDE } });
    expect(kept.counts.sort()).toEqual(['firewall classified', 'firewall known', 'firewall reclassified']);
    expect(fw.ingress(packet).counts).toEqual(['firewall known']); // once a change
    fw.set({ action: 'Reject', direction: 'Egress', ports: [{ protocol: 'TCP', port: 80 }] });
    const revoked = fw.ingress(packet);
    expect(revoked.drops).toEqual(['firewall RejectedByRule']);
    expect(revoked.counts).toContain('firewall revoked');
    expect(dissect(revoked.frame).ip).toMatchObject({ src: f.in, dst: f.out, tcp: { sport: 40000 } });
    expect(tables()).toEqual([]);
  });

  test('changed rules are asked about the first packet as it was: its TCP flags, its ICMP code', () => {
    const other: RuleInput = { action: 'Drop', protocols: ['47'] };
    const rules: RuleInput[] = [
      { action: 'Allow', tcpFlags: { mask: ['SYN', 'ECE', 'CWR'], set: ['SYN', 'ECE', 'CWR'] } },
      { action: 'Allow', icmp: [{ family: f.v6 ? 'IPv6' : 'IPv4', type: f.v6 ? 128 : 8, code: 3 }] },
    ];
    fw.set(...rules);
    const syn = back(f, down({ flags: 'SEC', seq: 9 }));
    const request = back(f, icmp({ type: f.v6 ? 128 : 8, code: 3, rest: 7, v6: f.v6 }));
    for (const frame of [syn, request]) expect(fw.ingress(frame).counts).toContain('firewall newSessions');
    fw.set(other, ...rules);
    for (const frame of [syn, request]) {
      const again = fw.ingress(frame);
      expect(again).toMatchObject({ drops: [], seen: { port: INSIDE } });
      expect(again.counts).toContain('firewall reclassified');
    }
  });

  test('the same rules again ask nothing', () => {
    const rule: RuleInput = { action: 'Allow', direction: 'Egress', protocols: ['TCP'] };
    fw.set(rule);
    connect(f);
    fw.set();
    fw.set(rule);
    expect(fw.ingress(back(f, down({ flags: 'A' }))).counts).toEqual(['firewall known']);
  });
});

test('another instance goes on with the sessions, and asks its own rules', async () => {
  const [, f] = FAMILIES[0];
  const one = await FirewallChain.open({});
  one.egress(out(f, up({ flags: 'S', seq: 100 })));
  await one.respec({ defaultActions: { ingress: 'Drop', egress: 'Allow' }, rules: [{ action: 'Drop' }] });
  expect(one.ingress(back(f, down({ flags: 'SA', seq: 1, ack: 101 }))).counts).toContain(
    'firewall@2 reclassified',
  );
  await one.respec({ defaultActions: { egress: 'Drop' } });
  expect(one.ingress(back(f, down({ flags: 'SA', seq: 1, ack: 101 }))).drops).toEqual([
    'firewall@3 DroppedByDefault',
  ]);
  one.close();
});

test('a flood of SYNs to an open port pushes no established session out', async () => {
  const [, f] = FAMILIES[0];
  const small = await FirewallChain.open({
    sessions: { maxEstablished: 4096, maxEmbryonic: 1024 },
    rules: [{ action: 'Allow', protocols: ['TCP'] }],
  });
  const ports = Array.from({ length: 1000 }, (_, i) => 10000 + i);
  for (const sport of ports) {
    const packet = (flags: string, seq: number, ack: number) =>
      ethernet({}, ip({ src: f.out, dst: f.in }, tcp({ sport, dport: 80, flags, seq, ack })));
    const reply = ethernet(
      {},
      ip({ src: f.in, dst: f.out }, tcp({ sport: 80, dport: sport, flags: 'SA', seq: 50, ack: 2 })),
    );
    small.enter(OUTSIDE);
    small.chain.entry.testRun({ dataIn: packet('S', 1, 0) });
    small.enter(INSIDE);
    small.chain.entry.testRun({ dataIn: reply });
    small.enter(OUTSIDE);
    small.chain.entry.testRun({ dataIn: packet('A', 2, 51) });
  }
  const known = () => small.sessions().filter(({ table }) => table === 'established').length;
  expect(known()).toBe(ports.length);
  for (let i = 0; i < 20000; i++) {
    const src = `203.0.${113 + (i >> 8)}.${i & 255}`;
    small.chain.entry.testRun({
      dataIn: ethernet({}, ip({ src, dst: f.in }, tcp({ sport: 1024 + i, dport: 80, flags: 'S' }))),
    });
  }
  expect(known()).toBe(ports.length);
  expect(small.sessions().length - known()).toBeLessThanOrEqual(1024);
  small.close();
});

test('reclaim removes what has expired, and nothing else', () => {
  const [, f] = FAMILIES[1];
  fw.egress(out(f, udp({ sport: 1, dport: 2 })));
  fw.age(31);
  fw.egress(out(f, udp({ sport: 3, dport: 2 })));
  for (const name of ['reclaim_established', 'reclaim_embryonic'])
    fw.cube.object.program(name).testRun({ ctxIn: Buffer.alloc(24) });
  expect(fw.sessions().map(({ sport }) => sport)).toEqual([3]);
});
