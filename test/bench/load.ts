// SPDX-License-Identifier: Apache-2.0
import { validate } from '../../src/api/validate.ts';
import type {
  CubeImage,
  CubeInput,
  CubePort,
  CubeType,
  ImageChange,
  NodeInput,
} from '../../src/cubes/cube-type.ts';
import { CUBE_TYPES, type CubeTypeName } from '../../src/cubes/generated/index.ts';
import { CUBES } from '../../src/cubes/generated/registry.ts';
import { GATEWAY_MAC } from '../kernel/support/bytes.ts';
import { Chain, type ChainCube } from '../kernel/support/chain.ts';

export const NODE: NodeInput = {
  name: 'node-a',
  gatewayMac: GATEWAY_MAC,
  overlayVni: 1,
  addresses: [],
  redirectPeer: true,
};

/** Records of flows of a CPU, as an agent has them on a machine of up to 8. */
export const FLOW_RECORDS = 32_768;

/** A cube as a manifest would say it, less the defaults that the API server adds. */
export interface CubeSpec {
  readonly type: CubeTypeName;
  readonly spec: object;
  readonly ports: readonly CubePort[];
  /** Rows of CubeTables, by table. */
  readonly tables?: Readonly<Record<string, readonly unknown[]>>;
  /** What those hold that are not of the first type that the cube takes. */
  readonly tableTypes?: Readonly<Record<string, string>>;
  /** Another build of the object file. */
  readonly path?: string;
  /** Constants of the program besides those that follow from the spec. */
  readonly variables?: Readonly<Record<string, Uint8Array>>;
}

/** Its type, and what the agent would give to it. */
function resolve(cube: CubeSpec): { type: CubeType; input: CubeInput<unknown> } {
  const type = CUBES.get(cube.type);
  if (type === undefined) throw new Error(`no cube type ${cube.type}`);
  const { member } = type;
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'bench', namespace: 'default' },
    spec: { nodeName: NODE.name, type: cube.type, [member]: cube.spec },
  });
  if (!checked.ok) throw new Error(checked.message);
  const spec = (checked.object.spec as unknown as Record<string, unknown>)[member];
  const input = { namespace: 'default', name: 'bench', uid: 'bench', spec, ports: cube.ports };
  const [refused] = type.check(input);
  if (refused) throw new Error(refused.message);
  return { type, input };
}

/** Loads a cube into a slot as the agent does it, and fills its maps through its image. */
export async function loadCube(chain: Chain, slot: number, cube: CubeSpec, node = NODE): Promise<ChainCube> {
  const { type, input } = resolve(cube);
  const { rodata, sizes } = type.instance(input, node);
  const loaded = await chain.add({
    object: type.object,
    schema: CUBE_TYPES[cube.type],
    slot,
    ...(cube.path === undefined ? {} : { path: cube.path }),
    variables: { ...rodata, ...cube.variables },
    mapSizes: sizes,
    transparent: type.transparent !== undefined,
  });
  const image = type.image(input, node);
  image.tick(Number(process.hrtime.bigint() / 1_000_000_000n));
  for (const [key, rows] of Object.entries(cube.tables ?? {})) {
    const [problem] = image.setTable(key, rows, undefined, cube.tableTypes?.[key]);
    if (problem) throw new Error(problem.message);
  }
  image.settle();
  write(loaded, image.take());
  return loaded;
}

function write(cube: ChainCube, { writes }: ImageChange): void {
  for (const { map, op, keys, values } of writes) {
    if (op === 'update') cube.map(map).updateBatchSync(keys, values);
  }
}

/** Hands out a load balancer of this spec in a chain of its own, loaded and empty, with another image that is empty, too. */
export async function addBalancer<Result>(
  spec: object,
  use: (loaded: { cube: ChainCube; image: CubeImage }) => Result,
): Promise<Result> {
  using chain = await Chain.open();
  const balancer: CubeSpec = { type: 'LoadBalancer', spec, ports: [] };
  const cube = await loadCube(chain, 1, balancer);
  const { type, input } = resolve(balancer);
  return use({ cube, image: type.image(input, NODE) });
}
