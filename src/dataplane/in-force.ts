// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { tableName } from '../api/names.ts';
import type { NodeInput } from '../cubes/cube-type.ts';
import { type AgentOptions, ALLOW_REMOVAL, isMassRemoval } from './agent-options.ts';
import {
  type Accepted,
  accept,
  advance,
  type EffectiveSet,
  fromSaved,
  NOTHING,
  toSaved,
} from './committed.ts';
import { OVERLAY_DEVICE, STACK_DEVICES } from './desired.ts';
import { type DevicePlan, overlayMtu, planDevices } from './devices.ts';
import { type DirectNetwork, directNetworks } from './direct-networks.ts';
import { DirectSwitch } from './direct-switch.ts';
import { textOf } from './errors.ts';
import { readJson, writeAtomically } from './files.ts';
import type { Refused } from './graph.ts';
import { servicesOfPod } from './host-ports.ts';
import { deletionOf, hostNetwork, planHostNetwork } from './host-routes.ts';
import { clock } from './images.ts';
import { hostAddresses, type NetworkView } from './kernel/netlink.ts';
import { GATEWAY_MAC } from './layout.ts';
import { keyOf, readsPolicies } from './objects.ts';
import { NO_SOURCES, type OverlaySources, overlaySources, type TunnelSource, tunnelsOf } from './overlay.ts';
import { PodIdentities } from './pod-identities.ts';
import { limitsOfPod, limitsTableOf } from './pod-limits.ts';
import type { PodRecord } from './pod-record.ts';
import { NodeFile } from './saved/node-file.ts';
import { RestoreMark } from './saved/restore-mark.ts';
import { contentOf, isBare, isRestorable, type Restored } from './saved/restored.ts';
import { TableJournal } from './saved/table-journal.ts';
import type { KernelState } from './state.ts';
import type { Failure } from './status.ts';
import type { Store } from './store.ts';
import { packOwn, type TableChange, unpack } from './tables.ts';
import { uplinkOf } from './uplink.ts';

/** Well-known label of Nodes. */
const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** No object has such a name. */
function portsTableOf(pod: Pick<PodRecord, 'namespace' | 'name'>): string {
  return `ports ${keyOf(pod)}`;
}

/**
 * Which of the objects are in force: the committed set on disk, what follows from it and from the store, and what a guard
 * holds back.
 */
export class InForce {
  readonly #options: AgentOptions;
  readonly #store: Store;
  readonly #nodeFile: NodeFile;
  readonly #mark: RestoreMark;
  #isLookedAt = false;
  readonly #tunnels = new Map<string, readonly TunnelSource[]>();
  /** Cubes that the kernel refused, until they are tried again. */
  readonly refused = new Map<string, Refused>();
  /** Cubes that stay on an older program, because the kernel refuses the one that the same object asks for now. */
  readonly kept = new Map<string, { readonly refused: string; readonly hash: string }>();
  /** In force, and in the kernel. */
  effective: EffectiveSet = NOTHING;
  /** Of the last round; it comes into force when the kernel holds it. */
  accepted: Accepted | undefined;
  /** Chain → why its newest revision is not in force. */
  waiting: ReadonlyMap<string, string> = new Map();
  sources: OverlaySources = NO_SOURCES;
  /** Between the tunnel and direct routing, as the graph of the last round wants it. */
  readonly direct = new DirectSwitch();
  /** What a guard holds back; `what` names it in a few words. */
  guarded: (Failure & { readonly what: string }) | undefined;
  /** Of pods that the operator has not written down yet. */
  readonly identities: PodIdentities;
  /** Lets the next mass removal pass. */
  allowRemoval = false;
  /** Tables on disk. */
  readonly journal: TableJournal;
  /** What the node runs on until its source has shown all objects; undefined: nothing saved is in use. */
  restored: Restored | undefined;

  constructor(options: AgentOptions, store: Store) {
    this.#options = options;
    this.#store = store;
    this.identities = new PodIdentities(store.tables);
    this.#mark = new RestoreMark(join(options.stateDir, 'restored.json'));
    this.#nodeFile = new NodeFile(join(options.stateDir, 'node.json'), options.log);
    this.journal = new TableJournal({
      path: join(options.stateDir, 'tables.journal'),
      log: options.log,
      content: () => (store.isSynced && !this.holdsTables ? contentOf(store) : undefined),
      isCurrent: () => options.source.health().problem === undefined,
    });
  }

  get #savedPath(): string {
    return join(this.#options.stateDir, 'committed.json');
  }

  /** Reads what was in force when the last agent ended. */
  loadCommitted(): void {
    this.#store.restoreNode(this.#nodeFile.load());
    try {
      const saved = readJson(this.#savedPath);
      if (saved !== undefined) this.effective = fromSaved(saved);
    } catch (error) {
      this.#options.log.warn({ error: textOf(error) }, 'the committed set is made anew');
    }
  }

  /** Before the first round: on a node that has started anew, what is saved comes into force until the source is heard. */
  restore(kernel: KernelState): void {
    if (this.#isLookedAt || this.#store.isSynced) return;
    this.#isLookedAt = true;
    if (this.effective.cubes.size === 0 || !(isBare(kernel) || this.#mark.isSet)) return;
    const saved = this.journal.load();
    if (saved === undefined) return;
    const { damaged, isCut, asOf } = saved;
    const tables = [...saved.tables.values()].filter(isRestorable);
    this.#store.restore(tables);
    this.restored = { asOf, tables: tables.length, damaged };
    this.#mark.set(asOf);
    const { log } = this.#options;
    if (damaged > 0) log.error({ damaged }, 'entries of the saved tables are damaged and were left out');
    log.warn(
      { asOf: asOf.toISOString(), tables: tables.length, isCut },
      'the node has started anew: it runs on the tables that were saved, until the source is heard',
    );
  }

  /** Pods that may have a network: of those of a node with damaged tables it is not known which policies they are under. */
  admitted(pods: Iterable<PodRecord>): PodRecord[] {
    return this.#store.isRestored && this.isDamaged ? [] : [...pods];
  }

  /** Whether policies may be missing in what was saved. */
  get isDamaged(): boolean {
    const isLost = (this.restored?.damaged ?? 0) > 0;
    return isLost && [...this.effective.cubes.values()].some(readsPolicies);
  }

  /**
   * Whether the graph depends on what changes without an event: somebody else's program at XDP goes, a directory of cgroup2
   * is made anew.
   */
  get changesInSilence(): boolean {
    const { xdp = [], cubes } = this.accepted?.graph ?? {};
    const isAtCgroup = [...(cubes?.values() ?? [])].some(({ object }) => object.spec.hook === 'Cgroup');
    return isAtCgroup || xdp.some(({ isBlocked }) => isBlocked);
  }

  /** The kernel holds this set now. */
  commit(set: EffectiveSet): void {
    this.journal.note([]);
    this.#mark.clear();
    this.#nodeFile.save(this.#store.node);
    const before = JSON.stringify(toSaved(this.effective));
    const now = JSON.stringify(toSaved(set));
    this.effective = set;
    if (before !== now) writeAtomically(this.#savedPath, now);
    if (this.guarded === undefined) this.allowRemoval = false;
  }

  /** What the node itself knows of a pod comes into tables of its own. */
  addPod(record: PodRecord): void {
    this.identities.add(record);
    const services = servicesOfPod(record, this.#options.node);
    if (services.length > 0) this.#store.tables.set(packOwn(portsTableOf(record), 'Service', services));
    const limits = limitsOfPod(record);
    if (limits.length > 0) this.#store.tables.set(packOwn(limitsTableOf(record), 'Limit', limits));
  }

  removePod(record: Pick<PodRecord, 'namespace' | 'name'>): void {
    this.identities.remove(record);
    this.#store.tables.delete(portsTableOf(record));
    this.#store.tables.delete(limitsTableOf(record));
  }

  /** What cubes are told of the node; `netnsCookie` is the kernel's number of its network namespace. */
  nodeInput(network: NetworkView, netnsCookie: bigint): NodeInput {
    const zone = this.#store.node?.metadata.labels?.[ZONE_LABEL];
    return {
      name: this.#options.node,
      ...(zone ? { zone } : {}),
      gatewayMac: GATEWAY_MAC,
      overlayVni: this.accepted?.graph.overlay?.vni ?? 1,
      redirectPeer: this.#options.redirectPeer ?? true,
      directNetworks: this.directNetworks(network).map(({ network: prefix }) => prefix),
      acceptsDirect: this.direct.accepts && this.#subnets(network).length > 0,
      netnsCookie,
      addresses: hostAddresses(network).filter((address) => !/^(127\.|::1$|fe[89ab])/i.test(address)),
    };
  }

  /** Of the Node object, as it lists them. */
  get #nodeAddresses(): string[] {
    return (this.#store.node?.status?.addresses ?? []).map(({ address }) => address);
  }

  /** What $(node.uplink) stands for. */
  uplink(network: NetworkView): string | undefined {
    return uplinkOf(network, this.#nodeAddresses);
  }

  /** MTU of the device that packets between nodes leave by. */
  #underlayMtu({ interfaces, uplink }: NetworkView): number {
    const own = new Set(this.#nodeAddresses);
    const holding = [...interfaces.values()].filter(({ addresses }) => addresses.some((a) => own.has(a)));
    const mtus = holding.map(({ mtu }) => mtu);
    if (mtus.length > 0) return Math.min(...mtus);
    return (uplink === undefined ? undefined : interfaces.get(uplink)?.mtu) ?? 1500;
  }

  /** Until the tables are known, what is there is right. */
  #overlayMtu(network: NetworkView): number {
    const there = network.interfaces.get(OVERLAY_DEVICE);
    if (!this.#store.isKnown && there !== undefined) return there.mtu;
    return overlayMtu(this.#underlayMtu(network), this.sources.hasIPv6Remote);
  }

  /** Bytes of IP packet: what devices of pods take, and what reaches every pod of the cluster. */
  podMtu(network: NetworkView): { device: number; route: number } {
    const device = this.#underlayMtu(network);
    const isTunnelled = this.accepted?.graph.overlay !== undefined;
    return { device, route: isTunnelled ? this.#overlayMtu(network) : device };
  }

  /** What would be in force now, resolved. */
  accept(network: NetworkView, dry = false): Accepted {
    const candidate = this.#store.isSynced
      ? advance(this.#store, this.effective)
      : { set: this.effective, waiting: new Map<string, string>() };
    const set = this.#guard(candidate.set);
    if (this.#store.isKnown) this.sources = this.#sources(set, network);
    const accepted = accept(set, this.effective, {
      nodeName: this.#options.node,
      types: this.#options.types,
      interfaces: network.interfaces,
      cgroup: network.cgroup,
      uplink: this.uplink(network),
      overlayMtu: this.#overlayMtu(network),
      refused: this.refused,
    });
    this.waiting = new Map([...candidate.waiting, ...accepted.held]);
    this.accepted = accepted;
    const { overlay, stack } = accepted.graph;
    if (overlay !== undefined) this.direct.follow(overlay.isDirect === true && stack, clock(), dry);
    return accepted;
  }

  #isRemovalAllowed(): boolean {
    return this.allowRemoval || this.#store.cubeNode?.metadata.annotations?.[ALLOW_REMOVAL] === 'true';
  }

  /** Whether tables disappeared in a mass and nobody has said that it is meant. */
  get holdsTables(): boolean {
    if (!this.#store.isSynced) return false; // ten thousand come in, and each round would count them
    const { removed, of } = this.#store.tables.removals();
    return isMassRemoval(removed, of) && !this.#isWrittenByOperator && !this.#isRemovalAllowed();
  }

  /**
   * Whether there is the table that the operator writes for this Node. Then it has written down what there is, and many tables go with a
   * namespace in any cluster. Without it, all is gone for another reason, or nobody translates a Node here.
   */
  get #isWrittenByOperator(): boolean {
    const { name } = this.#store.node?.metadata ?? {};
    if (name === undefined) return false;
    const end = `/${tableName('node', '', name, 0)}`;
    return [...this.#store.tables.applied.values()].some(
      ({ key, type }) => type === 'Route' && key.endsWith(end),
    );
  }

  #guard(set: EffectiveSet): EffectiveSet {
    const before = [
      ...this.effective.cubes.keys(),
      ...[...this.effective.links.keys()].map((key) => `link ${key}`),
    ];
    const gone = before.filter((key) =>
      key.startsWith('link ') ? !set.links.has(key.slice(5)) : !set.cubes.has(key),
    );
    const tables = this.#store.tables.removals();
    const holdsObjects = isMassRemoval(gone.length, before.length) && !this.#isRemovalAllowed();
    const what = holdsObjects
      ? `${gone.length} of ${before.length} cubes and links`
      : this.holdsTables
        ? `${tables.removed} of ${tables.of} tables`
        : undefined;
    this.guarded =
      what === undefined
        ? undefined
        : {
            what,
            reason: 'MassDisappearance',
            message: `${what} disappeared at once; the last state stays. If that is meant, run cubeplane allow-removal --node ${this.#options.node} there, or set the annotation ${ALLOW_REMOVAL}=true on the CubeNode; else bring them back`,
          };
    return holdsObjects ? this.effective : set;
  }

  /** Table changes to pass on; none while a guard holds them. */
  takeTables(): TableChange[] {
    if (this.holdsTables) return [];
    const changes = this.#store.tables.take();
    for (const { key, after } of changes) {
      if (after?.type === 'Route') this.#tunnels.set(key, tunnelsOf(unpack(after)));
      else this.#tunnels.delete(key);
    }
    this.identities.follow(changes);
    const all = [...changes, ...this.#store.tables.take()];
    if (this.#store.isSynced) this.journal.note(all);
    return all;
  }

  #sources(set: EffectiveSet, network: NetworkView): OverlaySources {
    const own = [...set.cubes.values()].flatMap(({ spec }) =>
      tunnelsOf((spec.router as { routes?: unknown[] } | undefined)?.routes ?? []),
    );
    // The route of this node's own pods is in the tables too: nobody else may send from there.
    const here = new Set([...network.interfaces.values()].flatMap(({ addresses }) => addresses));
    const all = [...own, ...[...this.#tunnels.values()].flat()];
    return overlaySources(all.filter(({ remote }) => !here.has(remote)));
  }

  /** Where nodes are reached without the tunnel, as the graph of the last round wants it. */
  directNetworks(network: NetworkView): DirectNetwork[] {
    return this.direct.sends ? this.#subnets(network) : [];
  }

  #subnets({ interfaces, uplink }: NetworkView): DirectNetwork[] {
    if (this.accepted?.graph.overlay === undefined) return [];
    return directNetworks(interfaces.values(), this.#nodeAddresses, uplink);
  }

  /** Devices that the graph of the last round needs. */
  devicePlan(network: NetworkView): DevicePlan {
    const graph = this.accepted?.graph;
    if (graph === undefined) return { make: [], remove: [] };
    const overlay = graph.overlay && { port: graph.overlay.port, mtu: this.#overlayMtu(network) };
    const devices = planDevices(network.interfaces, { overlay, stack: graph.stack, copies: graph.copies });
    if (!graph.stack) {
      const passing = network.hostRoutes.filter(({ direct }) => direct !== undefined).map(deletionOf);
      return { make: devices.make, remove: [...passing, ...devices.remove] };
    }
    const addresses = network.interfaces.get(STACK_DEVICES[0])?.addresses ?? [];
    const host = planHostNetwork(
      { addresses, routes: network.hostRoutes },
      hostNetwork(graph, this.sources, this.#overlayMtu(network), this.directNetworks(network)),
    );
    return { make: [...devices.make, ...host.make], remove: [...devices.remove, ...host.remove] };
  }
}
