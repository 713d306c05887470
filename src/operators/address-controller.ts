// SPDX-License-Identifier: Apache-2.0
import { sidesOf } from '../k8s/cache.ts';
import { isKubeError } from '../k8s/errors.ts';
import { isOlder } from '../k8s/reflector.ts';
import { CUBE_TABLES, SERVICES } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import { canonicalAddress } from './address.ts';
import { assignAddresses } from './address-assignment.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import type { ServiceInput } from './inputs.ts';
import { Teller } from './teller.ts';

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
export class AddressController extends Controller {
  readonly #teller: Teller;
  readonly #sent = new Map<string, Sent>();

  constructor(context: ControllerContext) {
    super(context, { name: KEY, concurrency: 1, spacingMs: COALESCE_MS });
    this.#teller = new Teller(context);
  }

  start(): void {
    const { world } = this.context;
    const add = (): void => this.queue.add(KEY);
    this.subscribe(
      world.pools.onChange((change) => {
        if (change.type === 'deleted') this.#teller.tell(`AddressPool ${change.key}`, undefined, []);
        add();
      }),
      world.services.onChange((change) => {
        if (sidesOf(change).some(mayHave)) add();
        if (change.type === 'deleted') this.#forget(change.key);
      }),
      world.nodes.onChange(add),
    );
    add();
    this.queue.start();
  }

  #forget(key: string): void {
    this.#sent.delete(key);
    this.#teller.tell(ownerOf(key), undefined, []);
  }

  protected async reconcile(_key: string, signal: AbortSignal): Promise<HandlerResult> {
    const { world } = this.context;
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
    const version = this.context.world.services.versionOf(key);
    if (sent === undefined || version === undefined) return service;
    if (!isOlder(version, sent.version)) {
      this.#sent.delete(key);
      return service;
    }
    const ingress = ingressOf(sent.addresses);
    return { ...service, status: { loadBalancer: { ingress } }, ownsAddresses: ingress.length > 0 };
  }

  async #write(key: string, { metadata }: ServiceInput, addresses: readonly string[]): Promise<void> {
    const { applier, events, log } = this.context;
    const { namespace = '', name = '', uid = '' } = metadata;
    // An empty list is not the same as none: what was written before goes by leaving it out.
    const ingress = ingressOf(addresses);
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
    const told = { type: 'Normal', action: 'Assign' } as const;
    events.record(
      { type: SERVICES, metadata },
      addresses.length === 0
        ? { ...told, reason: 'AddressReleased', note: 'its addresses went back to the pool' }
        : { ...told, reason: 'AddressAssigned', note: `from the pool: ${addresses.join(', ')}` },
    );
  }

  #addressesOfNodes(): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, { status }] of this.context.world.nodes.entries()) {
      for (const { address } of status?.addresses ?? []) {
        const canonical = canonicalAddress(address);
        if (canonical !== undefined) found.set(canonical, `node ${name}`);
      }
    }
    return found;
  }
}

const mayHave = ({ spec, ownsAddresses }: ServiceInput): boolean =>
  spec?.type === 'LoadBalancer' || ownsAddresses === true;

/** As it stands in a status. */
const ingressOf = (addresses: readonly string[]): { ip: string; ipMode: string }[] =>
  addresses.map((ip) => ({ ip, ipMode: 'VIP' }));

const NONE = { addresses: [], diagnostics: [] };
const ownerOf = (key: string): string => `Addresses ${key}`;

function addressesIn({ status }: ServiceInput): string[] {
  return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? '');
}
