// SPDX-License-Identifier: Apache-2.0
import type { Action } from './actions.ts';
import { EMPTY_KERNEL, type KernelState, NO_CGROUP } from './state.ts';

/**
 * What the kernel holds after an action. The agent keeps its picture of the kernel by this between two looks at it, and
 * tests run plans on it. It proves the logic of plans, not the kernel. Pure.
 */
export function applyAction(state: KernelState, action: Action): KernelState {
  switch (action.op) {
    case 'CreateMaps':
      return {
        ...EMPTY_KERNEL,
        instances: state.instances,
        stateMaps: state.stateMaps,
        filters: state.filters,
        older: state.older,
        xdp: state.xdp,
        cgroup: state.cgroup,
        ready: true,
      };
    case 'AddMaps':
      return { ...state, mapsDiffer: false };
    case 'LoadEntry': {
      const old = state.entry === undefined ? [] : [state.entry];
      return { ...state, entry: action.hash, oldEntries: [...state.oldEntries, ...old] };
    }
    case 'LoadInstance': {
      const { cubePin, stateMaps } = action.instance;
      const pins = new Set([...(state.stateMaps.get(cubePin) ?? []), ...stateMaps.values()]);
      return {
        ...state,
        instances: new Map(state.instances).set(action.key, { complete: false }),
        stateMaps: new Map(state.stateMaps).set(cubePin, pins),
      };
    }
    case 'PinProgram':
      return { ...state, instances: new Map(state.instances).set(action.key, { complete: true }) };
    case 'SetSlot':
      return { ...state, slots: new Map(state.slots).set(action.slot, action.key) };
    case 'ClearSlot':
      return { ...state, slots: without(state.slots, [action.slot]) };
    case 'WriteRows': {
      const rows = new Map(state.rows[action.map]);
      for (const [key, value] of action.rows) rows.set(key, value);
      return { ...state, rows: { ...state.rows, [action.map]: rows } };
    }
    case 'DeleteRows': {
      const rows = without(state.rows[action.map], action.keys);
      return { ...state, rows: { ...state.rows, [action.map]: rows } };
    }
    case 'WriteConfig':
      return { ...state, config: action.config };
    case 'WriteEdges': {
      const bank = new Map(state.banks[action.bank]);
      for (const [index, word] of action.edges) {
        if (word === 0n) bank.delete(index);
        else bank.set(index, word);
      }
      return { ...state, banks: action.bank === 0 ? [bank, state.banks[1]] : [state.banks[0], bank] };
    }
    case 'Flip':
      return { ...state, epoch: action.epoch, graceDue: true };
    case 'Grace':
      return { ...state, graceDue: false };
    case 'RemoveAbi':
      return { ...state, older: undefined };
    case 'Attach':
    case 'TakeOverLink':
    case 'UpdateLink': {
      const ifindex =
        action.op !== 'UpdateLink' ? action.ifindex : (state.links.get(action.pin)?.ifindex ?? 0);
      return { ...state, links: new Map(state.links).set(action.pin, { ifindex, entry: action.entry }) };
    }
    case 'RenameLink': {
      const links = without(state.links, [action.from]);
      const link = state.links.get(action.from);
      return { ...state, links: link === undefined ? links : new Map(links).set(action.pin, link) };
    }
    case 'AttachFilter':
      return { ...state, filters: new Map(state.filters).set(action.ifindex, action.entry) };
    case 'RemoveFilter':
      return { ...state, filters: without(state.filters, [action.ifindex]) };
    case 'Detach':
      return { ...state, links: without(state.links, [action.pin]) };
    case 'LoadXdpEntry': {
      const old = state.xdp.entry === undefined ? [] : [state.xdp.entry];
      const oldEntries = [...state.xdp.oldEntries, ...old];
      return { ...state, xdp: { ...state.xdp, entry: action.hash, oldEntries } };
    }
    case 'AttachXdp':
    case 'TakeOverXdp':
    case 'UpdateXdp': {
      const ifindex =
        action.op !== 'UpdateXdp' ? action.ifindex : (state.xdp.links.get(action.pin)?.ifindex ?? 0);
      const links = new Map(state.xdp.links).set(action.pin, { ifindex, entry: action.entry });
      return { ...state, xdp: { ...state.xdp, links } };
    }
    case 'DetachXdp':
      return { ...state, xdp: { ...state.xdp, links: without(state.xdp.links, [action.pin]) } };
    case 'RemoveXdpEntry': {
      const oldEntries = state.xdp.oldEntries.filter((hash) => hash !== action.hash);
      const entry = state.xdp.entry === action.hash ? undefined : state.xdp.entry;
      return { ...state, xdp: { ...state.xdp, entry, oldEntries } };
    }
    case 'AttachCgroup':
    case 'TakeOverCgroup':
    case 'UpdateCgroup': {
      const cgroup =
        action.op !== 'UpdateCgroup' ? action.cgroup : (state.cgroup.get(action.pin)?.cgroup ?? NO_CGROUP);
      return { ...state, cgroup: new Map(state.cgroup).set(action.pin, { cgroup, key: action.key }) };
    }
    case 'DetachCgroup':
      return { ...state, cgroup: without(state.cgroup, [action.pin]) };
    case 'RemoveInstance':
      return { ...state, instances: without(state.instances, [action.key]) };
    case 'RemoveStateMaps': {
      const left = new Set(state.stateMaps.get(action.cube));
      for (const pin of action.pins) left.delete(pin);
      const stateMaps = new Map(state.stateMaps);
      if (left.size === 0) stateMaps.delete(action.cube);
      else stateMaps.set(action.cube, left);
      return { ...state, stateMaps };
    }
    case 'RemoveEntry':
      return { ...state, oldEntries: state.oldEntries.filter((hash) => hash !== action.hash) };
    case 'Ip':
    case 'CarryRows':
    case 'WriteMap':
      return state;
  }
}

function without<K, V>(map: ReadonlyMap<K, V>, keys: readonly K[]): Map<K, V> {
  const copy = new Map(map);
  for (const key of keys) copy.delete(key);
  return copy;
}
