// SPDX-License-Identifier: Apache-2.0
/** What the members of chains on a node say of its network: Node condition NetworkUnavailable, and our taint. Pure. */
import { NETWORK_REASONS } from '../api/reasons.ts';
import type { NodeConditionInput } from './inputs.ts';
import type { MemberView } from './views.ts';

export interface NetworkCondition {
  /** Of NetworkUnavailable: False is the good one. */
  readonly status: 'True' | 'False';
  readonly reason: keyof typeof NETWORK_REASONS;
  readonly message: string;
}

/**
 * What is to be said of a node with these Cubes and CubeLinks; undefined: nothing new. A network that was there is taken back
 * only when no chain leads to the pods any more: while a revision is on its way, or an agent is away, packets pass.
 */
export function nodeNetwork(
  unordered: readonly MemberView[],
  seen: NodeConditionInput | undefined,
): NetworkCondition | undefined {
  const isOurs = Object.keys(NETWORK_REASONS).includes(seen?.reason ?? '');
  // What is said must not depend on what came first: another operator, or the next start of this one, would say it anew.
  const members = [...unordered].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const link = members.find(({ servesPods }) => servesPods);
  if (link === undefined) {
    // Other networks use no chain of ours: their nodes are none of our business.
    if (!isOurs) return undefined;
    return changed(seen, {
      status: 'True',
      reason: 'NoChain',
      message: 'No chain with the endpoint Pods is on the node; apply one, or select the node by its target',
    });
  }
  const chain = members.filter(
    (member) => member === link || (link.chain !== undefined && member.chain === link.chain),
  );
  const missing = chain.find((member) => programmedOf(member)?.status !== 'True');
  if (missing === undefined) {
    return changed(seen, {
      status: 'False',
      reason: 'ChainProgrammed',
      message: `The kernel holds the chain of ${link.kind} ${link.key}`,
    });
  }
  if (isOurs && seen?.status === 'False') return undefined;
  const why = programmedOf(missing)?.message ?? 'waiting for the agent of the node';
  return changed(seen, {
    status: 'True',
    reason: 'ChainNotProgrammed',
    message: `${missing.kind} ${missing.key} is not programmed: ${why}`,
  });
}

const nameOf = ({ kind, key }: MemberView): string => `${kind} ${key}`;

function programmedOf({ conditions }: MemberView) {
  return conditions.find(({ type }) => type === 'Programmed');
}

function changed(seen: NodeConditionInput | undefined, next: NetworkCondition): NetworkCondition | undefined {
  const isSame = seen?.status === next.status && seen.reason === next.reason && seen.message === next.message;
  return isSame ? undefined : next;
}
