// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { edges, nodeConfig } from '../generated/tcx.ts';
import { CUBE_BANKS, CUBE_PORTS, CUBE_SLOTS, EMPTY_CONFIG, encodeConfig, type Hex } from '../layout.ts';
import { EMPTY_KERNEL, type KernelState, type ObservedInstance, ROW_MAPS, type RowMap } from '../state.ts';
import { BpfMap, TcxLink } from './addon/index.ts';
import { observeCgroup } from './cgroup.ts';
import { withLink, withProgram } from './links.ts';
import { observeOlder } from './older-abi.ts';
import { FORMER_MAPS, LATER_MAPS, names, type Pins, SHARED_MAPS } from './pins.ts';
import { observeFilters } from './tc-filter.ts';
import { observeXdp, observeXdpSlots } from './xdp.ts';

const BANK_SIZE = CUBE_SLOTS * CUBE_PORTS;

/** Reads back what earlier agents pinned. Cheap next to one packet of a chain per millisecond: about 10 ms. */
export async function observe(pins: Pins): Promise<KernelState> {
  const shared = new Set(names(join(pins.root, 'node')));
  const missing = SHARED_MAPS.filter((map) => !shared.has(map));
  const ready = missing.every((map) => LATER_MAPS.has(map));
  const { instances, programs } = observeInstances(pins);
  const stateMaps = new Map<string, Set<string>>();
  for (const cube of names(join(pins.root, 'cubes'))) {
    const maps = names(join(pins.cube(cube), 'state'));
    if (maps.length > 0) stateMaps.set(cube, new Set(maps));
  }
  const entries = observePrograms(pins, 'entry');
  const filters = await observeFilters(entries);
  const links = observeLinks(pins, new Map([...entries, ...observePrograms(pins, 'copies')]));
  const xdp = observeXdp(pins);
  const cgroup = observeCgroup(pins, instances.keys());
  if (!ready) {
    const older = observeOlder(pins);
    return { ...EMPTY_KERNEL, instances, stateMaps, links, filters, older, xdp, cgroup };
  }
  const { epoch, config } = observeConfig(pins);
  return {
    ready,
    mapsDiffer: missing.length > 0 || FORMER_MAPS.some((map) => shared.has(map)),
    entry: [...entries.values()][0],
    oldEntries: [...entries.values()].slice(1),
    epoch,
    config,
    banks: observeEdges(pins),
    slots: observeSlots(pins, programs),
    instances,
    stateMaps,
    rows: Object.fromEntries(ROW_MAPS.map((map) => [map, observeRows(pins, map)])) as Record<
      RowMap,
      Map<Hex, Hex>
    >,
    links,
    filters,
    older: observeOlder(pins),
    xdp,
    cgroup,
    graceDue: true,
  };
}

function withMap<T>(path: string, read: (map: BpfMap) => T): T {
  const map = BpfMap.openPinned(path);
  try {
    return read(map);
  } finally {
    map.close();
  }
}

function programId(path: string): number {
  return withProgram(path, (program) => program.info().id);
}

function observeInstances(pins: Pins): {
  instances: Map<string, ObservedInstance>;
  programs: Map<number, string>;
} {
  const instances = new Map<string, ObservedInstance>();
  const programs = new Map<number, string>();
  for (const cube of names(join(pins.root, 'cubes'))) {
    for (const name of names(pins.cube(cube))) {
      if (name === 'state') continue;
      const key = `${cube}/${name}`;
      const complete = names(pins.instance(key)).includes('program');
      instances.set(key, { complete });
      if (complete) programs.set(programId(join(pins.instance(key), 'program')), key);
    }
  }
  return { instances, programs };
}

/** Program id → hash of the object that it came from. */
function observePrograms(pins: Pins, program: 'entry' | 'copies'): Map<number, string> {
  const programs = new Map<number, string>();
  for (const name of names(join(pins.root, 'programs'))) {
    if (!name.startsWith(`${program}_`)) continue;
    const hash = name.slice(program.length + 1);
    programs.set(programId(pins.program(program, hash)), hash);
  }
  return programs;
}

function observeLinks(pins: Pins, programs: ReadonlyMap<number, string>): KernelState['links'] {
  const links = new Map<string, { ifindex: number; entry: string | undefined }>();
  for (const name of names(join(pins.root, 'links'))) {
    if (name.endsWith('_new')) continue;
    const { ifindex, programId: id } = withLink(TcxLink, pins.link(name), (link) => link.info());
    links.set(name, { ifindex, entry: programs.get(id) });
  }
  return links;
}

function observeConfig(pins: Pins): { epoch: number; config: Hex } {
  return withMap(pins.sharedMap('node_config'), (map) => {
    const value = map.lookup(Buffer.alloc(nodeConfig.keySize));
    if (value === undefined) return { epoch: 0, config: EMPTY_CONFIG };
    const { epoch, tracing: _, ...config } = nodeConfig.decodeValue(value);
    return { epoch, config: encodeConfig(config) };
  });
}

function observeEdges(pins: Pins): KernelState['banks'] {
  return withMap(pins.sharedMap('edges'), (map) => {
    const { count, keys, values } = map.dumpSync();
    const banks: [Map<number, bigint>, Map<number, bigint>] = [new Map(), new Map()];
    for (let i = 0; i < count; i++) {
      const word = edges.decodeValue(values, i * edges.valueSize);
      if (word === 0n) continue;
      const index = edges.decodeKey(keys, i * edges.keySize);
      banks[(Math.floor(index / BANK_SIZE) % CUBE_BANKS) as 0 | 1].set(index % BANK_SIZE, word);
    }
    return banks;
  });
}

function observeSlots(pins: Pins, programs: ReadonlyMap<number, string>): Map<number, string> {
  return withMap(pins.sharedMap('slots'), (map) => {
    const slots = new Map<number, string>();
    for (let slot = 0; slot < CUBE_SLOTS; slot++) {
      const id = map.programId(slot);
      if (id !== undefined) slots.set(slot, programs.get(id) ?? '?');
    }
    for (const [slot, id] of observeXdpSlots(pins, CUBE_SLOTS)) slots.set(slot, programs.get(id) ?? '?');
    return slots;
  });
}

function observeRows(pins: Pins, name: RowMap): Map<Hex, Hex> {
  return withMap(pins.sharedMap(name), (map) => {
    const { count, keys, values } = map.dumpSync();
    const rows = new Map<Hex, Hex>();
    for (let i = 0; i < count; i++) {
      const key = keys.toString('hex', i * map.keySize, (i + 1) * map.keySize);
      rows.set(key, values.toString('hex', i * map.valueSize, (i + 1) * map.valueSize));
    }
    return rows;
  });
}
