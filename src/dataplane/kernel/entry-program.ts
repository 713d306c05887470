// SPDX-License-Identifier: Apache-2.0
/** The object of the entry program, which brings the maps that all programs of a node share. */
import { join } from 'node:path';
import { loadObject, possibleCpus, unpin } from './addon/index.ts';
import { cubeConstants, type NodeConstants } from './cube-constants.ts';
import { flowRecords } from './flow-cache.ts';
import { FORMER_MAPS, names, type Pins, SHARED_MAPS } from './pins.ts';

export interface EntryOptions extends NodeConstants {
  readonly pins: Pins;
  /** Folder of the object files. */
  readonly objects: string;
}

/** Pins the shared maps that are not there yet. Throws KernelError. */
export async function createSharedMaps({ pins, objects }: EntryOptions): Promise<void> {
  pins.prepare();
  const there = new Set(names(join(pins.root, 'node')));
  const reuseMaps = Object.fromEntries(
    SHARED_MAPS.filter((map) => there.has(map)).map((map) => [map, pins.sharedMap(map)]),
  );
  const programs = { entry: { load: false }, entry_dry: { load: false }, copies: { load: false } };
  const mapSizes = there.has('flow_records') ? {} : { flow_records: flowRecords(possibleCpus()) };
  const object = await loadObject({ path: join(objects, 'tcx.o'), reuseMaps, mapSizes, programs });
  try {
    for (const map of SHARED_MAPS) if (!there.has(map)) object.map(map).pin(pins.sharedMap(map));
    for (const map of FORMER_MAPS) if (there.has(map)) unpin(pins.sharedMap(map));
  } finally {
    object.close();
  }
}

/** Loads and pins the entry program and its like, under the hash of their object file. Throws KernelError. */
export async function loadEntry(options: EntryOptions, hash: string): Promise<void> {
  const { pins, objects } = options;
  const object = await loadObject({
    path: join(objects, 'tcx.o'),
    reuseMaps: pins.sharedMaps('entry'),
    variables: { cube: cubeConstants(options) },
  });
  try {
    object.program('entry_dry').pin(pins.program('dry', hash), { replace: true });
    object.program('copies').pin(pins.program('copies', hash), { replace: true });
    object.program('entry').pin(pins.program('entry', hash));
  } finally {
    object.close();
  }
}
