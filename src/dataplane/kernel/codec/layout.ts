// SPDX-License-Identifier: Apache-2.0

/** From BTF types to the layouts that codecs are made of: typedef names decide byte order and meaning. */

import type { BtfType } from './btf.ts';

/** Forms of a scalar, each with a put and a get function in src/cubes/codec. */
export type Scalar =
  | 'U8'
  | 'U16'
  | 'U32'
  | 'U64'
  | 'U53'
  | 'S8'
  | 'S16'
  | 'S32'
  | 'S64'
  | 'Be16'
  | 'Be32'
  | 'Be64'
  | 'Bool'
  | 'Address'
  | 'Mac';

export type Layout =
  | { kind: 'scalar'; form: Scalar; size: number }
  | { kind: 'text'; size: number }
  | { kind: 'array'; element: Layout; count: number; size: number }
  | StructLayout;

export interface StructLayout {
  kind: 'struct';
  /** As in C, without `struct` or a typedef's `_t`. */
  name: string;
  size: number;
  /** In the order of their offsets, without padding. */
  members: { name: string; offset: number; layout: Layout }[];
  /** Ranges that are written as zeros. */
  zeros: { offset: number; size: number }[];
  /** Bytes of no member at all: holes that the compiler left. */
  holes: number;
}

const byTypedef: Readonly<Record<string, Scalar>> = {
  be16_t: 'Be16',
  be32_t: 'Be32',
  be64_t: 'Be64',
  __be16: 'Be16',
  __be32: 'Be32',
  __be64: 'Be64',
  u53_t: 'U53',
  addr_t: 'Address',
  mac_t: 'Mac',
};

/** Structs that the kernel keeps for itself in a value. */
const kernelOnly = new Set(['bpf_timer', 'bpf_spin_lock', 'bpf_wq']);

export class LayoutError extends Error {}

/** A type with typedefs and qualifiers removed, and the names of the typedefs on the way. */
export function resolve(types: readonly BtfType[], id: number): { type: BtfType; typedefs: string[] } {
  const typedefs: string[] = [];
  let type = types[id];
  while (type && (type.kind === 'typedef' || type.kind === 'qualifier')) {
    if (type.kind === 'typedef') typedefs.push(type.name);
    type = types[type.type];
  }
  if (!type) throw new LayoutError(`BTF has no type ${id}`);
  return { type, typedefs };
}

/** `where` names the place for the message of a LayoutError, and an anonymous struct. */
export function layoutOf(types: readonly BtfType[], id: number, where: string): Layout {
  const { type, typedefs } = resolve(types, id);
  const form = typedefs.map((name) => byTypedef[name]).find((found) => found !== undefined);
  if (form) return { kind: 'scalar', form, size: sizeOf(types, id) };
  switch (type.kind) {
    case 'int':
    case 'enum': {
      if (type.kind === 'int' && type.bool) return { kind: 'scalar', form: 'Bool', size: type.size };
      const width = type.size * 8;
      if (![8, 16, 32, 64].includes(width)) break;
      return { kind: 'scalar', form: `${type.signed ? 'S' : 'U'}${width}` as Scalar, size: type.size };
    }
    case 'array': {
      const element = resolve(types, type.type).type;
      if (element.kind === 'int' && element.name === 'char') return { kind: 'text', size: type.count };
      const layout = layoutOf(types, type.type, where);
      return { kind: 'array', element: layout, count: type.count, size: layout.size * type.count };
    }
    case 'struct':
    case 'union':
      return structLayout(types, type, type.name || (typedefs[0]?.replace(/_t$/, '') ?? where));
    default:
      break;
  }
  throw new LayoutError(`${where}: a ${type.kind} cannot cross to user space`);
}

export function sizeOf(types: readonly BtfType[], id: number): number {
  const { type } = resolve(types, id);
  switch (type.kind) {
    case 'int':
    case 'enum':
    case 'struct':
    case 'union':
      return type.size;
    case 'array':
      return type.count * sizeOf(types, type.type);
    case 'pointer':
      return 8;
    default:
      throw new LayoutError(`a ${type.kind} has no size`);
  }
}

type Aggregate = Extract<BtfType, { kind: 'struct' | 'union' }>;

function structLayout(types: readonly BtfType[], type: Aggregate, name: string): StructLayout {
  const layout: StructLayout = { kind: 'struct', name, size: type.size, members: [], zeros: [], holes: 0 };
  addMembers(types, type, 0, layout);
  layout.members.sort((a, b) => a.offset - b.offset);
  const names = layout.members.map((member) => member.name);
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice) throw new LayoutError(`${name}: two members are called ${twice}`);
  fillHoles(layout);
  return layout;
}

function addMembers(types: readonly BtfType[], type: Aggregate, base: number, into: StructLayout): void {
  const members = type.kind === 'union' ? type.members.slice(0, 1) : type.members;
  for (const member of members) {
    const where = `${into.name}.${member.name}`;
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) {
      throw new LayoutError(`${where}: bit-fields are refused, their layout is the compiler's`);
    }
    const offset = base + member.bitOffset / 8;
    const size = sizeOf(types, member.type);
    const { type: resolved } = resolve(types, member.type);
    if (type.kind === 'union' && size !== type.size) {
      throw new LayoutError(`${where}: the first member of a union must be as large as the union`);
    }
    const opaque = resolved.kind === 'struct' && kernelOnly.has(resolved.name);
    if (opaque || /^_*pad/.test(member.name)) {
      into.zeros.push({ offset, size });
    } else if (member.name === '' && (resolved.kind === 'struct' || resolved.kind === 'union')) {
      addMembers(types, resolved, offset, into);
    } else {
      into.members.push({
        name: member.name,
        offset,
        layout: layoutOf(types, member.type, `${into.name}_${member.name}`),
      });
    }
  }
}

/** What no member covers becomes zeros. */
function fillHoles(layout: StructLayout): void {
  const covered = [
    ...layout.members.map((member) => ({ offset: member.offset, size: member.layout.size })),
    ...layout.zeros,
  ].sort((a, b) => a.offset - b.offset);
  let at = 0;
  for (const { offset, size } of [...covered, { offset: layout.size, size: 0 }]) {
    if (offset > at) {
      layout.zeros.push({ offset: at, size: offset - at });
      layout.holes += offset - at;
    }
    at = offset + size;
  }
  layout.zeros.sort((a, b) => a.offset - b.offset);
}
