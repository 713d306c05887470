// SPDX-License-Identifier: Apache-2.0
import type { Cluster } from '../kube/cluster.ts';
import type { Machine } from '../topology.ts';

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podCIDRs?: readonly string[] };
}

/** Pod prefixes of all nodes, by name. */
export async function podPrefixes({ api }: Cluster): Promise<Map<string, readonly string[]>> {
  const items = await api.list<NodeObject>('/api/v1/nodes');
  return new Map(items.map(({ metadata, spec }) => [metadata.name, spec.podCIDRs ?? []]));
}

/** Gives a machine routes to the pods of a node, by the node's addresses. */
export async function routeToPods(
  { namespace }: Pick<Machine, 'namespace'>,
  { addresses }: Pick<Machine, 'addresses'>,
  prefixes: readonly string[] = [],
): Promise<void> {
  for (const prefix of prefixes) {
    const via = prefix.includes(':') ? addresses.ipv6 : addresses.ipv4;
    await namespace.ip(`route replace ${prefix} via ${via}`);
  }
}
