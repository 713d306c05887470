// SPDX-License-Identifier: Apache-2.0
import type { Problem } from '../cube-type.ts';

/** A table of the load balancer, `field` of `spec.loadBalancer.sessions`, has no room for a service. */
export function full(name: string, what: string, field: string, max: number): Problem {
  return {
    reason: 'MapFull',
    field: `spec.loadBalancer.sessions.${field}`,
    message: `Service ${name}: there is no room for its ${what} (${field} is ${max}); the service stays as it was. Raise ${field} of the load balancer`,
  };
}
