// SPDX-License-Identifier: Apache-2.0
import type { CubeTable, Route } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { labelValue, tableName } from '../api/names.ts';
import { canonicalAddress, canonicalPrefix, type Family, familyOf, unusable } from './address.ts';
import { Diagnostics } from './diagnostic.ts';
import type { NodeInput } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';
import type { Translation } from './service.ts';

/**
 * Node → the CubeTable with the routes to its pods: each pod prefix through the tunnel to the node's InternalIP. Pure
 * and total, as {@link tablesOfService}.
 *
 * The outer family is that of the prefix where the node has such an address, else the other one. On the node itself the
 * Router's own port addresses are connected routes, which win over these.
 */
export function tablesOfNode(node: NodeInput, options: { namespace: string }): Translation {
  const { name = '', uid = '' } = node.metadata;
  const diagnostics = new Diagnostics(`Node ${name}`);
  const prefixes = podPrefixesOf(node, diagnostics);
  const remotes = internalAddressesOf(node, diagnostics);
  if (prefixes.length > 0 && remotes.size === 0) {
    diagnostics.add(
      'MissingField',
      'status.addresses',
      'the node has no InternalIP, so its pods cannot be reached from other nodes',
      'the kubelet or the cloud provider sets it; start the kubelet with --node-ip',
    );
  }
  const routes = prefixes.flatMap((destination): Route[] => {
    const family = familyOf(destination);
    const remote = remotes.get(family) ?? remotes.get(family === 'IPv4' ? 'IPv6' : 'IPv4');
    return remote === undefined ? [] : [{ type: 'Tunnel', destination, tunnel: { remote } }];
  });
  if (routes.length === 0) return { tables: [], diagnostics: diagnostics.list };
  const table: CubeTable = {
    apiVersion: API_VERSION,
    kind: 'CubeTable',
    metadata: {
      namespace: options.namespace,
      name: tableName('node', '', name, 0),
      labels: {
        [KUBERNETES_LABELS.managedBy]: MANAGER,
        [TABLE_LABELS.node]: labelValue(name),
        ...(uid === '' ? {} : { [TABLE_LABELS.ownerUid]: uid }),
      },
    },
    spec: { type: 'Route', routes },
  };
  return { tables: [table], diagnostics: diagnostics.list };
}

/** Pod prefixes of a node in canonical form, at most one a family as Kubernetes allows, IPv4 first. */
function podPrefixesOf({ spec }: NodeInput, diagnostics: Diagnostics): string[] {
  const listed = spec?.podCIDRs ?? [];
  const texts = listed.length > 0 ? listed : spec?.podCIDR ? [spec.podCIDR] : [];
  if (texts.length === 0) {
    diagnostics.add(
      'MissingField',
      'spec.podCIDRs',
      'the node has no pod prefix, so there is no route to its pods',
      'run kube-controller-manager with --allocate-node-cidrs, or set spec.podCIDRs',
    );
  }
  const byFamily = new Map<Family, string>();
  texts.forEach((text, index) => {
    const prefix = canonicalPrefix(text);
    const field = `spec.podCIDRs[${index}]`;
    if (prefix === undefined) {
      diagnostics.add('InvalidCIDR', field, `${text} is not a prefix`, 'write it like 10.244.1.0/24');
    } else if (byFamily.has(familyOf(prefix))) {
      diagnostics.add(
        'Duplicate',
        field,
        `${text} is a second prefix of its family`,
        'give one prefix a family',
      );
    } else byFamily.set(familyOf(prefix), prefix);
  });
  return (['IPv4', 'IPv6'] as const).flatMap((family) => byFamily.get(family) ?? []);
}

/** The first InternalIP of each family. */
function internalAddressesOf({ status }: NodeInput, diagnostics: Diagnostics): Map<Family, string> {
  const byFamily = new Map<Family, string>();
  (status?.addresses ?? []).forEach((entry, index) => {
    if (entry.type !== 'InternalIP') return;
    const address = canonicalAddress(entry.address);
    const problem = address === undefined ? 'not an IP address' : unusable(address);
    if (address !== undefined && problem === undefined) {
      if (!byFamily.has(familyOf(address))) byFamily.set(familyOf(address), address);
      return;
    }
    const field = `status.addresses[${index}].address`;
    diagnostics.add('InvalidAddress', field, `${entry.address} is ${problem}`, "correct the node's address");
  });
  return byFamily;
}
