// SPDX-License-Identifier: Apache-2.0

/** What a Service is to the processes of a node. Pure. */
import type { Frontend, Service } from '../../api/generated/types.ts';
import type { NodeInput } from '../cube-type.ts';

const LOOPBACK = ['127.0.0.1', '::1'] as const;

/** A NodePort stands on each address of the node and on loopback. */
export function withLoopback(node: NodeInput): NodeInput {
  return { ...node, addresses: [...node.addresses, ...LOOPBACK] };
}

/** What a socket cannot decide: SCTP, and source ranges, because the source is not chosen yet. */
export function isForSockets({ protocol, sourceRanges }: Frontend): boolean {
  return protocol !== 'SCTP' && sourceRanges.length === 0;
}

/** Several nodes need not agree on a pick, so it is always a random one. */
export function withoutAlgorithms(service: Service): Service {
  return { ...service, frontends: service.frontends.map(({ algorithm: _, ...frontend }) => frontend) };
}
