// SPDX-License-Identifier: Apache-2.0
/** The smallest cube type that can be spliced in: its program is test/kernel/fixtures/pass.bpf.c. */
import type { CubeType } from '../../../src/cubes/cube-type.ts';

export const tapType: CubeType = {
  type: 'Tap',
  member: 'tap',
  object: 'pass',
  program: 'pass',
  layer: 3,
  fixedPorts: { outside: 0, inside: 1 },
  firstNamedPort: 2,
  transparent: { outside: 'outside', inside: 'inside' },
  tableTypes: [],
  maps: {},
  check: ({ spec }) =>
    (spec as { refused?: boolean }).refused
      ? [{ reason: 'Conflict', message: 'it asks to be refused; set it to false', field: 'spec.tap.refused' }]
      : [],
  // Ports, to see what a cube is told of its neighbours.
  instance: ({ ports, spec }) => ({ rodata: {}, sizes: {}, config: { ports, spec } }),
  image: () => ({
    adopt() {},
    setTable: () => [],
    settle() {},
    tick: () => undefined,
    take: () => ({ writes: [], afterGrace: [] }),
    usage: () => ({}),
  }),
};
