// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Backend, Frontend, LoadBalancer, Service } from '../../api/generated/types.ts';
import type { ImageChange, MapWrite } from '../cube-type.ts';
import { backends as backendCodec, frontends as frontendCodec, sourceRanges } from './generated/codec.ts';
import { LoadBalancerImage } from './image.ts';

const NODE = { name: 'node-a', addresses: ['192.0.2.11', '2001:db8::11'] };

const SPEC: LoadBalancer = {
  algorithm: 'Random',
  scopes: ['ClusterIP', 'External'],
  clients: 'Any',
  clusterSources: [],
  noBackends: 'Reject',
  drainSeconds: 60,
  udpDrainSeconds: 0,
  hairpin: { ipv4: '169.254.99.1', ipv6: 'fd00:c0be::1' },
  rejects: { errorsPerSecond: 1000, burst: 1000 },
  sessions: {
    maxEstablished: 16,
    maxEmbryonic: 16,
    maxAffinity: 16,
    maxBackends: 64,
    maxFrontends: 64,
    maxPicks: 4096,
    maxSourceRanges: 64,
    timeouts: {
      tcpSyn: 60,
      tcpEstablished: 86400,
      tcpClosing: 120,
      udp: 30,
      udpStream: 180,
      sctp: 3600,
      icmp: 30,
    },
  },
};

function frontend(address: string, options: Partial<Frontend> = {}): Frontend {
  return {
    name: '',
    addresses: [address],
    port: 80,
    protocol: 'TCP',
    scope: 'ClusterIP',
    affinity: { type: 'None', timeoutSeconds: 10 },
    sourceRanges: [],
    trafficPolicy: 'Cluster',
    ...options,
  };
}

function backend(address: string, options: Partial<Backend> = {}): Backend {
  return {
    address,
    weight: 1,
    state: 'Ready',
    node: 'node-a',
    ports: [{ name: '', port: 8080 }],
    ...options,
  };
}

function service(name: string, frontends: Frontend[], backends: Backend[]): Service {
  return { namespace: 'default', name, frontends, backends };
}

/** The kernel's maps, with what must hold between any two writes. */
class FakeKernel {
  readonly maps = new Map<string, Map<string, Uint8Array>>();

  map(name: string): Map<string, Uint8Array> {
    let map = this.maps.get(name);
    if (!map) {
      map = new Map();
      this.maps.set(name, map);
    }
    return map;
  }

  apply(change: ImageChange, each: () => void = () => undefined): void {
    for (const write of [...change.writes, ...change.afterGrace]) this.#write(write, each);
  }

  #write({ map, op, count, keys, values }: MapWrite, each: () => void): void {
    const keySize = keys.length / count;
    const valueSize = values.length / count;
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(keys.subarray(i * keySize, (i + 1) * keySize)).toString('hex');
      if (op === 'update') this.map(map).set(key, values.slice(i * valueSize, (i + 1) * valueSize));
      else if (!this.map(map).delete(key)) throw new Error(`${map} has no ${key} to delete`);
      each();
    }
  }

  backend(id: number) {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(id);
    const row = this.map('backends').get(key.toString('hex'));
    return row ? backendCodec.decodeValue(row) : undefined;
  }

  /** Frontends with the backends that their picks lead to. */
  frontends() {
    return [...this.map('frontends')].map(([key, value]) => {
      const row = frontendCodec.decodeValue(value);
      const picks = Array.from({ length: row.size }, (_, i) => {
        const place = Buffer.alloc(4);
        place.writeUInt32LE(row.base + i);
        const id = this.map('picks').get(place.toString('hex'));
        return id ? this.backend(Buffer.from(id).readUInt32LE(0)) : undefined;
      });
      return { key: frontendCodec.decodeKey(Buffer.from(key, 'hex')), row, picks };
    });
  }

  check(): void {
    for (const { key, picks } of this.frontends()) {
      for (const pick of picks) {
        if (!pick || !(pick.flags & 1)) throw new Error(`${key.addr} leads to a row that is not there`);
        if (pick.proto !== key.proto) throw new Error(`${key.addr} leads to another protocol`);
      }
    }
  }

  /** Meaning without ids and places. */
  meaning() {
    return this.frontends()
      .map(({ key, row, picks }) => ({
        key: `${key.addr} ${key.port} ${key.proto}`,
        flags: row.flags,
        affinity: row.affinity,
        picks: picks.map((pick) => `${pick?.addr} ${pick?.port} ${pick?.flags}`).sort(),
      }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  dump(name: string, keySize: number, valueSize: number) {
    const rows = [...this.map(name)];
    const keys = Buffer.concat([Buffer.alloc(0), ...rows.map(([key]) => Buffer.from(key, 'hex'))]);
    const values = Buffer.concat([Buffer.alloc(0), ...rows.map(([, value]) => value)]);
    expect([keys.length, values.length]).toEqual([rows.length * keySize, rows.length * valueSize]);
    return { count: rows.length, keys, values };
  }

  adoptInto(image: LoadBalancerImage): void {
    for (const [name, keySize, valueSize] of [
      ['backends', 4, 32],
      ['picks', 4, 4],
      ['frontends', 24, 24],
      ['source_ranges', sourceRanges.keySize, sourceRanges.valueSize],
    ] as const) {
      const { count, keys, values } = this.dump(name, keySize, valueSize);
      image.adopt(name, count, keys, values);
    }
  }
}

const address = fc.integer({ min: 1, max: 6 });
const someBackend = fc.record({
  host: fc.integer({ min: 1, max: 9 }),
  weight: fc.integer({ min: 0, max: 4 }),
  state: fc.constantFrom('Ready', 'Ready', 'Serving', 'Terminating', 'NotReady'),
  node: fc.constantFrom('node-a', 'node-b'),
  port: fc.constantFrom(8080, 9090),
});
const someFrontend = fc.record({
  host: address,
  port: fc.constantFrom(80, 443),
  algorithm: fc.constantFrom('Random', 'Random', 'Maglev'),
  trafficPolicy: fc.constantFrom('Cluster', 'Local'),
  sticky: fc.boolean(),
  ranges: fc.subarray(['10.0.0.0/8', '10.1.2.3/16', 'fd00::/8']),
});
const someService = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  frontends: fc.array(someFrontend, { maxLength: 3 }),
  backends: fc.array(someBackend, { maxLength: 6 }),
});
const step = fc.oneof(
  { weight: 5, arbitrary: someService },
  { weight: 2, arbitrary: fc.record({ remove: fc.constantFrom('a', 'b', 'c', 'd') }) },
  { weight: 3, arbitrary: fc.constant('take' as const) },
  { weight: 1, arbitrary: fc.record({ wait: fc.integer({ min: 1, max: 100 }) }) },
);
type Generated = typeof someService extends fc.Arbitrary<infer T> ? T : never;

function build({ name, frontends, backends }: Generated): Service {
  return service(
    name,
    frontends.map((one) =>
      frontend(`10.96.0.${one.host}`, {
        port: one.port,
        algorithm: one.algorithm as 'Random' | 'Maglev',
        trafficPolicy: one.trafficPolicy as 'Cluster' | 'Local',
        affinity: { type: one.sticky ? 'ClientIP' : 'None', timeoutSeconds: 10 },
        sourceRanges: one.ranges,
      }),
    ),
    backends.map((one) =>
      backend(`10.244.0.${one.host}`, {
        weight: one.weight,
        state: one.state as 'Ready',
        node: one.node,
        ports: [{ name: '', port: one.port }],
      }),
    ),
  );
}

describe('any history of changes', () => {
  test('never shows a packet a pick of a row that is not there, and ends as if built at once', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const kernel = new FakeKernel();
        const image = new LoadBalancerImage(SPEC, NODE);
        image.settle();
        const final = new Map<string, Service>();
        let now = 100;
        for (const one of [...steps, 'take' as const]) {
          image.tick(now);
          if (one === 'take') {
            kernel.apply(image.take(), () => kernel.check());
          } else if ('remove' in one) {
            image.setTable(`n/${one.remove}`, undefined);
            final.delete(one.remove);
          } else if ('wait' in one) {
            now += one.wait;
          } else {
            image.setTable(`n/${one.name}`, [build(one)]);
            final.set(one.name, build(one));
          }
        }
        expect(image.take()).toEqual({ writes: [], afterGrace: [] });

        const atOnce = new FakeKernel();
        const other = new LoadBalancerImage(SPEC, NODE);
        for (const [name, one] of final) other.setTable(`n/${name}`, [one]);
        other.settle();
        atOnce.apply(other.take());
        expect(kernel.meaning()).toEqual(atOnce.meaning());
        expect(kernel.map('source_ranges').size).toBe(atOnce.map('source_ranges').size);

        // a restart finds all as it should be
        const restarted = new LoadBalancerImage(SPEC, NODE);
        kernel.adoptInto(restarted);
        restarted.tick(now);
        for (const [name, one] of final) restarted.setTable(`n/${name}`, [one]);
        restarted.settle();
        expect(restarted.take()).toEqual({ writes: [], afterGrace: [] });

        // a new instance: new frontends and picks, but the backends are the same rows
        const next = new LoadBalancerImage(SPEC, NODE, image);
        for (const [name, one] of final) next.setTable(`n/${name}`, [one]);
        next.settle();
        const change = next.take();
        expect(change.writes.filter(({ map }) => map === 'backends')).toEqual([]);
        kernel.map('frontends').clear();
        kernel.map('picks').clear();
        kernel.map('source_ranges').clear();
        kernel.apply(change, () => kernel.check());
        expect(kernel.meaning()).toEqual(atOnce.meaning());
      }),
      { numRuns: 300 },
    );
  });
});

describe('an image', () => {
  const fill = (image: LoadBalancerImage, ...services: Service[]) =>
    services.flatMap((one) => image.setTable(`n/${one.name}`, [one]));

  test('writes only the rows of the service that changed', () => {
    const image = new LoadBalancerImage(SPEC, NODE);
    fill(
      image,
      ...Array.from({ length: 20 }, (_, i) =>
        service(`s${i}`, [frontend(`10.96.1.${i}`)], [backend(`10.244.1.${i}`)]),
      ),
    );
    image.settle();
    image.take();
    fill(image, service('s7', [frontend('10.96.1.7')], [backend('10.244.1.7'), backend('10.244.2.7')]));
    const { writes, afterGrace } = image.take();
    expect(writes.map(({ map, op, count }) => [map, op, count])).toEqual([
      ['backends', 'update', 1],
      ['picks', 'update', 2],
      ['frontends', 'update', 1],
    ]);
    expect(afterGrace).toEqual([]);
    fill(image, service('s7', [frontend('10.96.1.7')], [backend('10.244.1.7'), backend('10.244.2.7')]));
    expect(image.take().writes).toEqual([]);
  });

  test('one address and port of two services: the smaller name has it, the other is told and follows', () => {
    for (const order of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const kernel = new FakeKernel();
      const image = new LoadBalancerImage(SPEC, NODE);
      image.settle();
      const of = (name: string) =>
        service(name, [frontend('10.96.0.1')], [backend(name === 'a' ? '10.244.0.1' : '10.244.0.2')]);
      const problems = fill(image, ...order.map(of));
      expect(problems).toMatchObject([{ reason: 'Conflict' }]);
      expect(problems[0]?.message).toMatch(/^Service default\/b: 10\.96\.0\.1 port 80 .* Service default\/a/);
      kernel.apply(image.take(), () => kernel.check());
      expect(kernel.meaning()[0]?.picks).toEqual(['10.244.0.1 8080 3']);
      image.setTable('n/a', undefined);
      kernel.apply(image.take(), () => kernel.check());
      expect(kernel.meaning()[0]?.picks).toEqual(['10.244.0.2 8080 3']);
      image.setTable('n/b', undefined);
      kernel.apply(image.take());
      expect(kernel.map('frontends').size).toBe(0);
      expect(image.usage().picks?.used).toBe(0);
    }
  });

  test.each([
    ['maxFrontends', { maxFrontends: 2 }],
    ['maxBackends', { maxBackends: 2 }],
    ['maxPicks', { maxPicks: 2 }],
  ])('what does not fit names the service and %s, and changes nothing', (field, sizes) => {
    const image = new LoadBalancerImage({ ...SPEC, sessions: { ...SPEC.sessions, ...sizes } }, NODE);
    const small = service('s', [frontend('10.96.0.1')], [backend('10.244.0.1')]);
    expect(fill(image, small)).toEqual([]);
    image.settle();
    image.take();
    const large = service(
      's',
      ['10.96.0.1', '10.96.0.2', '10.96.0.3'].map((one) => frontend(one)),
      ['10.244.0.2', '10.244.0.3', '10.244.0.4'].map((one) => backend(one)),
    );
    const [problem] = fill(image, large);
    expect(problem).toMatchObject({ reason: 'MapFull', field: `spec.loadBalancer.sessions.${field}` });
    expect(problem?.message).toContain(`Service default/s: `);
    const { writes } = image.take();
    expect(writes.filter(({ map }) => map === 'frontends' || map === 'picks')).toEqual([]);
    expect(image.usage().frontends?.used).toBe(1);
    expect(fill(image, small)).toEqual([]);
  });

  test('slices count when all of a revision are there', () => {
    const kernel = new FakeKernel();
    const image = new LoadBalancerImage(SPEC, NODE);
    image.settle();
    const slice = (index: number, revision: string, host: number) =>
      image.setTable(
        `n/web-${index}`,
        [service('web', index === 0 ? [frontend('10.96.0.1')] : [], [backend(`10.244.0.${host}`)])],
        { owner: 'uid', index, count: 2, revision },
      );
    const picks = () => {
      kernel.apply(image.take(), () => kernel.check());
      return kernel.meaning()[0]?.picks.map((pick) => pick.split(' ')[0]);
    };
    slice(1, 'r1', 2);
    expect(picks()).toBeUndefined();
    slice(0, 'r1', 1);
    expect(picks()).toEqual(['10.244.0.1', '10.244.0.2']);
    slice(0, 'r2', 3);
    expect(picks()).toEqual(['10.244.0.1', '10.244.0.2']);
    slice(1, 'r2', 4);
    expect(picks()).toEqual(['10.244.0.3', '10.244.0.4']);
    // an endpoint that comes or goes rewrites one slice, and leaves the revision as it is
    slice(1, 'r2', 5);
    expect(picks()).toEqual(['10.244.0.3', '10.244.0.5']);
    slice(0, 'r2', 6);
    expect(picks()).toEqual(['10.244.0.5', '10.244.0.6']);
    image.setTable('n/web-0', undefined);
    expect(picks()).toEqual(['10.244.0.5', '10.244.0.6']);
    image.setTable('n/web-1', undefined);
    expect(picks()).toBeUndefined();
  });

  describe('a backend of UDP that one service lets go of and another one keeps', () => {
    const udp = (address: string) => frontend(address, { protocol: 'UDP' });
    const a = service('a', [udp('10.96.0.1')], [backend('10.244.0.1'), backend('10.244.0.2')]);
    const b = service('b', [udp('10.96.0.2')], a.backends);
    const smaller = { ...a, backends: a.backends.slice(1) };
    const departures = (kernel: FakeKernel) => [0, 1].map((id) => kernel.backend(id)?.departures);
    const picksOfA = (kernel: FakeKernel) =>
      kernel.frontends().find(({ key }) => key.addr === '10.96.0.1')?.picks.length;

    function imageOf(kernel: FakeKernel, services: readonly Service[]): LoadBalancerImage {
      const image = new LoadBalancerImage(SPEC, NODE);
      kernel.adoptInto(image);
      for (const one of services) image.setTable(`n/${one.name}`, [one]);
      image.settle();
      return image;
    }

    function started(...services: readonly Service[]) {
      const kernel = new FakeKernel();
      const image = imageOf(kernel, services);
      kernel.apply(image.take());
      return { kernel, image };
    }

    /** Departures of both, and how many picks `a` has, after each write that changes something of it. */
    function course(kernel: FakeKernel, image: LoadBalancerImage): string[] {
      const states: string[] = [];
      kernel.apply(image.take(), () => {
        const now = `${departures(kernel).join()} ${picksOfA(kernel)}`;
        if (states.at(-1) !== now) states.push(now);
      });
      return states;
    }

    test('is written before and after the frontend: odd, then even, and only that row', () => {
      const { kernel, image } = started(a, b);
      expect(departures(kernel)).toEqual([0, 0]);
      image.setTable('n/a', [smaller]);
      expect(course(kernel, image)).toEqual(['1,0 2', '1,0 1', '2,0 1']);
    });

    test('a service that goes leaves all of them', () => {
      const { kernel, image } = started(a, b);
      image.setTable('n/a', undefined);
      expect(course(kernel, image)).toEqual([
        '1,0 2',
        '1,1 2',
        '1,1 undefined',
        '2,1 undefined',
        '2,2 undefined',
      ]);
    });

    test('a backend of streams, or one that is listed still, has not departed', () => {
      const streams = service('a', [frontend('10.96.0.1')], a.backends);
      const { kernel, image } = started(streams, service('b', [frontend('10.96.0.2')], a.backends));
      image.setTable('n/a', [{ ...streams, backends: smaller.backends }]);
      expect(course(kernel, image).at(-1)).toBe('0,0 1');
      const other = started(a, b);
      const waiting = a.backends.map((one, i) => (i === 0 ? { ...one, state: 'Terminating' as const } : one));
      other.image.setTable('n/a', [{ ...a, backends: waiting }]);
      expect(course(other.kernel, other.image).at(-1)).toBe('0,0 1');
    });

    test('that nobody keeps drains instead', () => {
      const { kernel, image } = started(a, b);
      image.setTable('n/a', [smaller]);
      image.setTable('n/b', [{ ...b, backends: smaller.backends }]);
      kernel.apply(image.take());
      expect(kernel.backend(0)?.deadline).not.toBe(0);
      expect(departures(kernel)).toEqual([0, 0]);
    });

    test.each([
      ['before', 2],
      ['after', 1],
    ])('an agent that dies %s the frontend was written leaves the rest to the next one', (_when, picks) => {
      const { kernel, image } = started(a, b);
      image.setTable('n/a', [smaller]);
      const killed = new Error('killed');
      const die = () => {
        if (departures(kernel)[0] === 1 && picksOfA(kernel) === picks) throw killed;
      };
      expect(() => kernel.apply(image.take(), die)).toThrow(killed);
      kernel.apply(imageOf(kernel, [smaller, b]).take());
      expect(departures(kernel)[0]).toBe(2);
      expect(picksOfA(kernel)).toBe(1);
    });

    test('who left while no agent ran is looked for among all', () => {
      const { kernel } = started(a, b);
      kernel.apply(imageOf(kernel, [smaller, b]).take());
      expect(departures(kernel)).toEqual([2, 2]);
      expect(imageOf(kernel, [smaller, b]).take().writes).toEqual([]);
    });

    test('departures stay within 16 bits, and are never 0 again', () => {
      const { kernel } = started(a, b);
      const row = kernel.map('backends').get('00000000') as Uint8Array;
      new DataView(row.buffer, row.byteOffset).setUint32(28, 0xfffa, true);
      const image = imageOf(kernel, [a, b]);
      const seen = Array.from({ length: 4 }, () => {
        for (const one of [smaller, a]) {
          image.setTable('n/a', [one]);
          kernel.apply(image.take());
        }
        return kernel.backend(0)?.departures;
      });
      expect(seen).toEqual([0xfffc, 0xfffe, 2, 4]);
    });
  });

  test('a backend that nobody lists drains, and its row is free for another generation after that', () => {
    const kernel = new FakeKernel();
    const image = new LoadBalancerImage(SPEC, NODE);
    image.settle();
    image.tick(1000);
    fill(image, service('s', [frontend('10.96.0.1')], [backend('10.244.0.1')]));
    kernel.apply(image.take());
    fill(image, service('s', [frontend('10.96.0.1')], []));
    kernel.apply(image.take(), () => kernel.check());
    const deadline = kernel.backend(0)?.deadline ?? 0;
    expect((deadline * 2 ** 30) / 1e9).toBeGreaterThanOrEqual(1060);
    expect((deadline * 2 ** 30) / 1e9).toBeLessThan(1063);
    const next = image.tick(1001) ?? 0;
    expect(next).toBeGreaterThan(1060);
    fill(image, service('t', [frontend('10.96.0.2')], [backend('10.244.0.9')]));
    kernel.apply(image.take());
    expect(kernel.backend(1)?.addr).toBe('10.244.0.9');
    expect(image.tick(next)).toBeUndefined();
    kernel.apply(image.take());
    expect(kernel.backend(0)).toMatchObject({ flags: 0, generation: 1 });
    fill(image, service('u', [frontend('10.96.0.3')], [backend('10.244.0.8')]));
    kernel.apply(image.take());
    expect(kernel.backend(0)).toMatchObject({ addr: '10.244.0.8', flags: 3, generation: 1, deadline: 0 });
  });
});

test('names for a trace say the service', () => {
  const image = new LoadBalancerImage(SPEC, NODE);
  const row = (name: string, address: string) =>
    service(name, [frontend(address)], [backend('10.244.1.5'), backend('fd00::5')]);
  image.setTable('net/web', [row('web', '10.96.0.10')]);
  image.setTable('net/dns', [row('dns', 'fd00:96::a')]);
  image.settle();
  const name = (kind: string, id: bigint, dst = '10.0.0.1', dport = 80) =>
    image.nameObject(kind, id, { src: '10.0.0.1', dst, sport: 1, dport, proto: 6 });
  expect(name('frontend', 0n, '10.96.0.10')).toBe('10.96.0.10:80/TCP of Service default/web');
  expect(name('frontend', 0n, 'fd00:96::a')).toBe('[fd00:96::a]:80/TCP of Service default/dns');
  expect(name('frontend', 0n, '10.96.0.10', 81)).toBeUndefined();
  const backends = [0n, 1n].map((id) => name('backend', id, '10.96.0.10'));
  expect(backends.sort()).toEqual([
    '10.244.1.5:8080/TCP of Service default/web',
    '[fd00::5]:8080/TCP of Service default/web',
  ]);
  expect(name('backend', 0n)).toContain('of Service default/web, default/dns'); // a reply: either of them
  expect(name('backend', 60n)).toBeUndefined();
});
