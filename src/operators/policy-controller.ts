// SPDX-License-Identifier: Apache-2.0
import { sidesOf } from '../k8s/cache.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import type { IdentityController } from './identity-controller.ts';
import { TableWriter } from './table-writer.ts';
import { Teller } from './teller.ts';
import type { TableView } from './views.ts';

const COALESCE_MS = 10;
const CONCURRENCY = 8;
/** A policy that waits for identities is woken; this is for the case that nobody does, ms. */
const LOOK_AGAIN_MS = 1000;

/**
 * NetworkPolicies and ClusterNetworkPolicies → CubeTables of policies. Work is keyed by policy. A policy is written when the tables of identities
 * tell all that it looks at: else an agent would match it against pods of which it does not know the labels.
 */
export class PolicyController extends Controller {
  readonly #identities: IdentityController;
  readonly #writer: TableWriter;
  readonly #teller: Teller;
  readonly #waiting = new Set<string>();

  constructor(context: ControllerContext, identities: IdentityController) {
    super(context, { name: 'policies', concurrency: CONCURRENCY, spacingMs: COALESCE_MS });
    this.#identities = identities;
    this.#writer = new TableWriter(context);
    this.#teller = new Teller(context);
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const add = ({ owner, relevant }: TableView): void => {
      if (relevant !== undefined) queue.add(owner);
    };
    this.subscribe(
      ...[world.policies, world.clusterPolicies].map((cache) =>
        cache.onChange((change) => queue.add((change.type === 'deleted' ? change.old : change.value).owner)),
      ),
      world.tables.onChange((change) => {
        for (const table of sidesOf(change)) add(table);
      }),
      this.#identities.onCovered(() => {
        for (const owner of this.#waiting) queue.add(owner);
      }),
    );
    for (const { owner } of world.allPolicies()) queue.add(owner);
    // Tables whose policy went while nobody watched.
    for (const table of world.tables.by('policies', '')) add(table);
    queue.start();
  }

  protected async reconcile(owner: string): Promise<HandlerResult> {
    this.#waiting.delete(owner);
    // Its event comes: by what the cache shows now, a change back to what it was would look like none.
    if (this.#writer.isBehind(owner)) return { againAfterMs: LOOK_AGAIN_MS };
    const { policies, clusterPolicies } = this.context.world;
    const [policy] = [...policies.by('owner', owner), ...clusterPolicies.by('owner', owner)];
    if (policy === undefined) {
      await this.#writer.write(owner, []);
      this.#teller.tell(owner, undefined, []);
      this.#identities.wrote(owner, undefined);
      return undefined;
    }
    const { type, metadata, diagnostics, relevant, tables } = policy;
    this.#teller.tell(owner, { type, metadata }, diagnostics);
    if (!this.#identities.covers(owner, relevant)) {
      this.#waiting.add(owner);
      return { againAfterMs: LOOK_AGAIN_MS };
    }
    await this.#writer.write(owner, tables);
    this.#identities.wrote(owner, relevant);
    return undefined;
  }
}
