// SPDX-License-Identifier: Apache-2.0

/** The forwarder as the agent knows it. */
import type { Forwarder } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig } from '../cube-type.ts';
import { desired } from './desired.ts';
import { constants, maps } from './generated/codec.ts';
import { ForwarderImage } from './image.ts';

function instance(cube: CubeInput<Forwarder>): InstanceConfig {
  return {
    rodata: { settings: constants.settings.encode(desired(cube).settings) },
    sizes: {},
    config: cube.spec,
  };
}

export const forwarder: CubeType<Forwarder> = {
  type: 'Forwarder',
  member: 'forwarder',
  object: 'forwarder',
  program: 'forwarder',
  layer: 2,
  fixedPorts: {},
  firstNamedPort: 0,
  tableTypes: [],
  maps: {
    rules: { class: 'config', writer: 'agent', codec: maps.rules, version: 1 },
    rule_counters: { class: 'config', writer: 'program', codec: maps.rule_counters, version: 1 },
  },
  check: (cube) => desired(cube).problems,
  instance,
  image: (cube) => new ForwarderImage(cube),
};
