// SPDX-License-Identifier: Apache-2.0
/** The lists of cube types: src/cubes/generated/index.ts (schemas) and registry.ts (what the agent runs). */
import type { CubeTypeSchema } from '../../src/api/schemas/cube-type.ts';
import { GENERATED } from './header.ts';

export function generateCubeIndex(types: CubeTypeSchema[]): string {
  const name = (type: CubeTypeSchema) => type.member;
  return `${GENERATED}
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
${types.map((type) => `import { schema as ${name(type)} } from '../${type.folder}/schema.ts';`).join('\n')}

/** What each cube type declares about itself. */
export const CUBE_TYPES = {
${types.map((type) => `  ${type.type}: ${name(type)},`).join('\n')}
} as const satisfies Record<string, CubeTypeSchema>;

/** Values of \`spec.type\` of a Cube. */
export type CubeTypeName = keyof typeof CUBE_TYPES;
`;
}

/** `types`: those with a type.ts, which exports the type under the name of its member. */
export function generateCubeRegistry(types: CubeTypeSchema[]): string {
  const imports = types.map(({ folder, member }) => `import { ${member} } from '../${folder}/type.ts';`);
  return `${GENERATED}
import type { CubeType } from '../cube-type.ts';
${imports.join('\n')}

/** All cube types, by \`spec.type\`. */
export const CUBES: ReadonlyMap<string, CubeType> = new Map(
  [${types.map(({ member }) => member).join(', ')}].map((type) => [type.type, type as CubeType]),
);
`;
}
