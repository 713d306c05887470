// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { aboutPod, type PodName } from './about-pod.ts';
import type { Action } from './actions.ts';
import { type AgentHealth, agentHealth } from './agent-health.ts';
import type { AgentOptions } from './agent-options.ts';
import { AgentError, textOf } from './errors.ts';
import { HealthServers } from './health/health-servers.ts';
import { clock, monotonic, nextDue, tickDue } from './images.ts';
import { type ProxyHealth, works } from './inspect/proxy-health.ts';
import { Inspection } from './inspection.ts';
import { kernelFeatures } from './kernel/kernel.ts';
import { releaseMemory } from './kernel/memory.ts';
import { NetworkMonitor } from './kernel/netlink.ts';
import { type NodeFacts, nodeFacts, proxyHealthOf } from './node-facts.ts';
import { readsPolicies } from './objects.ts';
import type { PlugRequest } from './plug-request.ts';
import { Plugging } from './plugging.ts';
import type { AboutPod, PodRecord } from './pod-record.ts';
import { PodStore } from './pods.ts';
import { Reconciler } from './reconciler.ts';
import { report } from './report.ts';
import { SlowPath } from './slow-path.ts';
import type { Failure } from './status.ts';
import { StatusWriter } from './statuses.ts';
import { Store } from './store.ts';

/** Events that come together are one round. */
const COALESCE_MS = 5;
/** So many at once leave behind memory that is worth giving back. */
const MANY_TABLES = 2000;
/** Freed rows wait at most this long for their grace. */
const GRACE_MS = 50;
const RETRY_MS = { first: 250, most: 30_000 } as const;
/** The sweep of dead pods. */
const HOUSEKEEPING_MS = 30_000;
/** How full the maps are, and one table of sessions that is due. */
const UPKEEP_MS = 1000;

/**
 * The agent of one node. It takes objects from its source, follows the network, and makes the kernel match: one round at
 * a time, each from the whole present state, so that no event can be lost. What fails is reported and tried again.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #store: Store;
  readonly #pods: PodStore;
  readonly #reconciler: Reconciler;
  readonly #plugging: Plugging;
  /** Questions that need no round to end. */
  readonly inspection: Inspection;
  readonly #statuses: StatusWriter;
  readonly #health: HealthServers;
  readonly #slowPath: SlowPath;
  readonly #monitor: NetworkMonitor;
  readonly #kernel = kernelFeatures();
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #dueTimer: NodeJS.Timeout | undefined;
  /** What the timer is for, in seconds of the programs' clock. */
  #timerDue: number | undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #upkeep: NodeJS.Timeout | undefined;
  #lastRound = 0;
  /** Tables when memory was last given back. */
  #tablesBefore = 0;
  #isLoading = false;
  #isScheduled = false;
  #networkChanged = true;
  #isWhole = true;
  #failures = 0;
  #failure: Failure | undefined;
  /** ms since the epoch. */
  #failingSince: number | undefined;
  #rounds = 0;
  readonly #ready = Promise.withResolvers<void>();
  #stopped = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#store = new Store(options.node, () => this.#wake());
    this.#pods = new PodStore(join(options.stateDir, 'pods'));
    this.#reconciler = new Reconciler(options, this.#store, this.#pods);
    this.inspection = new Inspection(options, this.#pods, this.#reconciler, this.#store.tables);
    this.#plugging = new Plugging(options.node, this.#pods, this.#store, this.#reconciler);
    this.#statuses = new StatusWriter(options.source, options.log);
    const isHealthy = () => works(this.#failingSince);
    this.#health = new HealthServers(options.log, isHealthy, () => this.#report());
    this.#slowPath = new SlowPath(options.log, monotonic());
    this.#monitor = new NetworkMonitor(() => {
      this.#networkChanged = true;
      this.#wake();
    });
  }

  /** Settles with the first round after all objects are known that succeeds. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async start(): Promise<void> {
    this.#pods.load((message) => this.#options.log.warn({}, message));
    for (const record of this.#pods.values()) this.#reconciler.inForce.addPod(record);
    this.#reconciler.inForce.loadCommitted();
    this.#monitor.start();
    await this.#options.source.start(this.#store);
    this.#housekeeping = setInterval(() => void this.#keepHouse(), HOUSEKEEPING_MS);
    this.#housekeeping.unref();
    this.#upkeep = setInterval(() => void this.#keepUp(), UPKEEP_MS);
    this.#upkeep.unref();
    this.#wake();
  }

  /** Ends the agent; what is in the kernel stays and goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#health.stop();
    this.#monitor.stop();
    for (const timer of [this.#timer, this.#graceTimer, this.#dueTimer]) clearTimeout(timer);
    for (const timer of [this.#housekeeping, this.#upkeep]) clearInterval(timer);
    await this.#options.source.stop();
    await this.#queue;
    await this.#reconciler.writeAfterGrace().catch(() => {});
    await this.#statuses.stop();
    this.inspection.close();
    await this.#reconciler.close();
  }

  async plug(request: PlugRequest): Promise<PodRecord & { gatewayMac: string }> {
    return await this.#changePods(() => this.#plugging.plug(request)).catch((error) => {
      // What the failed round left half done is done again without the pod.
      this.#isWhole = true;
      this.#wake();
      throw error;
    });
  }

  async unplug(namespace: string, name: string): Promise<boolean> {
    return await this.#changePods(() => this.#plugging.unplug(namespace, name));
  }

  /** See {@link Plugging.follow}. */
  async followDevice(device: string): Promise<void> {
    await this.#changePods(() => this.#plugging.follow(device));
  }

  /** What would be done now, from a fresh look at the kernel; empty when nothing differs. */
  async plan(): Promise<Action[]> {
    return await this.#exclusively(() => this.#reconciler.dryRun());
  }

  /** Answers a question about the node, between two rounds. */
  async inspect<T>(work: (inspection: Inspection) => T | Promise<T>): Promise<T> {
    return await this.#exclusively(async () => work(this.inspection));
  }

  /** What policies may look at in a pod, where a cube carries policies out. Throws AgentError. */
  async about(pod: PodName): Promise<AboutPod | undefined> {
    const { cubes } = this.#reconciler.inForce.effective;
    return [...cubes.values()].some(readsPolicies) ? await aboutPod(this.#options.source, pod) : undefined;
  }

  /** Addresses that policies take for pods', of this node and others. */
  policyAddresses(): Set<string> {
    return this.#reconciler.inForce.identities.addresses();
  }

  get facts(): NodeFacts {
    return nodeFacts(this.#store, this.#reconciler, this.#failure);
  }

  get proxyHealth(): ProxyHealth {
    return proxyHealthOf(this.#store.node, this.facts.servesPods, this.#failingSince);
  }

  pods(): PodRecord[] {
    return [...this.#pods.values()];
  }

  /** Lets the mass removal that is held back pass; undefined when none is. */
  allowRemoval(): { readonly what: string } | undefined {
    const held = this.#reconciler.inForce.guarded;
    if (held === undefined) return undefined;
    this.#reconciler.inForce.allowRemoval = true;
    this.#isWhole = true;
    this.#wake();
    return held;
  }

  /** Resolves when everything that has been handed over so far is in the kernel and reported, or has failed. */
  async settled(): Promise<void> {
    while (this.#isScheduled) await new Promise((resolve) => setTimeout(resolve, 2));
    await this.#queue;
    await this.#statuses.flush();
  }

  health(): AgentHealth {
    return agentHealth(this.#options, this.#store, this.#reconciler, {
      pods: this.#pods.size,
      rounds: this.#rounds,
      slowPath: this.#slowPath.counts,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    });
  }

  #wake(): void {
    if (this.#stopped || this.#isScheduled) return;
    this.#isScheduled = true;
    const wait = Math.max(0, this.#lastRound + COALESCE_MS - performance.now());
    this.#timer = setTimeout(() => {
      void this.#exclusively(() => this.#round());
    }, wait);
  }

  /** Rounds and requests, one after the other. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return await result;
  }

  async #changePods<T>(work: () => Promise<T>): Promise<T> {
    return await this.#exclusively(async () => {
      const result = await work();
      this.#afterGrace(this.#reconciler.awaitsGrace);
      return result;
    });
  }

  async #round(): Promise<void> {
    this.#isScheduled = false;
    this.#rounds++;
    if (this.#store.beginRound()) this.#isWhole = true;
    try {
      if (this.#networkChanged) {
        this.#networkChanged = false;
        this.#isWhole = true;
        await this.#reconciler.refreshNetwork();
      }
      await this.#work();
      await this.#reconciler.sendDue();
      this.#failures = 0;
      this.#failure = undefined;
      this.#failingSince = undefined;
      if (this.#store.isKnown) this.#health.follow(this.#reconciler.running.values());
      this.#listen();
      this.inspection.begin();
      if (this.#store.isSynced) this.#ready.resolve();
    } catch (error) {
      this.#failed(error);
    }
    this.#lastRound = performance.now();
    this.#scheduleImages();
    this.#report();
    this.#options.afterRound?.();
  }

  async #work(): Promise<void> {
    if (this.#store.tables.size > this.#tablesBefore + MANY_TABLES) {
      this.#tablesBefore = this.#store.tables.size;
      this.#isLoading = true;
      releaseMemory();
    }
    const { holdsTables, guarded } = this.#reconciler.inForce;
    if (holdsTables || guarded !== undefined) this.#isWhole = true;
    if (this.#isWhole) {
      this.#isWhole = false; // who wants another one meanwhile is heard
      await this.#reconciler.reconcile();
      if (this.#store.isKnown && this.#isLoading) {
        this.#isLoading = false;
        releaseMemory();
      }
      return;
    }
    if (!this.#store.isKnown) return;
    this.#afterGrace(await this.#reconciler.followTables());
  }

  #afterGrace(isPending: boolean): void {
    if (!isPending) return;
    this.#graceTimer ??= setTimeout(() => {
      this.#graceTimer = undefined;
      void this.#exclusively(() => this.#reconciler.writeAfterGrace()).catch((error) => this.#failed(error));
    }, GRACE_MS);
  }

  #failed(error: unknown): void {
    this.#isWhole = true;
    this.#networkChanged = true;
    this.#failures++;
    this.#failingSince ??= Date.now();
    const code = error instanceof AgentError ? error.code : 'KernelError';
    this.#failure = { reason: code, message: textOf(error) };
    const stack = error instanceof AgentError ? undefined : (error as Error).stack;
    this.#options.log.error({ code, stack }, textOf(error));
    if (this.#stopped) return;
    // A cube that the kernel refused is kept out at once; it and everything else is tried again later.
    const wait = Math.min(RETRY_MS.first * 2 ** (this.#failures - 1), RETRY_MS.most);
    if (this.#reconciler.hasRefused && this.#failures === 1) {
      this.#wake();
      return;
    }
    setTimeout(() => this.#wake(), wait).unref();
  }

  /** Calls images when they want to be called: drains end, affinities expire, neighbours are asked again. */
  #scheduleImages(): void {
    const due = nextDue([...this.#reconciler.running.values(), this.#reconciler.inForce.direct]);
    // A timer that is early enough stays: set anew with every record it would never come.
    if (this.#timerDue !== undefined && due !== undefined && this.#timerDue <= due) return;
    clearTimeout(this.#dueTimer);
    this.#timerDue = undefined;
    if (due === undefined || this.#stopped) return;
    this.#timerDue = due;
    const wait = Math.max(200, (due - clock()) * 1000 + 50);
    this.#dueTimer = setTimeout(
      () => void this.#exclusively(() => this.#tick()),
      Math.min(wait, 2 ** 31 - 1),
    );
  }

  async #tick(): Promise<void> {
    const now = clock();
    this.#timerDue = undefined;
    try {
      tickDue(this.#reconciler.running.values(), now);
      if ((this.#reconciler.inForce.direct.dueAt ?? Infinity) <= now) {
        this.#isWhole = true;
        this.#wake();
      }
      this.#afterGrace(await this.#reconciler.writeImages());
      await this.#reconciler.sendDue();
    } catch (error) {
      this.#failed(error);
    }
    this.#scheduleImages();
  }

  /** What programs hand over waits for a round to end: images change in one place at a time. */
  #listen(): void {
    this.#reconciler.packets.listen((punts) => {
      if (this.#stopped || !this.#slowPath.add(punts)) return;
      void this.#exclusively(() => this.#handlePunts()).catch((error) => this.#failed(error));
    });
  }

  async #handlePunts(): Promise<void> {
    const { packets, isChanged } = this.#slowPath.handle(this.#reconciler.running.values(), monotonic());
    // First the rows: the packets may be meant to meet them.
    if (isChanged) this.#afterGrace(await this.#reconciler.writeImages());
    await this.#reconciler.packets.send(packets);
    this.#scheduleImages();
  }

  async #keepHouse(): Promise<void> {
    await this.#exclusively(async () => {
      try {
        const swept = this.#plugging.sweep(performance.now());
        if (swept.length > 0)
          this.#options.log.info({ pods: swept }, 'pods without an interface were forgotten');
        if (this.#reconciler.hasRefused) {
          this.#reconciler.retryRefused();
          this.#isWhole = true;
        }
        if (this.#reconciler.inForce.changesInSilence) this.#networkChanged = true;
        if (swept.length > 0 || this.#isWhole || this.#networkChanged) this.#wake();
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  // Not in the queue of rounds: it changes nothing that they do, and a walk through a large table takes long. Maps that go
  // away meanwhile are looked for again.
  async #keepUp(): Promise<void> {
    if (this.#rounds === 0 || this.#stopped) return;
    try {
      const { upkeep } = this.#reconciler;
      if ((await upkeep.look()) && !this.#stopped) this.#report();
      await upkeep.sweepSockets();
      await upkeep.reclaim(performance.now());
    } catch (error) {
      if (!this.#stopped) this.#options.log.debug({}, `looking after the maps: ${textOf(error)}`);
    }
  }

  #report(): void {
    report({
      store: this.#store,
      reconciler: this.#reconciler,
      writer: this.#statuses,
      agentVersion: this.#options.version ?? '0.0.0',
      kernel: this.#kernel,
      failure: this.#failure,
      healthProblems: this.#health.problems,
      now: new Date(),
    });
  }
}
