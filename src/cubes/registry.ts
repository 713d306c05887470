// SPDX-License-Identifier: Apache-2.0
import type { CubeType } from './cube-type.ts';
import { loadBalancer } from './load-balancer/type.ts';
import { router } from './router/type.ts';

/** All cube types, by `spec.type`. */
export const CUBES: ReadonlyMap<string, CubeType> = new Map(
  [loadBalancer, router].map((type) => [type.type, type as CubeType]),
);
