// SPDX-License-Identifier: Apache-2.0
import type { Problem } from '../cube-type.ts';
import type { ServiceSettings } from './settings.ts';

/** A table of the load balancer, `field` of its `sessions`, has no room for a service. */
export function full(
  { member = 'loadBalancer', sessions }: ServiceSettings,
  name: string,
  what: string,
  field: keyof ServiceSettings['sessions'],
): Problem {
  return {
    reason: 'MapFull',
    field: `spec.${member}.sessions.${field}`,
    message: `Service ${name}: there is no room for its ${what} (${field} is ${sessions[field]}); the service stays as it was. Raise ${field} of the load balancer`,
  };
}
