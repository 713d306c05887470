// SPDX-License-Identifier: Apache-2.0
import type { LinkEnd } from './graph-model.ts';

export interface Claim {
  readonly id: string;
  readonly reason: string;
  readonly what: string;
  readonly remedy: string;
}

/** What an end takes for its link alone. */
export function claimsOf(end: LinkEnd): Claim[] {
  if (end.type === 'Next') return [];
  if (end.type === 'Cube') {
    return [
      {
        id: `Cube ${end.cube}/${end.port}`,
        reason: 'PortLinkedTwice',
        what: `port ${end.port} of Cube ${end.cube}`,
        remedy: 'link another port, or delete one of the two CubeLinks',
      },
    ];
  }
  const remedy =
    'only one terminating chain can own it: delete one of the two CubeLinks or the chain it comes from';
  if (end.type !== 'Interface')
    return [{ id: end.type, reason: 'EndpointTaken', what: `the ${end.type} endpoint of the node`, remedy }];
  return [end.name, ...(end.others ?? []).map(({ name }) => name)].map((name) => ({
    id: `Interface ${name}`,
    reason: 'InterfaceTaken',
    what: `interface ${name}`,
    remedy,
  }));
}
