// SPDX-License-Identifier: Apache-2.0

/** Parses BTF, the kernel's debug format for types (Documentation/bpf/btf.rst). Pure: bytes in, types out. */

export interface BtfMember {
  name: string;
  type: number;
  /** Bits from the start of the struct. */
  bitOffset: number;
  /** Bits of a bit-field, 0 for a plain member. */
  bitSize: number;
}

export interface BtfSectionItem {
  type: number;
  offset: number;
  size: number;
}

export type BtfType =
  | { kind: 'void' }
  | { kind: 'int'; name: string; size: number; signed: boolean; bool: boolean }
  | { kind: 'pointer'; type: number }
  | { kind: 'array'; type: number; count: number }
  | { kind: 'struct' | 'union'; name: string; size: number; members: BtfMember[] }
  | { kind: 'enum'; name: string; size: number; signed: boolean }
  | { kind: 'typedef'; name: string; type: number }
  | { kind: 'qualifier'; type: number }
  | { kind: 'variable'; name: string; type: number }
  | { kind: 'section'; name: string; items: BtfSectionItem[] }
  | { kind: 'other'; name: string };

const utf8 = new TextDecoder();

/** All types of a blob; a type's id is its index. Throws Error for what is not little-endian BTF of version 1. */
export function parseBtf(blob: Uint8Array): BtfType[] {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  if (blob.length < 24 || view.getUint16(0, true) !== 0xeb9f || view.getUint8(2) !== 1) {
    throw new Error('not a BTF blob of version 1');
  }
  const header = view.getUint32(4, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const typesAt = header + u32(8);
  const typesEnd = typesAt + u32(12);
  const namesAt = header + u32(16);
  const nameAt = (offset: number) => {
    const start = namesAt + offset;
    return utf8.decode(blob.subarray(start, blob.indexOf(0, start)));
  };

  const types: BtfType[] = [{ kind: 'void' }];
  let at = typesAt;
  while (at < typesEnd) {
    const name = nameAt(u32(at));
    const info = u32(at + 4);
    const sizeOrType = u32(at + 8);
    const count = info & 0xffff;
    const flag = info >>> 31 === 1;
    const rest = at + 12;
    const kind = (info >>> 24) & 0x1f;
    at = rest + extraBytes(kind, count);
    types.push(parseType(kind, { name, sizeOrType, count, flag, rest }));
  }
  return types;

  function parseType(kind: number, { name, sizeOrType, count, flag, rest }: TypeHeader): BtfType {
    switch (kind) {
      case 1: {
        const encoding = (u32(rest) >>> 24) & 0xf;
        return {
          kind: 'int',
          name,
          size: sizeOrType,
          signed: (encoding & 1) !== 0,
          bool: (encoding & 4) !== 0,
        };
      }
      case 2:
        return { kind: 'pointer', type: sizeOrType };
      case 3:
        return { kind: 'array', type: u32(rest), count: u32(rest + 8) };
      case 4:
      case 5: {
        const members: BtfMember[] = [];
        for (let i = 0; i < count; i++) {
          const member = rest + 12 * i;
          const offset = u32(member + 8);
          members.push({
            name: nameAt(u32(member)),
            type: u32(member + 4),
            bitOffset: flag ? offset & 0xffffff : offset,
            bitSize: flag ? offset >>> 24 : 0,
          });
        }
        return { kind: kind === 4 ? 'struct' : 'union', name, size: sizeOrType, members };
      }
      case 6:
      case 19:
        return { kind: 'enum', name, size: sizeOrType, signed: flag };
      case 8:
        return { kind: 'typedef', name, type: sizeOrType };
      case 9:
      case 10:
      case 11:
      case 18:
        return { kind: 'qualifier', type: sizeOrType };
      case 14:
        return { kind: 'variable', name, type: sizeOrType };
      case 15: {
        const items: BtfSectionItem[] = [];
        for (let i = 0; i < count; i++) {
          const item = rest + 12 * i;
          items.push({ type: u32(item), offset: u32(item + 4), size: u32(item + 8) });
        }
        return { kind: 'section', name, items };
      }
      default:
        return { kind: 'other', name };
    }
  }
}

interface TypeHeader {
  name: string;
  sizeOrType: number;
  count: number;
  flag: boolean;
  rest: number;
}

/** Bytes that follow the 12 common ones. */
function extraBytes(kind: number, count: number): number {
  switch (kind) {
    case 1: // INT
    case 14: // VAR
    case 17: // DECL_TAG
      return 4;
    case 3: // ARRAY
      return 12;
    case 4: // STRUCT
    case 5: // UNION
    case 15: // DATASEC
    case 19: // ENUM64
      return 12 * count;
    case 6: // ENUM
    case 13: // FUNC_PROTO
      return 8 * count;
    case 2: // PTR
    case 7: // FWD
    case 8: // TYPEDEF
    case 9: // VOLATILE
    case 10: // CONST
    case 11: // RESTRICT
    case 12: // FUNC
    case 16: // FLOAT
    case 18: // TYPE_TAG
      return 0;
    default:
      throw new Error(`BTF kind ${kind} is not known`);
  }
}
