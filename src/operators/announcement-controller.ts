// SPDX-License-Identifier: Apache-2.0
import { sidesOf } from '../k8s/cache.ts';
import type { EventTarget } from '../k8s/events.ts';
import { SERVICES } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import { announcementOf, canAnnounce } from './announcement.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import { Diagnostics } from './diagnostic.ts';
import type { ServiceInput } from './inputs.ts';
import { TableWriter } from './table-writer.ts';
import { Teller } from './teller.ts';
import { announcementOwner, serviceKeyOf } from './views.ts';

const CONCURRENCY = 16;
const COALESCE_MS = 20;

/** Services with addresses of pools, and Nodes → which node answers for which address. Work is keyed by Service. */
export class AnnouncementController extends Controller {
  readonly #writer: TableWriter;
  readonly #teller: Teller;
  /** Nodes that can answer, sorted. */
  #nodes: readonly string[] = [];

  constructor(context: ControllerContext) {
    super(context, { name: 'announcements', concurrency: CONCURRENCY, spacingMs: COALESCE_MS });
    this.#writer = new TableWriter(context);
    this.#teller = new Teller(context);
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const follow = (): void => this.#followNodes();
    const add = (key: string): void => {
      const service = world.services.get(key);
      if (service !== undefined && owns(service)) queue.add(announcementOwner(key));
    };
    this.subscribe(
      world.services.onChange((change) => {
        if (sidesOf(change).some(owns)) queue.add(announcementOwner(change.key));
      }),
      world.slices.onChange((change) => {
        for (const slice of sidesOf(change)) add(serviceKeyOf(slice));
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

  #able(): string[] {
    const { nodes, cubeNodes } = this.context.world;
    return [...nodes.entries()]
      .filter(([name, node]) => canAnnounce(node, cubeNodes.get(name)))
      .map(([name]) => name)
      .sort();
  }

  #followNodes(): void {
    const nodes = this.#able();
    if (nodes.join() === this.#nodes.join()) return;
    this.#nodes = nodes;
    for (const [key, service] of this.context.world.services.entries())
      if (owns(service)) this.queue.add(announcementOwner(key));
  }

  protected async reconcile(owner: string): Promise<HandlerResult> {
    const { world, namespace, events, log } = this.context;
    // Who answers now stands in the table, whose event comes.
    if (this.#writer.isBehind(owner)) return undefined;
    const key = owner.slice(announcementOwner('').length);
    const service = world.services.get(key);
    const before = world.tables.by('owner', owner)[0]?.announcedBy;
    const slices = service === undefined ? [] : world.slices.by('service', key);
    const table = service && announcementOf(service, slices, this.#nodes, before, { namespace });
    await this.#writer.write(owner, table === undefined ? [] : [table]);
    if (service === undefined) {
      this.#teller.tell(owner, undefined, []);
      return undefined;
    }
    const target: EventTarget = { type: SERVICES, metadata: service.metadata };
    const diagnostics = new Diagnostics(`Service ${key}`);
    if (table === undefined && owns(service)) {
      const isLocal = service.spec?.externalTrafficPolicy === 'Local' && this.#nodes.length > 0;
      const [message, remedy] = isLocal ? NO_ENDPOINT : NO_NODE;
      diagnostics.add('NotAnnounced', 'status.loadBalancer.ingress', message, remedy);
    }
    this.#teller.tell(owner, target, diagnostics.list);
    const node = table?.spec.type === 'Announcement' ? table.spec.announcements[0]?.node : undefined;
    if (node === undefined || node === before) return undefined;
    log.info({ service: key, node, before }, `node ${node} answers for the addresses of Service ${key}`);
    const note = `node ${node} answers for its addresses${before === undefined ? '' : `, ${before} did before`}`;
    events.record(target, { type: 'Normal', reason: 'Announced', action: 'Announce', note });
    return undefined;
  }
}

const NO_ENDPOINT = [
  'no node with an endpoint that is ready can answer for its addresses',
  'start a pod of it, or set spec.externalTrafficPolicy to Cluster',
] as const;
const NO_NODE = ['no node can answer for its addresses', 'see NetworkUnavailable of the nodes'] as const;

const owns = ({ ownsAddresses }: ServiceInput): boolean => ownsAddresses === true;
const isAnnouncement = (owner: string): boolean => owner.startsWith(announcementOwner(''));
