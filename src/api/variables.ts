// SPDX-License-Identifier: Apache-2.0
/** Node variables in the templates of a chain: `$(node.podCIDRs.ipv4.gateway)`. */
import {
  formatAddress,
  formatPrefix,
  hostMask,
  masked,
  type Prefix,
  parseAddress,
  parsePrefix,
} from './ip.ts';

/** What the variables of one node are made from; a family that the node lacks is absent. */
export interface NodeFacts {
  name: string;
  /** Addresses, as in Node.status.addresses of type InternalIP. */
  internalIPs: { ipv4?: string; ipv6?: string };
  /** Prefixes, as in Node.spec.podCIDRs. */
  podCIDRs: { ipv4?: string; ipv6?: string };
}

export type Resolution<T> =
  | { ok: true; value: T }
  | { ok: false; reason: 'UnknownVariable'; message: string; field: string };

/** Stays a variable: the agent of the node resolves it. */
export const UPLINK = '$(node.uplink)';

const VARIABLE = /\$\(([^)]*)\)/g;

/** Facts of a plain Node object. The first address and prefix of each family count, as in Kubernetes. */
export function nodeFacts(node: {
  metadata?: { name?: string };
  spec?: { podCIDR?: string; podCIDRs?: string[] };
  status?: { addresses?: { type: string; address: string }[] };
}): NodeFacts {
  const facts: NodeFacts = { name: node.metadata?.name ?? '', internalIPs: {}, podCIDRs: {} };
  for (const { type, address } of node.status?.addresses ?? []) {
    const parsed = type === 'InternalIP' ? parseAddress(address) : undefined;
    if (parsed) facts.internalIPs[parsed.family === 4 ? 'ipv4' : 'ipv6'] ??= address;
  }
  for (const cidr of node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : [])) {
    const parsed = parsePrefix(cidr);
    // A prefix without room for a gateway and a fictitious pod is of no use to a node.
    if (parsed && hostMask(parsed) >= 3n)
      facts.podCIDRs[parsed.family === 4 ? 'ipv4' : 'ipv6'] ??= formatPrefix(masked(parsed));
  }
  return facts;
}

/** First host address with the prefix length: 10.244.1.0/24 → 10.244.1.1/24. */
export function gateway(podCIDR: string): string {
  const prefix = parsePrefix(podCIDR) as Prefix;
  return formatPrefix({ ...prefix, value: masked(prefix).value + 1n });
}

/** Last usable address, without prefix length: 10.244.1.0/24 → 10.244.1.254; never given to a pod. */
export function fictitiousPod(podCIDR: string): string {
  const prefix = parsePrefix(podCIDR) as Prefix;
  const last = masked(prefix).value + hostMask(prefix);
  return formatAddress({ family: prefix.family, value: prefix.family === 4 ? last - 1n : last });
}

/** Value of a variable; '' where the node lacks it, undefined where there is no such variable. */
function lookUp(variable: string, facts: NodeFacts): string | undefined {
  if (variable === 'node.name') return facts.name;
  if (variable === 'node.uplink') return UPLINK;
  const address = /^node\.internalIPs\.(ipv4|ipv6)$/.exec(variable);
  if (address) return facts.internalIPs[address[1] as 'ipv4' | 'ipv6'] ?? '';
  const cidr = /^node\.podCIDRs\.(ipv4|ipv6)(\.gateway|\.fictitiousPod)?$/.exec(variable);
  if (!cidr) return undefined;
  const value = facts.podCIDRs[cidr[1] as 'ipv4' | 'ipv6'] ?? '';
  if (value === '' || cidr[2] === undefined) return value;
  return cidr[2] === '.gateway' ? gateway(value) : fictitiousPod(value);
}

const EMPTY = Symbol('a variable without value stood here');

/**
 * A copy of a template with its variables resolved. A text whose variable is empty on this node removes the nearest
 * element of a list around it: an address of a port, or a whole route whose destination it was. Without a list around
 * it the template cannot be resolved.
 */
export function resolveVariables<T>(template: T, facts: NodeFacts): Resolution<T> {
  let failure: { message: string; field: string } | undefined;

  const text = (value: string, field: string): string | typeof EMPTY => {
    let empty = false;
    const resolved = value.replace(VARIABLE, (whole, variable: string) => {
      const found = lookUp(variable, facts);
      if (found === undefined) {
        failure ??= {
          field,
          message: `${whole} is not a variable that nodes have; use $(node.name), $(node.uplink), $(node.internalIPs.ipv4|ipv6) or $(node.podCIDRs.ipv4|ipv6) with .gateway or .fictitiousPod`,
        };
      }
      if (found === '') empty = true;
      return found ?? '';
    });
    return empty ? EMPTY : resolved;
  };

  const walk = (value: unknown, field: string): unknown => {
    if (typeof value === 'string') return text(value, field);
    if (Array.isArray(value)) {
      return value.map((item, index) => walk(item, `${field}[${index}]`)).filter((item) => item !== EMPTY);
    }
    if (value === null || typeof value !== 'object') return value;
    const result: Record<string, unknown> = {};
    for (const [key, member] of Object.entries(value)) {
      const resolved = walk(member, field === '' ? key : `${field}.${key}`);
      // An object that loses a member is no longer what was meant: its list element goes as a whole.
      if (resolved === EMPTY) return EMPTY;
      result[key] = resolved;
    }
    return result;
  };

  const value = walk(template, '');
  if (failure) return { ok: false, reason: 'UnknownVariable', ...failure };
  if (value === EMPTY) {
    return {
      ok: false,
      reason: 'UnknownVariable',
      field: '',
      message: `a variable outside of any list has no value on node ${facts.name}; the node lacks that address family`,
    };
  }
  return { ok: true, value: value as T };
}
