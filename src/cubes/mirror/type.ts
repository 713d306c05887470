// SPDX-License-Identifier: Apache-2.0

/** The mirror as the agent knows it. */
import type { Mirror } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig } from '../cube-type.ts';
import { copiesToCubes, desired, FIRST_COPY_PORT, FIXED_PORTS } from './desired.ts';
import { constants, maps } from './generated/codec.ts';
import { MirrorImage } from './image.ts';

function instance(cube: CubeInput<Mirror>): InstanceConfig {
  return {
    rodata: { settings: constants.settings.encode({ rows: desired(cube).rows.length }) },
    sizes: {},
    config: cube.spec,
    copyPorts: cube.spec.rules.flatMap(({ truncate, port }) => (truncate === undefined ? [] : [port])),
  };
}

export const mirror: CubeType<Mirror> = {
  type: 'Mirror',
  member: 'mirror',
  object: 'mirror',
  program: 'mirror',
  layer: 2,
  fixedPorts: FIXED_PORTS,
  transparent: { outside: 'outside', inside: 'inside' },
  firstNamedPort: FIRST_COPY_PORT,
  tableTypes: [],
  maps: {
    rules: { class: 'config', writer: 'agent', codec: maps.rules, version: 1 },
    kept: { class: 'config', writer: 'program', codec: maps.kept, version: 1 },
  },
  copiesToCubes,
  check: (cube) => desired(cube).problems,
  instance,
  image: (cube) => new MirrorImage(cube),
};
