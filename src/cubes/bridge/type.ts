// SPDX-License-Identifier: Apache-2.0

/** The bridge as the agent knows it. */
import type { Bridge } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig } from '../cube-type.ts';
import { desired } from './desired.ts';
import { constants, maps } from './generated/codec.ts';
import { BridgeImage } from './image.ts';

function instance(cube: CubeInput<Bridge>): InstanceConfig {
  const { agingSeconds: _, maxAddresses, ...config } = cube.spec;
  return {
    rodata: { settings: constants.settings.encode(desired(cube).settings) },
    sizes: { fdb: maxAddresses },
    config,
  };
}

export const bridge: CubeType<Bridge> = {
  type: 'Bridge',
  member: 'bridge',
  object: 'bridge',
  program: 'bridge',
  layer: 2,
  segment: 'joins',
  fixedPorts: {},
  firstNamedPort: 0,
  tableTypes: [],
  maps: {
    fdb: { class: 'state', writer: 'program', codec: maps.fdb, version: 1 },
    fdb_static: { class: 'config', writer: 'agent', codec: maps.fdb_static, version: 1 },
    vlans: { class: 'config', writer: 'agent', codec: maps.vlans, version: 1 },
    storm_limits: { class: 'config', writer: 'agent', codec: maps.storm_limits, version: 1 },
    storm_buckets: { class: 'config', writer: 'program', codec: maps.storm_buckets, version: 1 },
  },
  // one cube gets a flooded frame itself, any other one a copy
  copiesToCubes: ({ ports }) => ports.filter(({ endpoint }) => endpoint === 'Cube').length > 1,
  check: (cube) => desired(cube).problems,
  instance,
  image: (cube) => new BridgeImage(cube),
};
