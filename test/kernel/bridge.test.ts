// SPDX-License-Identifier: Apache-2.0
/** The bridge: where frames go, what is learned from them, and every reason why one goes no further. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Bridge } from '../../src/api/generated/types.ts';
import { fdb } from '../../src/cubes/bridge/generated/codec.ts';
import { addBridge, NO_DEVICE, PORT } from './support/bridge.ts';
import { Chain, type ChainCube, type RunOptions, type RunResult, Verdict } from './support/chain.ts';
import { arp, ethernet, ip, type Layer3, tcp, udp } from './support/packet.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const GROUP = '01:00:5e:00:00:fb';

let macs = 0;
/** An address that no test has used. */
const newMac = (): string => {
  macs++;
  return `02:aa:00:00:${(macs >> 8).toString(16).padStart(2, '0')}:${(macs & 255).toString(16).padStart(2, '0')}`;
};

interface Frame {
  from: string;
  to: string;
  /** A tag inside the frame. */
  vlan?: number;
  content?: Layer3 | Uint8Array;
}

const CONTENT = ip({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ sport: 1, dport: 2, payload: 20 }));

class Bed {
  readonly chain: Chain;
  readonly cube: ChainCube;

  private constructor(chain: Chain, cube: ChainCube) {
    this.chain = chain;
    this.cube = cube;
  }

  static async open(names: readonly string[], spec: Partial<Bridge> = {}, mtu = 1500): Promise<Bed> {
    const chain = await Chain.open();
    const ports = names.map((name) => ({ name, mtu, endpoint: 'Interface' as const }));
    return new Bed(chain, await addBridge(chain, { ports, spec }));
  }

  /** Sends a frame in by a port. */
  send(port: number, { from, to, vlan, content = CONTENT }: Frame, options: RunOptions = {}): RunResult {
    this.chain.attach({ kind: 'interface' }, this.cube, port);
    return this.chain.run(
      ethernet({ src: from, dst: to, ...(vlan === undefined ? {} : { vlan }) }, content),
      options,
    );
  }

  /** Ports that a frame would leave by, in order; all ports lead to interfaces then. */
  floods(port: number, frame: Frame, options: RunOptions = {}): { ports: number[]; drops: number[] } {
    this.toDevices();
    const { events } = this.send(port, frame, { ...options, dry: true });
    return {
      ports: events.filter(({ kind }) => kind === 'output').map(({ value }) => value),
      drops: events.filter(({ kind }) => kind === 'drop').map(({ value }) => value),
    };
  }

  toDevices(count = 8): void {
    for (let port = 0; port < count; port++)
      this.chain.edge(this.cube.slot, port, { kind: 'device', target: NO_DEVICE });
  }

  toProbe(count = 8): void {
    this.chain.watch(this.cube.slot, ...Array.from({ length: count }, (_, port) => port));
  }

  /** Lets a host be heard at a port. */
  learn(port: number, mac: string, vlan?: number): RunResult {
    return this.send(port, { from: mac, to: BROADCAST, ...(vlan === undefined ? {} : { vlan }) });
  }
}

describe('access ports of one VLAN', () => {
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open(['a', 'b', 'c', 'd']);
  });
  afterAll(() => bed.chain.close());
  beforeEach(() => bed.toProbe());

  test('a frame for a learned address goes to its port alone, as it came', () => {
    const host = newMac();
    expect(bed.learn(2, host).counts).toEqual(expect.arrayContaining(['bridge learned', 'bridge flooded']));
    const frame = { from: newMac(), to: host };
    const result = bed.send(0, frame);
    expect(result).toMatchObject({ seen: { port: 2 }, drops: [] });
    expect(result.counts).toEqual(['bridge forwarded', 'bridge learned']);
    expect(result.frame).toEqual(ethernet({ src: frame.from, dst: host }, CONTENT));
    expect(bed.send(0, frame).counts).toEqual(['bridge forwarded']);
  });

  test.each<[string, Layer3 | Uint8Array, number | undefined]>([
    ['IPv6', ip({ src: 'fd00::1', dst: 'fd00::2' }, tcp({ sport: 1, dport: 2 })), undefined],
    [
      'ARP',
      arp({ operation: 2, senderMac: newMac(), sender: '10.0.0.1', targetMac: newMac(), target: '10.0.0.2' }),
      undefined,
    ],
    ['neither', Buffer.from('no protocol that we know'), undefined],
    ['an 802.3 frame with its length', Buffer.alloc(60, 0xaa), 60],
  ])('%s is carried like anything else', (_, content, etherType) => {
    const host = newMac();
    bed.learn(1, host);
    bed.chain.attach({ kind: 'interface' }, bed.cube, 0);
    const frame = ethernet(
      { src: newMac(), dst: host, ...(etherType === undefined ? {} : { etherType }) },
      content,
    );
    const result = bed.chain.run(frame);
    expect(result).toMatchObject({ seen: { port: 1 }, drops: [] });
    expect(result.frame).toEqual(frame);
  });

  test.each([
    ['a broadcast', BROADCAST],
    ['a multicast', GROUP],
    ['an unknown address', newMac()],
  ])('%s goes to all other ports', (_, to) => {
    expect(bed.floods(1, { from: newMac(), to })).toEqual({ ports: [2, 3, 0], drops: [] });
  });

  test('copies are counted, and those that find no interface; the last port gets the frame itself', () => {
    bed.toDevices();
    bed.chain.watch(bed.cube.slot, 0);
    const result = bed.send(3, { from: newMac(), to: BROADCAST });
    expect(result.seen?.port).toBe(0);
    expect(result.counts).toEqual([
      'bridge flooded',
      'bridge copyFailures',
      'bridge copyFailures',
      'bridge learned',
    ]);
  });

  test('the destination is where the frame came from', () => {
    const host = newMac();
    bed.learn(1, host);
    expect(bed.send(1, { from: newMac(), to: host })).toMatchObject({
      drops: ['bridge SamePort'],
      verdict: Verdict.drop,
    });
  });

  test.each([
    ['a group', GROUP],
    ['zero', '00:00:00:00:00:00'],
  ])('the source is %s', (_, from) => {
    expect(bed.send(1, { from, to: BROADCAST }).drops).toEqual(['bridge InvalidSourceMac']);
  });

  test('what bridges keep to themselves is left to the host on an interface', () => {
    for (const last of ['00', '0e'])
      expect(bed.send(1, { from: newMac(), to: `01:80:c2:00:00:${last}` })).toMatchObject({
        verdict: Verdict.pass,
        drops: [],
      });
    expect(bed.floods(1, { from: newMac(), to: '01:80:c2:00:00:10' }).ports).toHaveLength(3);
  });

  test('tagged frames are refused, those of priority taken without their tag', () => {
    expect(bed.send(1, { from: newMac(), to: BROADCAST, vlan: 1 }).drops).toEqual(['bridge VlanNotAllowed']);
    expect(bed.send(1, { from: newMac(), to: BROADCAST }, { vlan: 5 }).drops).toEqual([
      'bridge VlanNotAllowed',
    ]);
    const host = newMac();
    bed.learn(2, host);
    const from = newMac();
    for (const result of [
      bed.send(1, { from, to: host, vlan: 0 }),
      bed.send(1, { from, to: host }, { vlan: 0xe000 }),
    ]) {
      expect(result.seen).toMatchObject({ port: 2, work: { vlan: 0, l3: 14, l4: 34 } });
      expect(result.frame).toEqual(ethernet({ src: from, dst: host }, CONTENT));
    }
  });

  test('a second tag behind one of priority is no way into another VLAN', () => {
    const content = Buffer.concat([Buffer.from([0, 7]), Buffer.from([8, 0]), CONTENT.bytes]);
    for (const etherType of [0x8100, 0x88a8]) {
      bed.chain.attach({ kind: 'interface' }, bed.cube, 1);
      const frame = ethernet({ src: newMac(), dst: BROADCAST, vlan: 0, etherType }, content);
      expect(bed.chain.run(frame).drops).toEqual(['bridge VlanNotAllowed']);
    }
  });

  test('a frame larger than the port takes', () => {
    const host = newMac();
    bed.learn(2, host);
    const content = (payload: number) =>
      ip({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1, dport: 2, payload }));
    const send = (payload: number, options: RunOptions = {}) =>
      bed.send(1, { from: newMac(), to: host, content: content(payload) }, options);
    expect(send(1460).seen?.port).toBe(2);
    expect(send(1461).drops).toEqual(['bridge Mtu']);
    expect(send(3000, { gsoSize: 1448 }).seen?.port).toBe(2);
    expect(send(3000, { gsoSize: 1461 }).drops).toEqual(['bridge Mtu']);
  });

  test('a host moves', () => {
    const host = newMac();
    const from = newMac();
    bed.learn(1, host);
    expect(bed.learn(3, host).counts).toContain('bridge moved');
    expect(bed.send(0, { from, to: host }).seen?.port).toBe(3);
  });

  test('a thousand addresses move between ports: each frame finds the last place', () => {
    const hosts = Array.from({ length: 1000 }, newMac);
    const from = newMac();
    for (const port of [1, 3]) {
      for (const host of hosts) bed.learn(port, host);
      const found = hosts.map((to) => bed.send(0, { from, to }).seen?.port);
      expect(new Set(found)).toEqual(new Set([port]));
    }
  });

  test('a dry run learns nothing', () => {
    const host = newMac();
    bed.send(1, { from: host, to: BROADCAST }, { dry: true });
    expect(bed.floods(0, { from: newMac(), to: host }).ports).toHaveLength(3);
  });

  test('an address that was silent for too long is forgotten', () => {
    const host = newMac();
    bed.learn(2, host);
    const key = Buffer.alloc(fdb.keySize);
    fdb.encodeKey({ vlan: 1, mac: host }, key);
    const entry = fdb.decodeValue(bed.cube.map('fdb').lookup(key) ?? new Uint8Array(8));
    const aged = (seconds: number) => {
      const value = Buffer.alloc(fdb.valueSize);
      fdb.encodeValue({ ...entry, seen: entry.seen - seconds }, value);
      bed.cube.map('fdb').update(key, value);
    };
    aged(250);
    expect(bed.send(0, { from: newMac(), to: host }).seen?.port).toBe(2);
    aged(400);
    expect(bed.floods(0, { from: newMac(), to: host }).ports).toHaveLength(3);
    bed.toProbe();
    expect(bed.learn(2, host).counts).toContain('bridge learned');
  });
});

describe('VLANs', () => {
  const [A10, B10, A20, TRUNK, NATIVE] = [0, 1, 2, 3, 4];
  let bed: Bed;
  beforeAll(async () => {
    const access = (vlan: number) => ({ ...PORT, vlan: { type: 'Access' as const, access: { vlan } } });
    bed = await Bed.open(['a10', 'b10', 'a20', 'trunk', 'trunk-native'], {
      ports: [
        { name: 'a10', ...access(10) },
        { name: 'b10', ...access(10) },
        { name: 'a20', ...access(20) },
        {
          name: 'trunk',
          ...PORT,
          vlan: { type: 'Trunk', trunk: { vlans: [{ first: 10 }, { first: 20, last: 29 }] } },
        },
        {
          name: 'trunk-native',
          ...PORT,
          vlan: { type: 'Trunk', trunk: { vlans: [{ first: 10 }], native: 20 } },
        },
      ],
    });
  });
  afterAll(() => bed.chain.close());
  beforeEach(() => bed.toProbe());

  test('a broadcast reaches the ports of its VLAN alone; those whose tag it has come first', () => {
    const from = newMac();
    expect(bed.floods(A10, { from, to: BROADCAST }).ports).toEqual([B10, NATIVE, TRUNK]);
    expect(bed.floods(A20, { from, to: BROADCAST }).ports).toEqual([NATIVE, TRUNK]);
    expect(bed.floods(TRUNK, { from, to: BROADCAST, vlan: 10 }).ports).toEqual([A10, B10, NATIVE]);
    expect(bed.floods(TRUNK, { from, to: BROADCAST, vlan: 20 }).ports).toEqual([NATIVE, A20]);
    expect(bed.floods(NATIVE, { from, to: BROADCAST }).ports).toEqual([A20, TRUNK]);
  });

  test('each VLAN learns for itself', () => {
    const host = newMac();
    bed.learn(A10, host);
    bed.learn(A20, host);
    const from = newMac();
    expect(bed.send(B10, { from, to: host }).seen?.port).toBe(A10);
    expect(bed.send(NATIVE, { from, to: host }).seen?.port).toBe(A20);
    expect(bed.send(TRUNK, { from, to: host }, { vlan: 20 }).seen).toMatchObject({
      port: A20,
      work: { vlan: 0, l3: 14 },
    });
  });

  test('a frame gets the tag of its VLAN for a trunk, and loses it for an access port', () => {
    const [behindTrunk, behindAccess] = [newMac(), newMac()];
    bed.send(TRUNK, { from: behindTrunk, to: BROADCAST, vlan: 10 });
    bed.learn(A10, behindAccess);
    expect(bed.send(A10, { from: behindAccess, to: behindTrunk }).seen).toMatchObject({
      port: TRUNK,
      work: { vlan: 10, l3: 14 },
    });
    const back = bed.send(TRUNK, { from: behindTrunk, to: behindAccess, vlan: 10 });
    expect(back.seen).toMatchObject({ port: A10, work: { vlan: 0, l3: 14, l4: 34 } });
    expect(back.frame).toEqual(ethernet({ src: behindTrunk, dst: behindAccess }, CONTENT));
  });

  test('a frame of the native VLAN has no tag there, and one of priority counts as one', () => {
    const [native, access] = [newMac(), newMac()];
    bed.learn(NATIVE, native);
    bed.learn(A20, access);
    expect(bed.send(A20, { from: access, to: native }).seen).toMatchObject({
      port: NATIVE,
      work: { vlan: 0 },
    });
    expect(bed.send(NATIVE, { from: native, to: access }, { vlan: 0xa000 }).seen).toMatchObject({
      port: A20,
      work: { vlan: 0 },
    });
    const tagged = newMac();
    bed.send(TRUNK, { from: tagged, to: BROADCAST }, { vlan: 20 });
    expect(bed.send(NATIVE, { from: native, to: tagged }, { vlan: 0xa000 }).seen).toMatchObject({
      port: TRUNK,
      work: { vlan: 20 },
    });
  });

  test('a second tag that is cut short is a bad frame, not a kernel without memory', () => {
    const host = newMac();
    bed.learn(A10, host);
    bed.chain.attach({ kind: 'interface' }, bed.cube, TRUNK);
    const frame = ethernet({ src: newMac(), dst: host, etherType: 0x8100 }, Buffer.alloc(3));
    expect(bed.chain.run(frame, { vlan: 10 }).drops).toEqual(['bridge Malformed']);
  });

  test.each<[string, number, Partial<Frame>, RunOptions]>([
    ['without a tag, at a trunk that has no native VLAN', TRUNK, {}, {}],
    ['with a tag of priority, at such a trunk', TRUNK, { vlan: 0 }, {}],
    ['with a tag that the trunk does not carry', TRUNK, {}, { vlan: 30 }],
    ['with such a tag inside', NATIVE, { vlan: 21 }, {}],
    ['with the reserved number', TRUNK, {}, { vlan: 4095 }],
    ['with a tag at an access port, be it of its VLAN', A10, {}, { vlan: 10 }],
  ])('refused: %s', (_, port, frame, options) => {
    expect(bed.send(port, { from: newMac(), to: BROADCAST, ...frame }, options).drops).toEqual([
      'bridge VlanNotAllowed',
    ]);
  });
});

describe('settings of ports', () => {
  const [PLAIN, ISOLATED, ALONE, QUIET, DEAF] = [0, 1, 2, 3, 4];
  const SERVER = newMac();
  let bed: Bed;
  beforeAll(async () => {
    bed = await Bed.open(['a-plain', 'b-isolated', 'c-isolated', 'd-quiet', 'e-deaf'], {
      ports: [
        { name: 'b-isolated', ...PORT, isolated: true },
        { name: 'c-isolated', ...PORT, isolated: true },
        {
          name: 'd-quiet',
          ...PORT,
          flood: { broadcast: true, multicast: false, unknownUnicast: false },
        },
        { name: 'e-deaf', ...PORT, learning: false },
      ],
      staticEntries: [{ mac: SERVER.toUpperCase(), port: 'd-quiet', vlan: 1 }],
    });
  });
  afterAll(() => bed.chain.close());
  beforeEach(() => bed.toProbe());

  test('isolated ports exchange nothing, and everything with the others', () => {
    const host = newMac();
    bed.learn(ALONE, host);
    expect(bed.send(ISOLATED, { from: newMac(), to: host }).drops).toEqual(['bridge Isolated']);
    expect(bed.send(PLAIN, { from: newMac(), to: host }).seen?.port).toBe(ALONE);
    expect(bed.floods(ISOLATED, { from: newMac(), to: BROADCAST }).ports).toEqual([QUIET, DEAF, PLAIN]);
  });

  test('a port takes the floods that it is to take', () => {
    const frame = (to: string) => ({ from: newMac(), to });
    expect(bed.floods(PLAIN, frame(BROADCAST)).ports).toContain(QUIET);
    expect(bed.floods(PLAIN, frame(GROUP)).ports).not.toContain(QUIET);
    expect(bed.floods(PLAIN, frame(newMac())).ports).not.toContain(QUIET);
  });

  test('a static entry holds before anybody was heard, and nobody else may have its address', () => {
    expect(bed.send(PLAIN, { from: newMac(), to: SERVER }).seen?.port).toBe(QUIET);
    expect(bed.send(QUIET, { from: SERVER, to: BROADCAST }).drops).toEqual([]);
    expect(bed.send(PLAIN, { from: SERVER, to: BROADCAST }).drops).toEqual(['bridge StaticElsewhere']);
    expect(bed.send(PLAIN, { from: newMac(), to: SERVER }).seen?.port).toBe(QUIET);
  });

  test('nothing is learned where nothing is to be', () => {
    const host = newMac();
    bed.learn(DEAF, host);
    expect(bed.floods(PLAIN, { from: newMac(), to: host }).ports).toContain(DEAF);
  });
});

test('nobody to flood to', async () => {
  const bed = await Bed.open(['a', 'b'], {
    ports: [{ name: 'b', ...PORT, flood: { ...PORT.flood, unknownUnicast: false } }],
  });
  expect(bed.send(0, { from: newMac(), to: newMac() }).drops).toEqual(['bridge NowhereToFlood']);
  expect(bed.send(0, { from: newMac(), to: BROADCAST }).seen?.port).toBe(1);
  bed.chain.close();
});

test('storm control counts each kind and port by itself', async () => {
  const limit = { packetsPerSecond: 1, burst: 3 };
  const bed = await Bed.open(['a', 'b'], {
    stormControl: { broadcast: limit, unknownUnicast: limit },
    ports: [{ name: 'b', ...PORT, stormControl: {} }],
  });
  const burst = (port: number, to: string, options: RunOptions = {}) =>
    Array.from({ length: 12 }, () => bed.send(port, { from: BRIDGE_HOST, to }, options).drops.join());
  expect(burst(0, BROADCAST, { dry: true })).toEqual(Array(12).fill(''));
  for (const to of [BROADCAST, newMac()]) {
    const drops = burst(0, to);
    expect(drops.slice(0, 3)).toEqual(['', '', '']);
    expect(drops).toContain('bridge StormControl');
  }
  expect(burst(0, GROUP)).toEqual(Array(12).fill(''));
  expect(burst(1, BROADCAST)).toEqual(Array(12).fill(''));
  // what is not flooded has no limit
  const host = newMac();
  bed.learn(1, host);
  expect(burst(0, host)).toEqual(Array(12).fill(''));
  bed.chain.close();
});
const BRIDGE_HOST = newMac();

test('a flooded frame goes on to the cube as it came, whatever its copies needed', async () => {
  const chain = await Chain.open();
  const trunk = { type: 'Trunk' as const, trunk: { vlans: [{ first: 1 }, { first: 7 }] } };
  const cube = await addBridge(chain, {
    ports: [
      { name: 'a', endpoint: 'Interface' },
      { name: 'b', endpoint: 'Interface' },
      { name: 'gateway', endpoint: 'Cube' },
      { name: 'trunk', endpoint: 'Interface' },
    ],
    spec: { ports: [{ name: 'trunk', ...PORT, vlan: trunk }] },
  });
  for (const port of [0, 1, 3]) chain.edge(cube.slot, port, { kind: 'device', target: NO_DEVICE });
  const send = (port: number, options: RunOptions = {}) => {
    chain.attach({ kind: 'interface' }, cube, port);
    const frame = ethernet(
      { src: newMac(), dst: BROADCAST },
      arp({ operation: 1, senderMac: newMac(), sender: '10.0.0.1', target: '10.0.0.2' }),
    );
    const { seen, events, frame: after } = chain.run(frame, options);
    if (!options.dry) expect(after).toEqual(frame);
    return { seen, ports: events.filter(({ kind }) => kind === 'output').map(({ value }) => value) };
  };
  expect(send(0, { dry: true }).ports).toEqual([3, 1, 2]);
  expect(send(0).seen).toMatchObject({
    port: 2,
    work: { vlan: 0, src: '10.0.0.1', dst: '10.0.0.2', flags: 4, l3: 14 },
  });
  expect(send(3, { vlan: 1 }).seen).toMatchObject({ port: 2, work: { vlan: 0, flags: 4, l3: 14 } });
  chain.close();
});

test('what was learned outlives a change of the spec, unless the ports change', async () => {
  const chain = await Chain.open();
  const ports = (...names: string[]) =>
    names.map((name) => ({ name, endpoint: 'Interface' as const, mtu: 1500 }));
  const first = await addBridge(chain, { ports: ports('b', 'c') });
  const host = newMac();
  const send = (cube: ChainCube, port: number, from: string, to: string) => {
    chain.attach({ kind: 'interface' }, cube, port);
    return chain.run(ethernet({ src: from, dst: to }, CONTENT));
  };
  send(first, 1, host, BROADCAST);
  const reuseMaps = { fdb: first.map('fdb') };
  const same = await addBridge(chain, {
    slot: 2,
    ports: ports('b', 'c'),
    spec: { agingSeconds: 600 },
    reuseMaps,
  });
  expect(send(same, 0, newMac(), host).counts).toContain('bridge@2 forwarded');
  // port 1 is another one now
  const other = await addBridge(chain, { slot: 3, ports: ports('a', 'b', 'c'), reuseMaps });
  expect(send(other, 0, newMac(), host).counts).toContain('bridge@3 flooded');
  expect(send(other, 2, host, BROADCAST).counts).toContain('bridge@3 learned');
  expect(send(other, 0, newMac(), host).seen?.port).toBe(2);
  chain.close();
});
