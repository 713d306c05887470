// SPDX-License-Identifier: Apache-2.0
/** A range of ports that is 50, 90, 99 and 100 % full: no port is given twice, sessions stay, exhaustion is counted. */
import { describe, expect, test } from '@jest/globals';
import { dissect } from './support/dissect.ts';
import { ethernet, ip, udp } from './support/packet.ts';
import { INSIDE, OUTSIDE, SPEC, Translator } from './support/translator.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      own: '198.51.100.10',
      peer: '203.0.113.7',
      client: (n: number) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`,
    },
  ],
  [
    'IPv6',
    { own: '2001:db8::10', peer: '2001:db8:7::7', client: (n: number) => `fd00:244::${n.toString(16)}` },
  ],
] as const;
type Family = (typeof FAMILIES)[number][1];

const RANGE = { first: 60000, last: 61023 };
const PORTS = RANGE.last - RANGE.first + 1;
const TRIES = 32;

function send(nat: Translator, f: Family, client: number) {
  const frame = ethernet({}, ip({ src: f.client(client), dst: f.peer }, udp({ sport: 5000, dport: 53 })));
  return nat.inside(frame);
}

describe.each(FAMILIES)('%s', (_, f) => {
  test('one range, filled until nothing fits', async () => {
    const nat = await Translator.open({ spec: { portRange: RANGE } });
    const taken = new Map<number, number>();
    let next = 1;
    const fill = (until: number) => {
      let refused = 0;
      let tries = 0;
      let sent = 0;
      while (taken.size < until) {
        if (++sent > 100 * PORTS) throw new Error(`only ${taken.size} of ${until} ports are given`);
        const client = next++;
        const result = send(nat, f, client);
        tries += result.counts.filter((name) => name === 'nat portConflicts').length;
        if (result.drops.length > 0) {
          expect(result).toMatchObject({ drops: ['nat PortsExhausted'] });
          refused++;
          continue;
        }
        const port = dissect(result.frame).ip?.udp?.sport ?? 0;
        expect(port).toBeGreaterThanOrEqual(RANGE.first);
        expect(port).toBeLessThanOrEqual(RANGE.last);
        expect(taken.has(port)).toBe(false);
        taken.set(port, client);
      }
      return { sent, refused, tries };
    };
    // (1 − load)^tries of chance: up to a half and 90 % practically no session is refused
    expect(fill(Math.floor(PORTS * 0.5)).refused).toBe(0);
    const ninety = fill(Math.floor(PORTS * 0.9));
    expect(ninety.refused / ninety.sent).toBeLessThan(0.1);
    fill(Math.floor(PORTS * 0.99));
    const full = fill(PORTS);
    expect(full.refused).toBeGreaterThan(0);
    expect(full.tries).toBeGreaterThanOrEqual(full.refused * TRIES);

    const over = send(nat, f, next++);
    expect(over.drops).toEqual(['nat PortsExhausted']);
    expect(over.counts.filter((name) => name === 'nat portConflicts')).toHaveLength(TRIES);
    expect(nat.halves()).toHaveLength(2 * PORTS);
    // another peer has the whole range again
    const elsewhere = ethernet({}, ip({ src: f.client(next), dst: f.peer }, udp({ sport: 5000, dport: 54 })));
    expect(nat.inside(elsewhere)).toMatchObject({ drops: [], seen: { port: OUTSIDE } });

    for (const [port, client] of taken) {
      const reply = ethernet({}, ip({ src: f.peer, dst: f.own }, udp({ sport: 53, dport: port })));
      const result = nat.outside(reply);
      expect(result).toMatchObject({ drops: [], seen: { port: INSIDE } });
      expect(dissect(result.frame).ip).toMatchObject({ dst: f.client(client), udp: { dport: 5000 } });
    }
    // what has expired makes room, without anybody having removed it
    nat.age(3600);
    let given = 0;
    for (let i = 0; i < 200; i++) if (send(nat, f, next++).drops.length === 0) given++;
    expect(given).toBe(200);
    nat.close();
  });
});

test('where a client’s own address has no port left, another one has', async () => {
  const nat = await Translator.open({
    spec: { portRange: { first: 60000, last: 60063 } },
    addresses: ['198.51.100.10/24', '198.51.100.11/24'],
  });
  const bySource = new Map<string, number>();
  for (let port = 1; port <= 400; port++) {
    const frame = ethernet({}, ip({ src: '10.0.0.1', dst: '203.0.113.7' }, udp({ sport: port, dport: 53 })));
    const result = nat.inside(frame);
    if (result.drops.length > 0) continue;
    const source = dissect(result.frame).ip?.src ?? '';
    bySource.set(source, (bySource.get(source) ?? 0) + 1);
  }
  expect([...bySource.values()].sort((a, b) => b - a)[0]).toBe(64);
  expect([...bySource.values()].reduce((a, b) => a + b)).toBeGreaterThan(96);
  nat.close();
});

test('a flood of new sessions takes no port from one that is established', async () => {
  const [[, f]] = FAMILIES;
  const nat = await Translator.open({
    spec: { sessions: { ...SPEC.sessions, maxEmbryonic: 256 } },
  });
  const ports = new Map<number, number>();
  for (let client = 1; client <= 200; client++) {
    const port = dissect(send(nat, f, client).frame).ip?.udp?.sport ?? 0;
    nat.outside(ethernet({}, ip({ src: f.peer, dst: f.own }, udp({ sport: 53, dport: port }))));
    expect(send(nat, f, client).counts).toContain('nat promoted');
    ports.set(port, client);
  }
  for (let client = 1000; client < 4000; client++) {
    const result = send(nat, f, client);
    expect(result.drops).toEqual([]);
    expect(ports.has(dissect(result.frame).ip?.udp?.sport ?? 0)).toBe(false);
  }
  for (const [port, client] of ports) {
    const result = nat.outside(
      ethernet({}, ip({ src: f.peer, dst: f.own }, udp({ sport: 53, dport: port }))),
    );
    expect(dissect(result.frame).ip?.dst).toBe(f.client(client));
    expect(dissect(send(nat, f, client).frame).ip?.udp?.sport).toBe(port);
  }
  nat.close();
});
