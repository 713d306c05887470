// SPDX-License-Identifier: Apache-2.0
/** The mirror: what is copied and where to, and that the packet goes on whatever becomes of its copies. */
import { afterEach, expect, jest, test } from '@jest/globals';
import type { MirrorRule } from '../../src/api/generated/types.ts';
import type { CubeInput } from '../../src/cubes/cube-type.ts';
import { schema } from '../../src/cubes/mirror/schema.ts';
import { mirror } from '../../src/cubes/mirror/type.ts';
import { Chain, type ChainCube, type RunOptions } from './support/chain.ts';
import { arp, echo, ethernet, ip, tcp, udp } from './support/packet.ts';
import { apply, NODE } from './support/router.ts';

jest.setTimeout(60_000);

const [OUTSIDE, INSIDE, PROBE, SAMPLER] = [0, 1, 2, 3];
/** An interface that is not there: a copy to it is counted as a failure. */
const NO_DEVICE = 0x7ffffff0;
const V4 = { src: '10.1.2.3', dst: '192.0.2.9' };
const V6 = { src: 'fd00:1::3', dst: '2001:db8::9' };
const WEB = tcp({ sport: 5000, dport: 80, payload: 40 });

let chain: Chain | undefined;
afterEach(() => {
  chain?.close();
  chain = undefined;
});

interface Sent {
  /** Port that the packet left by. */
  out: number | undefined;
  /** Ports that copies left by, in order; of a dry run. */
  copies: number[];
  counts: string[];
  drops: string[];
}

async function withRules(
  rules: readonly (Omit<MirrorRule, 'direction' | 'oneIn' | 'port'> & Partial<MirrorRule>)[],
): Promise<(frame: Buffer, port?: number, options?: RunOptions) => Sent> {
  const input: CubeInput<{ rules: MirrorRule[] }> = {
    namespace: 'test',
    name: 'mirror',
    uid: 'u',
    spec: { rules: rules.map((rule) => ({ direction: 'Both', oneIn: 1, port: 'probe', ...rule })) },
    ports: ['outside', 'inside', 'probe', 'sampler'].map((name, id) => ({
      name,
      id,
      addresses: [],
      endpoint: 'Interface',
    })),
  };
  expect(mirror.check(input)).toEqual([]);
  const opened = await Chain.open();
  chain = opened;
  const { rodata } = mirror.instance(input, NODE);
  const cube: ChainCube = await opened.add({ object: 'mirror', schema, slot: 1, variables: rodata });
  const image = mirror.image(input, NODE);
  image.settle();
  apply(cube, image.take());
  opened.watch(1, OUTSIDE, INSIDE);
  for (const port of [PROBE, SAMPLER]) opened.edge(1, port, { kind: 'device', target: NO_DEVICE });
  return (frame, port = OUTSIDE, options = {}) => {
    opened.attach({ kind: 'interface' }, cube, port);
    const { seen, events, counts, drops, frame: after } = opened.run(frame, options);
    if (drops.length === 0) expect(after).toEqual(frame);
    const outputs = events.filter(({ kind, slot }) => kind === 'output' && slot === 1);
    return {
      out: seen?.port,
      copies: outputs.map(({ value }) => value).filter((value) => value > INSIDE),
      counts: counts.map((count) => count.replace('mirror ', '')),
      drops,
    };
  };
}

const web = [ethernet({}, ip(V4, WEB)), ethernet({}, ip(V6, WEB))];
const other = [
  ethernet({}, ip(V4, udp({ sport: 1, dport: 2 }))),
  ethernet({}, ip(V6, echo({ v6: true }))),
  ethernet({}, arp({ operation: 1, senderMac: '02:00:00:00:00:01', sender: '10.0.0.1', target: '10.0.0.2' })),
  ethernet({}, Buffer.alloc(60)),
];

test('every packet leaves by the other port, as it came', async () => {
  const send = await withRules([{ ports: [{ protocol: 'TCP', port: 80 }] }]);
  for (const frame of [...web, ...other]) {
    expect(send(frame, OUTSIDE).out).toBe(INSIDE);
    expect(send(frame, INSIDE).out).toBe(OUTSIDE);
  }
});

test('without rules it is a wire', async () => {
  const send = await withRules([]);
  for (const frame of [...web, ...other]) expect(send(frame)).toMatchObject({ out: INSIDE, counts: [] });
});

test('a copy of what a rule matches, and of nothing else; a copy that fails is counted and that is all', async () => {
  const send = await withRules([{ ports: [{ protocol: 'TCP', port: 80 }] }]);
  for (const frame of web) {
    expect(send(frame)).toMatchObject({ out: INSIDE, counts: ['matched', 'copyFailures'], drops: [] });
    expect(send(frame, OUTSIDE, { dry: true }).copies).toEqual([PROBE]);
  }
  for (const frame of other) expect(send(frame)).toMatchObject({ out: INSIDE, counts: [], drops: [] });
});

test('directions', async () => {
  const send = await withRules([{ direction: 'Ingress' }, { direction: 'Egress', port: 'sampler' }]);
  for (const frame of [...web, ...other]) {
    expect(send(frame, OUTSIDE, { dry: true })).toMatchObject({ out: INSIDE, copies: [PROBE] });
    expect(send(frame, INSIDE, { dry: true })).toMatchObject({ out: OUTSIDE, copies: [SAMPLER] });
  }
});

test('several rules: one copy to each of their ports', async () => {
  const send = await withRules([
    { sources: ['10.0.0.0/8', '10.1.0.0/16', 'fd00::/8'] },
    { protocols: ['TCP'] },
    { protocols: ['TCP', 'UDP'], port: 'sampler' },
  ]);
  expect(send(web[0] as Buffer, OUTSIDE, { dry: true }).copies).toEqual([PROBE, SAMPLER]);
  expect(send(other[1] as Buffer, OUTSIDE, { dry: true }).copies).toEqual([PROBE]);
  expect(send(other[2] as Buffer, OUTSIDE, { dry: true }).copies).toEqual([]);
  // two prefixes of one rule that match are one match
  expect(send(web[1] as Buffer).counts).toEqual(['matched', 'copyFailures', 'copyFailures']);
});

test('one in so many', async () => {
  const send = await withRules([{ oneIn: 4 }]);
  const frame = web[0] as Buffer;
  let copied = 0;
  const runs = 800;
  for (let i = 0; i < runs; i++) {
    const { counts, out } = send(frame);
    expect(out).toBe(INSIDE);
    expect(counts[0] === 'matched' || counts[1] === 'notSampled').toBe(true);
    if (counts.includes('copyFailures')) copied++;
  }
  // 200 on average, with a standard deviation of 12
  expect(copied).toBeGreaterThan(100);
  expect(copied).toBeLessThan(300);
});

test('what comes in by a port for copies ends there', async () => {
  const send = await withRules([{}]);
  expect(send(web[0] as Buffer, PROBE)).toMatchObject({ out: undefined, drops: ['mirror FromCopyPort'] });
});
