// SPDX-License-Identifier: Apache-2.0
/**
 * Services of type LoadBalancer + pools → their addresses. Pure and total. What a Service has it keeps: nobody loses an address
 * because a pool was edited, another Service came, or an operator started anew.
 */
import { GROUP } from '../api/group.ts';
import { type Family, formatAddress, parseAddress } from '../api/ip.ts';
import { canonicalAddress } from './address.ts';
import { type AddressPool, FreeAddresses, holds } from './address-ranges.ts';
import { type Diagnostic, Diagnostics } from './diagnostic.ts';
import type { ServiceInput } from './inputs.ts';
import { externalAddresses, ingressAddresses, isHeadless, isProxiedElsewhere } from './service-frontends.ts';

/** Annotation of a Service: the addresses that it asks for, separated by commas. */
export const ADDRESSES_ANNOTATION = `${GROUP}/load-balancer-addresses`;
/** Annotation of a Service: the pool that its addresses come from. */
export const POOL_ANNOTATION = `${GROUP}/address-pool`;
/** `spec.loadBalancerClass` of Services that are served by pools alone. */
export const LOAD_BALANCER_CLASS = `${GROUP}/address-pool`;

/** What a Service should have. */
export interface Assignment {
  /** At most one a family, in the order of the Service's families. */
  readonly addresses: readonly string[];
  readonly diagnostics: readonly Diagnostic[];
}

export interface AssignmentInput {
  /** By name. */
  readonly pools: readonly AddressPool[];
  readonly services: Iterable<ServiceInput>;
  /** Address → who has it, besides Services: `node a`. */
  readonly others: ReadonlyMap<string, string>;
}

interface Claim {
  readonly key: string;
  readonly service: ServiceInput;
  readonly families: readonly Family[];
  /** Asked for by name. */
  readonly asked: readonly string[];
  /** It names a pool that is there. */
  readonly isLimited: boolean;
  /** Pools that may give it an address for which it does not ask. */
  readonly pools: readonly AddressPool[];
  readonly kept: Map<Family, string>;
  readonly diagnostics: Diagnostics;
}

/** What is to be given, and who has what. */
interface Stock {
  readonly pools: readonly AddressPool[];
  readonly free: ReadonlyMap<AddressPool, FreeAddresses>;
  /** Address → who has it. */
  readonly taken: Map<string, string>;
}

/**
 * Addresses by `namespace/name` of all Services that pools serve. One that is not among them and whose addresses are the
 * operator's (`ownsAddresses`) has none any more.
 */
export function assignAddresses({ pools, services, others }: AssignmentInput): Map<string, Assignment> {
  const taken = new Map(others);
  const external = new Map<string, string>();
  const claims: Claim[] = [];
  for (const service of services) {
    if (isServed(service, pools.length > 0)) claims.push(claimOf(service, pools));
    // of a load balancer of somebody else
    else if (service.spec?.type === 'LoadBalancer')
      for (const address of ingressAddresses(service)) taken.set(address, nameOf(service));
    for (const address of externalAddresses(service)) external.set(address, nameOf(service));
  }
  const stock = { pools, free: new Map(pools.map((pool) => [pool, new FreeAddresses(pool)])), taken };
  // of two that have the same, which a lagging cache can bring about, the older one keeps it
  claims.sort((a, b) => compare(ageOf(a), ageOf(b)));
  for (const claim of claims) keep(claim, stock);
  // after what is had: whoever names an address that another Service has must not take it away
  for (const [address, holder] of external) if (!taken.has(address)) taken.set(address, holder);
  for (const claim of claims) complete(claim, stock);
  return new Map(
    claims.map(({ key, families, kept, diagnostics }) => [
      key,
      {
        addresses: families.flatMap((family) => kept.get(family) ?? []),
        diagnostics: diagnostics.list,
      },
    ]),
  );
}

/** Whether its addresses are ours to give. */
function isServed(service: ServiceInput, hasPools: boolean): boolean {
  const { spec, status, ownsAddresses } = service;
  if (spec?.type !== 'LoadBalancer' || isHeadless(service) || isProxiedElsewhere(service)) return false;
  const name = spec.loadBalancerClass ?? undefined;
  if (name !== undefined) return name === LOAD_BALANCER_CLASS;
  if (ownsAddresses === true) return true;
  // another controller, as of a cloud, has given it some
  return hasPools && (status?.loadBalancer?.ingress ?? []).length === 0;
}

function claimOf(service: ServiceInput, all: readonly AddressPool[]): Claim {
  const { metadata } = service;
  const diagnostics = new Diagnostics(nameOf(service));
  const annotations = metadata.annotations ?? {};
  const poolName = annotations[POOL_ANNOTATION];
  const pools = all.filter(({ name, isAutomatic }) =>
    poolName === undefined ? isAutomatic : name === poolName,
  );
  if (poolName !== undefined && pools.length === 0) {
    const known = all.map(({ name }) => name).join(', ') || 'none';
    diagnostics.add(
      'PoolNotFound',
      `metadata.annotations[${POOL_ANNOTATION}]`,
      `there is no pool ${poolName}; there are: ${known}`,
      'name a CubeTable of type AddressPool, or remove the annotation',
    );
  }
  return {
    key: `${metadata.namespace ?? ''}/${metadata.name ?? ''}`,
    service,
    families: familiesOf(service),
    asked: askedBy(service, diagnostics),
    isLimited: poolName !== undefined && pools.length > 0,
    pools,
    kept: new Map(),
    diagnostics,
  };
}

function familiesOf({ spec }: ServiceInput): Family[] {
  const named = (spec?.ipFamilies ?? []).map((family): Family => (family === 'IPv6' ? 6 : 4));
  if (named.length > 0) return [...new Set(named)];
  return (spec?.clusterIP ?? '').includes(':') ? [6] : [4];
}

/** The field in which a Service names addresses. */
function askedIn({ metadata }: ServiceInput): string {
  const isAnnotated = metadata.annotations?.[ADDRESSES_ANNOTATION] !== undefined;
  return isAnnotated ? `metadata.annotations[${ADDRESSES_ANNOTATION}]` : 'spec.loadBalancerIP';
}

function askedBy(service: ServiceInput, diagnostics: Diagnostics): string[] {
  const list = service.metadata.annotations?.[ADDRESSES_ANNOTATION] ?? service.spec?.loadBalancerIP ?? '';
  const texts = list.split(',').map((text) => text.trim());
  return texts
    .filter((text) => text !== '')
    .flatMap((text) => {
      const address = canonicalAddress(text);
      if (address !== undefined) return [address];
      diagnostics.add(
        'InvalidAddress',
        askedIn(service),
        `"${text}" is no IP address`,
        'give addresses of a pool',
      );
      return [];
    });
}

/** Keeps of what the Service has all that it does not ask to be other: a pool that is gone takes nothing away. */
function keep({ service, families, asked, isLimited, pools, kept, diagnostics }: Claim, stock: Stock): void {
  for (const { ip } of service.status?.loadBalancer?.ingress ?? []) {
    const parsed = parseAddress(ip ?? '');
    if (parsed === undefined) continue;
    const { family } = parsed;
    const address = formatAddress(parsed);
    if (!families.includes(family) || kept.has(family) || stock.taken.has(address)) continue;
    const named = ofFamily(asked, family);
    if (named.length > 0 && !named.includes(address)) continue;
    if (isLimited && !pools.some((pool) => holds(pool, parsed))) continue;
    stock.taken.set(address, nameOf(service));
    kept.set(family, address);
    if (stock.pools.some((pool) => holds(pool, parsed))) continue;
    diagnostics.add(
      'AddressNotInPool',
      'status.loadBalancer.ingress',
      `${address} is in no pool any more; the Service keeps it`,
      'bring the pool back, or make the Service anew to give it another address',
    );
  }
}

/** Gives an address of each family that is missing. */
function complete(claim: Claim, stock: Stock): void {
  for (const family of claim.families) {
    if (claim.kept.has(family)) continue;
    const [named] = ofFamily(claim.asked, family);
    const found = named === undefined ? anyFree(claim, family, stock) : grant(claim, named, stock);
    if (found === undefined) continue;
    stock.taken.set(found, nameOf(claim.service));
    claim.kept.set(family, found);
  }
}

function anyFree({ pools, diagnostics }: Claim, family: Family, { free, taken }: Stock): string | undefined {
  for (const pool of pools) {
    const found = free.get(pool)?.next(family, (address) => taken.has(address));
    if (found !== undefined) return found;
  }
  const names = pools.map(({ name }) => name).join(', ');
  diagnostics.add(
    'AddressesExhausted',
    'status.loadBalancer',
    names === ''
      ? `there is no pool that gives it an IPv${family} address`
      : `no IPv${family} address is free in ${names}`,
    'add a range to a CubeTable of type AddressPool, or delete a Service that has one of its addresses',
  );
  return undefined;
}

/** An address that the Service names; also of pools that are given on request alone. */
function grant(claim: Claim, address: string, { pools: all, taken }: Stock): string | undefined {
  const parsed = parseAddress(address);
  const pools = claim.isLimited ? claim.pools : all;
  if (parsed === undefined || !pools.some((pool) => holds(pool, parsed))) {
    claim.diagnostics.add(
      'AddressNotInPool',
      askedIn(claim.service),
      `${address} is in no pool that it may use`,
      'ask for an address of a pool, or add it to one',
    );
    return undefined;
  }
  const holder = taken.get(address);
  if (holder === undefined) return address;
  claim.diagnostics.add(
    'AddressTaken',
    askedIn(claim.service),
    `${holder} has ${address}`,
    'ask for another one',
  );
  return undefined;
}

const ofFamily = (addresses: readonly string[], family: Family): string[] =>
  addresses.filter((address) => address.includes(':') === (family === 6));

const nameOf = ({ metadata }: ServiceInput): string =>
  `Service ${metadata.namespace ?? ''}/${metadata.name ?? ''}`;

const ageOf = ({ key, service }: Claim): string => `${service.metadata.creationTimestamp ?? ''} ${key}`;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
