// SPDX-License-Identifier: Apache-2.0
import { isKubeError } from '../k8s/errors.ts';
import { isOlder } from '../k8s/reflector.ts';
import { CUBE_TABLES, SERVICES } from '../k8s/resource.ts';
import { type HandlerResult, WorkQueue } from '../k8s/work-queue.ts';
import { canonicalAddress } from './address.ts';
import { assignAddresses } from './address-assignment.ts';
import type { ControllerContext } from './context.ts';
import type { ServiceInput } from './inputs.ts';
import { TableWriter } from './table-writer.ts';

/** All Services are looked at together, since an address is given once: one key. */
const KEY = 'addresses';
/** Services that are made together get their addresses together. */
const COALESCE_MS = 20;
/** Statuses that are written at once. */
const BATCH = 16;

/** A status that the cache may not show yet. */
interface Sent {
  readonly version: string;
  readonly addresses: readonly string[];
}

/** Address pools → the addresses of Services of type LoadBalancer, in their status. */
export class AddressController {
  readonly queue: WorkQueue;
  readonly #context: ControllerContext;
  readonly #subscriptions: (() => void)[] = [];
  readonly #teller: TableWriter;
  readonly #sent = new Map<string, Sent>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#teller = new TableWriter(context);
    this.queue = new WorkQueue({
      name: KEY,
      handler: (_, signal) => this.#reconcile(signal),
      concurrency: 1,
      spacingMs: COALESCE_MS,
      log: context.log,
    });
  }

  start(): void {
    const { world } = this.#context;
    const add = (): void => this.queue.add(KEY);
    this.#subscriptions.push(
      world.pools.onChange((change) => {
        if (change.type === 'deleted') this.#teller.tell(`AddressPool ${change.key}`, undefined, []);
        add();
      }),
      world.services.onChange((change) => {
        const has = (service: ServiceInput): boolean =>
          service.spec?.type === 'LoadBalancer' || service.ownsAddresses === true;
        if ((change.type !== 'added' && has(change.old)) || (change.type !== 'deleted' && has(change.value)))
          add();
        if (change.type === 'deleted') this.#forget(change.key);
      }),
      world.nodes.onChange(add),
    );
    add();
    this.queue.start();
  }

  async stop(): Promise<void> {
    for (const end of this.#subscriptions) end();
    await this.queue.stop();
  }

  #forget(key: string): void {
    this.#sent.delete(key);
    this.#teller.tell(ownerOf(key), undefined, []);
  }

  async #reconcile(signal: AbortSignal): Promise<HandlerResult> {
    const { world } = this.#context;
    const pools = [...world.pools.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const [key, { metadata, diagnostics }] of world.pools.entries())
      this.#teller.tell(`AddressPool ${key}`, { type: CUBE_TABLES, metadata }, diagnostics);
    const services = new Map(
      [...world.services.entries()].map(([key, service]) => [key, this.#seen(key, service)]),
    );
    const assigned = assignAddresses({
      pools,
      services: services.values(),
      others: this.#addressesOfNodes(),
    });
    const writes: (() => Promise<void>)[] = [];
    for (const [key, service] of services) {
      const { addresses, diagnostics } = assigned.get(key) ?? NONE;
      if (assigned.has(key) || service.ownsAddresses === true) {
        if (addressesIn(service).join() !== addresses.join())
          writes.push(() => this.#write(key, service, addresses));
      }
      this.#teller.tell(ownerOf(key), { type: SERVICES, metadata: service.metadata }, diagnostics);
    }
    for (let at = 0; at < writes.length && !signal.aborted; at += BATCH)
      await Promise.all(writes.slice(at, at + BATCH).map((write) => write()));
    return undefined;
  }

  /** The Service as it is, also where the cache does not show yet what was written. */
  #seen(key: string, service: ServiceInput): ServiceInput {
    const sent = this.#sent.get(key);
    const version = this.#context.world.services.versionOf(key);
    if (sent === undefined || version === undefined) return service;
    if (!isOlder(version, sent.version)) {
      this.#sent.delete(key);
      return service;
    }
    const ingress = sent.addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
    return { ...service, status: { loadBalancer: { ingress } }, ownsAddresses: ingress.length > 0 };
  }

  async #write(key: string, { metadata }: ServiceInput, addresses: readonly string[]): Promise<void> {
    const { applier, events, log } = this.#context;
    const { namespace = '', name = '', uid = '' } = metadata;
    // An empty list is not the same as none: what was written before goes by leaving it out.
    const ingress = addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
    const status = ingress.length === 0 ? {} : { loadBalancer: { ingress } };
    try {
      const object = await applier.applyStatus(SERVICES, { namespace, name, uid }, status);
      this.#sent.set(key, { version: object.metadata.resourceVersion ?? '', addresses });
    } catch (error) {
      // It went, or was made anew: its event comes.
      if (!isKubeError(error, 'NotFound', 'Conflict')) throw error;
      return;
    }
    const note = addresses.length === 0 ? 'has no address any more' : `has ${addresses.join(' and ')}`;
    log.info({ service: key, addresses }, `Service ${key} ${note}`);
    events.record(
      { type: SERVICES, metadata },
      {
        type: 'Normal',
        reason: addresses.length === 0 ? 'AddressReleased' : 'AddressAssigned',
        action: 'Assign',
        note:
          addresses.length === 0
            ? 'its addresses went back to the pool'
            : `from the pool: ${addresses.join(', ')}`,
      },
    );
  }

  #addressesOfNodes(): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, { status }] of this.#context.world.nodes.entries()) {
      for (const { address } of status?.addresses ?? []) {
        const canonical = canonicalAddress(address);
        if (canonical !== undefined) found.set(canonical, `node ${name}`);
      }
    }
    return found;
  }
}

const NONE = { addresses: [], diagnostics: [] };
const ownerOf = (key: string): string => `Addresses ${key}`;

function addressesIn({ status }: ServiceInput): string[] {
  return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? '');
}
