// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Nat } from '../../api/generated/types.ts';
import { contains, type Prefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import { desired } from './desired.ts';
import { Field, type MatchRow, MatchTable, OWN_RULE, portPrefixes } from './match-table.ts';

const SPEC: Nat = {
  sourceRules: [],
  forwardRules: [],
  exclusions: [],
  role: 'Gateway',
  maxServices: 64,
  portRange: { first: 49152, last: 65535 },
  rejects: { errorsPerSecond: 1000, burst: 1000 },
  sessions: {
    maxEstablished: 16,
    maxEmbryonic: 16,
    timeouts: { tcpSyn: 1, tcpEstablished: 1, tcpClosing: 1, udp: 1, udpStream: 1, sctp: 1, icmp: 1 },
  },
};
const of = (spec: Partial<Nat>, addresses = ['198.51.100.10/24', '2001:db8::10/64']) =>
  desired({
    spec: { ...SPEC, ...spec },
    ports: [
      { name: 'outside', id: 0, addresses },
      { name: 'inside', id: 1, addresses: [] },
    ],
  });

/** What the program finds: the row of the longest prefix that holds the bytes behind the length. */
function find(rows: readonly MatchRow[], field: number, kind: number, addr: Uint8Array): Set<number> {
  const bits = (key: { field: number; kind: number; addr: Uint8Array }) =>
    [key.field, 0, 0, key.kind, ...key.addr].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const wanted = bits({ field, kind, addr });
  let best: MatchRow | undefined;
  for (const row of rows) {
    const { length } = row.key;
    const holds = bits({ ...row.key, addr: row.key.addr }).slice(0, length) === wanted.slice(0, length);
    if (holds && length > (best?.key.length ?? -1)) best = row;
  }
  const found = new Set<number>();
  best?.value.words.forEach((word, i) => {
    for (let bit = 0; bit < 64; bit++) if ((word >> BigInt(bit)) & 1n) found.add(i * 64 + bit);
  });
  return found;
}

function bytesOf(text: string): { family: 4 | 6; bytes: Uint8Array } {
  const address = parseAddress(text);
  if (!address) throw new Error(text);
  const value = address.family === 4 ? (0xffffn << 32n) | address.value : address.value;
  return {
    family: address.family,
    bytes: Uint8Array.from({ length: 16 }, (_, i) => Number((value >> BigInt(120 - 8 * i)) & 0xffn)),
  };
}

test('a range of ports is cut into prefixes that hold each of its ports once, and no other', () => {
  const ports = fc.tuple(fc.integer({ min: 0, max: 65535 }), fc.integer({ min: 0, max: 65535 }));
  fc.assert(
    fc.property(ports, ([a, b]) => {
      const [first, last] = a < b ? [a, b] : [b, a];
      let next = first;
      const prefixes = portPrefixes(first, last);
      for (const { port, length } of prefixes) {
        expect(port).toBe(next);
        expect(port % 2 ** (16 - length)).toBe(0);
        next = port + 2 ** (16 - length);
      }
      expect(next).toBe(last + 1);
      expect(prefixes.length).toBeLessThanOrEqual(30);
    }),
  );
});

test('the longest prefix that holds an address has the rules of all that do', () => {
  const octet = fc.integer({ min: 0, max: 3 });
  const cidr = fc
    .tuple(octet, octet, octet, octet, fc.integer({ min: 0, max: 32 }))
    .map(([a, b, c, d, length]) => parsePrefix(`${a}.${b}.${c}.${d}/${length}`) as Prefix);
  fc.assert(
    fc.property(fc.array(cidr, { maxLength: 20 }), octet, octet, octet, octet, (prefixes, a, b, c, d) => {
      const table = new MatchTable();
      prefixes.forEach((prefix, i) => {
        table.addPrefix(Field.Source, prefix, i);
      });
      table.addFamily(Field.Source, 4, 100);
      table.addFamily(Field.Source, 6, 101);
      const text = `${a}.${b}.${c}.${d}`;
      const address = parseAddress(text);
      if (!address) throw new Error(text);
      const expected = prefixes.flatMap((prefix, i) => (contains(prefix, address) ? [i] : []));
      const rows = table.rows({ field: Field.Exclusion, prefixes: [] });
      expect(find(rows, Field.Source, 4, bytesOf(text).bytes)).toEqual(new Set([...expected, 100]));
    }),
  );
});

describe('rules', () => {
  const { matches, sourceRules, forwardRules, pool, options, problems } = of({
    sourceRules: [
      { type: 'Exclude', sources: ['10.1.0.0/16'], destinations: [], protocol: 'ICMP' },
      { type: 'SNAT', sources: [], destinations: [], snat: { addresses: ['2001:db8:0::10'] } },
      { type: 'Masquerade', sources: [], destinations: ['203.0.113.0/24'] },
    ],
    forwardRules: [
      {
        sources: [],
        protocol: 'TCP',
        port: 80,
        endPort: 99,
        target: { address: '10.0.0.1', port: 8000 },
      },
      { sources: ['203.0.113.0/24'], destination: '192.0.2.0/24', target: { address: '10.0.0.2' } },
    ],
    exclusions: ['198.51.100.0/24'],
  });
  const at = (field: number, text: string) => {
    const { family, bytes } = bytesOf(text);
    return [...find(matches, field, family, bytes)].sort((a, b) => a - b);
  };
  const service = (field: number, protocol: number, port = 0) => {
    const bytes = new Uint8Array(16);
    bytes.set([port >> 8, port & 255]);
    return [...find(matches, field, protocol, bytes)].sort((a, b) => a - b);
  };

  test('take what they say, in each field', () => {
    expect(problems).toEqual([]);
    expect(at(Field.Source, '10.1.2.3')).toEqual([0, 2]);
    expect(at(Field.Source, '10.2.2.3')).toEqual([2]);
    expect(at(Field.Source, 'fd00::1')).toEqual([1]);
    expect(at(Field.Destination, '203.0.113.9')).toEqual([0, 2]);
    expect(at(Field.Destination, '203.0.114.9')).toEqual([0]);
    expect(service(Field.Protocol, 1)).toEqual([0, 1, 2]);
    expect(service(Field.Protocol, 58)).toEqual([0, 1, 2]);
    expect(service(Field.Protocol, 6)).toEqual([1, 2]);
    expect(at(Field.ForwardDestination, '198.51.100.10')).toEqual([0, OWN_RULE]);
    expect(at(Field.ForwardDestination, '192.0.2.9')).toEqual([1]);
    expect(at(Field.ForwardSource, '203.0.113.1')).toEqual([0, 1, OWN_RULE]);
    expect(at(Field.ForwardSource, '203.0.114.1')).toEqual([0, OWN_RULE]);
    expect(service(Field.ForwardService, 6, 99)).toEqual([0, 1, OWN_RULE]);
    expect(service(Field.ForwardService, 6, 100)).toEqual([1, OWN_RULE]);
    expect(service(Field.ForwardService, 17, 80)).toEqual([1, OWN_RULE]);
    expect(at(Field.Exclusion, '198.51.100.9')).toEqual([0]);
    expect(at(Field.Exclusion, '198.51.100.10')).toEqual([]);
  });

  test('say what is done', () => {
    expect(sourceRules).toEqual([
      { type: 0, base: [0, 0], count: [0, 0] },
      { type: 1, base: [0, 0], count: [0, 1] },
      { type: 1, base: [1, 0], count: [1, 1] },
    ]);
    expect(pool).toEqual(['2001:db8::10', '198.51.100.10']);
    expect(forwardRules).toEqual([
      { target: '10.0.0.1', first: 80, port: 8000, changesPort: 1 },
      { target: '10.0.0.2', first: 0, port: 0, changesPort: 0 },
    ]);
    expect(options).toEqual({
      discriminates: 0,
      firstPort: 49152,
      portCount: 16384,
      forwards: 1,
      forwardSources: 1,
      forwardServices: 1,
      sources: 1,
      destinations: 1,
      protocols: 1,
      exclusions: 1,
    });
  });
});

test('what no rule uses is switched off', () => {
  const { options } = of({}, []);
  expect(options).toMatchObject({ forwards: 0, forwardServices: 0, sources: 0, exclusions: 0 });
  const plain = of({ sourceRules: [{ type: 'Masquerade', sources: [], destinations: [] }] });
  expect(plain.options).toMatchObject({ forwards: 1, sources: 1, destinations: 0, protocols: 0 });
});

test('the ports of a rule may lie in the range of another address than an outside one', () => {
  const rule = {
    sources: [],
    destination: '192.0.2.0/24',
    protocol: 'TCP' as const,
    port: 50000,
    target: { address: '10.0.0.1' },
  };
  expect(of({ forwardRules: [rule] }).problems).toEqual([]);
  expect(of({ forwardRules: [{ ...rule, destination: '198.51.100.0/24' }] }).problems).toMatchObject([
    { reason: 'PortsOverlap', field: 'spec.nat.forwardRules[0].port' },
  ]);
  expect(
    of({ forwardRules: [{ ...rule, protocol: 'SCTP', destination: '198.51.100.10/32' }] }).problems,
  ).toEqual([]);
});
