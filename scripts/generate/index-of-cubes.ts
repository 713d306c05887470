// SPDX-License-Identifier: Apache-2.0
/** The registry of cube types: src/cubes/generated/index.ts. */
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
