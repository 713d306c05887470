// SPDX-License-Identifier: Apache-2.0
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { encodeRows } from '../../cubes/codec/map-codec.ts';
import type { MapWrite } from '../../cubes/cube-type.ts';
import type { Action } from '../actions.ts';
import { edges as edgesCodec, type NodeConfig, nodeConfig } from '../generated/tcx.ts';
import { CUBE_PORTS, CUBE_SLOTS, type Hex } from '../layout.ts';
import { pinNameOfInterface, programOfPin } from '../names.ts';
import type { Instance } from '../state.ts';
import { BpfMap, BpfProgram, MapType, TcxLink, unpin } from './addon/index.ts';
import { carryRows, migrationFrom } from './carry-rows.ts';
import { runCgroup } from './cgroup.ts';
import { createSharedMaps, loadEntry } from './entry-program.ts';
import { explain } from './failure.ts';
import { FlowCache } from './flow-cache.ts';
import { InstanceLoader } from './instance-loader.ts';
import { detachLink, keepLink, updateLink, withProgram } from './links.ts';
import { removeOlder, takeOverLink } from './older-abi.ts';
import { names, type Pins, removeFolder, removeIfEmpty } from './pins.ts';
import { ipBatch } from './run.ts';
import { attachFilter, removeFilter } from './tc-filter.ts';
import { runXdp } from './xdp.ts';

export interface ExecutorOptions {
  readonly pins: Pins;
  /** Folder of the object files. */
  readonly objects: string;
  readonly redirectPeer: boolean;
  readonly gatewayMac: string;
  /** Whether the entry program may do to a packet what was done to the last one of its flow. */
  readonly flowCache: boolean;
  /** Folder for verifier logs. */
  readonly logs: string;
  /** Called after each action; tests end the process in it. */
  readonly afterAction?: (action: Action) => void;
}

/** More rows than this are written off the event loop. */
const SYNC_ROWS = 512;

/** The only place that runs actions. One plan at a time. */
export class Executor {
  readonly #options: ExecutorOptions;
  readonly #shared = new Map<string, BpfMap>();
  /** Maps of instances, by instance key and name. */
  readonly #maps = new Map<string, Map<string, BpfMap>>();
  readonly #loader: InstanceLoader;
  readonly #flows: FlowCache;
  #graceMaps: [outer: BpfMap, inner: BpfMap] | undefined;

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#loader = new InstanceLoader(options);
    this.#flows = new FlowCache(options.pins, options.flowCache);
  }

  /** See {@link InstanceLoader.ahead}; the shared maps must be there. */
  loadAhead(key: string, instance: Instance): void {
    if (instance.hook === 'XDP') return; // its shared maps come with the entry program of XDP
    this.#loader.ahead(key, instance);
  }

  /**
   * Runs actions in order; `instances` describes those that they speak of. Throws AgentError at the first that fails:
   * those before it are done. `onDone` is told of each that succeeded, or of what was done in its place.
   */
  async run(
    actions: readonly Action[],
    instances: ReadonlyMap<string, Instance>,
    onDone: (action: Action) => void = () => {},
  ): Promise<void> {
    try {
      for (const action of actions) {
        let instead: Action | undefined;
        try {
          instead = (await this.#run(action, instances)) ?? undefined;
        } catch (error) {
          throw explain(action, error, this.#options.logs);
        } finally {
          // also after half of one: what packets of before have left behind holds no more
          this.#flows.forget();
        }
        onDone(instead ?? action);
        this.#options.afterAction?.(action);
      }
    } finally {
      this.#loader.release();
    }
  }

  /** To be called where the shared maps are there already: flows that an agent before this one has let be known. */
  begin(): void {
    this.#flows.forget();
  }

  /** All rows of one map of a complete instance. */
  async dump(
    key: string,
    instance: Instance,
    map: string,
  ): Promise<{ count: number; keys: Buffer; values: Buffer }> {
    return await this.#map(key, map, instance).dump();
  }

  /** All rows of a state map that is pinned under another name than the instance uses. */
  async dumpStateMap(cube: string, pin: string): Promise<{ count: number; keys: Buffer; values: Buffer }> {
    const map = BpfMap.openPinned(this.#options.pins.stateMap(cube, pin));
    try {
      return await map.dump();
    } finally {
      map.close();
    }
  }

  /** Tag that the kernel computed for the program of a complete instance. */
  tagOf(key: string): string {
    return withProgram(join(this.#options.pins.instance(key), 'program'), (program) => program.info().tag);
  }

  /** Lets go of descriptors; what is pinned lives on. */
  close(): void {
    for (const map of this.#shared.values()) map.close();
    for (const maps of this.#maps.values()) for (const map of maps.values()) map.close();
    for (const map of this.#graceMaps ?? []) map.close();
    this.#flows.close();
    this.#shared.clear();
    this.#maps.clear();
    this.#graceMaps = undefined;
  }

  /** Returns what was done in place of the action, if anything. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most branches return nothing
  async #run(action: Action, instances: ReadonlyMap<string, Instance>): Promise<Action | void> {
    const { pins } = this.#options;
    switch (action.op) {
      case 'Ip':
        return await ipBatch([action.line]);
      case 'CreateMaps':
      case 'AddMaps':
        return await createSharedMaps(this.#options);
      case 'LoadEntry':
        return await loadEntry(this.#options, action.hash);
      case 'LoadInstance':
        return await this.#loader.load(action.key, action.instance, action.carry);
      case 'CarryRows':
        return await this.#carryRows(action, instances.get(action.key));
      case 'WriteMap':
        return await this.#write(
          this.#map(action.key, action.write.map, instances.get(action.key)),
          action.write,
        );
      case 'SetSlot':
        return this.#setSlot(action.slot, action.key, instances.get(action.key));
      case 'PinProgram':
        return this.#withProgram(action.key, (program) =>
          program.pin(join(pins.instance(action.key), 'program')),
        );
      case 'WriteRows': {
        const map = this.#sharedMap(action.map);
        for (const [key, value] of action.rows) map.update(bytes(key), bytes(value));
        return;
      }
      case 'DeleteRows': {
        const map = this.#sharedMap(action.map);
        for (const key of action.keys) map.delete(bytes(key));
        return;
      }
      case 'WriteConfig':
        return this.#writeConfig(({ epoch, tracing }) => ({
          ...nodeConfig.decodeValue(bytes(action.config)),
          epoch,
          tracing,
        }));
      case 'Flip':
        return this.#writeConfig((config) => ({ ...config, epoch: action.epoch }));
      case 'WriteEdges':
        return this.#writeEdges(action.bank, action.edges);
      case 'Grace':
        return this.#grace();
      case 'Attach':
        return this.#attach(action.pin, action.ifindex, action.entry);
      case 'AttachFilter':
        return await this.#attachFilter(action);
      case 'RemoveFilter':
        return await removeFilter(action.ifindex);
      case 'RenameLink':
        return renameSync(pins.link(action.from), pins.link(action.pin));
      case 'UpdateLink':
        return this.#updateLink(action.pin, action.entry);
      case 'TakeOverLink':
        return takeOverLink(pins, action.abi, action.pin, action.entry);
      case 'RemoveAbi':
        return removeOlder(pins, action.abi);
      case 'Detach':
        return detachLink(TcxLink, pins.link(action.pin));
      case 'ClearSlot':
        this.#flows.removeSlot(action.slot);
        this.#sharedMap('slots').clearProgram(action.slot);
        if (names(join(pins.root, 'node')).includes('xdp_slots'))
          this.#sharedMap('xdp_slots').clearProgram(action.slot);
        return;
      case 'RemoveInstance':
        return this.#removeInstance(action.key);
      case 'RemoveStateMaps': {
        for (const pin of action.pins) unpin(pins.stateMap(action.cube, pin));
        removeIfEmpty(join(pins.cube(action.cube), 'state'));
        removeIfEmpty(pins.cube(action.cube));
        return;
      }
      case 'LoadXdpEntry':
      case 'AttachXdp':
      case 'TakeOverXdp':
      case 'UpdateXdp':
      case 'DetachXdp':
      case 'RemoveXdpEntry':
        return await runXdp(action, this.#options);
      case 'AttachCgroup':
      case 'TakeOverCgroup':
      case 'UpdateCgroup':
      case 'DetachCgroup':
        return runCgroup(action, pins);
      case 'RemoveEntry':
        unpin(pins.program('entry', action.hash));
        unpin(pins.program('dry', action.hash));
        unpin(pins.program('copies', action.hash));
    }
  }

  /** What the entry counts for a cube has to be known before a graph leads there. */
  #setSlot(slot: number, key: string, instance: Instance | undefined): void {
    const isXdp = instance?.hook === 'XDP';
    if (!isXdp)
      this.#flows.setSlot(slot, {
        ports: this.#map(key, 'port_counters', instance),
        counters: this.#map(key, 'counters', instance),
      });
    this.#withProgram(key, (program) =>
      this.#sharedMap(isXdp ? 'xdp_slots' : 'slots').setProgram(slot, program),
    );
  }

  async #carryRows(action: Action & { op: 'CarryRows' }, instance: Instance | undefined): Promise<void> {
    if (instance === undefined) return;
    const from = this.#options.pins.stateMap(instance.cubePin, action.from);
    const to = this.#map(action.key, action.map, instance);
    await carryRows(from, to, migrationFrom(instance, action.map, action.from), false);
  }

  #withProgram(key: string, use: (program: BpfProgram) => void): void {
    const loaded = this.#loader.program(key);
    if (loaded !== undefined) use(loaded);
    else withProgram(join(this.#options.pins.instance(key), 'program'), use);
  }

  #sharedMap(name: string): BpfMap {
    let map = this.#shared.get(name);
    if (map === undefined) {
      map = BpfMap.openPinned(this.#options.pins.sharedMap(name));
      this.#shared.set(name, map);
    }
    return map;
  }

  #map(key: string, name: string, instance: Instance | undefined): BpfMap {
    let maps = this.#maps.get(key);
    if (maps === undefined) {
      maps = new Map();
      this.#maps.set(key, maps);
    }
    let map = maps.get(name);
    if (map === undefined) {
      map = BpfMap.openPinned(this.#options.pins.mapOf(key, instance, name));
      maps.set(name, map);
    }
    return map;
  }

  async #write(map: BpfMap, write: MapWrite): Promise<void> {
    if (write.count === 0) return;
    const large = write.count > SYNC_ROWS;
    if (write.op === 'delete') {
      if (large) await map.deleteBatch(write.keys);
      else map.deleteBatchSync(write.keys);
    } else if (large) {
      await map.updateBatch(write.keys, write.values);
    } else {
      map.updateBatchSync(write.keys, write.values);
    }
  }

  /** One array element: the kernel copies it word by word, and the epoch shares its word with no field that differs. */
  #writeConfig(change: (before: NodeConfig) => NodeConfig): void {
    const map = this.#sharedMap('node_config');
    const key = Buffer.alloc(nodeConfig.keySize);
    const value = map.lookup(key) ?? Buffer.alloc(nodeConfig.valueSize);
    nodeConfig.encodeValue(change(nodeConfig.decodeValue(value)), value);
    map.update(key, value);
  }

  #writeEdges(bank: number, edges: readonly (readonly [number, bigint])[]): void {
    const first = bank * CUBE_SLOTS * CUBE_PORTS;
    const rows = edges.map(([index, value]) => ({ key: first + index, value }));
    const { keys, values } = encodeRows(edgesCodec, rows);
    this.#sharedMap('edges').updateBatchSync(keys, values);
  }

  /** The kernel lets an update of a map of maps wait until all running programs have ended (synchronize_rcu). */
  #grace(): void {
    if (this.#graceMaps === undefined) {
      const inner = BpfMap.create({
        name: 'grace',
        type: MapType.Array,
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
      });
      const outer = BpfMap.create({
        name: 'graces',
        type: MapType.ArrayOfMaps,
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        innerMap: inner,
      });
      this.#graceMaps = [outer, inner];
    }
    const [outer, inner] = this.#graceMaps;
    outer.setInner(Buffer.alloc(4), inner);
  }

  #attach(pin: string, ifindex: number, entry: string): void {
    const { pins } = this.#options;
    const name = programOfPin(pin);
    const direction = name === 'copies' ? 'egress' : 'ingress';
    withProgram(pins.program(name, entry), (program) =>
      keepLink(TcxLink.create(program, ifindex, direction), pins.link(pin)),
    );
  }

  /** A kernel without such filters makes the link at once. */
  async #attachFilter({
    name,
    ifindex,
    entry,
  }: Action & { op: 'AttachFilter' }): Promise<Action | undefined> {
    const program = BpfProgram.openPinned(this.#options.pins.program('entry', entry));
    try {
      if (await attachFilter(program, ifindex)) return undefined;
    } finally {
      program.close();
    }
    const pin = pinNameOfInterface(name);
    this.#attach(pin, ifindex, entry);
    return { op: 'Attach', pin, name, ifindex, entry };
  }

  #updateLink(pin: string, entry: string): void {
    const { pins } = this.#options;
    withProgram(pins.program(programOfPin(pin), entry), (program) =>
      updateLink(TcxLink, pins.link(pin), program),
    );
  }

  #removeInstance(key: string): void {
    for (const map of this.#maps.get(key)?.values() ?? []) map.close();
    this.#maps.delete(key);
    removeFolder(this.#options.pins.instance(key), ['program']);
  }
}

function bytes(hex: Hex): Buffer {
  return Buffer.from(hex, 'hex');
}
