// SPDX-License-Identifier: Apache-2.0
import type { LinkEnd } from './graph-model.ts';

/** What an end takes for its link alone. */
export function claimOf(
  end: LinkEnd,
): { id: string; reason: string; what: string; remedy: string } | undefined {
  if (end.type === 'Next') return undefined;
  if (end.type === 'Cube') {
    return {
      id: `Cube ${end.cube}/${end.port}`,
      reason: 'PortLinkedTwice',
      what: `port ${end.port} of Cube ${end.cube}`,
      remedy: 'link another port, or delete one of the two CubeLinks',
    };
  }
  const what = end.type === 'Interface' ? `interface ${end.name}` : `the ${end.type} endpoint of the node`;
  return {
    id: end.type === 'Interface' ? `Interface ${end.name}` : end.type,
    reason: end.type === 'Interface' ? 'InterfaceTaken' : 'EndpointTaken',
    what,
    remedy:
      'only one terminating chain can own it: delete one of the two CubeLinks or the chain it comes from',
  };
}
