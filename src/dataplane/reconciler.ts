// SPDX-License-Identifier: Apache-2.0
/**
 * One round: objects, network and pods → graph → images → plan → kernel. It holds what is in force and what the kernel
 * holds; who calls it when is agent.ts.
 */
import { join } from 'node:path';
import { type Action, describeAction } from './actions.ts';
import { adoptionOf } from './adoption.ts';
import type { AgentOptions } from './agent-options.ts';
import { AgentPackets } from './agent-packets.ts';
import { Announcing } from './announcing.ts';
import { applyAction } from './apply-action.ts';
import { desiredState, type PodsNow, planInstance, type Resolved, withPods } from './desired.ts';
import type { AgentError } from './errors.ts';
import { feed, parseOnce, type Running, reselect, startImage, takeAll } from './images.ts';
import { InForce } from './in-force.ts';
import { findCgroup, netnsCookie } from './kernel/cgroup.ts';
import { Executor } from './kernel/executor.ts';
import { BPFFS, ensureBpffs, hashObjects, OBJECTS } from './kernel/kernel.ts';
import { hostAddresses, type NetworkView, readLink, readNetwork, withLink } from './kernel/netlink.ts';
import { observe } from './kernel/observe.ts';
import { inheritState } from './kernel/older-abi.ts';
import { Pins } from './kernel/pins.ts';
import { HeldPorts } from './kernel/reserved-ports.ts';
import type { Link } from './kernel/rtnetlink/link.ts';
import { ipBatch } from './kernel/run.ts';
import { GATEWAY_MAC } from './layout.ts';
import { splitInstanceKey } from './names.ts';
import { withOwners } from './owners.ts';
import { PLUGGING, PRUNING } from './phases.ts';
import { type InstancePlan, objectOf } from './place-instances.ts';
import { type Fills, plan } from './plan.ts';
import type { PodStore } from './pods.ts';
import { type DesiredState, EMPTY_KERNEL, type Instance, type KernelState } from './state.ts';
import type { Failure } from './status.ts';
import type { Store } from './store.ts';
import type { TableChange } from './tables.ts';
import { Upkeep } from './upkeep.ts';
import { lacksUplink } from './uplink.ts';

export class Reconciler {
  readonly #options: AgentOptions;
  readonly #store: Store;
  readonly #pods: PodStore;
  readonly #pins: Pins;
  readonly #executor: Executor;
  readonly upkeep: Upkeep;
  readonly #ports: HeldPorts;
  readonly #objectHashes: ReadonlyMap<string, string>;
  readonly #announcing: Announcing;
  readonly running = new Map<string, Running>();
  readonly inForce: InForce;
  /** What programs hand over, and what goes back. */
  readonly packets: AgentPackets;
  /** Cubes whose rows do not fit or could not be written; they stay in the kernel as they were. */
  readonly rowFailures = new Map<string, Failure>();
  /** Numbers of pods' interfaces at which a filter does for now. */
  readonly newDevices = new Set<number>();
  network: NetworkView = { interfaces: new Map(), uplink: undefined, hostRoutes: [] };
  readonly #netnsCookie = netnsCookie();
  #isNetworkRead = false;
  #observed: KernelState = EMPTY_KERNEL;
  /** Of the last whole round, in force; undefined while there is none. */
  #resolved: Resolved | undefined;
  #isObserved = false;

  constructor(options: AgentOptions, store: Store, pods: PodStore) {
    this.#options = options;
    this.#store = store;
    this.#pods = pods;
    this.inForce = new InForce(options, store);
    this.#pins = new Pins(options.bpffs ?? BPFFS, options.node, options.abi);
    const objects = options.objects ?? OBJECTS;
    this.#objectHashes = hashObjects(objects);
    this.#executor = new Executor({
      pins: this.#pins,
      objects,
      redirectPeer: options.redirectPeer ?? true,
      gatewayMac: GATEWAY_MAC,
      flowCache: options.flowCache ?? true,
      logs: join(options.stateDir, 'logs'),
      ...(options.afterAction === undefined ? {} : { afterAction: options.afterAction }),
    });
    this.packets = new AgentPackets(this.#pins, objects, options.redirectPeer ?? true);
    this.#announcing = new Announcing(this.packets, options.log);
    this.#ports = new HeldPorts(options.stateDir, options.log);
    this.upkeep = new Upkeep(this.#pins, objects, this.running, options.log);
  }

  /** Reads the kernel before the first round, and again after something failed. */
  async prepare(): Promise<void> {
    if (this.#isObserved) return;
    await ensureBpffs(this.#options.bpffs ?? BPFFS);
    this.#pins.prepare();
    inheritState(this.#pins);
    this.#observed = await observe(this.#pins);
    if (this.#observed.ready) this.#executor.begin();
    this.#isObserved = true;
  }

  async refreshNetwork(): Promise<void> {
    this.network = { ...(await readNetwork()), cgroup: findCgroup(this.#options.cgroup) };
    this.#isNetworkRead = true;
  }

  /** Looks at one interface, as of a pod that comes or goes: of the others the monitor tells. `made`: as it was just told of. */
  async refreshInterface(name: string, made?: Link): Promise<Link | undefined> {
    if (!this.#isNetworkRead) await this.refreshNetwork();
    const link = made ?? (await readLink(name));
    this.network = withLink(this.network, name, link);
    return link;
  }

  get inKernel(): KernelState {
    return this.#observed;
  }

  tagOf(cubeKey: string): string | undefined {
    const running = this.running.get(cubeKey);
    return running && this.#executor.tagOf(running.key);
  }

  async close(): Promise<void> {
    await this.inForce.journal.close();
    this.packets.close();
    this.#announcing.close();
    this.upkeep.close();
    this.#executor.close();
  }

  /** What changes with each pod. */
  get #now(): PodsNow {
    const [pods, observed] = [this.inForce.admitted(this.#pods.values()), this.#observed];
    return { observed, interfaces: this.network.interfaces, pods, newDevices: this.newDevices };
  }

  /** Graph, devices and desired state; devices are made first, because edges need their numbers. */
  async #resolve(dry = false): Promise<Resolved> {
    let accepted = this.inForce.accept(withOwners(this.network, this.#observed, this.#pods), dry);
    const { make } = this.inForce.devicePlan(this.network);
    if (make.length > 0 && !dry) {
      this.#options.log.info({ ip: make }, 'devices');
      await ipBatch(make);
      await this.refreshNetwork();
      accepted = this.inForce.accept(withOwners(this.network, this.#observed, this.#pods));
    }
    const node = this.inForce.nodeInput(this.network, this.#netnsCookie);
    const plans = new Map<string, InstancePlan>();
    for (const [key, cube] of accepted.graph.cubes) {
      const wanted = planInstance(cube, node, this.#objectHashes.get(objectOf(cube)) ?? 'missing');
      const kept = this.inForce.kept.get(key);
      plans.set(key, kept?.refused === wanted.hash ? { ...wanted, hash: kept.hash } : wanted);
    }
    const input = {
      graph: accepted.graph,
      node,
      ...this.#now,
      cgroup: this.network.cgroup,
      hostAddresses: hostAddresses(this.network),
      sources: this.inForce.sources,
      objectHashes: this.#objectHashes,
    };
    return { input, desired: desiredState(input, plans), plans, accepted };
  }

  /** Pods came or went, and nothing else: all else stays as the last whole round resolved it. Throws AgentError. */
  async reconcilePods(): Promise<void> {
    const last = this.#resolved;
    if (last === undefined || !this.#isObserved || !this.#store.isKnown) return await this.reconcile();
    const now = withPods(last, this.#now);
    this.#resolved = now;
    await this.#run(plan(this.#observed, now.desired), now.desired.instances, undefined);
  }

  /** The whole node. Throws AgentError; what is in force then is what was before. */
  async reconcile(): Promise<void> {
    this.#resolved = undefined;
    await this.prepare();
    this.inForce.restore(this.#observed);
    // What waits for a grace goes first: a row that an image wants again must not be removed after it was written.
    if (this.awaitsGrace) await this.writeAfterGrace();
    const changes = this.#store.isKnown ? this.inForce.takeTables() : [];
    const resolved = await this.#resolve().catch((error) => {
      // These changes reach no image any more: they all start anew, from the tables in force.
      if (changes.length > 0) this.running.clear();
      throw error;
    });
    const { desired, plans, accepted } = resolved;
    const missing = [...desired.instances].filter(
      ([key]) => this.#observed.instances.get(key)?.complete !== true,
    );
    const isWhole = missing.length === 0 && !lacksUplink(accepted.graph);
    const isInKernel = this.inForce.effective.cubes.size > 0 && isWhole;
    if (this.#store.isKnown && this.#observed.ready && !this.#observed.mapsDiffer)
      for (const [key, instance] of missing) this.#executor.loadAhead(key, instance);
    const next = this.#store.isKnown ? await this.#images(desired, plans, changes) : undefined;
    const fills: Fills = new Map([...(next ?? [])].map(([, running]) => [running.key, takeAll(running)]));
    this.#ports.holdAlso(accepted.graph);
    let actions = plan(this.#observed, desired, fills);
    if (!this.#store.isKnown) {
      actions = actions.filter(({ op }) => (isInKernel ? !PRUNING.has(op) : PLUGGING.has(op)));
    }
    await this.#run(actions, desired.instances, next);
    // No event tells of a link at XDP, and its mode is the kernel's choice.
    if (actions.some(({ op }) => op === 'AttachXdp' || op === 'DetachXdp')) await this.refreshNetwork();
    if (next !== undefined) {
      this.#ports.holdOnly(accepted.graph);
      this.running.clear();
      for (const [key, running] of next) this.running.set(key, running);
      for (const key of this.rowFailures.keys())
        if (!this.running.get(key)?.image) this.rowFailures.delete(key);
      // The graph on disk is whole; that of a node that starts may miss what is not up yet.
      if (this.#store.isSynced) this.inForce.commit(accepted.set);
      this.#resolved = resolved;
    }
    // A device that no link names any more goes last, when nothing leads there.
    const { remove } = this.inForce.devicePlan(this.network);
    if (remove.length > 0 && this.#store.isKnown) {
      await ipBatch(remove);
      await this.refreshNetwork();
    }
  }

  async #images(
    desired: DesiredState,
    plans: ReadonlyMap<string, InstancePlan>,
    changes: readonly TableChange[],
  ): Promise<Map<string, Running>> {
    const tables = this.#store.tables.applied;
    const rows = parseOnce();
    const node = this.inForce.nodeInput(this.network, this.#netnsCookie);
    const next = new Map<string, Running>();
    for (const [key, instance] of desired.instances) {
      const plan = plans.get(instance.cubeKey);
      if (plan === undefined) continue;
      const now = this.running.get(instance.cubeKey);
      if (now?.key === key) {
        now.image.setNode?.(node);
        reselect(now, plan, tables);
        feed(now, changes, rows);
        next.set(instance.cubeKey, now);
        continue;
      }
      const { maps, carried, previous } = adoptionOf(key, instance, plan, this.#observed, now);
      const dump = (map: string) => {
        const from = carried.get(map);
        return from === undefined
          ? this.#executor.dump(key, instance, map)
          : this.#executor.dumpStateMap(instance.cubePin, from);
      };
      const from = previous === undefined ? { adopt: { dump, maps } } : { previous: previous.image };
      const started = await startImage({ key, instance, plan, node, tables, ...from });
      // What the image before has freed in maps that stay is still to be removed.
      const isState = (map: string) => plan.cube.type.maps[map]?.class === 'state';
      started.afterGrace.push(...(previous?.afterGrace ?? []).filter(({ map }) => isState(map)));
      next.set(instance.cubeKey, started);
    }
    return next;
  }

  /** Tables that have come: writes in place. Returns whether any writes now wait for a grace. */
  async followTables(): Promise<boolean> {
    const changes = this.inForce.takeTables();
    const rows = parseOnce();
    for (const running of this.running.values()) feed(running, changes, rows);
    const awaitsGrace = await this.writeImages();
    if (!changes.some(({ before, after }) => (before ?? after)?.type === 'Route')) return awaitsGrace;
    // Tunnel routes say which sources the overlay lets in.
    await this.reconcile();
    return this.awaitsGrace;
  }

  /** Sends what images have to say by themselves, and what neighbours must know. Throws AgentError, KernelError. */
  async sendDue(): Promise<void> {
    await this.packets.sendDue(this.running.values());
    await this.#announcing.follow(this.running, this.inForce.accepted?.graph, this.network.interfaces);
  }

  get awaitsGrace(): boolean {
    return [...this.running.values()].some(({ afterGrace }) => afterGrace.length > 0);
  }

  /** Writes what the images ask for. */
  async writeImages(): Promise<boolean> {
    const first: Action[] = [];
    const then: Action[] = [];
    const instances = new Map<string, Instance>();
    for (const running of this.running.values()) {
      const change = running.image.take();
      if (change.writes.length + change.afterGrace.length === 0) continue;
      instances.set(running.key, running.instance);
      for (const write of running.afterGrace) first.push({ op: 'WriteMap', key: running.key, write });
      for (const write of change.writes) then.push({ op: 'WriteMap', key: running.key, write });
      running.afterGrace = [...change.afterGrace];
    }
    const actions: Action[] = first.length === 0 ? then : [{ op: 'Grace' }, ...first, ...then];
    await this.#run(actions, instances, this.running);
    return this.awaitsGrace;
  }

  /** Writes that waited for packets under way. */
  async writeAfterGrace(): Promise<void> {
    const actions: Action[] = [];
    const instances = new Map<string, Instance>();
    for (const running of this.running.values()) {
      for (const write of running.afterGrace) actions.push({ op: 'WriteMap', key: running.key, write });
      if (running.afterGrace.length > 0) instances.set(running.key, running.instance);
      running.afterGrace = [];
    }
    if (actions.length > 0) await this.#run([{ op: 'Grace' }, ...actions], instances, this.running);
  }

  /** What would be done now, from a fresh look at the kernel. Changes nothing. */
  async dryRun(): Promise<Action[]> {
    await this.prepare();
    const kept = this.#observed;
    this.#observed = { ...(await observe(this.#pins)), graceDue: false };
    try {
      const { desired } = await this.#resolve(true);
      const { make, remove } = this.inForce.devicePlan(this.network);
      const ip = (line: string): Action => ({ op: 'Ip', line });
      return [...make.map(ip), ...plan(this.#observed, desired), ...remove.map(ip)];
    } finally {
      this.#observed = kept;
    }
  }

  async #run(
    actions: readonly Action[],
    instances: ReadonlyMap<string, Instance>,
    images: ReadonlyMap<string, Running> | undefined,
  ): Promise<void> {
    let done = 0;
    const startedAt = performance.now();
    if (actions.length > 0) this.#options.log.debug({ actions: actions.map(describeAction) }, 'plan');
    try {
      await this.#executor.run(actions, instances, (action) => {
        this.#observed = applyAction(this.#observed, action);
        done++;
      });
      for (const { instance } of images?.values() ?? []) {
        if (!this.inForce.kept.has(instance.cubeKey)) this.rowFailures.delete(instance.cubeKey);
      }
      if (actions.some(({ op }) => op === 'Flip')) {
        const ms = Math.round(performance.now() - startedAt);
        this.#options.log.info(
          { epoch: this.#observed.epoch, actions: actions.length, ms },
          'the graph changed',
        );
      }
    } catch (error) {
      // What the images believe and what the kernel holds may differ now: they are read back at the next round.
      this.running.clear();
      this.#resolved = undefined;
      this.#isObserved = false;
      this.#blame(actions[done], error as AgentError, images);
      throw error;
    }
  }

  /** A failure that one cube causes keeps only that cube (or its chain) back. */
  #blame(
    action: Action | undefined,
    error: AgentError,
    images: ReadonlyMap<string, Running> | undefined,
  ): void {
    if (action === undefined || !('key' in action)) return;
    const running = [...(images?.values() ?? [])].find(({ key }) => key === action.key);
    if (running === undefined) return;
    const { cube } = running.plan;
    const failure = { reason: error.code, message: error.text };
    if (this.#observed.instances.get(action.key)?.complete === true) {
      this.rowFailures.set(cube.key, failure);
      return;
    }
    if (!['ProgramRefused', 'MapFull', 'ObjectMissing'].includes(error.code)) return;
    const { uid, generation } = cube.object.metadata;
    const inForce = this.inForce.effective.cubes.get(cube.key)?.metadata;
    const older = [...this.#observed.instances]
      .filter(([, { complete }]) => complete)
      .map(([key]) => splitInstanceKey(key))
      .find((instance) => instance.cube === running.instance.cubePin);
    if (older !== undefined && inForce?.uid === uid && inForce.generation === generation) {
      this.inForce.kept.set(cube.key, { refused: running.plan.hash, hash: older.hash });
      this.rowFailures.set(cube.key, failure);
    } else {
      this.inForce.refused.set(cube.key, { uid, generation, ...failure });
    }
  }

  /** Whether anything was refused that may be tried again. */
  get hasRefused(): boolean {
    return this.inForce.refused.size + this.inForce.kept.size > 0;
  }

  retryRefused(): void {
    this.inForce.refused.clear();
    this.inForce.kept.clear();
  }
}
