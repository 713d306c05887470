// SPDX-License-Identifier: Apache-2.0
/** Sessions of the NAT: masquerading both ways, how sessions are confirmed, how they end, who has the claim on a port. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { echo, ethernet, ip, sctp, sctpChunk, type Tcp, tcp, udp } from './support/packet.ts';
import { INSIDE, OUTSIDE, SPEC, Translator } from './support/translator.ts';

const FAMILIES = [
  ['IPv4', { client: '10.244.1.5', other: '10.244.1.6', own: '198.51.100.10', peer: '203.0.113.7' }],
  ['IPv6', { client: 'fd00:244:1::5', other: 'fd00:244:1::6', own: '2001:db8::10', peer: '2001:db8:7::7' }],
] as const;
type Family = (typeof FAMILIES)[number][1];

let nat: Translator;
beforeAll(async () => {
  nat = await Translator.open();
});
afterAll(() => nat.close());
beforeEach(() => nat.clear());

const PORT = 40000;
const up = (f: Family, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.client, dst: f.peer }, tcp({ sport: PORT, dport: 80, ...o })));
const down = (f: Family, port: number, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.peer, dst: f.own }, tcp({ sport: 80, dport: port, ...o })));
const ask = (f: Family, payload = 20) =>
  ethernet({}, ip({ src: f.client, dst: f.peer }, udp({ sport: PORT, dport: 53, payload })));
const answer = (f: Family, port: number, payload = 20) =>
  ethernet({}, ip({ src: f.peer, dst: f.own }, udp({ sport: 53, dport: port, payload })));

/** SYN, SYN-ACK, ACK; the port that was claimed. */
function connect(f: Family): number {
  const port = dissect(nat.inside(up(f, { flags: 'S', seq: 100 })).frame).ip?.tcp?.sport ?? 0;
  nat.outside(down(f, port, { flags: 'SA', seq: 5000, ack: 101 }));
  nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 }));
  return port;
}
const tables = () => nat.halves().map((half) => half.table);

describe.each(FAMILIES)('%s', (_, f) => {
  const v6 = f.client.includes(':');

  test('a connection gets the outside address and a claimed port, and back, with right checksums', () => {
    const syn = nat.inside(up(f, { flags: 'S', seq: 100, payload: 0 }));
    expect(syn).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: OUTSIDE } });
    const port = dissect(syn.frame).ip?.tcp?.sport ?? 0;
    expect(port).toBeGreaterThanOrEqual(49152);
    expect(dissect(syn.frame).ip).toMatchObject({ src: f.own, dst: f.peer, tcp: { dport: 80 } });
    expect(verifyChecksums(syn.frame)).toEqual([]);
    expect(syn.counts.sort()).toEqual(['nat newSessions', 'nat translated']);
    expect(syn.seen?.work).toMatchObject({ src: f.own, sport: port, dst: f.peer, dport: 80 });

    const back = nat.outside(down(f, port, { flags: 'SA', seq: 5000, ack: 101, payload: 3 }));
    expect(back).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: INSIDE } });
    expect(dissect(back.frame).ip).toMatchObject({
      src: f.peer,
      dst: f.client,
      tcp: { sport: 80, dport: PORT },
    });
    expect(verifyChecksums(back.frame)).toEqual([]);
    expect(back.counts).toEqual(['nat reverseTranslated']);
    expect(dissect(nat.inside(up(f, { flags: 'S', seq: 100 })).frame).ip?.tcp?.sport).toBe(port);
  });

  test('TCP is established by the acknowledgement of the SYN-ACK alone', () => {
    const port = dissect(nat.inside(up(f, { flags: 'S', seq: 100 })).frame).ip?.tcp?.sport ?? 0;
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 }));
    nat.outside(down(f, port, { flags: 'SA', seq: 5000, ack: 101 }));
    nat.inside(up(f, { flags: 'A', seq: 101, ack: 5002 }));
    nat.inside(up(f, { flags: 'S', seq: 100 }));
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    const ack = nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 }));
    expect(ack.counts.sort()).toEqual(['nat promoted', 'nat translated']);
    expect(dissect(ack.frame).ip?.tcp?.sport).toBe(port);
    expect(tables()).toEqual(['established', 'established']);
    const data = nat.inside(up(f, { flags: 'PA', seq: 101, ack: 5001, payload: 100 }));
    expect(data).toMatchObject({ drops: [], counts: ['nat translated'] });
    expect(verifyChecksums(data.frame)).toEqual([]);
    const reply = nat.outside(down(f, port, { flags: 'PA', seq: 5001, ack: 201, payload: 7 }));
    expect(reply).toMatchObject({ drops: [], counts: ['nat reverseTranslated'] });
    expect(verifyChecksums(reply.frame)).toEqual([]);
  });

  test('UDP is established by the second packet of the client after a reply', () => {
    const first = nat.inside(ask(f));
    const port = dissect(first.frame).ip?.udp?.sport ?? 0;
    expect(verifyChecksums(first.frame)).toEqual([]);
    nat.inside(ask(f));
    const reply = nat.outside(answer(f, port));
    expect(dissect(reply.frame).ip).toMatchObject({ dst: f.client, udp: { dport: PORT } });
    expect(verifyChecksums(reply.frame)).toEqual([]);
    expect(tables()).toEqual(['embryonic', 'embryonic']);
    expect(nat.inside(ask(f)).counts).toContain('nat promoted');
    expect(tables()).toEqual(['established', 'established']);
  });

  test('a checksum that becomes zero is sent as 0xffff; none stays none', () => {
    if (!v6) {
      const none = udp({ sport: PORT, dport: 53, payload: 20, checksum: 0 });
      const there = nat.inside(ethernet({}, ip({ src: f.client, dst: f.peer }, none)));
      expect(dissect(there.frame).ip?.udp?.checksum).toBe(0);
      const port = dissect(there.frame).ip?.udp?.sport ?? 0;
      const back = udp({ sport: 53, dport: port, payload: 20, checksum: 0 });
      const here = nat.outside(ethernet({}, ip({ src: f.peer, dst: f.own }, back)));
      expect(dissect(here.frame).ip?.udp?.checksum).toBe(0);
      nat.clear();
    }
    // of 65,536 payloads that differ in one word, one has the sum zero after the translation
    nat.inside(ask(f));
    const payload = Buffer.alloc(20);
    const port = dissect(nat.inside(ask(f)).frame).ip?.udp?.sport ?? 0;
    const translated = (word: number) => {
      payload.writeUInt16BE(word, 0);
      const frame = ethernet(
        {},
        ip({ src: f.client, dst: f.peer }, udp({ sport: PORT, dport: 53, payload })),
      );
      return nat.inside(frame).frame;
    };
    const sum = dissect(translated(0)).ip?.udp?.checksum ?? 0;
    // one's complement: adding the checksum itself to the data makes the sum all ones, whose complement is zero
    const zero = translated(sum);
    expect(dissect(zero).ip?.udp).toMatchObject({ checksum: 0xffff, sport: port });
    expect(verifyChecksums(zero)).toEqual([]);
  });

  test('echo requests have an identifier of their own outside', () => {
    const request = nat.inside(
      ethernet({}, ip({ src: f.client, dst: f.peer }, echo({ id: 7, sequence: 3, v6 }))),
    );
    const id = (dissect(request.frame).ip?.icmp?.rest ?? 0) >>> 16;
    expect(id).toBeGreaterThanOrEqual(49152);
    expect(dissect(request.frame).ip?.src).toBe(f.own);
    expect(verifyChecksums(request.frame)).toEqual([]);
    const reply = nat.outside(
      ethernet({}, ip({ src: f.peer, dst: f.own }, echo({ id, sequence: 3, reply: true, v6 }))),
    );
    expect(reply.seen?.port).toBe(INSIDE);
    expect(dissect(reply.frame).ip).toMatchObject({ dst: f.client, icmp: { rest: 7 * 65536 + 3 } });
    expect(verifyChecksums(reply.frame)).toEqual([]);
    const stray = nat.outside(
      ethernet({}, ip({ src: f.peer, dst: f.own }, echo({ id: 9, reply: true, v6 }))),
    );
    expect(stray.drops).toEqual(['nat NoMapping']);
    const unasked = nat.inside(
      ethernet({}, ip({ src: f.client, dst: f.peer }, echo({ id: 9, reply: true, v6 }))),
    );
    expect(unasked.drops).toEqual(['nat NoSession']);
  });

  test('two clients with the same port to the same peer are told apart', () => {
    const a = dissect(nat.inside(ask(f)).frame).ip?.udp?.sport ?? 0;
    const frame = ethernet(
      {},
      ip({ src: f.other, dst: f.peer }, udp({ sport: PORT, dport: 53, payload: 9 })),
    );
    const b = dissect(nat.inside(frame).frame).ip?.udp?.sport ?? 0;
    expect(b).not.toBe(a);
    expect(dissect(nat.outside(answer(f, a)).frame).ip?.dst).toBe(f.client);
    expect(dissect(nat.outside(answer(f, b)).frame).ip?.dst).toBe(f.other);
  });

  test('SCTP keeps its port; a second client of the same port is refused', () => {
    const init = (src: string) =>
      ethernet(
        {},
        ip(
          { src, dst: f.peer },
          sctp({ sport: PORT, dport: 2905, chunks: [sctpChunk(1, Buffer.alloc(16, 1))] }),
        ),
      );
    const there = nat.inside(init(f.client));
    expect(dissect(there.frame).ip).toMatchObject({ src: f.own, sctp: { sport: PORT } });
    expect(verifyChecksums(there.frame)).toEqual([]);
    expect(nat.inside(init(f.other)).drops).toEqual(['nat PortsExhausted']);
    const ack = sctp({ sport: 2905, dport: PORT, tag: 1, chunks: [sctpChunk(2, Buffer.alloc(16, 2))] });
    const back = nat.outside(ethernet({}, ip({ src: f.peer, dst: f.own }, ack)));
    expect(dissect(back.frame).ip?.dst).toBe(f.client);
    expect(verifyChecksums(back.frame)).toEqual([]);
  });

  test.each(['F', 'R'])(
    '%s shortens the timeout in both halves and deletes nothing; a SYN reopens',
    (flag) => {
      connect(f);
      nat.inside(up(f, { flags: `${flag}A`, seq: 101, ack: 5001 }));
      expect(tables()).toEqual(['established', 'established']);
      for (const half of nat.halves()) expect(half.session.state.flags & (flag === 'F' ? 4 : 16)).not.toBe(0);
      expect(nat.inside(up(f, { flags: 'A', seq: 102, ack: 5001 })).drops).toEqual([]);
      const syn = nat.inside(up(f, { flags: 'S', seq: 900 }));
      expect(syn.counts).toContain('nat newSessions');
      expect(tables()).toEqual(['embryonic', 'embryonic']);
    },
  );

  test('closing sessions expire sooner; the middle of an unknown connection is refused by RST', () => {
    const port = connect(f);
    nat.age(3600);
    expect(nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 })).drops).toEqual([]);
    nat.outside(down(f, port, { flags: 'FA', seq: 5001, ack: 101 }));
    nat.age(150);
    const late = nat.inside(up(f, { flags: 'A', seq: 102, ack: 5001 }));
    expect(late).toMatchObject({ drops: ['nat NoSession'], seen: { port: INSIDE } });
    expect(late.counts.sort()).toEqual(['nat expired', 'nat rejected']);
    expect(dissect(late.frame).ip).toMatchObject({ src: f.peer, dst: f.client, tcp: { seq: 5001 } });
    expect(verifyChecksums(late.frame)).toEqual([]);
    expect(tables()).toEqual([]);
    expect(nat.outside(down(f, port, { flags: 'A', seq: 5001, ack: 101 })).drops).toEqual(['nat NoMapping']);
  });

  test('a half that looks expired lives as long as the other one', () => {
    nat.inside(ask(f));
    const port = dissect(nat.inside(ask(f)).frame).ip?.udp?.sport ?? 0;
    nat.age(40, (half) => half.reply);
    const reply = nat.outside(answer(f, port));
    expect(reply).toMatchObject({ drops: [], seen: { port: INSIDE } });
    nat.age(40);
    expect(nat.outside(answer(f, port)).drops).toEqual(['nat NoMapping']);
  });

  test.each([true, false])('a missing half is made again (the one of replies: %s)', (reply) => {
    const port = connect(f);
    nat.remove((half) => half.reply === reply);
    nat.age(20);
    if (reply) nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 }));
    else nat.outside(down(f, port, { flags: 'A', seq: 5001, ack: 101 }));
    expect(tables()).toEqual(['established', 'established']);
    expect(dissect(nat.inside(up(f, { flags: 'A', seq: 101, ack: 5001 })).frame).ip?.tcp?.sport).toBe(port);
    expect(dissect(nat.outside(down(f, port, { flags: 'A', seq: 5001 })).frame).ip?.dst).toBe(f.client);
  });

  test.each(['established', 'embryonic'])(
    'where somebody else has the claim by then, an %s session is over, and the claim stays',
    (table) => {
      const port =
        table === 'established' ? connect(f) : (dissect(nat.inside(ask(f)).frame).ip?.udp?.sport ?? 0);
      const before = nat.halves().find((half) => half.reply);
      if (!before) throw new Error('no claim');
      nat.change(
        (half) => half.reply,
        ({ session }) => ({ ...session, dst: f.other }),
      );
      nat.age(20, (half) => !half.reply);
      const late = nat.inside(table === 'established' ? up(f, { flags: 'A', seq: 101, ack: 5001 }) : ask(f));
      expect(late.drops).toEqual(['nat ReverseConflict']);
      expect(nat.halves().map(({ reply, session }) => [reply, session.dst])).toEqual([[true, f.other]]);
      const back = table === 'established' ? down(f, port, { flags: 'A', seq: 5001 }) : answer(f, port);
      expect(dissect(nat.outside(back).frame).ip?.dst).toBe(f.other);
    },
  );

  test.each(['established', 'embryonic'])(
    'where somebody else had the claim and is long gone, an %s session gets it back',
    (table) => {
      const port =
        table === 'established' ? connect(f) : (dissect(nat.inside(ask(f)).frame).ip?.udp?.sport ?? 0);
      nat.change(
        (half) => half.reply,
        ({ session }) => ({ ...session, dst: f.other }),
      );
      nat.age(200_000, (half) => half.reply);
      nat.age(20, (half) => !half.reply);
      const late = nat.inside(table === 'established' ? up(f, { flags: 'A', seq: 101, ack: 5001 }) : ask(f));
      expect(late).toMatchObject({ drops: [], seen: { port: OUTSIDE } });
      expect(tables()).toEqual([table, table]);
      const back = table === 'established' ? down(f, port, { flags: 'A', seq: 5001 }) : answer(f, port);
      expect(dissect(nat.outside(back).frame).ip?.dst).toBe(f.client);
    },
  );

  test('a dry run changes nothing', () => {
    const dry = nat.inside(up(f, { flags: 'S', seq: 100 }), { dry: true });
    expect(dry.counts).toEqual([]);
    expect(nat.halves()).toEqual([]);
    expect(dry.events.map(({ kind }) => kind)).toContain('decision');
  });
});

test('reclaim removes what has expired as a whole, and only that', () => {
  const [[, four], [, six]] = FAMILIES;
  connect(four);
  nat.age(90000);
  connect(six);
  nat.age(86410, (half) => half.src.includes(':') && half.reply); // a little longer than the other half
  expect(nat.reclaim()).toEqual({ seen: 4, removed: 2 });
  expect(nat.halves().map((half) => half.src.includes(':'))).toEqual([true, true]);
});

test('where no place is left among established sessions, one goes on as it is, and is counted', async () => {
  const [[, f]] = FAMILIES;
  const small = await Translator.open({
    spec: { sessions: { ...SPEC.sessions, maxEstablished: 16 } },
  });
  const one = (i: number) => {
    const there = (o: Partial<Tcp>) =>
      ethernet({}, ip({ src: `10.244.2.${i}`, dst: f.peer }, tcp({ sport: PORT, dport: 80, ...o })));
    const port = dissect(small.inside(there({ flags: 'S', seq: 100 })).frame).ip?.tcp?.sport ?? 0;
    small.outside(down(f, port, { flags: 'SA', seq: 5000, ack: 101 }));
    return small.inside(there({ flags: 'A', seq: 101, ack: 5001 }));
  };
  const counts = Array.from({ length: 40 }, (_, i) => one(i + 1)).map((result) => {
    expect(result).toMatchObject({ drops: [], seen: { port: OUTSIDE } });
    return result.counts.includes('nat promotionsRefused');
  });
  expect(counts.filter((refused) => !refused)).toHaveLength(16);
  small.close();
});
