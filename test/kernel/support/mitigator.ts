// SPDX-License-Identifier: Apache-2.0
/** A DDoS mitigator in a chain, its maps filled by the code that fills them on a node. */
import type { DDoSMitigator } from '../../../src/api/generated/types.ts';
import type { CubeInput, ImageChange } from '../../../src/cubes/cube-type.ts';
import type { MitigatorImage, PrefixRow } from '../../../src/cubes/ddos-mitigator/image.ts';
import { schema } from '../../../src/cubes/ddos-mitigator/schema.ts';
import { ddosMitigator } from '../../../src/cubes/ddos-mitigator/type.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import { Chain, type ChainCube } from './chain.ts';
import { NODE } from './router.ts';
import { type XdpChain, XdpVerdict } from './xdp-chain.ts';

export const OUTSIDE = 0;
export const INSIDE = 1;

export const SIZES = {
  maxSourceHosts: 4096,
  maxSourcePrefixes: 1024,
  maxDestinationHosts: 1024,
  maxDestinationPrefixes: 1024,
  maxSourceBuckets: 1024,
  maxSynBuckets: 1024,
};

export function mitigatorInput(spec: Partial<DDoSMitigator> = {}): CubeInput<DDoSMitigator> {
  return {
    namespace: 'test',
    name: 'mitigator',
    uid: 'u',
    spec: { denySources: [], denyDestinations: [], allowSources: [], sizes: SIZES, ...spec },
    ports: [
      { name: 'outside', id: OUTSIDE, addresses: [] },
      { name: 'inside', id: INSIDE, addresses: [] },
    ],
  };
}

export interface Mitigator {
  cube: ChainCube;
  image: MitigatorImage;
  /** Sets a table and writes what follows from it; returns what of it could not be taken. */
  set(key: string, rows: readonly PrefixRow[] | undefined): readonly string[];
}

export function write(map: (name: string) => BpfMap, change: ImageChange): void {
  for (const { map: name, op, keys, values } of [...change.writes, ...change.afterGrace]) {
    if (op === 'delete') map(name).deleteBatchSync(keys);
    else map(name).updateBatchSync(keys, values);
  }
}

/** Loads a mitigator into slot 1, in TC between the attachment and the probe at both ports, at XDP before TC. `path`: another build. */
export async function addMitigator(
  chain: Chain | XdpChain,
  spec: Partial<DDoSMitigator> = {},
  tables: Readonly<Record<string, readonly PrefixRow[]>> = {},
  path?: string,
): Promise<Mitigator> {
  const input = mitigatorInput(spec);
  const { rodata, sizes } = ddosMitigator.instance(input, NODE);
  const object = chain instanceof Chain ? 'ddos-mitigator' : 'ddos-mitigator-xdp';
  const program = 'ddos_mitigator';
  const cube = await chain.add({
    ...{ object, program, schema, slot: 1, variables: rodata, mapSizes: sizes },
    ...(path === undefined ? {} : { path }),
  });
  const image = ddosMitigator.image(input, NODE) as MitigatorImage;
  for (const [key, rows] of Object.entries(tables)) image.setTable(key, rows);
  image.settle();
  const flush = () => write((name) => cube.map(name), image.take());
  flush();
  enterBy(chain, cube, OUTSIDE);
  return {
    cube,
    image,
    set(key, rows) {
      const problems = image.setTable(key, rows);
      flush();
      return problems.map(({ message }) => message);
    },
  };
}

/** Lets packets come in by a port; what leaves by either is seen, at XDP by the verdict. */
export function enterBy(chain: Chain | XdpChain, cube: ChainCube, port: number): void {
  if (chain instanceof Chain) {
    chain.watch(cube.slot, OUTSIDE, INSIDE);
    chain.attach({ kind: 'interface' }, cube, port);
  } else {
    chain.edge(cube.slot, OUTSIDE, 'device', 1);
    chain.edge(cube.slot, INSIDE, 'pass');
    chain.attach({}, cube, port);
  }
}

/** Where a packet left, or why it was dropped; the frame as it was then. */
export function outcome(
  chain: Chain | XdpChain,
  frame: Uint8Array,
  dry = false,
): { left: number | undefined; drops: string[]; counts: string[]; frame: Buffer } {
  const strip = (list: string[]) => list.map((text) => text.replace(/^ddos-mitigator(-xdp)? /, ''));
  if (chain instanceof Chain) {
    const { seen, drops, counts, frame: out } = chain.run(frame, { dry });
    return { left: seen?.port, drops: strip(drops), counts: strip(counts), frame: out };
  }
  const { verdict, drops, counts, frame: out } = chain.run(frame, { dry });
  const left = { [XdpVerdict.pass]: INSIDE, [XdpVerdict.tx]: OUTSIDE }[verdict];
  return { left, drops: strip(drops), counts: strip(counts), frame: out };
}
