// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { type BtfMember, type BtfType, parseBtf } from './btf.ts';
import { elfSection } from './elf.ts';
import { layoutOf } from './layout.ts';

const member = (name: string, type: number, byteOffset: number, bitSize = 0): BtfMember => ({
  name,
  type,
  bitOffset: byteOffset * 8,
  bitSize,
});
const struct = (name: string, size: number, ...members: BtfMember[]): BtfType => ({
  kind: 'struct',
  name,
  size,
  members,
});
const union = (size: number, ...members: BtfMember[]): BtfType => ({
  kind: 'union',
  name: '',
  size,
  members,
});

/** Ids: 1 u8, 2 u32, 3 u64, 4 pointer, 5 be32_t, 6 const be32_t; then the ones given. */
function types(...more: BtfType[]): BtfType[] {
  return [
    { kind: 'void' },
    { kind: 'int', name: 'unsigned char', size: 1, signed: false, bool: false },
    { kind: 'int', name: 'unsigned int', size: 4, signed: false, bool: false },
    { kind: 'int', name: 'unsigned long', size: 8, signed: false, bool: false },
    { kind: 'pointer', type: 1 },
    { kind: 'typedef', name: 'be32_t', type: 2 },
    { kind: 'qualifier', type: 5 },
    ...more,
  ];
}

test('typedefs decide through qualifiers', () => {
  expect(layoutOf(types(), 6, 'x')).toEqual({ kind: 'scalar', form: 'Be32', size: 4 });
  expect(layoutOf(types(), 3, 'x')).toEqual({ kind: 'scalar', form: 'U64', size: 8 });
});

test('padding and holes are written as zeros; only holes are counted', () => {
  const list = types(struct('s', 16, member('a', 1, 0), member('b', 2, 4), member('pad1', 2, 8)));
  expect(layoutOf(list, 7, 'x')).toMatchObject({
    members: [
      { name: 'a', offset: 0 },
      { name: 'b', offset: 4 },
    ],
    zeros: [
      { offset: 1, size: 3 },
      { offset: 8, size: 4 },
      { offset: 12, size: 4 },
    ],
    holes: 7,
  });
});

test('a union is its first member, an anonymous one dissolves', () => {
  const list = types(
    union(8, member('whole', 3, 0), member('low', 2, 0)),
    struct('s', 16, member('', 7, 0), member('named', 7, 8)),
  );
  expect(layoutOf(list, 8, 'x')).toMatchObject({
    members: [
      { name: 'whole', offset: 0 },
      { name: 'named', offset: 8, layout: { name: 's_named', members: [{ name: 'whole' }] } },
    ],
    holes: 0,
  });
});

test("the kernel's own members are zeros", () => {
  const list = types(struct('bpf_timer', 16, member('opaque', 3, 0)), struct('s', 16, member('timer', 7, 0)));
  expect(layoutOf(list, 8, 'x')).toMatchObject({ members: [], zeros: [{ offset: 0, size: 16 }], holes: 0 });
});

test.each([
  ['a bit-field', struct('s', 4, member('flag', 2, 0, 3)), /s\.flag: bit-fields are refused/],
  ['a pointer', struct('s', 8, member('next', 4, 0)), /s_next: a pointer cannot cross to user space/],
  [
    'a union whose first member is smaller',
    union(8, member('low', 2, 0), member('whole', 3, 0)),
    /x\.low: the first member of a union must be as large/,
  ],
  [
    'two members of one name',
    struct('s', 2, member('a', 1, 0), member('a', 1, 1)),
    /two members are called a/,
  ],
])('%s is refused by name', (_, type, message) => {
  expect(() => layoutOf(types(type), 7, 'x')).toThrow(message);
});

test('what is no BTF and no ELF is refused', () => {
  expect(() => parseBtf(new Uint8Array(32))).toThrow('not a BTF blob of version 1');
  expect(() => parseBtf(new Uint8Array(3))).toThrow('not a BTF blob of version 1');
  expect(() => elfSection(new Uint8Array(100), '.BTF')).toThrow('not a 64-bit little-endian ELF file');
});
