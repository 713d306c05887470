// SPDX-License-Identifier: Apache-2.0
import type { Applier } from '../k8s/apply.ts';
import type { KubeClient } from '../k8s/client.ts';
import type { EventRecorder } from '../k8s/events.ts';
import type { Log } from '../k8s/log.ts';
import { CUBE_TABLES, type KubeObject, NODES, SERVICES } from '../k8s/resource.ts';
import { type HandlerResult, WorkQueue } from '../k8s/work-queue.ts';
import { diagnosticText } from './diagnostic.ts';
import { tablesOfNode } from './node.ts';
import { type Translation, tablesOfService } from './service.ts';
import { nodeOwner, serviceKeyOf, serviceOwner } from './views.ts';
import type { World } from './world.ts';

/** What every controller is given. */
export interface ControllerContext {
  world: World;
  client: KubeClient;
  applier: Applier;
  events: EventRecorder;
  namespace: string;
  log: Log;
}

/** Changes of one Service that come within this time after a write are written together, ms. */
const COALESCE_MS = 10;
const CONCURRENCY = 16;

/**
 * Services and Nodes → CubeTables. Work is keyed by the object that rows come from, and each run compares everything
 * that should be there with everything that is: it does not matter what happened before, or how often it was killed.
 * Tables are written before others are removed.
 */
export class TableController {
  readonly queue: WorkQueue;
  readonly #context: ControllerContext;
  readonly #subscriptions: (() => void)[] = [];
  /** What was last said about an owner, so that a problem is told once. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.queue = new WorkQueue({
      name: 'tables',
      handler: (key) => this.#reconcile(key),
      concurrency: CONCURRENCY,
      spacingMs: COALESCE_MS,
      log: context.log,
    });
  }

  start(): void {
    const { world } = this.#context;
    const { queue } = this;
    this.#subscriptions.push(
      world.services.onChange(({ key }) => queue.add(serviceOwner(key))),
      world.slices.onChange((change) => {
        // A slice can be given to another Service by its label: both are told.
        if (change.type !== 'added') queue.add(serviceOwner(serviceKeyOf(change.old)));
        if (change.type !== 'deleted') queue.add(serviceOwner(serviceKeyOf(change.value)));
      }),
      world.nodes.onChange(({ key }) => queue.add(nodeOwner(key))),
      world.tables.onChange((change) => {
        if (change.type !== 'added') queue.add(change.old.owner);
        if (change.type !== 'deleted') queue.add(change.value.owner);
      }),
    );
    for (const key of world.services.keys()) queue.add(serviceOwner(key));
    for (const key of world.nodes.keys()) queue.add(nodeOwner(key));
    // Tables whose Service or Node went while nobody watched.
    for (const owner of world.tables.indexValues('owner')) queue.add(owner);
    queue.start();
  }

  async stop(): Promise<void> {
    for (const end of this.#subscriptions) end();
    await this.queue.stop();
  }

  async #reconcile(owner: string): Promise<HandlerResult> {
    const { world, client, applier, namespace, log } = this.#context;
    const { tables, diagnostics } = this.#desired(owner);
    const observed = new Map(world.tables.by('owner', owner).map((table) => [table.name, table]));
    // Slice 0 holds the frontends and comes last, so that backends are there before anything points at them.
    for (const table of [...tables].reverse()) {
      const digest = observed.get(table.metadata.name)?.digest;
      const result = await applier.apply(CUBE_TABLES, table as unknown as KubeObject, digest);
      if (result.action === 'Applied') log.debug({ table: table.metadata.name }, 'table written');
    }
    const wanted = new Set(tables.map((table) => table.metadata.name));
    for (const { name, uid } of observed.values()) {
      if (wanted.has(name)) continue;
      await client.delete(CUBE_TABLES, { namespace, name }, { uid });
      applier.forget(CUBE_TABLES, `${namespace}/${name}`);
      log.debug({ table: name }, 'table removed');
    }
    this.#tell(owner, diagnostics);
    return undefined;
  }

  #desired(owner: string): Translation {
    const { world, namespace } = this.#context;
    const [kind, key = ''] = owner.split(' ');
    if (kind === 'Node') {
      const node = world.nodes.get(key);
      return node === undefined ? NOTHING : tablesOfNode(node, { namespace });
    }
    const service = world.services.get(key);
    if (service === undefined) return NOTHING;
    return tablesOfService(service, world.slices.by('service', key), { namespace });
  }

  #tell(owner: string, diagnostics: Translation['diagnostics']): void {
    const { world, events, log } = this.#context;
    const text = diagnostics.map(diagnosticText).join('\n');
    if (text === (this.#told.get(owner) ?? '')) return;
    if (text === '') this.#told.delete(owner);
    else this.#told.set(owner, text);
    const [kind, key = ''] = owner.split(' ');
    const metadata = (kind === 'Node' ? world.nodes : world.services).get(key)?.metadata;
    if (metadata === undefined) return;
    for (const diagnostic of diagnostics) {
      log.warn({ reason: diagnostic.reason }, diagnosticText(diagnostic));
      events.record(
        { type: kind === 'Node' ? NODES : SERVICES, metadata },
        { type: 'Warning', reason: diagnostic.reason, action: 'Translate', note: diagnosticText(diagnostic) },
      );
    }
  }
}

const NOTHING: Translation = { tables: [], diagnostics: [] };
