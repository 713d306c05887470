// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { BpfMap, KernelError, loadObject, MapType } from '../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32 } from './fixtures/addon-object.ts';
import { runJson } from './fixtures/run-json.ts';

const path = objectPath('addon');

async function rejection(work: Promise<unknown>): Promise<KernelError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KernelError)) throw new Error(`no KernelError but ${error}`);
  return error;
}

describe('loading', () => {
  test('a program that the verifier refuses gives its whole log', async () => {
    const error = await rejection(loadObject({ path: objectPath('refused') }));
    expect(error.message).toBe('BPF_PROG_LOAD unchecked: EACCES: R1 offset is outside of the packet');
    expect(error).toMatchObject({ code: 'EACCES', errno: 13, call: 'BPF_PROG_LOAD', object: 'unchecked' });
    expect(error.log).toMatch(/invalid access to packet, off=0 size=1/);
    expect(error.log).toMatch(/refused\.bpf\.c:\d+/); // source lines, from BTF
    expect(error.remedy).toMatch(/verifier refused/);
  });

  test('an absent file names the file', async () => {
    const error = await rejection(loadObject({ path: '/nowhere/x.o' }));
    expect(error).toMatchObject({ code: 'ENOENT', call: 'BPF_OBJECT_OPEN', object: '/nowhere/x.o' });
  });

  test('a file that is no BPF object is refused', async () => {
    const error = await rejection(loadObject({ path: import.meta.filename }));
    expect(error.call).toBe('BPF_OBJECT_OPEN');
    expect(error.log).toMatch(/elf/);
  });

  test.each([
    [{ mapSizes: { nothing: 1 } }, /has no map nothing; it has .*lengths/],
    [{ variables: { nothing: u32(1) } }, /has no global variable nothing/],
    [{ variables: { secret: u32(1) } }, /variable secret has 8 bytes, not 4/],
    [{ programs: { nothing: { load: false } } }, /has no program nothing/],
    [{ reuseMaps: { lengths: '/sys/fs/bpf/nothing' } }, /^BPF_OBJ_GET \/sys\/fs\/bpf\/nothing: ENOENT/],
  ])('with %j is refused by name', async (options, message) => {
    expect((await rejection(loadObject({ path, ...options }))).message).toMatch(message);
  });

  test('a map of another layout is not reused', async () => {
    using other = BpfMap.create({
      name: 'other',
      type: MapType.Hash,
      keySize: 4,
      valueSize: 4,
      maxEntries: 64,
    });
    const error = await rejection(loadObject({ path, reuseMaps: { lengths: other } }));
    expect(error.message).toBe(
      'BPF_MAP_REUSE lengths: EINVAL: the existing map has a value size of 4, the object wants 8',
    );
  });

  test('a map that the kernel refuses is named', async () => {
    const error = await rejection(loadObject({ path, mapSizes: { lengths: 0 } }));
    expect(error).toMatchObject({ call: 'BPF_MAP_CREATE', object: 'lengths', code: 'EINVAL' });
  });
});

describe('without privileges', () => {
  test('every call is refused with EPERM and says what is missing', async () => {
    const capabilities = '-bpf,-sys_admin';
    const setpriv = ['setpriv', `--bounding-set=${capabilities}`, `--inh-caps=${capabilities}`];
    const answers = await runJson('./unprivileged-child.ts', setpriv);
    const remedy = 'run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';
    expect(answers).toEqual({
      load: ['BPF_OBJECT_LOAD', 'EPERM', remedy],
      map: ['BPF_MAP_CREATE', 'EPERM', remedy],
      ids: ['BPF_OBJ_GET_NEXT_ID', 'EPERM', remedy],
    });
  });
});

describe('pins', () => {
  test('an absent one is ENOENT with the path', () => {
    expect(() => BpfMap.openPinned('/sys/fs/bpf/nothing')).toThrow(
      expect.objectContaining({ call: 'BPF_OBJ_GET', code: 'ENOENT', object: '/sys/fs/bpf/nothing' }),
    );
  });

  test('outside a BPF file system and with dots in the name are refused with a remedy', () => {
    using map = BpfMap.create({ name: 'm', type: MapType.Hash, keySize: 4, valueSize: 4, maxEntries: 1 });
    expect(() => map.pin('/tmp/addon-test-pin')).toThrow(
      expect.objectContaining({ remedy: expect.stringMatching(/must lie on a BPF file system/) }),
    );
    expect(() => map.pin('/sys/fs/bpf/a.b')).toThrow(
      expect.objectContaining({ code: 'EPERM', remedy: expect.stringMatching(/no dot/) }),
    );
  });
});
