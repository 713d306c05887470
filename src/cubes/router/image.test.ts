// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Route, Router } from '../../api/generated/types.ts';
import { contains, type Prefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import type { CubeInput, ImageChange, MapWrite, NodeInput } from '../cube-type.ts';
import { maps, type Route as Row, routeLengths, routesHash } from './generated/codec.ts';
import { RouterImage } from './image.ts';
import { IS_V6, RouteKind } from './route-row.ts';

const NODE: NodeInput = {
  name: 'a',
  gatewayMac: '02:c0:be:00:00:01',
  overlayVni: 7,
  addresses: [],
  redirectPeer: true,
};

function cube(spec: Partial<Router> = {}): CubeInput<Router> {
  return {
    namespace: 'net',
    name: 'router',
    uid: 'u',
    spec: {
      routes: [],
      icmp: { errorsPerSecond: 100, burst: 50 },
      neighbours: { ports: [], static: [], reachableSeconds: 30, maxNeighbours: 1024 },
      maxRoutes: 16384,
      ...spec,
    },
    ports: [
      { name: 'pods', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'], mtu: 1450, endpoint: 'Pods' },
      { name: 'overlay', id: 1, addresses: [], mtu: 1450, endpoint: 'Overlay' },
      { name: 'uplink', id: 2, addresses: ['192.168.7.2/30'], mtu: 1500, endpoint: 'Interface' },
    ],
  };
}

function withStack(routes: Route[], linked = true): CubeInput<Router> {
  const made = cube({ routes });
  const stack = { name: 'host', id: 3, addresses: [], mtu: 1500, endpoint: 'Stack' } as const;
  return { ...made, ports: linked ? [...made.ports, stack] : made.ports };
}

/** The kernel's maps, written as the executor writes them. */
class Kernel {
  readonly maps = new Map<string, Map<string, string>>();

  row(map: string): Map<string, string> {
    const rows = this.maps.get(map) ?? new Map<string, string>();
    this.maps.set(map, rows);
    return rows;
  }

  apply(write: MapWrite, each: () => void = () => undefined): void {
    const keySize = write.keys.length / write.count;
    const valueSize = write.values.length / write.count;
    for (let i = 0; i < write.count; i++) {
      const key = hex(write.keys.subarray(i * keySize, (i + 1) * keySize));
      if (write.op === 'delete') this.row(write.map).delete(key);
      else this.row(write.map).set(key, hex(write.values.subarray(i * valueSize, (i + 1) * valueSize)));
      each();
    }
  }

  applyAll(change: ImageChange): void {
    for (const write of [...change.writes, ...change.afterGrace]) this.apply(write);
  }

  word(family: 0 | 1): string {
    return this.row('route_lengths').get(`0${family}000000`) ?? '00'.repeat(8);
  }

  /** As route_find() of bpf/router/route.h, by a word that may have been read earlier. */
  find(address: string, word = this.word(address.includes(':') ? 1 : 0)): Row | undefined {
    const { lengths, count, lpm } = routeLengths.decodeValue(Buffer.from(word, 'hex'));
    for (const length of lengths.slice(0, count)) {
      const found = this.row('routes_hash').get(prefixKey(address, length));
      if (found !== undefined) return decode(found);
    }
    if (!lpm) return undefined;
    for (let length = 128; length >= 0; length--) {
      const found = this.row('routes_lpm').get(prefixKey(address, length));
      if (found === undefined) continue;
      const row = decode(found);
      return row.flags & IS_V6 && !address.includes(':') ? undefined : row;
    }
    return undefined;
  }

  /** What a restarted agent reads. */
  dump(map: string): { count: number; keys: Uint8Array; values: Uint8Array } {
    const rows = [...this.row(map)];
    return {
      count: rows.length,
      keys: Buffer.from(rows.map(([key]) => key).join(''), 'hex'),
      values: Buffer.from(rows.map(([, value]) => value).join(''), 'hex'),
    };
  }

  sorted(): unknown {
    return [...this.maps]
      .filter(([, rows]) => rows.size > 0)
      .map(([name, rows]) => [name, [...rows].sort()])
      .sort();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function decode(value: string): Row {
  return routesHash.decodeValue(Buffer.from(value, 'hex'));
}

function prefixKey(address: string, length: number): string {
  const key = Buffer.alloc(20);
  routesHash.encodeKey({ addr: address, length }, key);
  for (let bit = length; bit < 128; bit++) {
    const at = 4 + (bit >> 3);
    key[at] = (key[at] ?? 0) & ~(0x80 >> (bit & 7));
  }
  return hex(key);
}

function image(
  kernel: Kernel,
  spec: Partial<Router> = {},
  tables: Record<string, Route[]> = {},
): RouterImage {
  const made = new RouterImage(cube(spec), NODE);
  for (const name of Object.keys(maps)) {
    const { count, keys, values } = kernel.dump(name);
    if (count > 0 && !name.startsWith('reply')) made.adopt(name, count, keys, values);
  }
  for (const [key, rows] of Object.entries(tables)) made.setTable(key, rows);
  made.settle();
  return made;
}

const tunnel = (destination: string, remote: string): Route => ({
  destination,
  type: 'Tunnel',
  tunnel: { remote },
});

describe('rows', () => {
  test('connected, static and table routes, each with its MTU and way', () => {
    const kernel = new Kernel();
    const made = image(
      kernel,
      {
        mtu: 1480,
        routes: [
          { destination: '0.0.0.0/0', type: 'NextHop', nextHop: { address: '192.168.7.1' } },
          { destination: '10.9.0.0/16', type: 'Blackhole' },
        ],
      },
      {
        'net/node-b': [
          tunnel('10.244.2.0/24', '172.18.0.3'),
          { ...tunnel('fd00:244:2::/64', 'fd18::3'), mtu: 1400 },
        ],
      },
    );
    kernel.applyAll(made.take());
    expect(kernel.find('10.244.1.9')).toMatchObject({
      kind: RouteKind.Port,
      port: 0,
      flags: 1,
      mtu: 1450,
      gateway: '::',
    });
    expect(kernel.find('10.244.2.9')).toMatchObject({
      kind: RouteKind.Tunnel,
      port: 1,
      vni: 7,
      gateway: '172.18.0.3',
    });
    expect(kernel.find('fd00:244:2::9')).toMatchObject({
      kind: RouteKind.Tunnel,
      mtu: 1400,
      gateway: 'fd18::3',
    });
    expect(kernel.find('8.8.8.8')).toMatchObject({
      kind: RouteKind.NextHop,
      port: 2,
      mtu: 1480,
      gateway: '192.168.7.1',
    });
    expect(kernel.find('10.9.1.1')).toMatchObject({ kind: RouteKind.Blackhole });
    expect(kernel.find('fd99::1')).toBeUndefined();
    expect(kernel.row('own_addresses').size).toBe(3);
    // of five lengths of IPv4, one of which is that of the tunnel's end, which does not count
    expect(made.usage()).toMatchObject({ routes_hash: { used: 6, max: 16384 }, routes_lpm: { used: 1 } });
  });

  test('only the four longest lengths lie in the hash', () => {
    const kernel = new Kernel();
    const blackholes = [32, 28, 20, 16, 8, 0].map(
      (length): Route => ({ destination: `0.0.0.0/${length}`, type: 'Blackhole' }),
    );
    kernel.applyAll(image(kernel, { routes: blackholes }).take());
    // 30 (192.168.7.0/30) and 24 (10.244.1.0/24) are connected: 32, 30, 28 and 24 are the longest
    expect(routeLengths.decodeValue(Buffer.from(kernel.word(0), 'hex'))).toEqual({
      lengths: [128, 126, 124, 120],
      count: 4,
      lpm: 1,
    });
    expect(kernel.row('routes_lpm').size).toBe(4);
    expect(kernel.find('77.1.1.1')).toMatchObject({ kind: RouteKind.Blackhole });
  });
});

describe('other ends of tunnels', () => {
  const END = { kind: RouteKind.Return, port: 1, vni: 7, length: 128 } as const;
  const b4 = tunnel('10.244.2.0/24', '172.18.0.3');
  const b6 = tunnel('fd00:244:2::/64', 'fd18::3');

  function filled(tables: Record<string, Route[]>, spec: Partial<Router> = {}) {
    const kernel = new Kernel();
    const made = image(kernel, spec, tables);
    const set = (key: string, rows: Route[] | undefined) => {
      const problems = made.setTable(key, rows);
      kernel.applyAll(made.take());
      return problems;
    };
    kernel.applyAll(made.take());
    return { kernel, made, set };
  }

  test('have a row each, in their own family, as long as a tunnel leads there', () => {
    const { kernel, set } = filled({
      'net/b': [b4, { ...b6, mtu: 1400 }],
      'net/more': [tunnel('10.8.0.0/16', '172.18.0.3')],
    });
    expect(kernel.find('172.18.0.3')).toMatchObject({ ...END, flags: 0, mtu: 1450, gateway: '172.18.0.3' });
    expect(kernel.find('fd18::3')).toMatchObject({ ...END, flags: IS_V6, mtu: 1400, gateway: 'fd18::3' });
    set('net/b', [tunnel('10.244.2.0/24', '172.18.0.4')]);
    expect(kernel.find('172.18.0.4')).toMatchObject(END);
    expect(kernel.find('172.18.0.3')).toMatchObject(END);
    expect(kernel.find('fd18::3')).toBeUndefined();
    set('net/more', undefined);
    expect(kernel.find('172.18.0.3')).toBeUndefined();
    set('net/b', undefined);
    expect(kernel.find('172.18.0.4')).toBeUndefined();
  });

  test('a tunnel of the spec has one too, and one over the other family one of that', () => {
    const { kernel } = filled({}, { routes: [{ ...b6, tunnel: { remote: '172.18.0.9', vni: 3 } } as Route] });
    expect(kernel.find('172.18.0.9')).toMatchObject({ ...END, vni: 3, gateway: '172.18.0.9' });
  });

  test('a tunnel that another route hides has none', () => {
    const hidden = tunnel('10.244.1.0/24', '172.18.0.7'); // connected
    const { kernel, set } = filled({ 'net/own': [hidden], 'net/z': [b4] });
    expect(kernel.find('172.18.0.7')).toBeUndefined();
    set('net/a', [tunnel('10.244.2.0/24', '172.18.0.5')]);
    expect([kernel.find('172.18.0.3'), kernel.find('172.18.0.5')?.kind]).toEqual([
      undefined,
      RouteKind.Return,
    ]);
    set('net/a', undefined);
    expect(kernel.find('172.18.0.3')?.kind).toBe(RouteKind.Return);
  });

  test('where tunnels to it disagree, the smaller prefix counts', () => {
    const other = { ...b4, destination: '10.100.0.0/16', tunnel: { remote: '172.18.0.3', vni: 9 } } as Route;
    const { kernel, set } = filled({ 'net/a': [other], 'net/b': [b4] });
    expect(kernel.find('172.18.0.3')?.vni).toBe(9);
    set('net/a', undefined);
    expect(kernel.find('172.18.0.3')?.vni).toBe(7);
    expect(set('net/a', [other])).toEqual([]);
    expect(kernel.find('172.18.0.3')?.vni).toBe(9);
  });

  test('what somebody has written for the address wins, whatever came first, and without a word', () => {
    const own: Route = { destination: '172.18.0.3/32', type: 'Blackhole' };
    const { kernel, set } = filled({ 'net/b': [b4] });
    expect(set('net/z', [own])).toEqual([]);
    expect(kernel.find('172.18.0.3')?.kind).toBe(RouteKind.Blackhole);
    set('net/z', undefined);
    expect(kernel.find('172.18.0.3')?.kind).toBe(RouteKind.Return);
    const ofSpec = filled({ 'net/b': [b4] }, { routes: [own] });
    expect(ofSpec.kernel.find('172.18.0.3')?.kind).toBe(RouteKind.Blackhole);
  });

  test('an address of the node itself has none', () => {
    const kernel = new Kernel();
    const made = new RouterImage(withStack([{ destination: '0.0.0.0/0', type: 'Port', port: 'uplink' }]), {
      ...NODE,
      addresses: ['172.18.0.3'],
    });
    made.setTable('net/b', [b4]);
    made.settle();
    kernel.applyAll(made.take());
    expect(kernel.find('172.18.0.3')?.kind).toBe(RouteKind.Port);
  });

  test('they take no place of the routes that fit', () => {
    const rows = (count: number) =>
      Array.from({ length: count }, (_, i) => tunnel(`10.${i}.0.0/16`, `172.18.0.${i + 1}`));
    const { made, set } = filled({}, { maxRoutes: 16 });
    expect(set('net/t', rows(13))).toEqual([]);
    expect(made.usage()).toMatchObject({ routes_hash: { used: 16, max: 16 } });
    expect(set('net/t', rows(14))).toMatchObject([{ reason: 'TooManyRoutes' }]);
    expect(set('net/t', [...rows(12), { destination: '172.18.0.1/32', type: 'Blackhole' }])).toEqual([]);
  });

  test('an agent that starts anew leaves them as they are', () => {
    const { kernel } = filled({ 'net/b': [b4, b6] });
    const again = image(kernel, {}, { 'net/b': [b4, b6] });
    const { writes, afterGrace } = again.take();
    expect([...writes, ...afterGrace]).toEqual([]);
  });
});

describe('conflicts', () => {
  test('the spec comes before tables, without a word', () => {
    const kernel = new Kernel();
    const made = new RouterImage(cube({ routes: [{ destination: '10.5.0.0/16', type: 'Blackhole' }] }), NODE);
    expect(
      made.setTable('net/t', [tunnel('10.5.0.0/16', '172.18.0.3'), tunnel('10.244.1.0/24', '172.18.0.2')]),
    ).toEqual([]);
    made.settle();
    kernel.applyAll(made.take());
    expect(kernel.find('10.5.1.1')?.kind).toBe(RouteKind.Blackhole);
    expect(kernel.find('10.244.1.7')?.kind).toBe(RouteKind.Port);
  });

  test.each([[['net/a', 'net/b']], [['net/b', 'net/a']]])(
    'between tables the smaller name wins, in whatever order: %j',
    (order) => {
      const kernel = new Kernel();
      const made = new RouterImage(cube(), NODE);
      const remote: Record<string, string> = { 'net/a': '172.18.0.3', 'net/b': '172.18.0.4' };
      const problems = order.map((key) => made.setTable(key, [tunnel('10.5.0.0/16', remote[key] ?? '')]));
      expect(problems[0]).toEqual([]);
      expect(problems[1]).toMatchObject([{ reason: 'RouteConflict', field: 'spec.routes[0]' }]);
      expect(problems[1]?.[0]?.message).toMatch(/that of net\/a is used/);
      made.settle();
      kernel.applyAll(made.take());
      expect(kernel.find('10.5.1.1')?.gateway).toBe('172.18.0.3');
      made.setTable('net/a', undefined);
      kernel.applyAll(made.take());
      expect(kernel.find('10.5.1.1')?.gateway).toBe('172.18.0.4');
    },
  );

  test('rows that cannot be taken are named, the rest is', () => {
    const kernel = new Kernel();
    const made = new RouterImage(cube(), NODE);
    const problems = made.setTable('net/t', [
      tunnel('10.5.0.0/16', '172.18.0.3'),
      tunnel('10.5.0.0/16', '172.18.0.4'),
      { destination: '10.6.0.0/16', type: 'Port', port: 'nowhere' },
      { destination: '10.7.0.0/16', type: 'NextHop', nextHop: { address: '10.99.0.1' } },
    ]);
    expect(problems.map(({ reason, field }) => [reason, field])).toEqual(
      [
        ['UnknownPort', 'spec.routes[2].port'],
        ['NextHopUnreachable', 'spec.routes[3].nextHop'],
        ['DuplicateRoute', 'spec.routes[1]'],
      ].sort(
        (a, b) => problems.findIndex((p) => p.field === a[1]) - problems.findIndex((p) => p.field === b[1]),
      ),
    );
    made.settle();
    kernel.applyAll(made.take());
    expect(kernel.find('10.5.1.1')?.gateway).toBe('172.18.0.3');
  });

  test('what does not fit is refused, and a replacement of as many rows fits', () => {
    const made = new RouterImage(cube({ maxRoutes: 16 }), NODE);
    const rows = (net: number, count: number) =>
      Array.from({ length: count }, (_, i) => tunnel(`10.${net}.${i}.0/24`, '172.18.0.3'));
    expect(made.setTable('net/t', rows(5, 13))).toEqual([]);
    expect(made.setTable('net/u', rows(6, 1))).toMatchObject([{ reason: 'TooManyRoutes' }]);
    expect(made.setTable('net/t', rows(7, 13))).toEqual([]);
  });
});

describe('properties', () => {
  const lengths4 = [0, 8, 12, 16, 20, 24, 28, 30, 32];
  const lengths6 = [0, 32, 48, 56, 64, 96, 128];
  const host4 = fc.constantFrom(
    '10.0.0.0',
    '10.0.1.5',
    '10.16.0.9',
    '10.244.1.77',
    '11.1.1.1',
    '192.168.7.1',
  );
  const host6 = fc.constantFrom('fd00::1', 'fd00:1::1', 'fd00:244:1::9', 'fd00:244:1::9:1', '2001:db8::1');
  const maskedText = (address: string, length: number): string => {
    const { family, value } = parseAddress(address) ?? { family: 4, value: 0n };
    const width = family === 4 ? 32n : 128n;
    const kept = (value >> (width - BigInt(length))) << (width - BigInt(length));
    const bytes = Buffer.from(kept.toString(16).padStart(Number(width) / 4, '0'), 'hex');
    return family === 4 ? [...bytes].join('.') : (bytes.toString('hex').match(/..../g) ?? []).join(':');
  };
  const destination = fc.oneof(
    fc.tuple(host4, fc.constantFrom(...lengths4)),
    fc.tuple(host6, fc.constantFrom(...lengths6)),
  );
  const route: fc.Arbitrary<Route> = fc
    .tuple(destination, fc.integer({ min: 1, max: 4 }))
    .map(([[address, length], n]) => tunnel(`${maskedText(address, length)}/${length}`, `172.18.0.${n}`));
  const table = fc.uniqueArray(route, { maxLength: 8, selector: (r) => r.destination });
  const change = fc.tuple(fc.constantFrom('net/a', 'net/b', 'net/c'), fc.option(table, { nil: undefined }));
  const PROBES = [
    '10.0.0.0',
    '10.0.1.5',
    '10.0.1.6',
    '10.16.0.9',
    '10.244.1.77',
    '11.1.1.1',
    '192.168.7.1',
    '200.1.1.1',
    'fd00::1',
    'fd00::2',
    'fd00:1::1',
    'fd00:244:1::9',
    'fd00:244:1::9:1',
    '2001:db8::1',
    '3fff::1',
  ];

  /** The ways of all routes that hold an address, best first, by first principles. */
  function reference(tables: ReadonlyMap<string, Route[]>, address: string): string[] {
    const at = parseAddress(address);
    const connected = ['10.244.1.0/24', 'fd00:244:1::/64', '192.168.7.0/30'];
    const all: { prefix: Prefix; way: string }[] = connected.map((c) => ({
      prefix: parsePrefix(c) as Prefix,
      way: 'connected',
    }));
    for (const key of [...tables.keys()].sort()) {
      for (const r of tables.get(key) ?? []) {
        all.push({
          prefix: parsePrefix(r.destination) as Prefix,
          way: r.type === 'Tunnel' ? r.tunnel.remote : '',
        });
      }
    }
    const matching = all.filter(({ prefix }) => at && contains(prefix, at));
    matching.sort((a, b) => b.prefix.length - a.prefix.length); // stable: connected, then tables by name
    return matching.map((match) => match.way);
  }

  const way = (row: Row | undefined): string | undefined =>
    row && (row.kind === RouteKind.Tunnel ? row.gateway : 'connected');

  test('no packet is without a route at any row written; the end is that of a fresh image', () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        const kernel = new Kernel();
        const made = image(kernel);
        kernel.applyAll(made.take());
        const tables = new Map<string, Route[]>();
        for (const [key, rows] of changes) {
          made.setTable(key, rows);
          // In between, any route to the address that is in the old or the new tables may serve; none only where
          // there is none before or after. Where only one route changes, that leaves the old and the new way.
          const allowed = new Map<string, (string | undefined)[]>();
          const old = tables.get(key) ?? [];
          const isSmall = old.length + (rows?.length ?? 0) <= 1;
          const waysNow = (probe: string) => {
            const ways = reference(tables, probe);
            return isSmall || ways.length === 0 ? [ways[0]] : ways;
          };
          for (const probe of PROBES) allowed.set(probe, waysNow(probe));
          if (rows) tables.set(key, rows);
          else tables.delete(key);
          for (const probe of PROBES) allowed.get(probe)?.push(...waysNow(probe));
          const check = (word?: readonly string[]) => {
            for (const probe of PROBES) {
              const found = way(kernel.find(probe, word?.[probe.includes(':') ? 1 : 0]));
              if (!allowed.get(probe)?.includes(found))
                throw new Error(
                  `${probe} by ${word ? 'an old' : 'the'} word: ${found}, not ${allowed.get(probe)}`,
                );
            }
          };
          const read = [kernel.word(0), kernel.word(1)];
          const { writes, afterGrace } = made.take();
          for (const write of writes) {
            kernel.apply(write, () => {
              check();
              check(read); // a packet under way has read its word before the change began
            });
          }
          for (const write of afterGrace) kernel.apply(write, () => check());
          for (const probe of PROBES) expect(way(kernel.find(probe))).toBe(reference(tables, probe)[0]);
        }
        const fresh = new Kernel();
        fresh.applyAll(image(fresh, {}, Object.fromEntries(tables)).take());
        expect(kernel.sorted()).toEqual(fresh.sorted());
        // a restarted agent finds nothing to do
        expect(image(kernel, {}, Object.fromEntries(tables)).take()).toEqual({ writes: [], afterGrace: [] });
      }),
      { numRuns: 60 },
    );
  });

  test('a restart in the middle of a change ends where the change would have', () => {
    fc.assert(
      fc.property(table, table, fc.nat(), (first, second, cut) => {
        const kernel = new Kernel();
        const made = image(kernel, {}, { 'net/a': first });
        kernel.applyAll(made.take());
        made.setTable('net/a', second);
        const { writes, afterGrace } = made.take();
        const all = [...writes, ...afterGrace];
        for (const write of all.slice(0, cut % (all.length + 1))) kernel.apply(write);
        kernel.applyAll(image(kernel, {}, { 'net/a': second }).take());
        const fresh = new Kernel();
        fresh.applyAll(image(fresh, {}, { 'net/a': second }).take());
        expect(kernel.sorted()).toEqual(fresh.sorted());
      }),
      { numRuns: 100 },
    );
  });
});

describe('addresses of the host', () => {
  const toUplink: Route = { destination: '0.0.0.0/0', type: 'Port', port: 'uplink' };
  const addresses = ['198.18.0.11', '169.254.20.10', '10.244.1.1', 'fd00:18::11'];
  const filled = (image: RouterImage) => {
    const kernel = new Kernel();
    image.settle();
    kernel.applyAll(image.take());
    return kernel;
  };

  test('they lead to the port at the Stack, and follow the host; the own ones of the router stay', () => {
    const image = new RouterImage(withStack([toUplink]), { ...NODE, addresses });
    const kernel = filled(image);
    expect([...addresses, '198.18.0.12'].map((address) => kernel.find(address)?.port)).toEqual([
      3, 3, 0, 3, 2,
    ]);
    image.setTable('net/b', [{ destination: '198.18.0.11/32', type: 'Blackhole' }]);
    image.setNode({ addresses: ['198.18.0.12'] });
    kernel.applyAll(image.take());
    expect(kernel.find('198.18.0.12')?.port).toBe(3);
    expect(kernel.find('169.254.20.10')?.port).toBe(2);
    expect(kernel.find('198.18.0.11')?.kind).toBe(4);
  });

  test('without such a port, where the spec says otherwise, and where it leads there anyway, there is no row for them', () => {
    const rows = (routes: Route[], linked = true) =>
      filled(new RouterImage(withStack(routes, linked), { ...NODE, addresses: ['198.18.0.11'] })).find(
        '198.18.0.11',
      );
    expect(rows([toUplink], false)?.port).toBe(2);
    expect(rows([{ destination: '198.18.0.11/32', type: 'Port', port: 'uplink' }])?.port).toBe(2);
    expect(rows([{ ...toUplink, port: 'host' }])?.length).toBe(96);
  });
});

describe('names for a trace', () => {
  const image = new RouterImage(
    cube({ routes: [{ destination: '0.0.0.0/0', type: 'NextHop', nextHop: { address: '192.168.7.1' } }] }),
    NODE,
  );
  image.setTable('net/b', [
    { destination: '10.244.2.0/24', type: 'Tunnel', tunnel: { remote: '172.18.0.3' } },
    { destination: 'fd00:244:2::/64', type: 'Blackhole' },
  ] satisfies Route[]);
  const name = (kind: string, dst: string, length = 128) =>
    image.nameObject(kind, BigInt(length), { src: '10.244.1.5', dst, sport: 1, dport: 2, proto: 6 });

  test.each([
    ['10.244.2.7', 'route 10.244.2.0/24 by tunnel to 172.18.0.3 on port overlay, of CubeTable net/b'],
    ['10.244.1.9', 'route 10.244.1.0/24 on port pods, connected'],
    ['9.9.9.9', 'route 0.0.0.0/0 via 192.168.7.1 on port uplink, of the spec'],
    ['fd00:244:2::7', 'route fd00:244:2::/64 into a black hole, of CubeTable net/b'],
    ['172.18.0.3', 'route 172.18.0.3/32 by tunnel to 172.18.0.3 on port overlay, the other end of tunnels'],
    ['fd99::1', undefined],
  ])('the route of %s', (dst, expected) => expect(name('route', dst)).toBe(expected));

  test('the route that was taken, where a longer one is for answers alone', () => {
    const taken = 'route 0.0.0.0/0 via 192.168.7.1 on port uplink, of the spec';
    expect(name('route', '172.18.0.3', 96)).toBe(taken);
  });

  test('an own address', () => {
    expect(name('address', 'fd00:244:1::1')).toBe('fd00:244:1::1 of port pods');
    expect(name('address', '10.9.9.9')).toBeUndefined();
  });
});
