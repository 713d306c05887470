// SPDX-License-Identifier: Apache-2.0
/** Every generated file with its content; nothing is written here. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GROUP } from '../../src/api/group.ts';
import { COMMON_DROP_REASONS } from '../../src/api/schemas/drop-reasons.ts';
import { crdYaml } from './crds.ts';
import { checkCommonReasons, discoverCubeTypes } from './discover.ts';
import { generateCubeIndex, generateCubeRegistry } from './index-of-cubes.ts';
import { composeKinds } from './kinds.ts';
import { providerMap } from './provider.ts';
import { commonReasonsHeader, cubeReasonsHeader, generateReasons, generateSupported } from './reasons.ts';
import { generateReference } from './reference.ts';
import { generateRules } from './rules.ts';
import { generateTypes } from './types.ts';
import { generateValidators } from './validators.ts';

/** Path below the repository → content. */
export type Outputs = Map<string, string>;

export async function generateOutputs(root: string): Promise<Outputs> {
  const types = await discoverCubeTypes(root);
  checkCommonReasons(COMMON_DROP_REASONS);
  const kinds = composeKinds(types);
  const outputs: Outputs = new Map();
  outputs.set('src/api/generated/types.ts', await generateTypes(kinds));
  const validators = generateValidators(kinds);
  outputs.set('src/api/generated/validators.js', validators.code);
  outputs.set('src/api/generated/validators.d.ts', validators.declarations);
  const rules = generateRules(kinds);
  outputs.set('src/api/generated/rules.js', rules.code);
  outputs.set('src/api/generated/rules.d.ts', rules.declarations);
  for (const [path, page] of generateReference(kinds, types, COMMON_DROP_REASONS)) outputs.set(path, page);
  for (const kind of kinds) outputs.set(`crds/${GROUP}_${kind.plural}.yaml`, crdYaml(kind));
  outputs.set('src/api/generated/reasons.ts', generateReasons(COMMON_DROP_REASONS, types));
  outputs.set('src/api/generated/supported.ts', generateSupported(types));
  outputs.set('src/cubes/generated/index.ts', generateCubeIndex(types));
  const withProgram = types.filter(({ folder }) => existsSync(join(root, 'src/cubes', folder, 'type.ts')));
  outputs.set('src/cubes/generated/registry.ts', generateCubeRegistry(withProgram));
  outputs.set('bpf/include/generated/reasons.h', commonReasonsHeader(COMMON_DROP_REASONS));
  outputs.set('config/default/provider.yaml', providerMap(root));
  for (const type of types) outputs.set(`bpf/${type.folder}/generated/reasons.h`, cubeReasonsHeader(type));
  return outputs;
}
