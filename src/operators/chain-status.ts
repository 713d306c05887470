// SPDX-License-Identifier: Apache-2.0
import { removeCondition, setCondition } from '../api/conditions.ts';
import type { Condition, ServiceChain, ServiceChainStatus } from '../api/generated/types.ts';
import type { ConditionName } from '../api/schemas/conditions.ts';
import type { ChainTarget } from './chain-target.ts';
import { refusalOf, revisionOf } from './service-chain.ts';

/** A Cube or CubeLink as the chain's status sees it. */
export interface MemberState {
  /** `Cube namespace/name`. */
  object: string;
  /** It is there, with the spec that the commit record names. */
  current: boolean;
  generation: number;
  conditions: readonly Condition[];
}

/** What is known of a chain on one node that its target selects. */
export interface NodeState {
  node: string;
  /** Revision in the commit record; undefined where the chain is not in it. */
  revision: string | undefined;
  /** Members that the commit record names. */
  members: readonly MemberState[];
  /** Why the operator could not bring the newest revision here. */
  problem?: { reason: string; message: string } | undefined;
}

interface Verdict {
  status: Condition['status'];
  reason: string;
  message: string;
}

/**
 * Status of a chain out of what its members say: True where all nodes agree, False with the first object that says so,
 * else Unknown with a count. The same facts give the same status, and the times of conditions that stay are kept.
 */
export function chainStatus(
  chain: ServiceChain,
  nodes: readonly NodeState[],
  now: Date,
  target: ChainTarget = { ok: true, selector: undefined },
): ServiceChainStatus {
  const generation = chain.metadata.generation ?? 0;
  const revision = revisionOf(chain);
  const updated = nodes.filter(
    (node) => node.revision === revision && node.members.every((member) => member.current),
  );
  const holds = (node: NodeState, type: ConditionName): boolean =>
    node.members.length > 0 && node.members.every((member) => verdictOf(member, type).status === 'True');
  const ready = updated.filter((node) => holds(node, 'Ready'));
  const accepted = acceptedOf(chain, nodes);
  const unresolved: Verdict | undefined = target.ok
    ? undefined
    : { status: 'False', reason: target.reason, message: target.message };
  const verdicts: Record<'Accepted' | 'ResolvedRefs' | 'Programmed' | 'Ready', Verdict> = {
    Accepted: accepted,
    ResolvedRefs:
      unresolved ??
      aggregate(nodes, updated, 'ResolvedRefs', 'Everything that the members name exists and fits'),
    Programmed: aggregate(
      nodes,
      updated,
      'Programmed',
      'The kernels of all selected nodes hold the newest revision',
    ),
    Ready:
      unresolved === undefined
        ? readyOf(accepted, nodes, ready)
        : { ...unresolved, reason: 'RefsNotResolved' },
  };
  let conditions: readonly Condition[] = chain.status?.conditions ?? [];
  for (const [type, verdict] of Object.entries(verdicts)) {
    conditions = setCondition(conditions, { type: type as ConditionName, ...verdict }, generation, now);
  }
  const underWay =
    accepted.status === 'True' && !chain.spec.paused && nodes.length > 0 && ready.length < nodes.length;
  conditions = underWay
    ? setCondition(
        conditions,
        {
          type: 'Reconciling',
          status: 'True',
          reason: updated.length < nodes.length ? 'RollingOut' : 'Progressing',
          message: `${updated.length} of ${nodes.length} nodes have revision ${revision}, ${ready.length} are ready`,
        },
        generation,
        now,
      )
    : removeCondition(conditions, 'Reconciling');
  conditions =
    accepted.status === 'False'
      ? setCondition(
          conditions,
          { type: 'Stalled', status: 'True', reason: 'NotAccepted', message: accepted.message },
          generation,
          now,
        )
      : removeCondition(conditions, 'Stalled');
  return {
    observedGeneration: generation,
    revision,
    desiredNodes: nodes.length,
    updatedNodes: updated.length,
    readyNodes: ready.length,
    conditions: [...conditions],
  };
}

function acceptedOf(chain: ServiceChain, nodes: readonly NodeState[]): Verdict {
  const refusal = refusalOf(chain);
  if (refusal !== undefined) return { status: 'False', reason: refusal.reason, message: refusal.message };
  const troubled = nodes.find((node) => node.problem !== undefined);
  if (troubled?.problem !== undefined) return { status: 'False', ...troubled.problem };
  const refused = firstFalse(nodes, 'Accepted');
  if (refused !== undefined) return refused;
  return { status: 'True', reason: 'Accepted', message: 'The chain is understood' };
}

function aggregate(
  nodes: readonly NodeState[],
  updated: readonly NodeState[],
  type: ConditionName,
  good: string,
): Verdict {
  const wrong = firstFalse(nodes, type);
  if (wrong !== undefined) return wrong;
  if (nodes.length === 0)
    return { status: 'Unknown', reason: 'Pending', message: 'The target selects no node' };
  const holding = updated.filter((node) =>
    node.members.every((member) => verdictOf(member, type).status === 'True'),
  );
  if (holding.length === nodes.length) return { status: 'True', reason: type, message: good };
  const missing = nodes.find((node) => !holding.includes(node));
  const unknown = missing?.members
    .map((member) => verdictOf(member, type))
    .find((verdict) => verdict.status === 'Unknown');
  return {
    status: 'Unknown',
    reason: unknown?.reason ?? 'Pending',
    message: `${holding.length} of ${nodes.length} nodes; waiting for node ${missing?.node ?? ''}`,
  };
}

function readyOf(accepted: Verdict, nodes: readonly NodeState[], ready: readonly NodeState[]): Verdict {
  if (accepted.status === 'False') {
    return { status: 'False', reason: 'NotAccepted', message: accepted.message };
  }
  if (nodes.length === 0) {
    return {
      status: 'False',
      reason: 'NoNodes',
      message: 'The target selects no node; label a node, or change spec.target.nodes.selector',
    };
  }
  const audited = nodes
    .flatMap(({ members }) => members)
    .map((member) => verdictOf(member, 'Ready'))
    .find(({ reason }) => reason === 'PolicyAudit');
  if (ready.length === nodes.length && audited !== undefined) return audited;
  if (ready.length === nodes.length) {
    return { status: 'True', reason: 'Ready', message: `Packets pass on all ${nodes.length} nodes` };
  }
  const wrong = firstFalse(nodes, 'Ready');
  const missing = nodes.find((node) => !ready.includes(node));
  const why = wrong?.message ?? `waiting for node ${missing?.node ?? ''}`;
  return {
    status: 'False',
    reason: 'NodesNotReady',
    message: `${ready.length} of ${nodes.length} nodes are ready; ${why}`,
  };
}

/** The first member, by node and order in the commit record, for which a condition is False at its own generation. */
function firstFalse(nodes: readonly NodeState[], type: ConditionName): Verdict | undefined {
  for (const { node, members } of nodes) {
    for (const member of members) {
      const value = verdictOf(member, type);
      if (value.status !== 'False') continue;
      return {
        status: 'False',
        reason: value.reason,
        message: `${member.object} on node ${node}: ${value.message}`,
      };
    }
  }
  return undefined;
}

/** A condition that is about an older generation, or an object that is not the one committed, says nothing. */
function verdictOf(member: MemberState, type: ConditionName): Verdict {
  const condition = member.conditions.find((entry) => entry.type === type);
  const fresh = member.current && (condition?.observedGeneration ?? 0) >= member.generation;
  if (condition === undefined || !fresh) {
    return { status: 'Unknown', reason: 'Pending', message: 'Waiting for the agent of the node' };
  }
  return { status: condition.status, reason: condition.reason, message: condition.message };
}
