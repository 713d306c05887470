// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from '../state.ts';
import { type BpfObject, type BpfProgram, loadObject } from './addon/index.ts';
import { carryRows, migrationFrom } from './carry-rows.ts';
import { cubeConstants, type NodeConstants } from './cube-constants.ts';
import { names, type Pins } from './pins.ts';
import { xdpMaps } from './xdp.ts';

export interface LoaderOptions extends NodeConstants {
  readonly pins: Pins;
  /** Folder of the object files. */
  readonly objects: string;
}

interface Loaded {
  readonly object: BpfObject;
  /** State maps that were pinned before. */
  readonly there: ReadonlySet<string>;
}

/** Loads the objects of cubes, and holds them until what they are for is pinned. */
export class InstanceLoader {
  readonly #options: LoaderOptions;
  /** Begun before any action asked for it. */
  readonly #ahead = new Map<string, Promise<Loaded>>();
  /** Its maps are pinned, its program is not yet. */
  readonly #loaded = new Map<string, { readonly object: BpfObject; readonly program: string }>();

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /**
   * Begins to load what a `LoadInstance` will ask for: verifier and allocator work in the kernel, on another core, while
   * rows are still being computed here. Nothing is pinned, so what no action takes is gone with `release`.
   */
  ahead(key: string, instance: Instance): void {
    if (this.#ahead.has(key)) return;
    const loading = this.#load(instance);
    loading.catch(() => {}); // The action that takes it hears of it.
    this.#ahead.set(key, loading);
  }

  /**
   * Loads an instance and pins its maps, those of `carry` with the rows of an earlier one: a state map that is pinned has
   * them all, however the agent ends.
   */
  async load(
    key: string,
    instance: Instance,
    carry: readonly (readonly [map: string, from: string])[],
  ): Promise<void> {
    const { pins } = this.#options;
    const ahead = this.#ahead.get(key);
    this.#ahead.delete(key);
    const { object, there } = await (ahead ?? this.#load(instance));
    this.#loaded.set(key, { object, program: instance.program });
    mkdirSync(pins.instance(key), { recursive: true, mode: 0o700 });
    mkdirSync(join(pins.cube(instance.cubePin), 'state'), { recursive: true, mode: 0o700 });
    for (const [map, from] of carry) {
      const path = pins.stateMap(instance.cubePin, from);
      await carryRows(path, object.map(map), migrationFrom(instance, map, from), true);
    }
    for (const [map, pin] of instance.stateMaps) {
      if (!there.has(pin)) object.map(map).pin(pins.stateMap(instance.cubePin, pin));
    }
    for (const map of instance.configMaps) object.map(map).pin(join(pins.instance(key), map));
    for (const [name, program] of object.programs) {
      if (name !== instance.program) program.pin(pins.helper(key, name));
    }
  }

  /** The cube's program, from `load` until `release`. */
  program(key: string): BpfProgram | undefined {
    const loaded = this.#loaded.get(key);
    return loaded?.object.program(loaded.program);
  }

  /** Lets go of all that was loaded; what is pinned stays. */
  release(): void {
    for (const { object } of this.#loaded.values()) object.close();
    this.#loaded.clear();
    for (const loading of this.#ahead.values()) {
      void loading.then(
        ({ object }) => object.close(),
        () => {},
      );
    }
    this.#ahead.clear();
  }

  /** Pinned paths of the node's maps that programs of its hook use. */
  #nodeMaps({ hook }: Instance): Record<string, string> {
    if (hook === 'Cgroup') return {}; // there is no packet, and no graph
    return hook === 'XDP' ? xdpMaps(this.#options.pins) : this.#options.pins.sharedMaps('cube');
  }

  async #load(instance: Instance): Promise<Loaded> {
    const { pins, objects } = this.#options;
    const there = new Set(names(join(pins.cube(instance.cubePin), 'state')));
    const reuseMaps = this.#nodeMaps(instance);
    for (const [map, pin] of instance.stateMaps) {
      if (there.has(pin)) reuseMaps[map] = pins.stateMap(instance.cubePin, pin);
    }
    const sizes = Object.entries(instance.sizes).filter(([map]) => reuseMaps[map] === undefined);
    const object = await loadObject({
      path: join(objects, `${instance.object}.o`),
      reuseMaps,
      mapSizes: Object.fromEntries(sizes),
      variables: { ...instance.rodata, cube: cubeConstants(this.#options, instance) },
    });
    return { object, there };
  }
}
