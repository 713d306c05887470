// SPDX-License-Identifier: Apache-2.0
/** What a plan is made of: plain data that the executor runs and that people can read. */
import type { MapWrite } from '../cubes/cube-type.ts';
import {
  CUBE_PORTS,
  decodeAddress,
  decodeAttachment,
  decodeIfindex,
  decodePod,
  decodePrefix,
  edgeText,
  type Hex,
} from './layout.ts';
import { programOfPin, splitInstanceKey } from './names.ts';
import type { Instance, RowMap } from './state.ts';

/** Those that speak of programs at XDP. */
export type XdpAction =
  | { readonly op: 'LoadXdpEntry'; readonly hash: string }
  | {
      readonly op: 'AttachXdp';
      readonly pin: string;
      readonly name: string;
      readonly ifindex: number;
      readonly entry: string;
    }
  | { readonly op: 'UpdateXdp'; readonly pin: string; readonly entry: string }
  /** As TakeOverLink. */
  | {
      readonly op: 'TakeOverXdp';
      readonly abi: number;
      readonly pin: string;
      readonly ifindex: number;
      readonly entry: string;
    }
  | { readonly op: 'DetachXdp'; readonly pin: string }
  | { readonly op: 'RemoveXdpEntry'; readonly hash: string };

/** Those that speak of programs at a cgroup. `pin`: of the link; `program`: one of an instance's. */
export type CgroupAction =
  | {
      readonly op: 'AttachCgroup';
      readonly pin: string;
      readonly key: string;
      readonly program: string;
      /** Directory, and the kernel's number for it. */
      readonly path: string;
      readonly cgroup: string;
    }
  | { readonly op: 'UpdateCgroup'; readonly pin: string; readonly key: string; readonly program: string }
  /** As TakeOverLink. */
  | {
      readonly op: 'TakeOverCgroup';
      readonly abi: number;
      readonly pin: string;
      readonly key: string;
      readonly program: string;
      readonly cgroup: string;
    }
  | { readonly op: 'DetachCgroup'; readonly pin: string };

export type Action =
  | XdpAction
  | CgroupAction
  /** A line for `ip -batch`: a device, address or route of the host. */
  | { readonly op: 'Ip'; readonly line: string }
  /** Makes and pins the shared maps. */
  | { readonly op: 'CreateMaps' }
  /** The same for those that an agent of before did not have, and lets go of those that only it had; the others stay. */
  | { readonly op: 'AddMaps' }
  /** Loads the entry program of an object file with this hash, and pins it. */
  | { readonly op: 'LoadEntry'; readonly hash: string }
  | {
      readonly op: 'LoadInstance';
      readonly key: string;
      readonly instance: Instance;
      /** State maps that begin with the rows of an earlier one: map, and that one's pin. */
      readonly carry: readonly (readonly [map: string, from: string])[];
    }
  /** Rows that came to an earlier state map since they were carried, before it goes. */
  | { readonly op: 'CarryRows'; readonly key: string; readonly map: string; readonly from: string }
  | { readonly op: 'WriteMap'; readonly key: string; readonly write: MapWrite }
  | { readonly op: 'SetSlot'; readonly slot: number; readonly key: string }
  /** The last step of making an instance: from here on it is complete. */
  | { readonly op: 'PinProgram'; readonly key: string }
  | { readonly op: 'WriteRows'; readonly map: RowMap; readonly rows: readonly (readonly [Hex, Hex])[] }
  | { readonly op: 'DeleteRows'; readonly map: RowMap; readonly keys: readonly Hex[] }
  | { readonly op: 'WriteConfig'; readonly config: Hex }
  | {
      readonly op: 'WriteEdges';
      readonly bank: 0 | 1;
      readonly edges: readonly (readonly [index: number, word: bigint])[];
    }
  | { readonly op: 'Flip'; readonly epoch: number }
  /** Waits until no program runs that began before. */
  | { readonly op: 'Grace' }
  | {
      readonly op: 'Attach';
      readonly pin: string;
      readonly name: string;
      readonly ifindex: number;
      readonly entry: string;
    }
  /** The entry program at a pod's interface in a filter, which the kernel has at once; its link comes later. */
  | { readonly op: 'AttachFilter'; readonly name: string; readonly ifindex: number; readonly entry: string }
  | { readonly op: 'RemoveFilter'; readonly ifindex: number }
  /** The interface of an attachment has another name: it stays, and its pin is named anew. */
  | { readonly op: 'RenameLink'; readonly from: string; readonly pin: string }
  | { readonly op: 'UpdateLink'; readonly pin: string; readonly entry: string }
  /** Gives an attachment of an older ABI the entry program: a packet meets the one or the other. */
  | {
      readonly op: 'TakeOverLink';
      readonly abi: number;
      readonly pin: string;
      readonly ifindex: number;
      readonly entry: string;
    }
  /** Removes all pins of an older ABI. */
  | { readonly op: 'RemoveAbi'; readonly abi: number }
  | { readonly op: 'Detach'; readonly pin: string }
  | { readonly op: 'ClearSlot'; readonly slot: number }
  | { readonly op: 'RemoveInstance'; readonly key: string }
  | { readonly op: 'RemoveStateMaps'; readonly cube: string; readonly pins: readonly string[] }
  | { readonly op: 'RemoveEntry'; readonly hash: string };

/** One line for people. */
export function describeAction(action: Action): string {
  switch (action.op) {
    case 'Ip':
      return `ip ${action.line}`;
    case 'CreateMaps':
      return 'create and pin the maps of the node';
    case 'AddMaps':
      return 'create and pin maps of the node that an older agent did not have, and let go of those that only it had';
    case 'LoadEntry':
      return `load the entry program ${action.hash}`;
    case 'LoadInstance': {
      const { cubeKey, object, slot, hash } = action.instance;
      const carried = action.carry.map(([map, from]) => `, ${map} with the rows of ${from}`).join('');
      return `load ${object} for Cube ${cubeKey} as ${hash}, meant for slot ${slot}${carried}`;
    }
    case 'CarryRows':
      return `carry what came to ${action.from} since into ${action.map} of ${action.key}`;
    case 'WriteMap': {
      const { map, op, count } = action.write;
      return `${op} ${count} rows of map ${map} of ${action.key}`;
    }
    case 'SetSlot':
      return `put ${action.key} into slot ${action.slot}`;
    case 'PinProgram':
      return `pin the program of ${action.key}`;
    case 'WriteRows':
      return `write ${action.rows.map(([key, value]) => rowText(action.map, key, value)).join('; ')}`;
    case 'DeleteRows':
      return `delete ${action.keys.map((key) => keyText(action.map, key)).join('; ')}`;
    case 'WriteConfig':
      return 'write the settings of the node';
    case 'WriteEdges': {
      const texts = action.edges.map(([index, word]) => {
        const [slot, port] = [Math.floor(index / CUBE_PORTS), index % CUBE_PORTS];
        return `slot ${slot} port ${port} → ${edgeText(word)}`;
      });
      return `write edges of idle bank ${action.bank}: ${texts.join(', ')}`;
    }
    case 'Flip':
      return `flip the graph: epoch ${action.epoch}`;
    case 'Grace':
      return 'wait for packets under way';
    case 'Attach':
      return programOfPin(action.pin) === 'copies'
        ? `attach the program of copies to interface ${action.name} (${action.ifindex})`
        : `attach the entry program to interface ${action.name} (${action.ifindex})`;
    case 'AttachFilter':
      return `attach the entry program to interface ${action.name} (${action.ifindex}) by a filter`;
    case 'RemoveFilter':
      return `remove the filter of interface ${action.ifindex}`;
    case 'RenameLink':
      return `name the attachment ${action.from} ${action.pin}`;
    case 'UpdateLink':
      return `give the attachment ${action.pin} the entry program ${action.entry}`;
    case 'TakeOverLink':
      return `take over the attachment ${action.pin} from cube ABI ${action.abi}`;
    case 'RemoveAbi':
      return `remove the pins of cube ABI ${action.abi}`;
    case 'Detach':
      return `detach the entry program from interface ${action.pin}`;
    case 'LoadXdpEntry':
      return `load the entry program ${action.hash} of XDP`;
    case 'AttachXdp':
      return `attach the entry program of XDP to interface ${action.name} (${action.ifindex})`;
    case 'UpdateXdp':
      return `give the attachment ${action.pin} at XDP the entry program ${action.entry}`;
    case 'TakeOverXdp':
      return `take over the attachment ${action.pin} at XDP from cube ABI ${action.abi}`;
    case 'DetachXdp':
      return `detach the entry program of XDP from interface ${action.pin}`;
    case 'RemoveXdpEntry':
      return `remove the entry program ${action.hash} of XDP`;
    case 'AttachCgroup':
      return `attach ${action.program} of ${action.key} to cgroup ${action.path}`;
    case 'UpdateCgroup':
      return `give the attachment ${action.pin} at a cgroup the program of ${action.key}`;
    case 'TakeOverCgroup':
      return `take over the attachment ${action.pin} at a cgroup from cube ABI ${action.abi}`;
    case 'DetachCgroup':
      return `detach ${action.pin} from its cgroup`;
    case 'ClearSlot':
      return `empty slot ${action.slot}`;
    case 'RemoveInstance':
      return `remove ${action.key}`;
    case 'RemoveStateMaps':
      return `remove the state of ${action.cube}: ${action.pins.join(', ')}`;
    case 'RemoveEntry':
      return `remove the entry program ${action.hash}`;
  }
}

/** What an error at an action is about. */
export function objectOf(action: Action): string {
  if (action.op === 'LoadInstance') return `Cube ${action.instance.cubeKey}`;
  if ('key' in action) return splitInstanceKey(action.key).cube;
  if (action.op === 'Attach' || action.op === 'AttachFilter' || action.op === 'AttachXdp')
    return `interface ${action.name}`;
  return 'the node';
}

function keyText(map: RowMap, key: Hex): string {
  if (map === 'attachments') return `attachment of interface ${decodeIfindex(key)}`;
  if (map === 'host_addresses') return `address ${decodeAddress(key)} of the host`;
  return map === 'pods' ? `pod ${decodeAddress(key)}` : `overlay source ${decodePrefix(key)}`;
}

function rowText(map: RowMap, key: Hex, value: Hex): string {
  if (map === 'pods') {
    const { ifindex, mac } = decodePod(value);
    return `${keyText(map, key)} at interface ${ifindex} ${mac}`;
  }
  if (map === 'host_addresses') return keyText(map, key);
  if (map === 'overlay_sources') return `${keyText(map, key)} behind ${decodeAddress(value)}`;
  const { port, open, mac, addresses = [] } = decodeAttachment(value);
  const owner = mac === undefined ? '' : ` ${mac} ${addresses.join(' ')}`;
  return `${keyText(map, key)} at port ${port}${owner}${open ? ', open' : ''}`;
}
