// SPDX-License-Identifier: Apache-2.0
/** A DDoS mitigator in a chain, its maps filled by the code that fills them on a node. */
import type { DDoSMitigator } from '../../../src/api/generated/types.ts';
import type { CubeInput, ImageChange } from '../../../src/cubes/cube-type.ts';
import type { MitigatorImage, PrefixRow } from '../../../src/cubes/ddos-mitigator/image.ts';
import { schema } from '../../../src/cubes/ddos-mitigator/schema.ts';
import { ddosMitigator } from '../../../src/cubes/ddos-mitigator/type.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import type { Chain, ChainCube } from './chain.ts';
import { NODE } from './router.ts';

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

/** Loads a mitigator into slot 1, between the attachment and the probe at both ports. */
export async function addMitigator(
  chain: Chain,
  spec: Partial<DDoSMitigator> = {},
  tables: Readonly<Record<string, readonly PrefixRow[]>> = {},
): Promise<Mitigator> {
  const input = mitigatorInput(spec);
  const { rodata, sizes } = ddosMitigator.instance(input, NODE);
  const cube = await chain.add({
    object: 'ddos-mitigator',
    schema,
    slot: 1,
    variables: rodata,
    mapSizes: sizes,
  });
  const image = ddosMitigator.image(input, NODE) as MitigatorImage;
  for (const [key, rows] of Object.entries(tables)) image.setTable(key, rows);
  image.settle();
  const flush = () => write((name) => cube.map(name), image.take());
  flush();
  chain.watch(cube.slot, OUTSIDE, INSIDE);
  chain.attach({ kind: 'interface' }, cube, OUTSIDE);
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
