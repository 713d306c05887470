// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generateCodecs } from '../../scripts/generate/codecs.ts';
import { decodePerCpu, decodeRows, encodeRows } from '../../src/cubes/codec/map-codec.ts';
import { type BpfObject, loadObject, possibleCpus } from '../../src/dataplane/kernel/addon/index.ts';
import { describeObject } from '../../src/dataplane/kernel/codec/bpf-object.ts';
import { parseBtf } from '../../src/dataplane/kernel/codec/btf.ts';
import type { Layout, StructLayout } from '../../src/dataplane/kernel/codec/layout.ts';
import { layoutOf } from '../../src/dataplane/kernel/codec/layout.ts';
import { objectPath, u32 } from './fixtures/addon-object.ts';
import {
  checkRequest,
  constants,
  type Everything,
  type FlowKey,
  flows,
  wrong,
} from './fixtures/generated/codec.ts';

const root = join(import.meta.dirname, '../..');
const key: FlowKey = { src: 'fd00::5', port: 8443, zone: 6 };
const inner = { port: 0, proto: 0, enabled: false, mac: '00:00:00:00:00:00' };
/** The values that first_wrong() of codec.bpf.c wants to see. */
const row: Everything = {
  small: 200,
  signedSmall: -5,
  medium: 0x1234,
  large: 0xdeadbeef,
  huge: 0xfedcba9876543210n,
  signedHuge: -2n,
  counter: Number.MAX_SAFE_INTEGER,
  bePort: 8080,
  signedMedium: -300,
  beLarge: 0x0a000001,
  beHuge: 0x0102030405060708n,
  signedLarge: -70000,
  color: 7,
  address: '10.1.2.3',
  inner: { port: 53, proto: 17, enabled: true, mac: '02:00:00:00:00:ab' },
  list: [
    { ...inner, proto: 6, enabled: true },
    { ...inner, proto: 132 },
  ],
  numbers: [1, 2],
  name: 'eth0',
  word: 0x01020304,
  both: { whole: 0x1_0000_0002n },
  firstPart: 31,
  secondPart: 32,
  addresses: ['fd00::9'],
};

describe('in the kernel', () => {
  let object: BpfObject;
  beforeAll(async () => {
    object = await loadObject({
      path: objectPath('codec'),
      variables: {
        limit: constants.limit.encode(12),
        settings: constants.settings.encode({ ...inner, port: 443, proto: 6 }),
      },
    });
    const { keys, values } = encodeRows(flows, [{ key, value: row }]);
    object.map('flows').updateBatchSync(keys, values);
  });
  afterAll(() => object.close());

  const call = (program: string, request: FlowKey) => {
    const ctxIn = checkRequest.encode({ key: request, result: 99 });
    return checkRequest.decode(object.program(program).testRun({ ctxIn }).ctxOut).result;
  };

  test('a program reads every member as it was written', () => {
    expect(call('check', key)).toBe(0);
    expect(call('check', { ...key, port: 1 })).toBe(100); // no such row
  });

  test.each([
    ['small', 1],
    ['bePort', 8],
    ['beLarge', 10],
    ['signedLarge', 12],
    ['color', 13],
    ['firstPart', 22],
  ] as const)('a program sees that %s is another', (member, number) => {
    const other = { ...key, zone: 50 + number };
    const value = { ...row, [member]: row[member] + 1 };
    const { keys, values } = encodeRows(flows, [{ key: other, value }]);
    object.map('flows').updateBatchSync(keys, values);
    expect(call('check', other)).toBe(number);
  });

  test('user space reads every member as a program wrote it', async () => {
    expect(call('copy', key)).toBe(0);
    const rows = decodeRows(flows, await object.map('flows').dump());
    const copied = rows.find((each) => each.key.zone === key.zone + 1);
    expect(copied).toEqual({
      key: { ...key, zone: 7 },
      value: { ...row, numbers: [1, 2, 0], addresses: ['fd00::9', '::'] },
    });
  });

  test('constants reach the program', () => {
    expect(call('constants', key)).toBe(1);
  });

  test('per-CPU values are one a CPU', () => {
    const stride = object.map('wrong').valueStride;
    const values = Buffer.alloc(stride);
    for (let cpu = 0; cpu < possibleCpus(); cpu++) values.writeUInt32LE(cpu + 5, cpu * 8);
    object.map('wrong').update(u32(0), values);
    const read = object.map('wrong').lookup(u32(0));
    expect(decodePerCpu(wrong, read ?? values, possibleCpus())).toEqual(
      Array.from({ length: possibleCpus() }, (_, cpu) => cpu + 5),
    );
  });

  test('the BTF of a map in the kernel gives the same layout as the object file', () => {
    const file = describeObject(readFileSync(objectPath('codec')));
    const fromFile = file.maps.find((map) => map.name === 'flows');
    const btf = object.map('flows').btf();
    if (!btf) throw new Error('the map has no BTF');
    const types = parseBtf(btf.btf);
    expect(layoutOf(types, btf.keyTypeId, 'flows_key')).toEqual(fromFile?.key);
    expect(layoutOf(types, btf.valueTypeId, 'flows_value')).toEqual(fromFile?.value);
  });
});

describe('layouts', () => {
  /** What bpftool says: struct → member → byte offset. */
  function bpftool(object: string): Map<string, Map<string, number>> {
    const text = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', objectPath(object)], {
      encoding: 'utf8',
    });
    const { types } = JSON.parse(text) as {
      types: { kind: string; name: string; members?: { name: string; bits_offset: number }[] }[];
    };
    return new Map(
      types
        .filter((type) => type.kind === 'STRUCT' && type.name !== '(anon)')
        .map((type) => [
          type.name,
          new Map((type.members ?? []).map((each) => [each.name, each.bits_offset / 8])),
        ]),
    );
  }

  function structsOf(layout: Layout | undefined): StructLayout[] {
    if (layout?.kind === 'array') return structsOf(layout.element);
    if (layout?.kind !== 'struct') return [];
    return [layout, ...layout.members.flatMap((each) => structsOf(each.layout))];
  }

  const objects = globSync('bpf/*/*.bpf.c', { cwd: root }).map((path) => basename(path, '.bpf.c'));
  test.each(['codec', ...objects])('of %s.o are those that bpftool prints', (name) => {
    const reference = bpftool(name);
    const { maps, records } = describeObject(readFileSync(objectPath(name)));
    const structs = [...maps.flatMap((map) => [map.key, map.value]), ...records].flatMap(structsOf);
    let compared = 0;
    for (const struct of structs) {
      for (const member of struct.members) {
        const offset = reference.get(struct.name)?.get(member.name);
        if (offset === undefined) continue; // of an anonymous struct or union
        expect([struct.name, member.name, member.offset]).toEqual([struct.name, member.name, offset]);
        compared++;
      }
    }
    // usage.o has one struct of its own, which has two members
    expect(compared).toBeGreaterThan(1);
  });

  test('the committed codec of the fixture is what its object says', () => {
    const outputs = generateCodecs(root, ['codec']);
    expect([...outputs.keys()]).toEqual(['test/kernel/fixtures/generated/codec.ts']);
    for (const [path, text] of outputs) expect(readFileSync(join(root, path), 'utf8')).toBe(text);
  });
});
