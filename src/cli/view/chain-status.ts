// SPDX-License-Identifier: Apache-2.0
import type { Condition, ServiceChain, ServiceChainStatus } from '../../api/generated/types.ts';
import { LABELS } from '../../api/group.ts';
import { selects } from '../../dataplane/sources/manifests/chains.ts';
import type { KubeManifest } from '../../dataplane/sources/manifests/manifest-object.ts';
import { revisionOf } from '../../operators/service-chain.ts';
import type { ViewObject } from './object-view.ts';

/** What each agent said of a chain. */
export interface ChainReport {
  readonly node: string;
  readonly conditions: readonly Condition[];
}

/**
 * The status of a chain, put together from what the agents of a directory wrote: in a cluster the operator does this.
 * `objects`: everything, members with their status included.
 */
export function chainStatus(
  chain: ServiceChain,
  objects: ReadonlyMap<string, ViewObject>,
  reports: readonly ChainReport[],
): ServiceChainStatus {
  const all = [...objects.values()];
  const nodes = all.filter((object) => object.kind === 'Node' && selects(chain, object as KubeManifest));
  const revision = revisionOf(chain);
  const members = all.filter(
    (object) =>
      (object.kind === 'Cube' || object.kind === 'CubeLink') &&
      object.metadata.namespace === chain.metadata.namespace &&
      object.metadata.labels?.[LABELS.chain] === chain.metadata.name,
  );
  const notReady: string[] = [];
  let updatedNodes = 0;
  let readyNodes = 0;
  for (const { metadata } of nodes) {
    const own = members.filter((member) => (member.spec as { nodeName: string }).nodeName === metadata.name);
    const held = objects.get(`CubeNode//${metadata.name}`)?.status as
      | { chains?: { namespace: string; name: string; revision: string }[] }
      | undefined;
    const updated = held?.chains?.some(
      (entry) =>
        entry.name === chain.metadata.name &&
        entry.namespace === chain.metadata.namespace &&
        entry.revision === revision,
    );
    if (updated === true) updatedNodes += 1;
    const waiting = own.find((member) => conditionOf(member, 'Ready')?.status !== 'True');
    if (updated === true && own.length > 0 && waiting === undefined) readyNodes += 1;
    else notReady.push(waiting === undefined ? metadata.name : `${metadata.name} (${waitingText(waiting)})`);
  }
  const refused = reports
    .flatMap(({ conditions }) => conditions)
    .find((condition) => condition.status === 'False');
  const accepted: Condition =
    refused ??
    reports[0]?.conditions.find((condition) => condition.type === 'Accepted') ??
    pending('Accepted', 'No agent has read it yet');
  return {
    observedGeneration: chain.metadata.generation ?? 1,
    revision,
    desiredNodes: nodes.length,
    updatedNodes,
    readyNodes,
    conditions: [accepted, ready(nodes.length, readyNodes, notReady, refused, members)],
  };
}

function ready(
  desired: number,
  readyNodes: number,
  notReady: readonly string[],
  refused: Condition | undefined,
  members: readonly ViewObject[],
): Condition {
  // The chain became what it is when the last of its members did.
  const times = members.map((member) => conditionOf(member, 'Ready')?.lastTransitionTime ?? '').sort();
  const make = (status: Condition['status'], reason: string, message: string): Condition => ({
    type: 'Ready',
    status,
    reason,
    message,
    lastTransitionTime: times.at(-1) || EPOCH,
  });
  if (refused !== undefined) return make('False', 'NotAccepted', refused.message);
  if (desired === 0) return make('False', 'NoNodes', 'Its target selects no node');
  if (readyNodes === desired) return make('True', 'Ready', 'Packets pass on all of its nodes');
  return make('False', 'NodesNotReady', `Not ready on ${notReady.slice(0, 5).join(', ')}`);
}

const EPOCH = '1970-01-01T00:00:00Z';

function pending(type: string, message: string): Condition {
  return { type, status: 'Unknown', reason: 'Pending', message, lastTransitionTime: EPOCH };
}

function conditionOf(object: ViewObject, type: string): Condition | undefined {
  const { conditions } = (object.status ?? {}) as { conditions?: Condition[] };
  return conditions?.find((condition) => condition.type === type);
}

function waitingText(member: ViewObject): string {
  const condition = conditionOf(member, 'Ready');
  return `${member.kind} ${member.metadata.name}: ${condition?.reason ?? 'no agent has said anything of it'}`;
}
