// SPDX-License-Identifier: Apache-2.0
import type { EventTarget } from '../k8s/events.ts';
import { SERVICES } from '../k8s/resource.ts';
import { type HandlerResult, WorkQueue } from '../k8s/work-queue.ts';
import { announcementOf, canAnnounce } from './announcement.ts';
import type { ControllerContext } from './context.ts';
import { Diagnostics } from './diagnostic.ts';
import type { ServiceInput } from './inputs.ts';
import { TableWriter } from './table-writer.ts';
import { announcementOwner, serviceKeyOf } from './views.ts';

const CONCURRENCY = 16;
const COALESCE_MS = 20;

/** Services with addresses of pools, and Nodes → which node answers for which address. Work is keyed by Service. */
export class AnnouncementController {
  readonly queue: WorkQueue;
  readonly #context: ControllerContext;
  readonly #subscriptions: (() => void)[] = [];
  readonly #writer: TableWriter;
  /** Nodes that can answer, sorted. */
  #nodes: readonly string[] = [];

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#writer = new TableWriter(context);
    this.queue = new WorkQueue({
      name: 'announcements',
      handler: (owner) => this.#reconcile(owner),
      concurrency: CONCURRENCY,
      spacingMs: COALESCE_MS,
      log: context.log,
    });
  }

  start(): void {
    const { world } = this.#context;
    const { queue } = this;
    const follow = (): void => this.#followNodes();
    const add = (key: string): void => {
      if (world.services.get(key)?.ownsAddresses === true) queue.add(announcementOwner(key));
    };
    this.#subscriptions.push(
      world.services.onChange((change) => {
        const owns = (service: ServiceInput): boolean => service.ownsAddresses === true;
        if (
          (change.type !== 'added' && owns(change.old)) ||
          (change.type !== 'deleted' && owns(change.value))
        )
          queue.add(announcementOwner(change.key));
      }),
      world.slices.onChange((change) => {
        if (change.type !== 'added') add(serviceKeyOf(change.old));
        if (change.type !== 'deleted') add(serviceKeyOf(change.value));
      }),
      world.nodes.onChange(follow),
      world.cubeNodes.onChange(follow),
      world.tables.onChange((change) => {
        const { owner } = change.type === 'deleted' ? change.old : change.value;
        if (isAnnouncement(owner)) queue.add(owner);
      }),
    );
    this.#nodes = this.#able();
    for (const key of world.services.keys()) add(key);
    // Tables whose Service went while nobody watched.
    for (const owner of world.tables.indexValues('owner')) if (isAnnouncement(owner)) queue.add(owner);
    queue.start();
  }

  async stop(): Promise<void> {
    for (const end of this.#subscriptions) end();
    await this.queue.stop();
  }

  #able(): string[] {
    const { nodes, cubeNodes } = this.#context.world;
    return [...nodes.entries()]
      .filter(([name, node]) => canAnnounce(node, cubeNodes.get(name)))
      .map(([name]) => name)
      .sort();
  }

  #followNodes(): void {
    const nodes = this.#able();
    if (nodes.join() === this.#nodes.join()) return;
    this.#nodes = nodes;
    for (const [key, { ownsAddresses }] of this.#context.world.services.entries())
      if (ownsAddresses === true) this.queue.add(announcementOwner(key));
  }

  async #reconcile(owner: string): Promise<HandlerResult> {
    const { world, namespace, events, log } = this.#context;
    // Who answers now stands in the table, whose event comes.
    if (this.#writer.isBehind(owner)) return undefined;
    const key = owner.slice(announcementOwner('').length);
    const service = world.services.get(key);
    const before = world.tables.by('owner', owner)[0]?.announcedBy;
    const slices = service === undefined ? [] : world.slices.by('service', key);
    const table = service && announcementOf(service, slices, this.#nodes, before, { namespace });
    await this.#writer.write(owner, table === undefined ? [] : [table]);
    if (service === undefined) {
      this.#writer.tell(owner, undefined, []);
      return undefined;
    }
    const target: EventTarget = { type: SERVICES, metadata: service.metadata };
    const diagnostics = new Diagnostics(`Service ${key}`);
    if (table === undefined && service.ownsAddresses === true) {
      const isLocal = service.spec?.externalTrafficPolicy === 'Local';
      diagnostics.add(
        'NotAnnounced',
        'status.loadBalancer.ingress',
        isLocal && this.#nodes.length > 0
          ? 'no node with an endpoint that is ready can answer for its addresses'
          : 'no node can answer for its addresses',
        isLocal && this.#nodes.length > 0
          ? 'start a pod of it, or set spec.externalTrafficPolicy to Cluster'
          : 'see NetworkUnavailable of the nodes',
      );
    }
    this.#writer.tell(owner, target, diagnostics.list);
    const node = table?.spec.type === 'Announcement' ? table.spec.announcements[0]?.node : undefined;
    if (node === undefined || node === before) return undefined;
    log.info({ service: key, node, before }, `node ${node} answers for the addresses of Service ${key}`);
    const note = `node ${node} answers for its addresses${before === undefined ? '' : `, ${before} did before`}`;
    events.record(target, { type: 'Normal', reason: 'Announced', action: 'Announce', note });
    return undefined;
  }
}

const isAnnouncement = (owner: string): boolean => owner.startsWith(announcementOwner(''));
