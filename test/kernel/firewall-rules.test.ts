// SPDX-License-Identifier: Apache-2.0
/** What each member of a rule matches, what actions do, and in which order rules are tried. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { FirewallChain, INSIDE, OUTSIDE, type RuleInput } from './support/firewall.ts';
import {
  arp,
  echo,
  ethernet,
  icmp,
  ip,
  ipv6,
  type Layer4,
  raw,
  solicitation,
  tcp,
  udp,
} from './support/packet.ts';

const FAMILIES = [
  [
    'IPv4',
    { out: '198.51.100.7', in: '10.0.1.5', outNet: '198.51.100.0/24', inNet: '10.0.1.0/24', v6: false },
  ],
  [
    'IPv6',
    { out: '2001:db8:7::7', in: 'fd00:1::5', outNet: '2001:db8:7::/48', inNet: 'fd00:1::/64', v6: true },
  ],
] as const;
type Family = (typeof FAMILIES)[number][1];

let fw: FirewallChain;
beforeAll(async () => {
  fw = await FirewallChain.open({ rejects: { perSecond: 100000, burst: 100000 } });
});
afterAll(() => fw.close());
beforeEach(() => {
  fw.set();
  fw.clear();
});

const from = (f: Family, l4: Layer4, o: { out?: string; in?: string } = {}) =>
  ethernet({}, ip({ src: o.out ?? f.out, dst: o.in ?? f.in }, l4));
const to = (f: Family, l4: Layer4) => ethernet({}, ip({ src: f.in, dst: f.out }, l4));
const syn = (dport = 80, sport = 40000): Layer4 => tcp({ sport, dport, flags: 'S' });
const passes = (frame: Buffer) => fw.ingress(frame).seen?.port === INSIDE;

describe.each(FAMILIES)('%s', (_, f) => {
  test('without rules the default actions hold: nothing in, everything out', () => {
    expect(fw.ingress(from(f, syn()))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['firewall DroppedByDefault'],
    });
    const out = to(f, syn());
    const result = fw.egress(out);
    expect(result).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: OUTSIDE } });
    expect(result.frame.equals(out)).toBe(true);
  });

  test('sources and destinations match by prefix, of their family only', () => {
    fw.set({ action: 'Allow', sources: [f.outNet] });
    expect(passes(from(f, syn()))).toBe(true);
    expect(passes(from(f, syn(), { out: f.v6 ? '2001:db8:8::7' : '198.51.101.7' }))).toBe(false);
    fw.clear();
    fw.set({ action: 'Allow', sources: [f.v6 ? '0.0.0.0/0' : '::/0'] });
    expect(passes(from(f, syn()))).toBe(false);
    fw.set({ action: 'Allow', sources: [f.v6 ? '::/0' : '0.0.0.0/0'], destinations: [f.inNet] });
    expect(passes(from(f, syn()))).toBe(true);
    expect(passes(from(f, syn(), { in: f.v6 ? 'fd00:2::5' : '10.0.2.5' }))).toBe(false);
  });

  test('the first rule by priority decides, and of one priority by its place', () => {
    const host = f.v6 ? `${f.out}/128` : `${f.out}/32`;
    fw.set(
      { action: 'Allow', sources: [f.outNet], priority: 20 },
      { action: 'Drop', sources: [host], priority: 10 },
    );
    expect(fw.ingress(from(f, syn())).drops).toEqual(['firewall DroppedByRule']);
    fw.set({ action: 'Allow', sources: [f.outNet] }, { action: 'Drop', sources: [host] });
    expect(passes(from(f, syn()))).toBe(true);
  });

  test('ports and ranges match by protocol', () => {
    fw.set({
      action: 'Allow',
      ports: [
        { protocol: 'TCP', port: 80 },
        { protocol: 'TCP', port: 8000, endPort: 8999 },
        { protocol: 'UDP', port: 53 },
      ],
    });
    for (const [port, verdict] of [
      [79, false],
      [80, true],
      [81, false],
      [7999, false],
      [8000, true],
      [8999, true],
      [9000, false],
      [53, false],
    ] as const)
      expect([port, passes(from(f, syn(port)))]).toEqual([port, verdict]);
    expect(passes(from(f, udp({ sport: 9, dport: 53 })))).toBe(true);
    expect(passes(from(f, udp({ sport: 9, dport: 80 })))).toBe(false);
    expect(passes(from(f, echo({ v6: f.v6 })))).toBe(false);
  });

  test('source ports match, and only packets with ports', () => {
    fw.set({ action: 'Allow', sourcePorts: [{ protocol: 'UDP', port: 67, endPort: 68 }] });
    expect(passes(from(f, udp({ sport: 68, dport: 1 })))).toBe(true);
    expect(passes(from(f, udp({ sport: 69, dport: 1 })))).toBe(false);
    expect(passes(from(f, syn(1, 68)))).toBe(false);
    expect(passes(from(f, echo({ v6: f.v6 })))).toBe(false);
    expect(passes(from(f, raw(47, 20)))).toBe(false);
  });

  test('protocols match by name and number', () => {
    fw.set({ action: 'Allow', protocols: ['UDP', '47', f.v6 ? 'ICMPv6' : 'ICMP'] });
    expect(passes(from(f, udp({ sport: 1, dport: 1 })))).toBe(true);
    expect(passes(from(f, raw(47, 20)))).toBe(true);
    expect(passes(from(f, raw(50, 20)))).toBe(false);
    expect(passes(from(f, echo({ v6: f.v6 })))).toBe(true);
    expect(passes(from(f, syn()))).toBe(false);
  });

  test('ICMP matches by type and code of its family', () => {
    const [type, other] = f.v6 ? [128, 139] : [8, 13];
    fw.set({ action: 'Allow', icmp: [{ family: f.v6 ? 'IPv6' : 'IPv4', type, code: 0 }] });
    expect(passes(from(f, echo({ v6: f.v6 })))).toBe(true);
    expect(passes(from(f, icmp({ type, code: 1, v6: f.v6 })))).toBe(false);
    expect(passes(from(f, icmp({ type: other, v6: f.v6 })))).toBe(false);
    fw.clear();
    fw.set({ action: 'Allow', icmp: [{ family: f.v6 ? 'IPv4' : 'IPv6', type }] });
    expect(passes(from(f, echo({ v6: f.v6 })))).toBe(false);
  });

  test('TCP flags match by mask, and TCP only', () => {
    fw.set({ action: 'Allow', tcpFlags: { mask: ['SYN', 'ECE', 'ACK'], set: ['SYN'] } });
    expect(passes(from(f, syn()))).toBe(true);
    expect(passes(from(f, tcp({ sport: 2, dport: 2, flags: 'SE' })))).toBe(false);
    expect(passes(from(f, udp({ sport: 1, dport: 1 })))).toBe(false);
  });

  test('a direction is its own list', () => {
    fw.set({ action: 'Drop', direction: 'Egress', protocols: ['TCP'] });
    expect(fw.egress(to(f, syn())).drops).toEqual(['firewall DroppedByRule']);
    expect(fw.egress(to(f, udp({ sport: 1, dport: 1 }))).seen?.port).toBe(OUTSIDE);
    fw.clear();
    fw.set({ action: 'Reject', direction: 'Both' });
    expect(fw.egress(to(f, syn())).drops).toEqual(['firewall RejectedByRule']);
    expect(fw.ingress(from(f, syn())).drops).toEqual(['firewall RejectedByRule']);
  });

  test('Reject answers TCP by a RST, others by an ICMP error, in the name of the receiver', () => {
    fw.set({ action: 'Reject' });
    const rst = fw.ingress(from(f, tcp({ sport: 40000, dport: 80, flags: 'S', seq: 77 })));
    expect(rst).toMatchObject({ drops: ['firewall RejectedByRule'], seen: { port: OUTSIDE } });
    expect(rst.counts).toContain('firewall rejected');
    expect(dissect(rst.frame).ip).toMatchObject({
      src: f.in,
      dst: f.out,
      tcp: { sport: 80, dport: 40000, ack: 78 },
    });
    expect(verifyChecksums(rst.frame)).toEqual([]);
    const error = fw.ingress(from(f, udp({ sport: 1, dport: 2, payload: 30 })));
    expect(error).toMatchObject({ drops: ['firewall RejectedByRule'], seen: { port: OUTSIDE } });
    expect(dissect(error.frame).ip).toMatchObject({
      src: f.in,
      dst: f.out,
      icmp: f.v6 ? { type: 1, code: 1 } : { type: 3, code: 13 },
    });
    expect(verifyChecksums(error.frame)).toEqual([]);
    const refused = fw.ingress(from(f, icmp({ type: f.v6 ? 4 : 12, v6: f.v6, payload: 40 })));
    expect(refused.seen).toBeUndefined(); // no error about an error
  });

  test("Reject answers in nobody's name: not from loopback, and not from no address", () => {
    fw.set({ action: 'Reject' });
    for (const receiver of f.v6 ? ['::1', '::'] : ['127.0.0.1', '0.0.0.0', '240.0.0.1']) {
      for (const l4 of [syn(), udp({ sport: 1, dport: 2 })]) {
        const refused = fw.ingress(from(f, l4, { in: receiver }));
        expect(refused.drops).toEqual(['firewall RejectedByRule']);
        expect(refused.seen).toBeUndefined();
      }
    }
  });

  test('counters stay with a rule when it moves, and go on when it comes back', () => {
    const rule: RuleInput = { action: 'Drop', name: 'strangers', sources: [f.outNet] };
    const packet = from(f, syn());
    fw.set(rule);
    fw.ingress(packet);
    expect(fw.counter(rule)).toEqual({ packets: 1, bytes: packet.length });
    fw.set({ action: 'Allow', priority: 1, protocols: ['47'] }, { ...rule, priority: 2000 });
    fw.ingress(packet);
    expect(fw.counter(rule).packets).toBe(2);
    fw.set();
    fw.ingress(packet);
    fw.set(rule);
    fw.ingress(packet);
    expect(fw.counter(rule)).toEqual({ packets: 3, bytes: 3 * packet.length });
  });

  test('a dry run counts, stores and answers nothing', () => {
    fw.set({ action: 'Allow' });
    fw.enter(OUTSIDE);
    expect(fw.chain.run(from(f, syn()), { dry: true }).events.map(({ kind }) => kind)).toContain('decision');
    expect(fw.sessions()).toEqual([]);
    expect(fw.counter({ action: 'Allow' }).packets).toBe(0);
  });
});

test('ARP and neighbour discovery pass, other frames only where they may', async () => {
  const request = ethernet(
    {},
    arp({ operation: 1, senderMac: '02:00:00:00:00:09', sender: '10.0.1.9', target: '10.0.1.5' }),
  );
  expect(fw.ingress(request).seen?.port).toBe(INSIDE);
  const nd = ethernet(
    {},
    ipv6({ src: 'fd00:1::9', dst: 'fd00:1::5', hopLimit: 255 }, solicitation('fd00:1::5')),
  );
  expect(fw.ingress(nd).seen?.port).toBe(INSIDE);
  const forged = ethernet(
    {},
    ipv6({ src: 'fd00:1::9', dst: 'fd00:1::5', hopLimit: 254 }, solicitation('fd00:1::5')),
  );
  expect(fw.ingress(forged).drops).toEqual(['firewall DroppedByDefault']);
  const other = ethernet({}, Buffer.alloc(60));
  expect(fw.ingress(other).drops).toEqual(['firewall NotIp']);
  const open = await FirewallChain.open({ otherFrames: 'Allow' });
  expect(open.ingress(other).seen?.port).toBe(INSIDE);
  open.close();
});

test('rejects are limited for each source prefix', async () => {
  const few = await FirewallChain.open({
    rejects: { perSecond: 1, burst: 2 },
    rules: [{ action: 'Reject' }],
  });
  const answers = Array.from({ length: 5 }, () => few.ingress(from(FAMILIES[0][1], syn())));
  expect(answers.filter(({ seen }) => seen).length).toBe(2);
  expect(answers[4]).toMatchObject({ drops: ['firewall RejectedByRule'] });
  expect(answers[4]?.counts).toContain('firewall rejectSuppressed');
  few.close();
});
