// SPDX-License-Identifier: Apache-2.0

/** The rate limiter as the agent knows it. */
import type { RateLimiter } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig, Problem } from '../cube-type.ts';
import { otherPorts } from '../outside-inside.ts';
import { ADDRESSES, assign, SPEC } from './assign.ts';
import { maps } from './generated/codec.ts';
import { RateLimiterImage } from './image.ts';

function check(cube: CubeInput<RateLimiter>): readonly Problem[] {
  const { limits, maxLimits } = cube.spec;
  const { problems } = assign(new Map([[SPEC, limits]]), new Map(), maxLimits);
  return [
    ...otherPorts(cube),
    ...problems.map((problem) => ({ ...problem, field: 'spec.rateLimiter.limits' })),
  ];
}

function instance({ spec }: CubeInput<RateLimiter>): InstanceConfig {
  return {
    rodata: {},
    sizes: {
      limits: 2 * ADDRESSES * spec.maxLimits, // rows are added before others leave
      buckets: 2 * spec.maxLimits,
      limit_drops: 2 * spec.maxLimits,
    },
    config: spec,
  };
}

export const rateLimiter: CubeType<RateLimiter> = {
  type: 'RateLimiter',
  member: 'rateLimiter',
  object: 'rate-limiter',
  program: 'rate_limiter',
  layer: 3,
  fixedPorts: { outside: 0, inside: 1 },
  transparent: { outside: 'outside', inside: 'inside' },
  firstNamedPort: 2,
  tableTypes: ['Limit'],
  maps: {
    limits: { class: 'config', writer: 'agent', codec: maps.limits, version: 1 },
    buckets: { class: 'config', writer: 'agent', codec: maps.buckets, version: 1 },
    limit_drops: { class: 'config', writer: 'program', codec: maps.limit_drops, version: 1 },
  },
  check,
  instance,
  image: ({ spec }) => new RateLimiterImage(spec),
};
