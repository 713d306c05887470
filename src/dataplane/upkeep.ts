// SPDX-License-Identifier: Apache-2.0
/** What goes on beside rounds: removing rows that are over, and looking how full the maps are. */
import { isDeepStrictEqual } from 'node:util';
import type { AgentLog } from './agent-options.ts';
import { AgentError, textOf } from './errors.ts';
import type { Running } from './images.ts';
import { runReclaim } from './kernel/helper-program.ts';
import { type MapIdentity, mapIdentity, UsageReader } from './kernel/map-usage.ts';
import type { Pins } from './kernel/pins.ts';
import { sweepSockets } from './kernel/socket-sweep.ts';
import { type MapUsage, pressureOf } from './pressure.ts';
import { Reclaimer, type ReclaimTask, type ReclaimTotal } from './reclaimer.ts';

/** Hash maps of the node that can fill up. */
const NODE_MAPS = ['attachments', 'pods', 'overlay_sources', 'host_addresses'] as const;

/** Paths of instances that are gone are forgotten now and then. */
const MOST_IDENTITIES = 4096;

const SWEPT = 'sockets were ended whose backend is gone: their processes connect again';

export class Upkeep {
  readonly #pins: Pins;
  readonly #objects: string;
  readonly #running: ReadonlyMap<string, Running>;
  readonly #log: AgentLog;
  readonly #reclaimer = new Reclaimer();
  #reader: UsageReader | undefined;
  #opening: Promise<void> | undefined;
  #isRunning = false;
  #cannotSweep = false;
  #usage: readonly MapUsage[] = [];
  /** Of pinned maps, by path: a number is never given to another map, so the path is opened once. */
  #identities = new Map<string, MapIdentity>();
  #pressure: ReturnType<typeof pressureOf> = [];

  constructor(pins: Pins, objects: string, running: ReadonlyMap<string, Running>, log: AgentLog) {
    this.#pins = pins;
    this.#objects = objects;
    this.#running = running;
    this.#log = log;
  }

  /** Of the last look: each map of each cube that holds rows, and the node's own. For status and metrics. */
  get usage(): readonly MapUsage[] {
    return this.#usage;
  }

  /** What has been reclaimed, by instance key and program. */
  get reclaimed(): ReadonlyMap<string, ReclaimTotal> {
    return this.#reclaimer.totals;
  }

  /** Looks how full the maps are; returns whether that is news for the status. Throws KernelError. */
  async look(): Promise<boolean> {
    const usage = await this.lookAtUsage();
    const before = this.#pressure;
    this.#pressure = pressureOf(usage, before);
    return !isDeepStrictEqual(before, this.#pressure);
  }

  /** How full the maps are now. Throws KernelError. */
  async lookAtUsage(): Promise<readonly MapUsage[]> {
    await this.#openReader();
    const counted = this.#reader?.read();
    if (this.#identities.size > MOST_IDENTITIES) this.#identities.clear();
    const usage: MapUsage[] = [];
    for (const running of this.#running.values()) usage.push(...this.#usageOf(running, counted));
    for (const map of NODE_MAPS) {
      usage.push(...this.#counted('', map, this.#pins.sharedMap(map), counted, false));
    }
    this.#usage = usage;
    return usage;
  }

  /** Runs at most one program that reclaims rows, off the event loop; returns whether one was due. `now`: milliseconds. */
  async reclaim(now: number): Promise<boolean> {
    const task = this.#isRunning ? undefined : this.#reclaimer.next(this.#tasks(), now);
    if (task === undefined) return false;
    this.#isRunning = true;
    try {
      const startedAt = performance.now();
      const result = await runReclaim(this.#pins.helper(task.key, task.program));
      const ms = performance.now() - startedAt;
      this.#reclaimer.ran(task, { seen: 0, removed: 0, ...result, ms }, now + ms);
      this.#log.debug({ ...task, ...result, ms }, 'reclaimed rows');
    } finally {
      this.#isRunning = false;
    }
    return true;
  }

  /** Ends sockets that have lost their peer, where a cube says that there may be some. Never throws: an older kernel cannot. */
  async sweepSockets(): Promise<void> {
    for (const { key, instance, image, plan } of this.#running.values()) {
      const { socketSweep } = plan.cube.type;
      if (socketSweep === undefined || image.sweeps?.() !== true || this.#cannotSweep) continue;
      const maps = socketSweep.maps.map((map) => [map, this.#pins.mapOf(key, instance, map)]);
      try {
        const { seen, ended } = await sweepSockets(this.#objects, socketSweep, Object.fromEntries(maps));
        if (ended > 0) this.#log.info({ cube: instance.cubeKey, seen, ended }, SWEPT);
      } catch (error) {
        this.#cannotSweep = true;
        this.#log.warn(
          { cube: instance.cubeKey },
          `connected UDP sockets stay with a backend that is gone, since the kernel cannot end them (Linux 6.5): ${textOf(error)}`,
        );
      }
    }
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#opening = undefined;
  }

  /** The cube knows best what counts in a map that user space writes; the kernel knows the others. */
  #usageOf(
    { key, instance, image, plan }: Running,
    counted: ReadonlyMap<number, number> | undefined,
  ): MapUsage[] {
    const { maps } = plan.cube.type;
    const cube = instance.cubeKey;
    const said = image.usage();
    const usage = Object.entries(said).map(([map, { used, max }]): MapUsage => {
      return { cube, map, used, max, isCache: maps[map]?.isCache === true };
    });
    for (const [map, { isCache }] of Object.entries(maps)) {
      if (said[map] !== undefined) continue;
      const path = this.#pins.mapOf(key, instance, map);
      usage.push(...this.#counted(cube, map, path, counted, isCache === true));
    }
    return usage;
  }

  /** Nothing for a map whose entries nobody counts. */
  #counted(
    cube: string,
    map: string,
    path: string,
    counted: ReadonlyMap<number, number> | undefined,
    isCache: boolean,
  ): MapUsage[] {
    if (counted === undefined) return [];
    const identity = this.#identities.get(path) ?? mapIdentity(path);
    if (identity === undefined) return [];
    this.#identities.set(path, identity);
    if (!identity.isCounted) return [];
    const used = counted.get(identity.id);
    if (used !== undefined) return [{ cube, map, used, max: identity.max, isCache }];
    this.#identities.delete(path); // another map is pinned there now
    return [];
  }

  #tasks(): ReclaimTask[] {
    const tasks = new Map<string, ReclaimTask>();
    for (const { key, instance, plan } of this.#running.values()) {
      for (const [map, { reclaim }] of Object.entries(plan.cube.type.maps)) {
        if (reclaim === undefined) continue;
        const of = this.#usage.find((one) => one.cube === instance.cubeKey && one.map === map);
        const share = of && of.max > 0 ? of.used / of.max : undefined;
        const before = tasks.get(`${key} ${reclaim}`)?.share ?? 0;
        tasks.set(`${key} ${reclaim}`, {
          key,
          program: reclaim,
          share: share === undefined ? undefined : Math.max(share, before),
        });
      }
    }
    return [...tasks.values()];
  }

  /** Once, whoever asks first. */
  async #openReader(): Promise<void> {
    this.#opening ??= this.#open();
    await this.#opening;
  }

  async #open(): Promise<void> {
    try {
      this.#reader = await UsageReader.open(this.#objects);
    } catch (error) {
      const code = error instanceof AgentError ? error.code : 'KernelError';
      this.#log.warn(
        { code },
        `the kernel does not say how full tables of sessions are, which needs Linux 6.6: ${textOf(error)}`,
      );
    }
  }
}
