// SPDX-License-Identifier: Apache-2.0
import type { Condition, CubeNodeSpec, ServiceChain, ServiceChainStatus } from '../../api/generated/types.ts';
import { specHash } from '../../api/hash.ts';
import { chainLookup, selects } from '../../dataplane/sources/manifests/chains.ts';
import { type KubeManifest, objectKey } from '../../dataplane/sources/manifests/manifest-object.ts';
import { type MemberState, type NodeState, chainStatus as statusOf } from '../../operators/chain-status.ts';
import { targetOf } from '../../operators/chain-target.ts';
import type { ViewObject } from './object-view.ts';

/** What an agent of a directory said of a chain. */
export interface ChainReport {
  readonly node: string;
  readonly conditions: readonly Condition[];
}

/**
 * The status of a chain, by the operator's own function, out of what the agents of a directory wrote.
 *
 * @param objects everything by key, members with their status included.
 */
export function chainStatus(
  chain: ServiceChain,
  objects: ReadonlyMap<string, ViewObject>,
  reports: readonly ChainReport[],
): ServiceChainStatus {
  const chains = [...objects.values()].filter(({ kind }) => kind === 'ServiceChain');
  const lookup = chainLookup(chains as unknown as ServiceChain[]);
  const nodes = [...objects.values()]
    .filter((object) => object.kind === 'Node' && selects(chain, object as KubeManifest, lookup))
    .map(({ metadata }) => nodeState(chain, metadata.name, objects, reports));
  const status = statusOf(chain, nodes, new Date(), targetOf(chain, lookup));
  // The chain became what it is when the last of its members did.
  const times = nodes.flatMap(({ members }) => members.flatMap(({ conditions }) => [...conditions]));
  const conditions = status.conditions.map((condition) => {
    const same = times.filter(({ type }) => type === condition.type).map((one) => one.lastTransitionTime);
    const latest = same.sort().at(-1);
    return latest === undefined ? condition : { ...condition, lastTransitionTime: latest };
  });
  return { ...status, conditions };
}

function nodeState(
  chain: ServiceChain,
  node: string,
  objects: ReadonlyMap<string, ViewObject>,
  reports: readonly ChainReport[],
): NodeState {
  const { name, namespace = '' } = chain.metadata;
  const record = objects.get(objectKey('CubeNode', undefined, node))?.spec as CubeNodeSpec | undefined;
  const commit = record?.chains.find((entry) => entry.name === name && entry.namespace === namespace);
  const members = (commit?.members ?? []).map((member): MemberState => {
    const object = objects.get(objectKey(member.kind, namespace, member.name));
    const { conditions } = (object?.status ?? {}) as { conditions?: readonly Condition[] };
    return {
      object: `${member.kind} ${namespace}/${member.name}`,
      current: object !== undefined && specHash({ spec: object.spec }) === member.hash,
      generation: object?.metadata.generation ?? 0,
      conditions: conditions ?? [],
    };
  });
  const refused = reports
    .filter((report) => report.node === node)
    .flatMap((report) => report.conditions)
    .find((condition) => condition.type === 'Accepted' && condition.status === 'False');
  return {
    node,
    revision: commit?.revision,
    members,
    ...(refused === undefined ? {} : { problem: { reason: refused.reason, message: refused.message } }),
  };
}
