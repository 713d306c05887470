// SPDX-License-Identifier: Apache-2.0
/** What the ABI does for cubes that are spliced in: edges that pass and cut, shared interfaces behind them, long chains. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CubeTypeSchema } from '../../src/api/schemas/cube-type.ts';
import { Chain, type ChainCube, Verdict } from './support/chain.ts';
import { ethernet, ip, tcp, udp } from './support/packet.ts';

const SCHEMA = { dropReasons: [], counters: [] } as unknown as CubeTypeSchema;
const HOST_DEV = 1 << 2;
const FAMILIES = [
  ['IPv4', { src: '10.244.1.5', dst: '10.244.2.7' }],
  ['IPv6', { src: 'fd00:244:1::5', dst: 'fd00:244:2::7' }],
] as const;

const frame = (addresses: { src: string; dst: string }) =>
  ethernet({}, ip(addresses, udp({ sport: 1000, dport: 2000, payload: 32 })));

async function pass(chain: Chain, slot: number, transparent = false): Promise<ChainCube> {
  return await chain.add({ object: 'pass', schema: SCHEMA, slot, transparent });
}

describe('a cube before the probe', () => {
  let chain: Chain;
  let cube: ChainCube;
  beforeAll(async () => {
    chain = await Chain.open();
    cube = await pass(chain, 1, true);
  });
  afterAll(() => chain.close());

  test.each(FAMILIES)('sends on unchanged to the host where no chain ends: %s', (_, addresses) => {
    chain.attach({ kind: 'interface' }, cube);
    chain.edge(1, 1, { kind: 'pass' });
    const sent = frame(addresses);
    expect(chain.run(sent)).toMatchObject({ verdict: Verdict.pass, frame: sent, drops: [] });
    expect(chain.run(sent, { dry: true })).toMatchObject({ verdict: Verdict.drop, drops: [] });
  });

  test.each(FAMILIES)('meets a cut, which is counted: %s', (_, addresses) => {
    chain.attach({ kind: 'interface' }, cube);
    chain.edge(1, 1, { kind: 'cut' });
    expect(chain.run(frame(addresses))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['pass ChainNotProgrammed'],
    });
  });

  test.each([true, false])('is cut off from an interface whose policy is open: %s', (failOpen) => {
    chain.attach({ kind: 'interface', failOpen }, cube);
    chain.edge(0, 8, { kind: 'cut' });
    expect(chain.run(frame(FAMILIES[0][1]))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['entry ChainNotProgrammed'],
    });
  });

  test('leaves it to the cube behind it that the interface is shared; another cube does not', async () => {
    chain.attach({ kind: 'interface' }, cube);
    chain.watch(1, 1);
    expect(chain.run(frame(FAMILIES[0][1])).seen).toMatchObject({ hops: 2, flags: HOST_DEV });
    const other = await pass(chain, 2);
    chain.link(cube, 1, other, 0);
    chain.watch(2, 1);
    expect(chain.run(frame(FAMILIES[0][1])).seen).toMatchObject({ hops: 3, flags: 0 });
  });
});

describe('an answer', () => {
  const FRAME_READY = 1 << 13;
  test.each(FAMILIES)(
    'of a spliced cube goes back to an interface as the frame it is: %s',
    async (_, addresses) => {
      using chain = await Chain.open();
      for (const transparent of [false, true]) {
        const slot = transparent ? 2 : 1;
        const cube = await chain.add({ object: 'refuser', schema: SCHEMA, slot, transparent });
        chain.watch(slot, 0);
        for (const kind of ['interface', 'stack'] as const) {
          chain.attach({ kind }, cube);
          for (const l4 of [
            udp({ sport: 1000, dport: 2000, payload: 32 }),
            tcp({ sport: 1000, dport: 80 }),
          ]) {
            const { seen, drops } = chain.run(ethernet({}, ip(addresses, l4)), { packetType: 0 });
            expect(drops).toEqual([]);
            const isReady = ((seen?.work.flags ?? 0) & FRAME_READY) !== 0;
            expect([kind, transparent, isReady]).toEqual([
              kind,
              transparent,
              transparent && kind === 'interface',
            ]);
          }
        }
      }
    },
  );
});

describe('chains of many cubes', () => {
  let chain: Chain;
  const cubes: ChainCube[] = [];
  beforeAll(async () => {
    chain = await Chain.open();
    for (let slot = 1; slot <= 31; slot++) cubes.push(await pass(chain, slot, true));
    for (const [i, cube] of cubes.slice(1).entries()) chain.link(cubes[i] as ChainCube, 1, cube, 0);
    chain.attach({ kind: 'interface' }, cubes[0]);
  });
  afterAll(() => chain.close());

  // The probe is a cube too, and with a packet type the test's own program takes one more tail call.
  test.each([1, 4, 8, 30])('%i cubes and the probe', (length) => {
    chain.watch(length, 1);
    for (const [, addresses] of FAMILIES) {
      for (const options of [{}, { packetType: 0 }]) {
        const result = chain.run(frame(addresses), options);
        expect(result).toMatchObject({ verdict: Verdict.ok, drops: [] });
        expect(result.seen).toMatchObject({ hops: length + 1, work: addresses });
      }
    }
    if (length < 31) chain.link(cubes[length - 1] as ChainCube, 1, cubes[length] as ChainCube, 0);
  });

  test('the 32nd cube counts the drop, before the kernel would end the packet in silence', async () => {
    const last = await pass(chain, 32);
    chain.link(cubes[30] as ChainCube, 1, last, 0);
    for (const options of [{}, { packetType: 0 }]) {
      expect(chain.run(frame(FAMILIES[0][1]), options)).toMatchObject({
        verdict: Verdict.drop,
        drops: ['pass@32 HopLimit'],
      });
    }
  });
});
