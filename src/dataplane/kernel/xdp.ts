// SPDX-License-Identifier: Apache-2.0
/** The XDP side of executor and observation: its entry program, its prog array, its links. */
import { join } from 'node:path';
import type { XdpAction } from '../actions.ts';
import type { KernelState } from '../state.ts';
import { BpfMap, loadObject, unpin, XdpLink } from './addon/index.ts';
import { detachLink, keepLink, updateLink, withLink, withProgram } from './links.ts';
import { takeOverXdp } from './older-abi.ts';
import { names, type Pins, XDP_MAPS } from './pins.ts';

export interface XdpOptions {
  readonly pins: Pins;
  readonly objects: string;
}

/** Pinned paths of the maps that programs at XDP share, by name; with those that are there already. */
export function xdpMaps(pins: Pins): Record<string, string> {
  const there = new Set(names(join(pins.root, 'node')));
  const own = XDP_MAPS.map((map) => [map, pins.sharedMap(map)] as const);
  const all = [...Object.entries(pins.sharedMaps('xdp')), ...own];
  return Object.fromEntries(all.filter(([map]) => there.has(map)));
}

export async function runXdp(action: XdpAction, { pins, objects }: XdpOptions): Promise<void> {
  switch (action.op) {
    case 'LoadXdpEntry': {
      const reuseMaps = xdpMaps(pins);
      const object = await loadObject({ path: join(objects, 'xdp.o'), reuseMaps });
      try {
        for (const map of XDP_MAPS)
          if (reuseMaps[map] === undefined) object.map(map).pin(pins.sharedMap(map));
        object.program('xdp_entry').pin(pins.program('xdp', action.hash), { replace: true });
      } finally {
        object.close();
      }
      return;
    }
    case 'AttachXdp':
      return withProgram(pins.program('xdp', action.entry), (program) =>
        keepLink(XdpLink.create(program, action.ifindex), pins.xdpLink(action.pin)),
      );
    case 'TakeOverXdp':
      return takeOverXdp(pins, action.abi, action.pin, action.entry);
    case 'UpdateXdp':
      return withProgram(pins.program('xdp', action.entry), (program) =>
        updateLink(XdpLink, pins.xdpLink(action.pin), program),
      );
    case 'DetachXdp':
      return detachLink(XdpLink, pins.xdpLink(action.pin));
    case 'RemoveXdpEntry':
      unpin(pins.program('xdp', action.hash));
  }
}

export function observeXdp(pins: Pins): KernelState['xdp'] {
  const entries = new Map<number, string>();
  for (const name of names(join(pins.root, 'programs'))) {
    if (!name.startsWith('xdp_')) continue;
    const hash = name.slice('xdp_'.length);
    entries.set(
      withProgram(pins.program('xdp', hash), (program) => program.info().id),
      hash,
    );
  }
  const links = new Map<string, { ifindex: number; entry: string | undefined }>();
  for (const name of names(join(pins.root, 'xdp'))) {
    if (name.endsWith('_new')) continue;
    const { ifindex, programId } = withLink(XdpLink, pins.xdpLink(name), (link) => link.info());
    links.set(name, { ifindex, entry: entries.get(programId) });
  }
  return { entry: [...entries.values()][0], oldEntries: [...entries.values()].slice(1), links };
}

/** Program ids in the slots of XDP; none before the first cube there. */
export function observeXdpSlots(pins: Pins, slots: number): Map<number, number> {
  const ids = new Map<number, number>();
  if (!names(join(pins.root, 'node')).includes('xdp_slots')) return ids;
  const map = BpfMap.openPinned(pins.sharedMap('xdp_slots'));
  try {
    for (let slot = 0; slot < slots; slot++) {
      const id = map.programId(slot);
      if (id !== undefined) ids.set(slot, id);
    }
  } finally {
    map.close();
  }
  return ids;
}
