// SPDX-License-Identifier: Apache-2.0
/** A forwarder in a chain, its maps filled by the code that fills them on a node. */
import type { Forwarder, ForwarderRule } from '../../../src/api/generated/types.ts';
import type { CubeInput, CubePort } from '../../../src/cubes/cube-type.ts';
import { schema } from '../../../src/cubes/forwarder/schema.ts';
import { forwarder } from '../../../src/cubes/forwarder/type.ts';
import type { Chain, ChainCube } from './chain.ts';
import { apply, NODE } from './router.ts';

/** What the API server adds to a rule. */
export const rule = (given: Omit<ForwarderRule, 'priority'> & { priority?: number }): ForwarderRule => ({
  priority: 1000,
  ...given,
});

export interface ForwarderOptions {
  readonly ports: readonly CubePort[];
  readonly spec: Partial<Forwarder>;
  readonly slot?: number;
  /** Another build of the object file. */
  readonly path?: string;
  /** Constants of the program beside those of its type. */
  readonly variables?: Readonly<Record<string, Uint8Array>>;
}

/** Loads a forwarder whose ports end in the probe. */
export async function loadForwarder(chain: Chain, options: ForwarderOptions): Promise<ChainCube> {
  const { ports, spec, slot = 1, path, variables } = options;
  const input: CubeInput<Forwarder> = {
    namespace: 'test',
    name: 'forwarder',
    uid: 'u',
    spec: { rules: [], defaultAction: { type: 'Drop' }, ...spec },
    ports,
  };
  const problems = forwarder.check(input);
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
  const { rodata } = forwarder.instance(input, NODE);
  const cube = await chain.add({
    object: 'forwarder',
    ...(path === undefined ? {} : { path }),
    schema,
    slot,
    variables: { ...rodata, ...variables },
  });
  const image = forwarder.image(input, NODE);
  image.settle();
  apply(cube, image.take());
  chain.watch(slot, ...ports.map(({ id }) => id));
  return cube;
}

/** {@link loadForwarder} with ports whose numbers are their places in the list. */
export async function addForwarder(
  chain: Chain,
  names: readonly string[],
  spec: Partial<Forwarder>,
  slot = 1,
): Promise<ChainCube> {
  const ports = names.map((name, id) => ({ name, id, addresses: [], endpoint: 'Interface' as const }));
  return await loadForwarder(chain, { ports, spec, slot });
}
