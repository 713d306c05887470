// SPDX-License-Identifier: Apache-2.0
/** A router in a chain, its maps filled by the code that fills them on a node. */
import type { Route, Router } from '../../../src/api/generated/types.ts';
import type { CubeInput, CubePort, ImageChange, MapWrite } from '../../../src/cubes/cube-type.ts';
import type { RouterImage } from '../../../src/cubes/router/image.ts';
import { schema } from '../../../src/cubes/router/schema.ts';
import { router } from '../../../src/cubes/router/type.ts';
import { GATEWAY_MAC } from './bytes.ts';
import type { Chain, ChainCube } from './chain.ts';

export const NODE = {
  name: 'node-a',
  gatewayMac: GATEWAY_MAC,
  overlayVni: 7,
  addresses: [],
  redirectPeer: true,
};

export interface RouterOptions {
  slot?: number;
  /** Another build of the object file. */
  path?: string;
  ports: readonly CubePort[];
  spec?: Partial<Router>;
  tables?: Readonly<Record<string, readonly Route[]>>;
}

export interface TestRouter {
  cube: ChainCube;
  image: RouterImage;
  input: CubeInput<Router>;
  node: typeof NODE;
  /** An image of the same router that knows nothing yet. */
  imageAnew(): RouterImage;
  /** Writes what the image wants changed. */
  write(): void;
}

function applyWrite(cube: ChainCube, write: MapWrite): void {
  const map = cube.map(write.map);
  if (write.op === 'delete') map.deleteBatchSync(write.keys);
  else map.updateBatchSync(write.keys, write.values);
}

export function apply(cube: ChainCube, change: ImageChange): void {
  for (const write of [...change.writes, ...change.afterGrace]) applyWrite(cube, write);
}

/** Loads a router and lets each of its ports end in the probe. */
export async function addRouter(chain: Chain, options: RouterOptions): Promise<TestRouter> {
  const input: CubeInput<Router> = {
    namespace: 'test',
    name: 'router',
    uid: 'u',
    spec: {
      routes: [],
      icmp: { errorsPerSecond: 100, burst: 50 },
      neighbours: { ports: [], static: [], reachableSeconds: 30, maxNeighbours: 1024 },
      maxRoutes: 1024,
      ...options.spec,
    },
    ports: options.ports,
  };
  const problems = router.check(input);
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
  const { rodata, sizes } = router.instance(input, NODE);
  const slot = options.slot ?? 1;
  const cube = await chain.add({
    object: 'router',
    ...(options.path === undefined ? {} : { path: options.path }),
    schema,
    slot,
    variables: rodata,
    mapSizes: sizes,
  });
  const image = router.image(input, NODE) as RouterImage;
  for (const [key, rows] of Object.entries(options.tables ?? {})) {
    const refused = image.setTable(key, rows);
    if (refused.length > 0) throw new Error(refused.map(({ message }) => message).join('; '));
  }
  image.settle();
  const write = () => apply(cube, image.take());
  write();
  chain.watch(slot, ...options.ports.map(({ id }) => id));
  const imageAnew = () => router.image(input, NODE) as RouterImage;
  return { cube, image, input, node: NODE, imageAnew, write };
}
