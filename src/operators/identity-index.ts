// SPDX-License-Identifier: Apache-2.0
import { addressesOf, identityOf, type PodIdentity } from './identity.ts';
import { IdentityNumbers } from './identity-numbers.ts';
import type { NamespaceInput, PodInput } from './inputs.ts';
import type { Relevant } from './relevant.ts';

interface Member {
  pod: PodInput;
  identity: PodIdentity;
  addresses: readonly string[];
}

interface Group {
  identity: PodIdentity;
  /** Addresses that are this identity's. */
  addresses: Set<string>;
}

/**
 * Pods by identity, kept up pod by pod. Each change returns the keys of the identities that are not what they were, so
 * that a pod's start is the work of one identity however many pods there are.
 *
 * An address belongs to one pod: while the API still shows the pod that had it before, the later one has it.
 */
export class IdentityIndex {
  readonly #members = new Map<string, Member>();
  readonly #groups = new Map<string, Group>();
  /** Address → keys of the pods that say it is theirs. */
  readonly #claims = new Map<string, Set<string>>();
  /** Address → key of the identity that has it. */
  readonly #owners = new Map<string, string>();
  readonly #numbers = new IdentityNumbers();

  get size(): number {
    return this.#groups.size;
  }

  keys(): MapIterator<string> {
    return this.#groups.keys();
  }

  /** The identity with its number, and its addresses in order; undefined when no pod has it. */
  get(key: string): { identity: PodIdentity; addresses: string[] } | undefined {
    const group = this.#groups.get(key);
    if (group === undefined) return undefined;
    const { identity } = group;
    const row = { ...identity.row, id: this.#numbers.of(key) };
    return { identity: { ...identity, row }, addresses: [...group.addresses].sort() };
  }

  /** Key of the identity that has an address. */
  ownerOf(address: string): string | undefined {
    return this.#owners.get(address);
  }

  /** @param namespace undefined while it is not known: until then the pod has no identity, rather than a wrong one. */
  set(
    podKey: string,
    pod: PodInput | undefined,
    namespace: NamespaceInput | undefined,
    relevant: Relevant,
  ): Set<string> {
    const changed = new Set<string>();
    const before = this.#members.get(podKey);
    // Where only what is relevant has changed, all pods come by again as they were.
    const isSame = pod !== undefined && pod === before?.pod;
    const addresses = isSame ? before.addresses : pod === undefined ? [] : addressesOf(pod);
    const known = pod !== undefined && namespace !== undefined && addresses.length > 0;
    const identity = known ? identityOf(pod, namespace, relevant) : undefined;
    if (known && identity !== undefined) this.#members.set(podKey, { pod, identity, addresses });
    else this.#members.delete(podKey);
    const now = identity === undefined ? [] : addresses;
    if (isSame && identity?.key === before.identity.key) return changed;
    for (const address of before?.addresses ?? []) this.#claim(address, podKey, false);
    for (const address of now) this.#claim(address, podKey, true);
    for (const address of new Set([...(before?.addresses ?? []), ...now])) this.#assign(address, changed);
    return changed;
  }

  #claim(address: string, podKey: string, claims: boolean): void {
    const pods = this.#claims.get(address);
    if (!claims) pods?.delete(podKey);
    else if (pods === undefined) this.#claims.set(address, new Set([podKey]));
    else pods.add(podKey);
    if (pods?.size === 0) this.#claims.delete(address);
  }

  #assign(address: string, changed: Set<string>): void {
    const winner = [...(this.#claims.get(address) ?? [])]
      .map((key) => this.#members.get(key) as Member)
      .reduce<Member | undefined>(
        (best, one) => (best === undefined || isLater(one, best) ? one : best),
        undefined,
      );
    const before = this.#owners.get(address);
    const now = winner?.identity.key;
    if (before === now) return;
    if (winner !== undefined) {
      this.#owners.set(address, winner.identity.key);
      this.#group(winner.identity, changed).addresses.add(address);
      changed.add(winner.identity.key);
    } else this.#owners.delete(address);
    if (before !== undefined) this.#leave(before, address, changed);
  }

  #group(identity: PodIdentity, changed: Set<string>): Group {
    let group = this.#groups.get(identity.key);
    if (group === undefined) {
      group = { identity, addresses: new Set() };
      this.#groups.set(identity.key, group);
      for (const other of this.#numbers.add(identity.key)) changed.add(other);
    }
    return group;
  }

  #leave(key: string, address: string, changed: Set<string>): void {
    const group = this.#groups.get(key);
    group?.addresses.delete(address);
    changed.add(key);
    if (group?.addresses.size !== 0) return;
    this.#groups.delete(key);
    for (const other of this.#numbers.delete(key)) changed.add(other);
  }
}

/** A pod that is not being deleted, then the one made later, has an address; the UID decides the rest. */
function isLater(one: Member, other: Member): boolean {
  const rank = ({ pod: { metadata } }: Member): string[] => [
    metadata.deletionTimestamp === undefined ? '1' : '0',
    metadata.creationTimestamp ?? '',
    metadata.uid ?? '',
  ];
  const [a, b] = [rank(one), rank(other)];
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && (a[at] as string) > (b[at] as string);
}
