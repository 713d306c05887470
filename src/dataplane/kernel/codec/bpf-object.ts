// SPDX-License-Identifier: Apache-2.0

/** What a BPF object file declares to user space, read from its BTF: maps, constants, records. No kernel needed. */

import { type BtfType, parseBtf } from './btf.ts';
import { elfSection } from './elf.ts';
import { type Layout, LayoutError, layoutOf, resolve, type StructLayout } from './layout.ts';

export interface MapDescription {
  name: string;
  /** BPF_MAP_TYPE_*. */
  type: number;
  maxEntries: number;
  /** Absent for ring buffers. */
  key?: Layout;
  value?: Layout;
}

export interface ObjectDescription {
  /** By name. */
  maps: MapDescription[];
  /** Variables of .rodata, by name. */
  constants: { name: string; layout: Layout }[];
  /** Structs called `…_event` or `…_request`: records of ring buffers, contexts of syscall programs. By name. */
  records: StructLayout[];
}

/** Throws LayoutError for a type that cannot cross to user space, Error for a file that is no BPF object. */
export function describeObject(file: Uint8Array): ObjectDescription {
  const blob = elfSection(file, '.BTF');
  if (!blob) throw new Error('the object has no BTF: compile it with -g');
  const types = parseBtf(blob);
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  const variables = (section: string) =>
    types
      .flatMap((type) => (type.kind === 'section' && type.name === section ? type.items : []))
      .map((item) => {
        const variable = types[item.type];
        if (variable?.kind !== 'variable') throw new LayoutError(`section ${section} holds no variable`);
        return variable;
      });
  const records = new Map<string, StructLayout>();
  types.forEach((type, id) => {
    if (type.kind !== 'struct' || !/_(event|request)$/.test(type.name)) return;
    records.set(type.name, layoutOf(types, id, type.name) as StructLayout);
  });
  return {
    maps: variables('.maps')
      .map((variable) => describeMap(types, variable))
      .sort(byName),
    constants: variables('.rodata')
      .map(({ name, type }) => ({ name, layout: layoutOf(types, type, name) }))
      .sort(byName),
    records: [...records.values()].sort(byName),
  };
}

/** A map's definition is a struct whose members encode numbers as array lengths and types as pointers. */
function describeMap(types: readonly BtfType[], variable: { name: string; type: number }): MapDescription {
  const { type: definition } = resolve(types, variable.type);
  if (definition.kind !== 'struct') throw new LayoutError(`map ${variable.name} is no struct`);
  const map: MapDescription = { name: variable.name, type: 0, maxEntries: 0 };
  for (const member of definition.members) {
    const { type: pointer } = resolve(types, member.type);
    if (pointer.kind !== 'pointer') continue;
    const { type: target } = resolve(types, pointer.type);
    const number = target.kind === 'array' ? target.count : 0;
    if (member.name === 'type') map.type = number;
    if (member.name === 'max_entries') map.maxEntries = number;
    if (member.name === 'key') map.key = layoutOf(types, pointer.type, `${map.name}_key`);
    if (member.name === 'value') map.value = layoutOf(types, pointer.type, `${map.name}_value`);
  }
  if (map.key?.kind === 'struct' && map.key.holes > 0) {
    throw new LayoutError(`map ${map.name}: the key struct ${map.key.name} has holes: name them pad`);
  }
  return map;
}
