// SPDX-License-Identifier: Apache-2.0
/**
 * One round: objects, network and pods → graph → images → plan → kernel. It holds what is in force and what the kernel
 * holds; who calls it when is agent.ts.
 */
import { join } from 'node:path';
import type { NodeInput } from '../cubes/cube-type.ts';
import { type Action, describeAction } from './actions.ts';
import { type AgentOptions, ALLOW_REMOVAL, isMassRemoval } from './agent-options.ts';
import { applyAction } from './apply-action.ts';
import {
  type Accepted,
  accept,
  advance,
  type EffectiveSet,
  fromSaved,
  NOTHING,
  toSaved,
} from './committed.ts';
import { desiredState, type InstancePlan, OVERLAY_DEVICE, planInstance } from './desired.ts';
import { type DevicePlan, overlayMtu, planDevices } from './devices.ts';
import { type AgentError, textOf } from './errors.ts';
import { readJson, writeAtomically } from './files.ts';
import type { Refused } from './graph.ts';
import { agentMaps, feed, parseOnce, type Running, reselect, startImage } from './images.ts';
import { Executor } from './kernel/executor.ts';
import { BPFFS, ensureBpffs, hashObjects, OBJECTS } from './kernel/kernel.ts';
import { type NetworkView, readNetwork } from './kernel/netlink.ts';
import { observe } from './kernel/observe.ts';
import { Pins } from './kernel/pins.ts';
import { ipBatch } from './kernel/run.ts';
import { GATEWAY_MAC } from './layout.ts';
import { splitInstanceKey } from './names.ts';
import { NO_SOURCES, type OverlaySources, overlaySources, type TunnelSource, tunnelsOf } from './overlay.ts';
import { type Fills, plan } from './plan.ts';
import type { PodStore } from './pods.ts';
import { type DesiredState, EMPTY_KERNEL, type Instance, type KernelState } from './state.ts';
import type { Failure } from './status.ts';
import type { Store } from './store.ts';
import { type TableChange, unpack } from './tables.ts';

/** Actions that wait until all objects have been seen. */
const PRUNING = new Set<Action['op']>([
  'ClearSlot',
  'RemoveInstance',
  'RemoveStateMaps',
  'Detach',
  'DeleteRows',
  'RemoveEntry',
  // Without the tables it is not known which sources the overlay lets in.
  'WriteConfig',
]);
/** All that is done before, where it is not known what was in force: pods can be plugged. */
const PLUGGING = new Set<Action['op']>(['CreateMaps', 'LoadEntry', 'WriteRows', 'Attach']);

export class Reconciler {
  readonly #options: AgentOptions;
  readonly #store: Store;
  readonly #pods: PodStore;
  readonly #pins: Pins;
  readonly #executor: Executor;
  readonly #objectHashes: ReadonlyMap<string, string>;
  readonly #tunnels = new Map<string, readonly TunnelSource[]>();
  readonly running = new Map<string, Running>();
  /** Cubes that the kernel refused, until they are tried again. */
  readonly refused = new Map<string, Refused>();
  /** Cubes whose rows do not fit or could not be written; they stay in the kernel as they were. */
  readonly rowFailures = new Map<string, Failure>();
  /** Cubes that stay on an older program, because the kernel refuses the one that the same object asks for now. */
  readonly #kept = new Map<string, { readonly refused: string; readonly hash: string }>();
  network: NetworkView = { interfaces: new Map(), uplink: undefined };
  sources: OverlaySources = NO_SOURCES;
  /** In force, and in the kernel. */
  effective: EffectiveSet = NOTHING;
  accepted: Accepted | undefined;
  waiting: ReadonlyMap<string, string> = new Map();
  /** What a guard holds back. */
  guarded: Failure | undefined;
  allowRemoval = false;
  #observed: KernelState = EMPTY_KERNEL;
  #isObserved = false;

  constructor(options: AgentOptions, store: Store, pods: PodStore) {
    this.#options = options;
    this.#store = store;
    this.#pods = pods;
    this.#pins = new Pins(options.bpffs ?? BPFFS, options.node);
    const objects = options.objects ?? OBJECTS;
    this.#objectHashes = hashObjects(objects);
    this.#executor = new Executor({
      pins: this.#pins,
      objects,
      redirectPeer: options.redirectPeer ?? true,
      gatewayMac: GATEWAY_MAC,
      logs: join(options.stateDir, 'logs'),
      ...(options.afterAction === undefined ? {} : { afterAction: options.afterAction }),
    });
  }

  get #savedPath(): string {
    return join(this.#options.stateDir, 'committed.json');
  }

  /** Reads what was in force when the last agent ended. */
  loadCommitted(): void {
    try {
      const saved = readJson(this.#savedPath);
      if (saved !== undefined) this.effective = fromSaved(saved);
    } catch (error) {
      this.#options.log.warn({ error: textOf(error) }, 'the committed set is made anew');
    }
  }

  /** Reads the kernel before the first round, and again after something failed. */
  async prepare(): Promise<void> {
    if (this.#isObserved) return;
    await ensureBpffs(this.#options.bpffs ?? BPFFS);
    this.#pins.prepare();
    this.#observed = observe(this.#pins);
    this.#isObserved = true;
  }

  async refreshNetwork(): Promise<void> {
    this.network = await readNetwork();
  }

  tagOf(cubeKey: string): string | undefined {
    const running = this.running.get(cubeKey);
    return running && this.#executor.tagOf(running.key);
  }

  async runHelpers(): Promise<void> {
    for (const { key } of this.running.values()) await this.#executor.runHelpers(key);
  }

  close(): void {
    this.#executor.close();
  }

  #node(): NodeInput {
    return {
      name: this.#options.node,
      gatewayMac: GATEWAY_MAC,
      overlayVni: this.accepted?.graph.overlay?.vni ?? 1,
      redirectPeer: this.#options.redirectPeer ?? true,
    };
  }

  /** MTU of the device that packets between nodes leave by. */
  #underlayMtu(): number {
    const own = new Set((this.#store.node?.status?.addresses ?? []).map(({ address }) => address));
    const { interfaces, uplink } = this.network;
    const holding = [...interfaces.values()].filter(({ addresses }) => addresses.some((a) => own.has(a)));
    const mtus = holding.map(({ mtu }) => mtu);
    if (mtus.length > 0) return Math.min(...mtus);
    return (uplink === undefined ? undefined : interfaces.get(uplink)?.mtu) ?? 1500;
  }

  /** Until the tables are known, what is there is right. */
  #overlayMtu(): number {
    const there = this.network.interfaces.get(OVERLAY_DEVICE);
    if (!this.#store.isSynced && there !== undefined) return there.mtu;
    return overlayMtu(this.#underlayMtu(), this.sources.hasIPv6Remote);
  }

  #accept(): Accepted {
    const candidate = this.#store.isSynced
      ? advance(this.#store, this.effective)
      : { set: this.effective, waiting: new Map<string, string>() };
    const set = this.#guard(candidate.set);
    if (this.#store.isSynced) this.sources = this.#sources(set);
    const accepted = accept(set, this.effective, {
      nodeName: this.#options.node,
      types: this.#options.types,
      interfaces: this.network.interfaces,
      uplink: this.network.uplink,
      overlayMtu: this.#overlayMtu(),
      refused: this.refused,
    });
    this.waiting = new Map([...candidate.waiting, ...accepted.held]);
    this.accepted = accepted;
    return accepted;
  }

  #isRemovalAllowed(): boolean {
    return this.allowRemoval || this.#store.cubeNode?.metadata.annotations?.[ALLOW_REMOVAL] === 'true';
  }

  /** Whether tables disappeared in a mass and nobody has said that it is meant. */
  get holdsTables(): boolean {
    const { removed, of } = this.#store.tables.removals();
    return isMassRemoval(removed, of) && !this.#isRemovalAllowed();
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
            reason: 'MassDisappearance',
            message: `${what} disappeared at once; the last state stays. If that is meant, set the annotation ${ALLOW_REMOVAL}=true on the CubeNode, else bring them back`,
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
    return changes;
  }

  #sources(set: EffectiveSet): OverlaySources {
    const own = [...set.cubes.values()].flatMap(({ spec }) =>
      tunnelsOf((spec.router as { routes?: unknown[] } | undefined)?.routes ?? []),
    );
    // The route of this node's own pods is in the tables too: nobody else may send from there.
    const here = new Set([...this.network.interfaces.values()].flatMap(({ addresses }) => addresses));
    const all = [...own, ...[...this.#tunnels.values()].flat()];
    return overlaySources(all.filter(({ remote }) => !here.has(remote)));
  }

  /** Graph, devices and desired state; devices are made first, because edges need their numbers. */
  async #resolve(
    dry = false,
  ): Promise<{ desired: DesiredState; plans: Map<string, InstancePlan>; accepted: Accepted }> {
    let accepted = this.#accept();
    const { make } = this.#devicePlan(accepted);
    if (make.length > 0 && !dry) {
      this.#options.log.info({ ip: make }, 'devices');
      await ipBatch(make);
      await this.refreshNetwork();
      accepted = this.#accept();
    }
    const node = this.#node();
    const plans = new Map<string, InstancePlan>();
    for (const [key, cube] of accepted.graph.cubes) {
      const wanted = planInstance(cube, node, this.#objectHashes.get(cube.type.object) ?? 'missing');
      const kept = this.#kept.get(key);
      plans.set(key, kept?.refused === wanted.hash ? { ...wanted, hash: kept.hash } : wanted);
    }
    const desired = desiredState(
      {
        graph: accepted.graph,
        node,
        observed: this.#observed,
        interfaces: this.network.interfaces,
        pods: [...this.#pods.values()],
        sources: this.sources,
        objectHashes: this.#objectHashes,
      },
      plans,
    );
    return { desired, plans, accepted };
  }

  /** The whole node. Throws AgentError; what is in force then is what was before. */
  async reconcile(): Promise<void> {
    await this.prepare();
    const changes = this.#store.isSynced ? this.takeTables() : [];
    const { desired, plans, accepted } = await this.#resolve();
    const missing = [...desired.instances.keys()].some(
      (key) => this.#observed.instances.get(key)?.complete !== true,
    );
    const isKnown = this.effective.cubes.size > 0 && !missing;
    const next = this.#store.isSynced ? await this.#images(desired, plans, changes) : undefined;
    const fills: Fills = new Map([...(next ?? [])].map(([, running]) => [running.key, takeAll(running)]));
    let actions = plan(this.#observed, desired, fills);
    if (!this.#store.isSynced) {
      actions = actions.filter(({ op }) => (isKnown ? !PRUNING.has(op) : PLUGGING.has(op)));
    }
    await this.#run(actions, desired.instances, next);
    if (next !== undefined) {
      this.running.clear();
      for (const [key, running] of next) this.running.set(key, running);
      for (const key of this.rowFailures.keys())
        if (!this.running.get(key)?.image) this.rowFailures.delete(key);
      this.#commit(accepted.set);
      if (this.guarded === undefined) this.allowRemoval = false;
    }
    // A device that no link names any more goes last, when nothing leads there.
    const { remove } = this.#devicePlan(accepted);
    if (remove.length > 0 && this.#store.isSynced) {
      await ipBatch(remove);
      await this.refreshNetwork();
    }
  }

  #devicePlan({ graph }: Accepted): DevicePlan {
    const overlay = graph.overlay && { port: graph.overlay.port, mtu: this.#overlayMtu() };
    return planDevices(this.network.interfaces, { overlay, stack: graph.stack });
  }

  #commit(set: EffectiveSet): void {
    const before = JSON.stringify(toSaved(this.effective));
    const now = JSON.stringify(toSaved(set));
    this.effective = set;
    if (before !== now) writeAtomically(this.#savedPath, now);
  }

  async #images(
    desired: DesiredState,
    plans: ReadonlyMap<string, InstancePlan>,
    changes: readonly TableChange[],
  ): Promise<Map<string, Running>> {
    const tables = this.#store.tables.applied;
    const rows = parseOnce();
    const next = new Map<string, Running>();
    for (const [key, instance] of desired.instances) {
      const plan = plans.get(instance.cubeKey);
      if (plan === undefined) continue;
      const now = this.running.get(instance.cubeKey);
      if (now?.key === key) {
        reselect(now, plan, tables);
        feed(now, changes, rows);
        next.set(instance.cubeKey, now);
        continue;
      }
      const exists = this.#observed.instances.get(key)?.complete === true;
      const kept = agentMaps(plan, 'state').filter((map) => {
        const pin = instance.stateMaps.get(map) ?? '';
        return this.#observed.stateMaps.get(instance.cubePin)?.has(pin);
      });
      const same =
        now !== undefined &&
        kept.every((map) => now.instance.stateMaps.get(map) === instance.stateMaps.get(map));
      const whole = same && kept.length === agentMaps(plan, 'state').length;
      const dump = (map: string) => this.#executor.dump(key, instance, map);
      const previous = !exists && whole && now !== undefined ? now : undefined;
      const started = await startImage({
        key,
        instance,
        plan,
        node: this.#node(),
        tables,
        ...(previous === undefined ? {} : { previous: previous.image }),
        ...(previous === undefined ? { adopt: { dump, maps: exists ? agentMaps(plan) : kept } } : {}),
      });
      // What the image before has freed in maps that stay is still to be removed.
      const isState = (map: string) => plan.cube.type.maps[map]?.class === 'state';
      started.afterGrace.push(...(previous?.afterGrace ?? []).filter(({ map }) => isState(map)));
      next.set(instance.cubeKey, started);
    }
    return next;
  }

  /** Tables only: writes in place. Returns whether any writes now wait for a grace. */
  async writeTables(changes: readonly TableChange[]): Promise<boolean> {
    const rows = parseOnce();
    for (const running of this.running.values()) feed(running, changes, rows);
    return await this.writeImages();
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
    return [...this.running.values()].some(({ afterGrace }) => afterGrace.length > 0);
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
    this.#observed = { ...observe(this.#pins), graceDue: false };
    try {
      const { desired } = await this.#resolve(true);
      return plan(this.#observed, desired);
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
        if (!this.#kept.has(instance.cubeKey)) this.rowFailures.delete(instance.cubeKey);
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
    const inForce = this.effective.cubes.get(cube.key)?.metadata;
    const older = [...this.#observed.instances]
      .filter(([, { complete }]) => complete)
      .map(([key]) => splitInstanceKey(key))
      .find((instance) => instance.cube === running.instance.cubePin);
    if (older !== undefined && inForce?.uid === uid && inForce.generation === generation) {
      this.#kept.set(cube.key, { refused: running.plan.hash, hash: older.hash });
      this.rowFailures.set(cube.key, failure);
    } else {
      this.refused.set(cube.key, { uid, generation, ...failure });
    }
  }

  /** Whether anything was refused that may be tried again. */
  get hasRefused(): boolean {
    return this.refused.size + this.#kept.size > 0;
  }

  retryRefused(): void {
    this.refused.clear();
    this.#kept.clear();
  }
}

function takeAll(running: Running): ReturnType<Running['image']['take']> {
  const change = running.image.take();
  const waited = running.afterGrace;
  running.afterGrace = [];
  return waited.length === 0
    ? change
    : { writes: change.writes, afterGrace: [...waited, ...change.afterGrace] };
}
