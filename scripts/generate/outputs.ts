// SPDX-License-Identifier: Apache-2.0
/** Every generated file with its content; nothing is written here. */
import { COMMON_DROP_REASONS } from '../../src/api/schemas/drop-reasons.ts';
import { checkCommonReasons, discoverCubeTypes } from './discover.ts';
import { generateCubeIndex } from './index-of-cubes.ts';
import { composeKinds } from './kinds.ts';
import { commonReasonsHeader, cubeReasonsHeader, generateReasons } from './reasons.ts';
import { generateTypes } from './types.ts';

/** Path below the repository → content. */
export type Outputs = Map<string, string>;

export async function generateOutputs(root: string): Promise<Outputs> {
  const types = await discoverCubeTypes(root);
  checkCommonReasons(COMMON_DROP_REASONS);
  const kinds = composeKinds(types);
  const outputs: Outputs = new Map();
  outputs.set('src/api/generated/types.ts', await generateTypes(kinds));
  outputs.set('src/api/generated/reasons.ts', generateReasons(COMMON_DROP_REASONS, types));
  outputs.set('src/cubes/generated/index.ts', generateCubeIndex(types));
  outputs.set('bpf/include/generated/reasons.h', commonReasonsHeader(COMMON_DROP_REASONS));
  for (const type of types) outputs.set(`bpf/${type.folder}/generated/reasons.h`, cubeReasonsHeader(type));
  return outputs;
}
