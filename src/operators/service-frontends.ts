// SPDX-License-Identifier: Apache-2.0
import type { Affinity, Frontend } from '../api/generated/types.ts';
import { canonicalAddress, canonicalPrefix, unusable } from './address.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { ServiceInput, ServicePortInput } from './inputs.ts';
import { KUBERNETES_LABELS } from './labels.ts';

/** Bounds of the CubeTable schema. */
const MAX_FRONTENDS = 128;
const MAX_ADDRESSES = 64;
const MAX_SOURCE_RANGES = 64;
/** Kubernetes' default for ClientIP affinity, s. */
const AFFINITY_SECONDS = 10_800;
const SOURCE_RANGES_ANNOTATION = 'service.beta.kubernetes.io/load-balancer-source-ranges';

type Scope = Frontend['scope'];
type Protocol = Frontend['protocol'];

/**
 * The frontends of a Service, by kube-proxy's rules: cluster IPs, external IPs, addresses of the load balancer whose
 * `ipMode` is VIP (KEP-1860), and the node port. None for a headless Service, an ExternalName, and one that another
 * proxy serves.
 */
export function frontendsOf(service: ServiceInput, diagnostics: Diagnostics): Frontend[] {
  if (isIgnored(service)) return [];
  const spec = service.spec ?? {};
  const addresses = addressesOf(service, diagnostics);
  const ranges = sourceRangesOf(service, diagnostics);
  const internal = spec.internalTrafficPolicy === 'Local' ? 'Local' : 'Cluster';
  const external = spec.externalTrafficPolicy === 'Local' ? 'Local' : 'Cluster';
  const affinity = affinityOf(service);
  const frontends: Frontend[] = [];
  const ports = spec.ports ?? [];
  if (ports.length === 0 && addresses.ClusterIP.length > 0) {
    diagnostics.add('MissingField', 'spec.ports', 'the Service has no ports', 'add the ports that it serves');
  }
  ports.forEach((port, index) => {
    const checked = checkPort(port, `spec.ports[${index}]`, diagnostics);
    if (checked === undefined) return;
    const add = (scope: Scope, list: string[], number: number): void => {
      const row = {
        name: port.name ?? '',
        port: number,
        protocol: checked.protocol,
        scope,
        affinity,
        sourceRanges: scope === 'LoadBalancer' ? ranges : [],
        trafficPolicy: scope === 'ClusterIP' ? internal : external,
      } as const;
      if (scope === 'NodePort') frontends.push({ ...row, addresses: [] });
      for (let at = 0; at < list.length; at += MAX_ADDRESSES) {
        frontends.push({ ...row, addresses: list.slice(at, at + MAX_ADDRESSES) });
      }
    };
    add('ClusterIP', addresses.ClusterIP, checked.port);
    add('External', addresses.External, checked.port);
    add('LoadBalancer', addresses.LoadBalancer, checked.port);
    if (checked.nodePort !== undefined) add('NodePort', [], checked.nodePort);
  });
  if (frontends.length > MAX_FRONTENDS) {
    diagnostics.add(
      'TooMany',
      'spec.ports',
      `the Service makes ${frontends.length} frontends, of which a table holds ${MAX_FRONTENDS}; the last are left out`,
      'spread the ports or external IPs over several Services',
    );
    frontends.length = MAX_FRONTENDS;
  }
  return frontends;
}

/** Addresses in the status of a Service that can be read. */
export function ingressAddresses({ status }: ServiceInput): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => canonicalAddress(ip ?? undefined) ?? []);
}

/** External IPs of a Service that can be read. */
export function externalAddresses({ spec }: ServiceInput): string[] {
  return (spec?.externalIPs ?? []).flatMap((text) => canonicalAddress(text) ?? []);
}

function isIgnored(service: ServiceInput): boolean {
  return isProxiedElsewhere(service) || isHeadless(service) || service.spec?.type === 'ExternalName';
}

/** Another proxy serves it. */
export function isProxiedElsewhere({ metadata }: ServiceInput): boolean {
  return KUBERNETES_LABELS.serviceProxyName in (metadata.labels ?? {});
}

export function isHeadless({ metadata, spec }: ServiceInput): boolean {
  if (KUBERNETES_LABELS.headless in (metadata.labels ?? {})) return true;
  return spec?.clusterIP === 'None' || spec?.clusterIPs?.[0] === 'None';
}

/** Addresses by scope; one that stands in several belongs to the first of ClusterIP, LoadBalancer, External. */
function addressesOf(
  service: ServiceInput,
  diagnostics: Diagnostics,
): Record<Exclude<Scope, 'NodePort'>, string[]> {
  const { spec, status } = service;
  const taken = new Set<string>();
  const take = (list: readonly (string | null | undefined)[], field: string): string[] => {
    const kept: string[] = [];
    list.forEach((text, index) => {
      // Not allocated yet: the Service comes again when it is.
      if (text === undefined || text === null || text === '') return;
      const address = canonicalAddress(text);
      const problem = address === undefined ? 'not an IP address' : unusable(address);
      if (address === undefined || problem !== undefined) {
        diagnostics.add(
          'InvalidAddress',
          `${field}[${index}]`,
          `${text} is ${problem}`,
          'give a unicast address',
        );
      } else if (!taken.has(address)) {
        taken.add(address);
        kept.push(address);
      }
    });
    return kept;
  };
  const clusterIPs = spec?.clusterIPs ?? [];
  const ClusterIP = take(clusterIPs.length > 0 ? clusterIPs : [spec?.clusterIP], 'spec.clusterIPs');
  // ipMode Proxy means that packets arrive with the node's address; only VIP addresses arrive as they are.
  const ingress = status?.loadBalancer?.ingress ?? [];
  const vips = ingress.map((entry) => ((entry.ipMode ?? 'VIP') === 'VIP' ? entry.ip : undefined));
  const LoadBalancer = spec?.type === 'LoadBalancer' ? take(vips, 'status.loadBalancer.ingress') : [];
  return { ClusterIP, LoadBalancer, External: take(spec?.externalIPs ?? [], 'spec.externalIPs') };
}

/**
 * Prefixes of clients of the load balancer's addresses. Where the Service names only IPv4 prefixes, no IPv6 client may
 * come, and the other way round: a list that does not name a client refuses it.
 */
function sourceRangesOf(service: ServiceInput, diagnostics: Diagnostics): string[] {
  let field = 'spec.loadBalancerSourceRanges';
  let list = service.spec?.loadBalancerSourceRanges ?? [];
  const annotation = service.metadata.annotations?.[SOURCE_RANGES_ANNOTATION];
  if (list.length === 0 && annotation !== undefined && annotation.trim() !== '') {
    field = `metadata.annotations[${SOURCE_RANGES_ANNOTATION}]`;
    list = annotation.split(',');
  }
  const kept = new Set<string>();
  for (const text of list) {
    const prefix = canonicalPrefix(text.trim());
    if (prefix !== undefined) kept.add(prefix);
    else diagnostics.add('InvalidCIDR', field, `"${text}" is not a prefix`, 'write it like 203.0.113.0/24');
  }
  if (list.length > 0 && kept.size === 0) {
    // Every prefix was bad: an empty list would let everybody in. This one is the documentation prefix of RFC 3849.
    return ['2001:db8::/128'];
  }
  if (kept.size > MAX_SOURCE_RANGES) {
    diagnostics.add(
      'TooMany',
      field,
      `${kept.size} prefixes, of which ${MAX_SOURCE_RANGES} are used; clients of the others are refused`,
      'join neighbouring prefixes',
    );
  }
  return [...kept].slice(0, MAX_SOURCE_RANGES);
}

function affinityOf({ spec }: ServiceInput): Affinity {
  const seconds = spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS;
  return spec?.sessionAffinity === 'ClientIP'
    ? { type: 'ClientIP', timeoutSeconds: Math.min(86_400, Math.max(1, seconds)) }
    : { type: 'None', timeoutSeconds: AFFINITY_SECONDS };
}

function checkPort(
  port: ServicePortInput,
  field: string,
  diagnostics: Diagnostics,
): { port: number; nodePort: number | undefined; protocol: Protocol } | undefined {
  const protocol = protocolOf(port.protocol);
  if (protocol === undefined) {
    diagnostics.add(
      'NotSupported',
      `${field}.protocol`,
      `protocol ${port.protocol} is not known`,
      'use TCP, UDP or SCTP',
    );
    return undefined;
  }
  if (!isPort(port.port)) {
    diagnostics.add(
      'InvalidPort',
      `${field}.port`,
      `${port.port} is not a port`,
      'give a number from 1 to 65535',
    );
    return undefined;
  }
  return { port: port.port, nodePort: isPort(port.nodePort) ? port.nodePort : undefined, protocol };
}

/** The protocol of a Service port or slice port; TCP where it says nothing, undefined for an unknown one. */
export function protocolOf(text: string | null | undefined): Protocol | undefined {
  const name = text ?? 'TCP';
  return name === 'TCP' || name === 'UDP' || name === 'SCTP' ? name : undefined;
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}
