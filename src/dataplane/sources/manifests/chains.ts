// SPDX-License-Identifier: Apache-2.0
import type { ChainCommit, Cube, CubeLink, ServiceChain } from '../../../api/generated/types.ts';
import { matches } from '../../../api/selector.ts';
import { validate } from '../../../api/validate.ts';
import { nodeFacts } from '../../../api/variables.ts';
import { type ChainLookup, targetOf } from '../../../operators/chain-target.ts';
import { refusalOf, revisionOf, type Stamp, stampChain } from '../../../operators/service-chain.ts';
import { type KubeManifest, keyOfObject } from './manifest-object.ts';

/** What became of a chain on one node. */
export interface ChainOutcome {
  readonly chain: ServiceChain;
  readonly accepted: boolean;
  /** Reason of the condition Accepted. */
  readonly reason: string;
  readonly message: string;
  /** Why its target is not known; ResolvedRefs says it. */
  readonly unresolved?: { readonly reason: string; readonly message: string };
  /** What the node is to run: of this version of the chain, or of the last one that could be stamped. */
  readonly stamp?: Stamp;
}

/** Stamps by `namespace/name` of the chain: what a paused or refused chain leaves as it is. */
export type Stamps = ReadonlyMap<string, Stamp>;

/**
 * Stamps the chains that select the node. A chain that is paused, not accepted or contradicts another object keeps its
 * last stamp. Without the Node object no chain is stamped: there is nothing to select or to take addresses from.
 */
export function stampChains(
  objects: readonly KubeManifest[],
  node: KubeManifest | undefined,
  last: Stamps,
): ChainOutcome[] {
  if (node === undefined) return [];
  const taken = new Map(objects.map((object) => [keyOfObject(object), 'a manifest']));
  const chains = objects.filter((object) => object.kind === 'ServiceChain') as unknown as ServiceChain[];
  const lookup = chainLookup(chains);
  return chains
    .filter((chain) => selects(chain, node, lookup))
    .map((chain) => {
      const outcome = stampOne(chain, node, { taken, lookup }, last.get(chainKey(chain)));
      for (const member of [...(outcome.stamp?.cubes ?? []), ...(outcome.stamp?.links ?? [])]) {
        taken.set(keyOfObject(member as unknown as KubeManifest), `ServiceChain ${chainKey(chain)}`);
      }
      return outcome;
    });
}

export function chainKey(chain: { metadata: { namespace?: string; name: string } }): string {
  return `${chain.metadata.namespace ?? ''}/${chain.metadata.name}`;
}

/** The commit records of what was stamped, in a stable order. */
export function commitsOf(outcomes: readonly ChainOutcome[]): ChainCommit[] {
  return outcomes
    .flatMap((outcome) => outcome.stamp?.commit ?? [])
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

export function chainLookup(chains: readonly ServiceChain[]): ChainLookup {
  const byKey = new Map(chains.map((chain) => [chainKey(chain), chain]));
  return (key) => byKey.get(key);
}

/** Whether a chain's target selects the node; one whose target is not there is refused on all of them, visibly. */
export function selects(chain: ServiceChain, node: KubeManifest, chains: ChainLookup): boolean {
  const target = targetOf(chain, chains);
  return !target.ok || matches(target.selector, node.metadata.labels ?? {});
}

function stampOne(
  chain: ServiceChain,
  node: KubeManifest,
  others: { readonly taken: ReadonlyMap<string, string>; readonly lookup: ChainLookup },
  last: Stamp | undefined,
): ChainOutcome {
  const refused = (reason: string, message: string): ChainOutcome => ({
    chain,
    accepted: false,
    reason,
    message,
    ...(last === undefined ? {} : { stamp: last }),
  });
  const refusal = refusalOf(chain);
  if (refusal !== undefined) return refused(refusal.reason, refusal.message);
  const target = targetOf(chain, others.lookup);
  // As in a cluster, where a chain without a target selects no node any more.
  if (!target.ok) {
    const { reason, message } = target;
    return { chain, accepted: true, reason: 'Accepted', message, unresolved: { reason, message } };
  }
  if (chain.spec.paused) {
    const kept = last === undefined ? 'nothing was stamped before' : `revision ${last.commit.revision} stays`;
    const message = `The chain is paused: ${kept}`;
    return {
      chain,
      accepted: true,
      reason: 'Accepted',
      message,
      ...(last === undefined ? {} : { stamp: last }),
    };
  }
  const stamped = stampChain(chain, nodeFacts(node as unknown as Parameters<typeof nodeFacts>[0]));
  if (!stamped.ok) return refused(stamped.reason, stamped.message);
  for (const member of [...stamped.cubes, ...stamped.links]) {
    const problem = memberProblem(chain, member, others.taken);
    if (problem !== undefined) return refused(problem.reason, problem.message);
  }
  const message = `Revision ${revisionOf(chain)} is stamped`;
  return { chain, accepted: true, reason: 'Accepted', message, stamp: stamped };
}

/** With its variables resolved a member may still be what the API would refuse, or be there already. */
function memberProblem(
  chain: ServiceChain,
  member: Cube | CubeLink,
  taken: ReadonlyMap<string, string>,
): { reason: string; message: string } | undefined {
  const { kind, metadata } = member;
  const owner = taken.get(keyOfObject(member as unknown as KubeManifest));
  if (owner !== undefined) {
    const what = `${kind} ${metadata.namespace}/${metadata.name} already comes from ${owner}`;
    return { reason: 'Conflict', message: `ServiceChain ${chainKey(chain)}: ${what}; rename one of the two` };
  }
  const checked = validate(member);
  if (checked.ok) return undefined;
  return {
    reason: 'Invalid',
    message: `ServiceChain ${chainKey(chain)} stamps an invalid ${checked.message}`,
  };
}
