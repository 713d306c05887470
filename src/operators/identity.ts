// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import type { Identity, NamedPort } from '../api/generated/types.ts';
import { canonicalJson } from '../api/hash.ts';
import { canonicalAddress, unusable } from './address.ts';
import type { NamespaceInput, PodInput } from './inputs.ts';
import type { Relevant } from './relevant.ts';
import { isPort, protocolOf } from './service-frontends.ts';

/** Bounds of the CubeTable schema. */
const MAX_LABELS = 64;
const MAX_PORTS = 64;

/** What a pod is to policies. */
export interface PodIdentity {
  /** `namespace/HASH`: equal for pods that no policy can tell apart, and for no others. */
  key: string;
  /** A row of a table without its addresses. `id` is the first choice: see {@link numberOf}. */
  row: Omit<Identity, 'addresses'>;
  /** Relevant labels and ports that a row has no room for. */
  cut: number;
}

/**
 * The identity of a pod: namespace, relevant labels of pod and namespace, relevant named ports. Pure: the operator makes
 * the tables by it, and whoever plugs a pod finds its row by it before the operator knows of the pod.
 *
 * Undefined for a pod on the network of its node, which no policy can tell from the node, and for one whose containers
 * have ended, whose addresses may be another pod's already.
 */
export function identityOf(
  pod: PodInput,
  namespace: NamespaceInput,
  relevant: Relevant,
): PodIdentity | undefined {
  const phase = pod.status?.phase;
  if (pod.spec?.hostNetwork === true || phase === 'Succeeded' || phase === 'Failed') return undefined;
  const name = pod.metadata.namespace ?? '';
  const labels = chosen(pod.metadata.labels ?? {}, relevant.podLabels);
  const namespaceLabels = chosen(namespace.metadata.labels ?? {}, relevant.namespaceLabels);
  const ports = namedPorts(pod, relevant.ports);
  const audit = isAudited(namespace) ? { audit: true } : {};
  const all = { namespace: name, labels, namespaceLabels, ports, ...audit };
  const key = `${name}/${hash(canonicalJson(all)).toString('hex', 0, 8)}`;
  const row = {
    id: numberOf(key, 0),
    namespace: name,
    labels: Object.fromEntries(Object.entries(labels).slice(0, MAX_LABELS)),
    namespaceLabels: Object.fromEntries(Object.entries(namespaceLabels).slice(0, MAX_LABELS)),
    ports: ports.slice(0, MAX_PORTS),
    ...audit,
  };
  const over = (size: number, most: number): number => Math.max(0, size - most);
  const cut =
    over(Object.keys(labels).length, MAX_LABELS) +
    over(Object.keys(namespaceLabels).length, MAX_LABELS) +
    over(ports.length, MAX_PORTS);
  return { key, row, cut };
}

/** On a Namespace, with the value `true`: the policies of its pods are not enforced, and what they refuse is told. */
export const AUDIT_ANNOTATION = 'cubeplane.io/policy-audit';

function isAudited({ metadata }: NamespaceInput): boolean {
  return metadata.annotations?.[AUDIT_ANNOTATION] === 'true';
}

/** What identities need of a Namespace. */
export function trimmedNamespace({
  metadata: { name = '', labels, annotations },
}: NamespaceInput): NamespaceInput {
  const audit = annotations?.[AUDIT_ANNOTATION];
  return {
    metadata: {
      ...(name === '' ? {} : { name }),
      labels: labels ?? {},
      ...(audit === undefined ? {} : { annotations: { [AUDIT_ANNOTATION]: audit } }),
    },
  };
}

/** The `attempt`-th choice for the number of an identity: 1 to 2^32 - 1. */
export function numberOf(key: string, attempt: number): number {
  return hash(`${attempt} ${key}`).readUInt32BE(0) || 1;
}

/** Addresses of a pod, one a family as Kubernetes gives them. */
export function addressesOf({ status }: PodInput): string[] {
  const listed = (status?.podIPs ?? []).map((entry) => entry.ip);
  const texts = listed.length > 0 ? listed : [status?.podIP];
  const addresses = texts.map(canonicalAddress).filter((address) => address !== undefined);
  return [...new Set(addresses.filter((address) => unusable(address) === undefined))].sort();
}

/** Labels with these keys, sorted by key. */
function chosen(labels: Readonly<Record<string, string>>, keys: ReadonlySet<string>): Record<string, string> {
  const entries = Object.entries(labels).filter(([key]) => keys.has(key));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** As the kubelet finds them: containers and sidecars in order, the first of a name and protocol counts. */
function namedPorts({ spec }: PodInput, names: ReadonlySet<string>): NamedPort[] {
  const sidecars = (spec?.initContainers ?? []).filter((one) => one.restartPolicy === 'Always');
  const found = new Map<string, NamedPort>();
  for (const container of [...(spec?.containers ?? []), ...sidecars]) {
    for (const { name, protocol: text, containerPort: port } of container.ports ?? []) {
      const protocol = protocolOf(text);
      if (typeof name !== 'string' || !names.has(name) || protocol === undefined || !isPort(port)) continue;
      const key = `${name} ${protocol}`;
      if (!found.has(key)) found.set(key, { name, protocol, port });
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
