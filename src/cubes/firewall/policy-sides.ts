// SPDX-License-Identifier: Apache-2.0
/** One side of a policy's rule: pods by their addresses, and blocks of addresses with holes in them. Pure. */
import type { Identity, NamedPort, PolicyPeer } from '../../api/generated/types.ts';
import { covers, hostPrefix, type Prefix, parseAddress, parsePrefix } from '../../api/ip.ts';
import type { RulePrefix } from './rule-meaning.ts';

/** One row of a table of identities: pods that are alike to policies. */
export interface Pods {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly ports: readonly NamedPort[];
  /** One a pod and family, of full length. */
  readonly addresses: readonly Prefix[];
  /** Equal for rows with equal addresses. */
  readonly said: string;
  /** What their policies refuse is told and passes. */
  readonly isAudited: boolean;
}

/** `refuse` gets what is no address of a pod. */
export function podsOf(row: Identity, refuse: (index: number) => void): Pods {
  const addresses: Prefix[] = [];
  (row.addresses ?? []).forEach((text, index) => {
    const address = parseAddress(text);
    if (address === undefined) refuse(index);
    else addresses.push(hostPrefix(address));
  });
  const { namespace, labels = {}, namespaceLabels = {}, ports = [], audit: isAudited = false } = row;
  const said = (row.addresses ?? []).join();
  return { namespace, labels, namespaceLabels, ports, addresses, said, isAudited };
}

export interface Block {
  readonly cidr: Prefix;
  readonly except: readonly Prefix[];
}

/** The block of an ipBlock peer; undefined for a peer of pods. */
export function blockOf({ cidr, except = [] }: PolicyPeer): Block | undefined {
  const prefix = cidr === undefined ? undefined : parsePrefix(cidr);
  if (prefix === undefined) return undefined;
  return { cidr: prefix, except: except.flatMap((text) => parsePrefix(text) ?? []) };
}

/** Whether an address, or all of a prefix, is in one of the blocks. */
export function isIn(blocks: readonly Block[], prefix: Prefix): boolean {
  return blocks.some(
    ({ cidr, except }) => covers(cidr, prefix) && !except.some((hole) => covers(hole, prefix)),
  );
}

/** The blocks as prefixes of which the longest that holds an address says whether it is in one of them. */
export function prefixesOf(blocks: readonly Block[]): RulePrefix[] {
  const edges = blocks.flatMap(({ cidr, except }) => [cidr, ...except]);
  return edges.map((edge) => (isIn(blocks, edge) ? edge : { ...edge, isHole: true }));
}
