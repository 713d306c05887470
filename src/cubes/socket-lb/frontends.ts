// SPDX-License-Identifier: Apache-2.0

/** What a Service is to the processes of a node. Pure. */
import type { Service } from '../../api/generated/types.ts';
import { addressesOn, followsNode } from '../node-ports.ts';

const LOOPBACK = ['127.0.0.1', '::1'] as const;

/** Whether what the service is depends on the node's addresses. */
export function hasNodePort({ frontends }: Service): boolean {
  return frontends.some(followsNode);
}

/**
 * The service with the frontends that sockets are served by. A NodePort stands on each address of the node and on loopback.
 * Left out is what a socket cannot decide: SCTP, and source ranges, because the source is not chosen yet. Several nodes need
 * not agree on a pick, so it is always a random one.
 */
export function toProcesses(service: Service, addresses: readonly string[]): Service {
  const here = [...addresses, ...LOOPBACK];
  return {
    ...service,
    frontends: service.frontends
      .filter(({ protocol, sourceRanges }) => protocol !== 'SCTP' && sourceRanges.length === 0)
      .map(({ algorithm: _, ...frontend }) => ({
        ...frontend,
        addresses: [...addressesOn(frontend, service, here)],
      })),
  };
}
