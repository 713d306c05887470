// SPDX-License-Identifier: Apache-2.0
/** A bridge in a chain, its maps filled by the code that fills them on a node. */
import type { Bridge, BridgePort } from '../../../src/api/generated/types.ts';
import { schema } from '../../../src/cubes/bridge/schema.ts';
import { bridge } from '../../../src/cubes/bridge/type.ts';
import type { CubeInput, CubePort } from '../../../src/cubes/cube-type.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import type { Chain, ChainCube } from './chain.ts';
import { apply, NODE } from './router.ts';

/** What the API server adds to a port's settings. */
export const PORT: Omit<BridgePort, 'name'> = {
  learning: true,
  isolated: false,
  flood: { broadcast: true, multicast: true, unknownUnicast: true },
};

export const BRIDGE: Bridge = { agingSeconds: 300, maxAddresses: 4096, ports: [], staticEntries: [] };

export interface BridgeOptions {
  slot?: number;
  /** Another build of the object file. */
  path?: string;
  ports: readonly Pick<CubePort, 'name' | 'mtu' | 'endpoint'>[];
  spec?: Partial<Bridge>;
  reuseMaps?: Readonly<Record<string, BpfMap>>;
}

/** An interface that is not there: a copy to it is counted as a failure. */
export const NO_DEVICE = 0x7ffffff0;

/** Loads a bridge whose ports end in the probe; numbers of ports are their places in the list. */
export async function addBridge(chain: Chain, options: BridgeOptions): Promise<ChainCube> {
  const input: CubeInput<Bridge> = {
    namespace: 'test',
    name: 'bridge',
    uid: 'u',
    spec: { ...BRIDGE, ...options.spec },
    ports: options.ports.map((port, id) => ({ id, addresses: [], ...port })),
  };
  const problems = bridge.check(input);
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
  const { rodata, sizes } = bridge.instance(input, NODE);
  const slot = options.slot ?? 1;
  const { path, reuseMaps } = options;
  const cube = await chain.add({
    object: 'bridge',
    ...(path === undefined ? {} : { path }),
    schema,
    slot,
    variables: rodata,
    mapSizes: sizes,
    ...(reuseMaps ? { reuseMaps } : {}),
  });
  const image = bridge.image(input, NODE);
  image.settle();
  apply(cube, image.take());
  chain.watch(slot, ...input.ports.map(({ id }) => id));
  return cube;
}
