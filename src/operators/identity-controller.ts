// SPDX-License-Identifier: Apache-2.0

import { setImmediate } from 'node:timers/promises';
import { sidesOf } from '../k8s/cache.ts';
import { KubeError } from '../k8s/errors.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import { IdentityIndex } from './identity-index.ts';
import { tablesOfIdentity } from './identity-tables.ts';
import { includesAll, type Relevant, unionOf } from './relevant.ts';
import { TableWriter } from './table-writer.ts';
import { identityOwner, type TableView } from './views.ts';

/** Changes of one identity that come within this time after a write are written together, ms. */
const COALESCE_MS = 10;
const CONCURRENCY = 16;
/** An identity that waits for the next one of its pods is woken by that one's table; this is for other cases, ms. */
const LOOK_AGAIN_MS = 500;
const PODS_A_TURN = 128;
/** Key of the work that finds out what policies look at. */
const RELEVANT = 'Relevant';
const OWNER = identityOwner('');

/**
 * Pods and Namespaces → CubeTables of identities, while there is any policy. Work is keyed by identity: a pod's start
 * is one write, of the table of its identity.
 *
 * - What is relevant is what NetworkPolicies look at, and what tables of policies that are still there look at: an
 *   identity loses no label before the last policy that reads it has been rewritten.
 * - An identity gives an address up when the table of its next identity is seen to have it, so that no pod is unknown in
 *   between. All of that is read from the caches, so it holds over a restart too.
 */
export class IdentityController extends Controller {
  readonly #writer: TableWriter;
  readonly #index = new IdentityIndex();
  readonly #listeners = new Set<() => void>();
  /** Undefined while no policy exists. */
  #relevant: Relevant | undefined;
  /** Counts the changes of it. */
  #generation = 0;
  /** While pods are placed anew. */
  #isPlacing = false;
  /** Identities that came or ended with what is relevant, and with which change; their tables do not say so yet. */
  readonly #owed = new Map<string, number>();
  /** Those whose tables the API server refuses: nothing must wait for them. */
  readonly #refused = new Set<string>();
  /** Those that are being written. */
  readonly #running = new Set<string>();
  /** Owner of a policy → what the tables look at that were sent and that the cache may not show yet. */
  readonly #reading = new Map<string, Relevant>();

  constructor(context: ControllerContext) {
    super(context, { name: 'identities', concurrency: CONCURRENCY, spacingMs: COALESCE_MS });
    this.#writer = new TableWriter(context);
  }

  start(): void {
    const { world } = this.context;
    this.subscribe(
      world.pods.onChange(({ key }) => this.#pod(key)),
      world.namespaces.onChange(({ key }) => {
        for (const pod of [...world.pods.keysBy('namespace', key)]) this.#pod(pod);
      }),
      world.policies.onChange(() => this.queue.add(RELEVANT)),
      world.clusterPolicies.onChange(() => this.queue.add(RELEVANT)),
      world.tables.onChange((change) => {
        for (const table of sidesOf(change)) this.#table(table);
      }),
    );
    // At once: before all pods have their place, the tables that are there would look left over.
    for (const _ of this.#relate());
    // Without any policy those that are there are left over.
    for (const owner of world.tables.indexValues('owner')) if (owner.startsWith(OWNER)) this.queue.add(owner);
    this.queue.start();
  }

  /**
   * Whether the tables of identities tell all that a policy looks at, so that it can be written. If so they go on telling
   * it until {@link wrote} says what was written.
   */
  covers(policy: string, relevant: Relevant): boolean {
    if (this.#relevant === undefined || !includesAll(this.#relevant, relevant)) {
      this.queue.add(RELEVANT);
      return false;
    }
    if (this.#isPlacing || this.#owed.size > 0) return false;
    this.#reading.set(policy, unionOf([relevant, this.#reading.get(policy) ?? relevant]));
    return true;
  }

  /** @param relevant what the tables of the policy look at now; undefined when there are none. */
  wrote(policy: string, relevant: Relevant | undefined): void {
    if (relevant === undefined) this.#reading.delete(policy);
    else this.#reading.set(policy, relevant);
    this.queue.add(RELEVANT);
  }

  /** Calls back whenever {@link covers} may have become true. */
  onCovered(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  protected async reconcile(key: string): Promise<HandlerResult> {
    if (key !== RELEVANT) return await this.#reconcile(key);
    for (const _ of this.#relate()) await setImmediate();
    return undefined;
  }

  #pod(key: string): void {
    if (this.#relevant !== undefined) this.#enqueue(this.#place(key, this.#relevant));
  }

  #place(key: string, relevant: Relevant | undefined): Set<string> {
    const { world } = this.context;
    const pod = relevant === undefined ? undefined : world.pods.get(key);
    const namespace = world.namespaces.get(pod?.metadata.namespace ?? '');
    return this.#index.set(key, pod, namespace, relevant ?? unionOf([]));
  }

  #enqueue(identities: Iterable<string>): void {
    for (const key of identities) this.queue.add(identityOwner(key));
  }

  #table({ owner, addresses, relevant }: TableView): void {
    const { world } = this.context;
    if (relevant !== undefined) this.queue.add(RELEVANT);
    if (!owner.startsWith(OWNER)) return;
    this.queue.add(owner);
    // Those that waited for this table to take an address over.
    for (const address of addresses) {
      for (const other of world.tables.by('address', address)) {
        if (other.owner !== owner) this.queue.add(other.owner);
      }
    }
  }

  /**
   * Finds out what is relevant. Where that changed, each pod is placed anew; with thousands of them that takes a while, so
   * it stops now and then for whoever else has something to do.
   */
  *#relate(): Generator<void> {
    const { world, log } = this.context;
    const read = [...world.allPolicies(), ...world.tables.by('policies', '')];
    const looks = [...read.flatMap(({ relevant }) => relevant ?? []), ...this.#reading.values()];
    const now = looks.length === 0 ? undefined : unionOf(looks);
    const before = this.#relevant;
    const isSame = before && now ? includesAll(before, now) && includesAll(now, before) : before === now;
    if (!isSame) {
      this.#relevant = now;
      this.#isPlacing = true;
      const changed = new Set<string>();
      let placed = 0;
      for (const pod of [...world.pods.keys()]) {
        for (const key of this.#place(pod, now)) changed.add(key);
        if (++placed % PODS_A_TURN === 0) yield;
      }
      for (const owner of [...world.tables.indexValues('owner'), ...this.#writer.behind()]) {
        // Its pods have another one, and it is still there.
        const key = owner.slice(OWNER.length);
        if (owner.startsWith(OWNER) && this.#index.get(key) === undefined) changed.add(key);
      }
      this.#generation++;
      for (const key of changed) this.#owed.set(key, this.#generation);
      this.#isPlacing = false;
      this.#enqueue(changed);
      log.debug({ changed: changed.size, identities: this.#index.size }, 'what policies look at has changed');
    }
    if (this.#owed.size === 0) this.#tellCovered();
  }

  async #reconcile(owner: string): Promise<HandlerResult> {
    const key = owner.slice(OWNER.length);
    if (this.#writer.isBehind(owner)) return { againAfterMs: LOOK_AGAIN_MS };
    const generation = this.#generation;
    const held = this.#held(owner, key);
    this.#running.add(key);
    try {
      await this.#write(owner, key, held);
      this.#refused.delete(key);
    } catch (error) {
      if (error instanceof KubeError && !error.retriable) {
        this.#refused.add(key);
        this.#settle(key, generation);
      }
      throw error;
    } finally {
      this.#running.delete(key);
    }
    if (held.every((address) => this.#refused.has(this.#index.ownerOf(address) ?? '')))
      this.#settle(key, generation);
    return held.length === 0 ? undefined : { againAfterMs: LOOK_AGAIN_MS };
  }

  async #write(owner: string, key: string, held: readonly string[]): Promise<void> {
    const { namespace, log } = this.context;
    const current = this.#index.get(key);
    if (current === undefined) {
      // Its last pods are not known yet as what they are now; the table that takes them over wakes this work.
      if (held.length === 0) await this.#writer.write(owner, []);
      return;
    }
    const { identity, addresses } = current;
    if (identity.cut > 0) {
      log.warn(
        { identity: key, cut: identity.cut },
        'pods have more labels or ports that policies look at than a row holds',
      );
    }
    const all = [...addresses, ...held].sort();
    await this.#writer.write(owner, tablesOfIdentity(identity, all, { namespace }));
  }

  /** Addresses in the tables that are another identity's now, whose tables are not known to have them yet. */
  #held(owner: string, key: string): string[] {
    const { world } = this.context;
    const observed = new Set(world.tables.by('owner', owner).flatMap((table) => table.addresses));
    return [...observed].filter((address) => {
      const next = this.#index.ownerOf(address);
      if (next === undefined || next === key) return false;
      // A write on its way, or one that the cache does not show, may just take the address out.
      if (this.#running.has(next) || this.#writer.isBehind(identityOwner(next))) return true;
      return !world.tables.by('address', address).some((table) => table.owner === identityOwner(next));
    });
  }

  /** @param generation of the change that the work took into account. */
  #settle(key: string, generation: number): void {
    if ((this.#owed.get(key) ?? Number.POSITIVE_INFINITY) > generation) return;
    this.#owed.delete(key);
    if (this.#owed.size === 0 && !this.#isPlacing) this.#tellCovered();
  }

  #tellCovered(): void {
    for (const listener of this.#listeners) listener();
  }
}
