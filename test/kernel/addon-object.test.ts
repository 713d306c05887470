// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  allIds,
  BpfMap,
  type BpfObject,
  BpfProgram,
  enableStats,
  loadObject,
  MapType,
  ProgramType,
  possibleCpus,
  unpin,
} from '../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32, u64 } from './fixtures/addon-object.ts';

const path = objectPath('addon');
const packet = Buffer.alloc(64);
const pins = `/sys/fs/bpf/addon-test-${process.pid}`;

describe('a loaded object', () => {
  let object: BpfObject;
  beforeAll(async () => {
    object = await loadObject({
      path,
      variables: { verdict: u32(5), secret: u64(0x1122334455667788n) },
      mapSizes: { lengths: 100 },
      logLevel: 4,
    });
    mkdirSync(pins);
  });
  afterAll(() => {
    object.close();
    rmSync(pins, { recursive: true, force: true });
  });

  test('has its programs and maps by name', () => {
    expect([...object.programs.keys()].sort()).toEqual(['count', 'emit', 'jump', 'rewrite']);
    expect([...object.maps.keys()].sort()).toEqual(
      ['.bss', '.rodata', 'events', 'lengths', 'per_cpu', 'prefixes', 'slots'].sort(),
    );
    expect(object.program('count').section).toBe('tc');
    expect(object.program('emit').type).toBe(ProgramType.Syscall);
    expect(() => object.map('nothing')).toThrow(/has no map nothing; it has .*lengths/);
    expect(() => object.program('nothing')).toThrow(/has no program nothing; it has .*count/);
  });

  test('takes map sizes and variables', () => {
    expect(object.map('lengths').maxEntries).toBe(100);
    expect(object.map('lengths').info()).toMatchObject({
      name: 'lengths',
      type: MapType.Hash,
      keySize: 4,
      valueSize: 8,
      maxEntries: 100,
    });
    expect(object.program('count').testRun({ dataIn: packet }).retval).toBe(5);
    const rodata = object.map('.rodata').lookup(u32(0));
    expect(rodata?.includes(u64(0x1122334455667788n))).toBe(true);
  });

  test('gives what the kernel knows of a program', () => {
    const info = object.program('count').info();
    expect(info).toMatchObject({ name: 'count', type: ProgramType.SchedCls });
    expect(info.tag).toMatch(/^[0-9a-f]{16}$/);
    expect(info.verifiedInstructions).toBeGreaterThan(20);
    expect(info.jitedSize).toBeGreaterThan(0);
    expect(info.mapIds).toContain(object.map('lengths').info().id);
    expect(object.program('count').log).toMatch(/processed \d+ insns/);
    expect(allIds('program')).toContain(info.id);
    const byId = BpfProgram.openId(info.id);
    expect(byId.info().tag).toBe(info.tag);
    byId.close();
  });

  test('runs a packet and gives packet and context back', () => {
    const ctxIn = Buffer.alloc(192);
    const result = object.program('count').testRun({ dataIn: packet, ctxIn });
    expect(result.ctxOut.readUInt32LE(8)).toBe(7); // __sk_buff.mark
    expect(result.dataOut).toEqual(packet);
    const rewritten = object.program('rewrite').testRun({ dataIn: packet });
    expect(rewritten.dataOut[0]).toBe(0xaa);
    expect(rewritten.dataOut.length).toBe(64);
    expect(packet[0]).toBe(0);
  });

  test('repeats off the event loop while the loop turns', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const result = await object.program('count').testRunAsync({ dataIn: packet, repeat: 1_000_000 });
    clearInterval(timer);
    expect(result.duration).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(1);
  });

  test('runs a syscall program on its context', () => {
    const result = object.program('emit').testRun({ ctxIn: Buffer.concat([u32(3, 0), u64(10n)]) });
    expect(result.ctxOut.readUInt32LE(4)).toBe(3);
    expect(() => object.program('emit').testRun({ dataIn: packet })).toThrow(/takes ctxIn only/);
  });

  test('counts run time only while statistics are on', () => {
    const program = object.program('rewrite');
    const disable = enableStats();
    program.testRun({ dataIn: packet, repeat: 100 });
    disable();
    const { runCount, runTimeNs } = program.info();
    expect(runCount).toBeGreaterThanOrEqual(100n);
    expect(runTimeNs).toBeGreaterThan(0n);
  });

  test('jumps through a prog array until the slot is cleared', () => {
    const slots = object.map('slots');
    const jump = () => object.program('jump').testRun({ dataIn: packet }).retval;
    expect(jump()).toBe(99);
    expect(slots.programId(1)).toBeUndefined();
    slots.setProgram(1, object.program('count'));
    expect(slots.programId(1)).toBe(object.program('count').info().id);
    expect(jump()).toBe(5);
    expect(slots.clearProgram(1)).toBe(true);
    expect(slots.clearProgram(1)).toBe(false);
    expect(jump()).toBe(99);
    expect(() => object.map('lengths').setProgram(1, object.program('count'))).toThrow(/is of type 1, not 3/);
  });

  test('shares maps with a second object, by handle and by pin', async () => {
    object.map('lengths').pin(`${pins}/lengths`);
    const second = await loadObject({
      path,
      reuseMaps: { lengths: `${pins}/lengths`, per_cpu: object.map('per_cpu') },
      programs: { emit: { load: false } },
    });
    try {
      const id = object.map('lengths').info().id;
      expect(second.map('lengths').info().id).toBe(id);
      expect(second.map('per_cpu').info().id).toBe(object.map('per_cpu').info().id);
      expect(second.map('slots').info().id).not.toBe(object.map('slots').info().id);
      expect(second.programs.has('emit')).toBe(false);
      second.program('count').testRun({ dataIn: Buffer.alloc(77) });
      expect(object.map('lengths').lookup(u32(77))).toEqual(u64(1n));
    } finally {
      second.close();
    }
  });

  test('is pinned, opened again, replaced in place and unpinned', async () => {
    const program = object.program('count');
    program.pin(`${pins}/program`);
    expect(() => program.pin(`${pins}/program`)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    const opened = BpfProgram.openPinned(`${pins}/program`);
    expect(opened.info().id).toBe(program.info().id);
    expect(opened.name).toBe('count');
    opened.close();
    object.program('jump').pin(`${pins}/program`, { replace: true });
    const replaced = BpfProgram.openPinned(`${pins}/program`);
    expect(replaced.info().id).toBe(object.program('jump').info().id);
    replaced.close();
    expect(readdirSync(pins).filter((name) => name.includes('new'))).toEqual([]);
    expect(() => BpfMap.openPinned(`${pins}/program`)).toThrow(/a program is pinned there, not a map/);
    expect(unpin(`${pins}/program`)).toBe(true);
    expect(unpin(`${pins}/program`)).toBe(false);
  });

  test('knows the possible CPUs', () => {
    expect(possibleCpus()).toBeGreaterThan(0);
  });
});

describe('closing', () => {
  test('twice is safe, use after it throws', async () => {
    const object = await loadObject({ path });
    const map = object.map('lengths');
    object.close();
    object.close();
    expect(map.closed).toBe(true);
    expect(map.fd).toBe(-1);
    for (const use of [
      () => map.lookup(u32(1)),
      () => map.info(),
      () => map.dumpSync(),
      () => object.program('count').info(),
      () => object.program('count').testRun({ dataIn: packet }),
    ]) {
      expect(use).toThrow(expect.objectContaining({ code: 'EBADF', detail: 'it was closed before' }));
    }
  });

  test('during an operation lets it finish on its own map', async () => {
    const object = await loadObject({ path });
    const map = object.map('lengths');
    map.update(u32(5), u64(50n));
    const dump = map.dump();
    object.close();
    expect(await dump).toMatchObject({ count: 1, keys: u32(5), values: u64(50n) });
  });

  test('leaves no descriptor and no memory behind after 200 loads', async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    (await loadObject({ path })).close();
    const before = descriptors();
    const memory = process.memoryUsage().rss;
    for (let i = 0; i < 200; i++) {
      // Without the sleepable program, whose load the kernel makes wait for 80 ms.
      const object = await loadObject({ path, programs: { emit: { load: false } } });
      object.close();
      await loadObject({ path: objectPath('refused') }).catch(() => {});
    }
    expect(descriptors()).toBe(before);
    expect(process.memoryUsage().rss - memory).toBeLessThan(60e6); // one verifier log has room for 16 MB
  }, 120_000);
});
