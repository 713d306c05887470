// SPDX-License-Identifier: Apache-2.0
/** Which node answers for the addresses of a Service. Pure. */
import type { Announcement, CubeTable } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { labelValue, tableName } from '../api/names.ts';
import type { EndpointSliceInput, NodeInput, ServiceInput } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';
import { ingressAddresses } from './service-frontends.ts';
import { fnv1a } from './slices.ts';
import type { CubeNodeView } from './views.ts';

/** Label of a Node (KEP-1143): no load balancer sends anything there. */
const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

/**
 * Whether a node can answer for addresses: its chain is in the kernel, and it lives. Packets pass while the agent is away, so a
 * node counts as dead only when neither agent nor kubelet say anything.
 */
export function canAnnounce(node: NodeInput, cubeNode: CubeNodeView | undefined): boolean {
  const { metadata, status } = node;
  const conditionOf = (type: string) => status?.conditions?.find((one) => one.type === type);
  if (metadata.deletionTimestamp !== undefined || EXCLUDED in (metadata.labels ?? {})) return false;
  const network = conditionOf('NetworkUnavailable');
  if (network?.status !== 'False' || network.reason !== 'ChainProgrammed') return false;
  const isAgentAway = (cubeNode?.conditions ?? []).some(({ reason }) => reason === 'AgentUnreachable');
  return !isAgentAway || conditionOf('Ready')?.status === 'True';
}

/**
 * The table that says which node answers for the Service's addresses; undefined: nobody does.
 *
 * The node that answers goes on as long as it can: another one would not know its connections. Else the highest hash of node and
 * Service wins (rendezvous), so that a node that comes or goes moves no more than its share.
 *
 * @param nodes names of those that can.
 * @param before name of the node that answers now.
 */
export function announcementOf(
  service: ServiceInput,
  slices: readonly EndpointSliceInput[],
  nodes: readonly string[],
  before: string | undefined,
  options: { namespace: string },
): CubeTable | undefined {
  const { namespace = '', name = '', uid = '' } = service.metadata;
  const addresses = ingressAddresses(service);
  if (service.ownsAddresses !== true || addresses.length === 0) return undefined;
  const node = chosen(`${namespace}/${name}`, candidatesOf(service, slices, nodes), before);
  if (node === undefined) return undefined;
  return {
    apiVersion: API_VERSION,
    kind: 'CubeTable',
    metadata: {
      namespace: options.namespace,
      name: tableName('announcement', namespace, name, 0),
      labels: {
        [KUBERNETES_LABELS.managedBy]: MANAGER,
        [TABLE_LABELS.announcedNamespace]: namespace,
        [TABLE_LABELS.announcedName]: name,
        [TABLE_LABELS.announcedBy]: labelValue(node),
        ...(uid === '' ? {} : { [TABLE_LABELS.ownerUid]: uid }),
      },
    },
    spec: {
      type: 'Announcement',
      announcements: addresses.map(
        (address): Announcement => ({ address, node, service: { namespace, name } }),
      ),
    },
  };
}

/** With externalTrafficPolicy Local packets must come to a node with a backend. */
function candidatesOf(
  { spec }: ServiceInput,
  slices: readonly EndpointSliceInput[],
  nodes: readonly string[],
): readonly string[] {
  if (spec?.externalTrafficPolicy !== 'Local') return nodes;
  const endpoints = slices.flatMap((slice) => slice.endpoints ?? []);
  const having = (condition: 'ready' | 'serving'): string[] => {
    const found = endpoints.filter(({ conditions }) => conditions?.[condition] ?? true);
    const names = new Set(found.map(({ nodeName }) => nodeName));
    return nodes.filter((node) => names.has(node));
  };
  const ready = having('ready');
  return ready.length > 0 ? ready : having('serving');
}

function chosen(key: string, candidates: readonly string[], before: string | undefined): string | undefined {
  if (before !== undefined && candidates.includes(before)) return before;
  const scored = candidates.map((node) => ({ node, score: fnv1a(`${node} ${key}`) }));
  // names break the tie, so that it does not depend on the order
  return scored.sort((a, b) => b.score - a.score || (a.node < b.node ? -1 : 1))[0]?.node;
}
