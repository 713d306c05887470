// SPDX-License-Identifier: Apache-2.0
/**
 * Observed against desired → actions, in the order in which no packet meets a half-made change:
 *
 *   leftovers of a killed agent out · maps · programs, filled, into free slots · rows · XDP off interfaces that have no
 *   cube there any more: packets then begin at TC · the idle bank of edges · flip · grace · links, of cgroups too ·
 *   everything that nothing leads to any more.
 *
 * After any prefix of a plan the edges in force lead to filled slots only, and a new plan from there ends in the same
 * state. Nothing to do is the empty list. Pure.
 */
import type { ImageChange, MapWrite } from '../cubes/cube-type.ts';
import type { Action } from './actions.ts';
import { carriedFrom, carriedMaps } from './carry.ts';
import { edgeSlot } from './layout.ts';
import { programOfPin, splitInstanceKey } from './names.ts';
import { renamedLinks } from './renamed-links.ts';
import { type DesiredState, type KernelState, ROW_MAPS } from './state.ts';

/** Rows for the maps of instances, by instance key. */
export type Fills = ReadonlyMap<string, ImageChange>;

export function plan(observed: KernelState, desired: DesiredState, fills: Fills = new Map()): Action[] {
  return new Planner(observed, desired, fills).run();
}

type KernelLink = KernelState['links'] extends ReadonlyMap<string, infer Link> ? Link : never;

class Planner {
  readonly #observed: KernelState;
  readonly #desired: DesiredState;
  readonly #fills: Fills;
  readonly #renamed: ReturnType<typeof renamedLinks<KernelLink>>;
  readonly #actions: Action[] = [];
  #graceDue: boolean;

  constructor(observed: KernelState, desired: DesiredState, fills: Fills) {
    this.#observed = observed;
    this.#desired = desired;
    this.#fills = fills;
    this.#renamed = renamedLinks(observed.links, desired.links);
    this.#graceDue = observed.graceDue;
  }

  run(): Action[] {
    this.#leftovers();
    if (!this.#observed.ready) this.#do({ op: 'CreateMaps' });
    else if (this.#observed.mapsDiffer) this.#do({ op: 'AddMaps' });
    if (this.#observed.entry !== this.#desired.entry)
      this.#do({ op: 'LoadEntry', hash: this.#desired.entry });
    this.#xdpEntry();
    this.#instances();
    this.#rows();
    this.#xdpOff();
    this.#links('copies'); // before there are any
    this.#edges();
    this.#links('entry');
    this.#filtersOff();
    this.#xdpLinks();
    this.#cgroupLinks();
    this.#removals();
    this.#older();
    return this.#actions;
  }

  /** Packets under way in the older programs still need their prog array. */
  #older(): void {
    const { older } = this.#observed;
    if (older === undefined) return;
    this.#graceDue = true;
    this.#grace();
    this.#do({ op: 'RemoveAbi', abi: older.abi });
  }

  #do(action: Action): void {
    this.#actions.push(action);
  }

  #grace(): void {
    if (!this.#graceDue) return;
    this.#do({ op: 'Grace' });
    this.#graceDue = false;
  }

  /** What an agent was making when it died: no edge leads there yet. */
  #leftovers(): void {
    for (const [key, { complete }] of this.#observed.instances) {
      if (complete) continue;
      const { slot } = splitInstanceKey(key);
      const holder = this.#observed.slots.get(slot);
      if (holder === '?' || holder === key) this.#do({ op: 'ClearSlot', slot });
      this.#do({ op: 'RemoveInstance', key });
    }
  }

  #instances(): void {
    const after: [string, MapWrite][] = [];
    for (const [key, instance] of this.#desired.instances) {
      const exists = this.#observed.instances.get(key)?.complete === true;
      const fill = this.#fills.get(key);
      if (!exists)
        this.#do({
          op: 'LoadInstance',
          key,
          instance,
          carry: carriedMaps(instance, this.#observed.stateMaps.get(instance.cubePin) ?? new Set()),
        });
      for (const write of fill?.writes ?? []) this.#do({ op: 'WriteMap', key, write });
      for (const write of fill?.afterGrace ?? []) after.push([key, write]);
      if (instance.hook !== 'Cgroup' && (!exists || this.#observed.slots.get(instance.slot) !== key)) {
        this.#do({ op: 'SetSlot', slot: instance.slot, key });
      }
      if (!exists) this.#do({ op: 'PinProgram', key });
    }
    if (after.length === 0) return;
    this.#graceDue = true;
    this.#grace();
    for (const [key, write] of after) this.#do({ op: 'WriteMap', key, write });
  }

  #rows(): void {
    for (const map of ROW_MAPS) {
      const before = this.#observed.rows[map];
      const rows = [...this.#desired.rows[map]].filter(([key, value]) => before.get(key) !== value);
      if (rows.length > 0) this.#do({ op: 'WriteRows', map, rows });
    }
    if (this.#observed.config !== this.#desired.config) {
      this.#do({ op: 'WriteConfig', config: this.#desired.config });
    }
  }

  #edges(): void {
    const { epoch, banks } = this.#observed;
    const { edges } = this.#desired;
    const active = banks[(epoch & 1) as 0 | 1];
    if (difference(active, edges).length === 0) return;
    const idle = ((epoch + 1) & 1) as 0 | 1;
    const writes = difference(banks[idle], edges);
    this.#grace();
    if (writes.length > 0) this.#do({ op: 'WriteEdges', bank: idle, edges: writes });
    this.#do({ op: 'Flip', epoch: (epoch + 1) >>> 0 });
    this.#graceDue = true;
    this.#grace();
  }

  #links(program: ReturnType<typeof programOfPin>): void {
    const { renames, links } = this.#renamed;
    for (const rename of renames)
      if (programOfPin(rename.pin) === program) this.#do({ op: 'RenameLink', ...rename });
    for (const [pin, { ifindex, name, isNew }] of this.#desired.links) {
      if (programOfPin(pin) !== program) continue;
      const there = links.get(pin);
      const { older, filters } = this.#observed;
      if (there?.ifindex !== ifindex && isNew === true) {
        if (filters.get(ifindex) !== this.#desired.entry)
          this.#do({ op: 'AttachFilter', name, ifindex, entry: this.#desired.entry });
      } else if (there?.ifindex !== ifindex && older?.links.get(pin) === ifindex) {
        this.#do({ op: 'TakeOverLink', abi: older.abi, pin, ifindex, entry: this.#desired.entry });
      } else if (there?.ifindex !== ifindex) {
        this.#do({ op: 'Attach', pin, name, ifindex, entry: this.#desired.entry });
      } else if (there.entry !== this.#desired.entry) {
        this.#do({ op: 'UpdateLink', pin, entry: this.#desired.entry });
      }
    }
  }

  /** Of interfaces that have their link, or are gone. */
  #filtersOff(): void {
    const { links } = this.#renamed;
    const wanted = [...this.#desired.links].filter(
      ([pin, { ifindex, isNew }]) => isNew === true && links.get(pin)?.ifindex !== ifindex,
    );
    const still = new Set(wanted.map(([, { ifindex }]) => ifindex));
    for (const ifindex of this.#observed.filters.keys())
      if (!still.has(ifindex)) this.#do({ op: 'RemoveFilter', ifindex });
  }

  #xdpEntry(): void {
    const { entry } = this.#desired.xdp;
    if (entry !== undefined && this.#observed.xdp.entry !== entry)
      this.#do({ op: 'LoadXdpEntry', hash: entry });
  }

  #xdpOff(): void {
    for (const pin of this.#observed.xdp.links.keys())
      if (!this.#desired.xdp.links.has(pin)) this.#do({ op: 'DetachXdp', pin });
  }

  #xdpLinks(): void {
    const { entry = '', links } = this.#desired.xdp;
    for (const [pin, { ifindex, name }] of links) {
      const there = this.#observed.xdp.links.get(pin);
      const { older } = this.#observed;
      if (there?.ifindex !== ifindex && older?.xdp.get(pin) === ifindex)
        this.#do({ op: 'TakeOverXdp', abi: older.abi, pin, ifindex, entry });
      else if (there?.ifindex !== ifindex) this.#do({ op: 'AttachXdp', pin, name, ifindex, entry });
      else if (there.entry !== entry) this.#do({ op: 'UpdateXdp', pin, entry });
    }
  }

  /** Calls that began before end in the earlier program. */
  #cgroupLinks(): void {
    const { cgroup: observed, older } = this.#observed;
    for (const [pin, { cgroup, path, key, program }] of this.#desired.cgroup) {
      const there = observed.get(pin);
      if (there?.cgroup !== cgroup && older?.cgroup.get(pin) === cgroup)
        this.#do({ op: 'TakeOverCgroup', abi: older.abi, pin, key, program, cgroup });
      else if (there?.cgroup !== cgroup) this.#do({ op: 'AttachCgroup', pin, key, program, path, cgroup });
      else if (there.key !== key) {
        this.#do({ op: 'UpdateCgroup', pin, key, program });
        this.#graceDue = true;
      }
    }
    for (const pin of observed.keys())
      if (!this.#desired.cgroup.has(pin)) this.#do({ op: 'DetachCgroup', pin });
  }

  #removals(): void {
    const { observed, desired } = { observed: this.#observed, desired: this.#desired };
    for (const pin of this.#renamed.links.keys())
      if (!desired.links.has(pin)) this.#do({ op: 'Detach', pin });
    for (const map of ROW_MAPS) {
      const keys = [...observed.rows[map].keys()].filter((key) => !desired.rows[map].has(key));
      if (keys.length > 0) this.#do({ op: 'DeleteRows', map, keys });
    }
    const slots = new Set([...desired.instances.values()].map((instance) => instance.slot));
    const cleared = new Set(
      this.#actions.flatMap((action) => (action.op === 'ClearSlot' ? [action.slot] : [])),
    );
    for (const slot of observed.slots.keys()) {
      if (slots.has(slot) || cleared.has(slot)) continue;
      this.#grace();
      this.#do({ op: 'ClearSlot', slot });
    }
    for (const [key, { complete }] of observed.instances) {
      if (!complete || desired.instances.has(key)) continue;
      this.#grace();
      this.#do({ op: 'RemoveInstance', key });
    }
    this.#stateMaps();
    const old = observed.entry === undefined || observed.entry === desired.entry ? [] : [observed.entry];
    for (const hash of [...observed.oldEntries, ...old]) this.#do({ op: 'RemoveEntry', hash });
    const { entry, oldEntries } = observed.xdp;
    const oldXdp = entry === undefined || entry === desired.xdp.entry ? [] : [entry];
    for (const hash of [...oldEntries, ...oldXdp]) this.#do({ op: 'RemoveXdpEntry', hash });
  }

  /** State of cubes that are gone, and of layouts and sizes that no instance uses. */
  #stateMaps(): void {
    const used = new Map<string, Set<string>>();
    for (const { cubePin, stateMaps } of this.#desired.instances.values()) {
      const pins = used.get(cubePin) ?? new Set();
      used.set(cubePin, pins);
      for (const pin of stateMaps.values()) pins.add(pin);
    }
    for (const [cube, there] of this.#observed.stateMaps) {
      const pins = [...there].filter((pin) => !used.get(cube)?.has(pin));
      if (pins.length === 0 && used.has(cube)) continue;
      this.#carryLate(cube, pins);
      this.#do({ op: 'RemoveStateMaps', cube, pins });
    }
  }

  /** Until the flip packets of the earlier program wrote into the map that goes now. */
  #carryLate(cube: string, gone: readonly string[]): void {
    for (const [key, { cubePin, stateMaps, carried }] of this.#desired.instances) {
      if (cubePin !== cube) continue;
      for (const [map, pin] of stateMaps) {
        const how = carried.get(map);
        const from = how?.writer === 'program' ? carriedFrom(pin, how, gone) : undefined;
        if (from === undefined) continue;
        this.#grace();
        this.#do({ op: 'CarryRows', key, map, from });
      }
    }
  }
}

/** Writes that make `from` into `to`; what is in `from` only becomes `none`. */
function difference(from: ReadonlyMap<number, bigint>, to: ReadonlyMap<number, bigint>): [number, bigint][] {
  const writes: [number, bigint][] = [];
  for (const [index, word] of to) if (from.get(index) !== word) writes.push([index, word]);
  for (const index of from.keys()) if (!to.has(index)) writes.push([index, 0n]);
  return writes.sort(([a], [b]) => a - b);
}

/** Slots that the edges in force lead to and that hold no program: never any, at no step of a plan. */
export function danglingSlots(state: KernelState): number[] {
  const active = state.banks[(state.epoch & 1) as 0 | 1];
  const slots = [...active.values()].map(edgeSlot).filter((slot) => slot !== undefined);
  return [...new Set(slots)].filter((slot) => !state.slots.has(slot));
}
