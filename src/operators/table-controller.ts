// SPDX-License-Identifier: Apache-2.0
import { sidesOf } from '../k8s/cache.ts';
import type { EventTarget } from '../k8s/events.ts';
import { NODES, SERVICES } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import { tablesOfNode } from './node.ts';
import { type Translation, tablesOfService } from './service.ts';
import { TableWriter } from './table-writer.ts';
import { Teller } from './teller.ts';
import { nodeOwner, serviceKeyOf, serviceOwner } from './views.ts';

/** Changes of one Service that come within this time after a write are written together, ms. */
const COALESCE_MS = 10;
const CONCURRENCY = 16;

/**
 * Services and Nodes → CubeTables. Work is keyed by the object that rows come from, and each run compares everything
 * that should be there with everything that is: it does not matter what happened before, or how often it was killed.
 * Tables are written before others are removed.
 */
export class TableController extends Controller {
  readonly #writer: TableWriter;
  readonly #teller: Teller;

  constructor(context: ControllerContext) {
    super(context, { name: 'tables', concurrency: CONCURRENCY, spacingMs: COALESCE_MS });
    this.#writer = new TableWriter(context);
    this.#teller = new Teller(context);
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    this.subscribe(
      world.services.onChange(({ key }) => queue.add(serviceOwner(key))),
      world.slices.onChange((change) => {
        // A slice can be given to another Service by its label: both are told.
        for (const slice of sidesOf(change)) queue.add(serviceOwner(serviceKeyOf(slice)));
      }),
      world.nodes.onChange(({ key }) => queue.add(nodeOwner(key))),
      world.tables.onChange((change) => {
        for (const { owner } of sidesOf(change)) this.#add(owner);
      }),
    );
    for (const key of world.services.keys()) queue.add(serviceOwner(key));
    for (const key of world.nodes.keys()) queue.add(nodeOwner(key));
    // Tables whose Service or Node went while nobody watched.
    for (const owner of world.tables.indexValues('owner')) this.#add(owner);
    queue.start();
  }

  /** Tables of policies and identities are the work of others. */
  #add(owner: string): void {
    if (owner.startsWith('Service ') || owner.startsWith('Node ')) this.queue.add(owner);
  }

  protected async reconcile(owner: string): Promise<HandlerResult> {
    const { tables, diagnostics } = this.#desired(owner);
    await this.#writer.write(owner, tables);
    this.#teller.tell(owner, this.#target(owner), diagnostics);
    return undefined;
  }

  #desired(owner: string): Translation {
    const { world, namespace } = this.context;
    const [kind, key = ''] = owner.split(' ');
    if (kind === 'Node') {
      const node = world.nodes.get(key);
      return node === undefined ? NOTHING : tablesOfNode(node, { namespace });
    }
    const service = world.services.get(key);
    if (service === undefined) return NOTHING;
    return tablesOfService(service, world.slices.by('service', key), { namespace });
  }

  #target(owner: string): EventTarget | undefined {
    const { world } = this.context;
    const [kind, key = ''] = owner.split(' ');
    const metadata = (kind === 'Node' ? world.nodes : world.services).get(key)?.metadata;
    return metadata && { type: kind === 'Node' ? NODES : SERVICES, metadata };
  }
}

const NOTHING: Translation = { tables: [], diagnostics: [] };
