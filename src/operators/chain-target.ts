// SPDX-License-Identifier: Apache-2.0
/** Which nodes a chain goes to. A chain that targets a link goes where the chain of that link goes. Pure. */
import type { LabelSelector, ServiceChain } from '../api/generated/types.ts';
import { chainLinks } from '../api/path.ts';
import type { ResolvedReason } from '../api/reasons.ts';
import { matches } from '../api/selector.ts';

/** Chains by `namespace/name`. */
export type ChainLookup = (key: string) => ServiceChain | undefined;

export type ChainTarget =
  | { readonly ok: true; readonly selector: LabelSelector | undefined }
  | { readonly ok: false; readonly reason: ResolvedReason; readonly message: string };

/** A chain in the link of a chain in the link of a chain …; more than this is a cycle or nobody's intention. */
const MAX_DEPTH = 8;

export function targetOf(chain: ServiceChain, chains: ChainLookup, depth = 0): ChainTarget {
  const { target } = chain.spec;
  if (target.type !== 'Link') {
    return { ok: true, selector: target.type === 'Nodes' ? target.nodes?.selector : undefined };
  }
  const { namespace: own = '', name } = chain.metadata;
  const { chain: of, namespace = own, name: link } = target.link;
  const at = `ServiceChain ${own}/${name}: spec.target.link`;
  const missing = (reason: ResolvedReason, message: string): ChainTarget => ({
    ok: false,
    reason,
    message: `${at}${message}`,
  });
  const owner = chains(`${namespace}/${of}`);
  if (owner === undefined || owner.metadata.deletionTimestamp !== undefined) {
    return missing(
      'LinkNotFound',
      `.chain: there is no ServiceChain ${namespace}/${of}; create it or correct the name`,
    );
  }
  if (namespace !== own && !(owner.spec.spliceFrom ?? []).includes(own)) {
    const remedy = `add ${own} to its spec.spliceFrom, or target a link of your own namespace`;
    return missing(
      'RefNotPermitted',
      `.namespace: ServiceChain ${namespace}/${of} lets no chain of namespace ${own} in; ${remedy}`,
    );
  }
  const names = linkNames(owner);
  if (!names.includes(link)) {
    const known = names.join(', ');
    return missing(
      'LinkNotFound',
      `.name: ServiceChain ${namespace}/${of} has no link ${link} that a chain could go into; it has ${known || 'none'}`,
    );
  }
  if (depth >= MAX_DEPTH) {
    return missing(
      'LinkNotFound',
      `: the chains target links of each other in a cycle; target a link of a Terminating chain`,
    );
  }
  return targetOf(owner, chains, depth + 1);
}

/** Links that a chain can go into: of a Transparent chain only those between its own cubes. */
function linkNames({ spec }: ServiceChain): string[] {
  const names = chainLinks(spec).map((link) => link.name);
  return spec.mode === 'Transparent' ? names.slice(1, -1) : names;
}

/** Whether a chain goes to a node with these labels; one whose target cannot be found goes nowhere. */
export function selectsNode(
  chain: ServiceChain,
  labels: Readonly<Record<string, string>>,
  chains: ChainLookup,
): boolean {
  const target = targetOf(chain, chains);
  return target.ok && matches(target.selector, labels);
}
