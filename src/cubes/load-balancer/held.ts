// SPDX-License-Identifier: Apache-2.0
import type { Service } from '../../api/generated/types.ts';
import type { ServiceHealth } from '../cube-type.ts';

/** What a service holds of the tables. */
export interface Held {
  readonly name: string;
  /** As listed.ts has them. */
  readonly backends: Uint32Array;
  /** Rows of `frontends` that are its own. */
  frontends: readonly number[];
  /** Keys, as text, of those that another service has. */
  parked: readonly string[];
  readonly groups: readonly string[];
  /** Kept where the addresses of the node decide. */
  readonly service: Service | undefined;
  /** What the node tells load balancers outside about it. */
  readonly health: ServiceHealth | undefined;
}
