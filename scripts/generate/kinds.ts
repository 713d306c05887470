// SPDX-License-Identifier: Apache-2.0
/** All kinds of the API, with the union of the cube types that were found. */
import { cubeKind } from '../../src/api/schemas/cube.ts';
import { cubeLink } from '../../src/api/schemas/cube-link.ts';
import { cubeNode } from '../../src/api/schemas/cube-node.ts';
import { cubeTable } from '../../src/api/schemas/cube-table.ts';
import type { CubeTypeSchema } from '../../src/api/schemas/cube-type.ts';
import type { KindSchema } from '../../src/api/schemas/schema.ts';
import { serviceChainKind } from '../../src/api/schemas/service-chain.ts';

export function composeKinds(types: CubeTypeSchema[]): KindSchema[] {
  return [cubeKind(types), cubeLink, serviceChainKind(types), cubeTable, cubeNode];
}
