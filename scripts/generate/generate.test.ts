// SPDX-License-Identifier: Apache-2.0
/** The generator as people run it, on a copy of the repository. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';

jest.setTimeout(60_000);

const ROOT = join(import.meta.dirname, '../..');
/** Written by hand, and all that the generator reads. Codecs come from built objects and have tests of their own. */
const SOURCES = ['src/api', 'src/cubes', 'scripts/generate', 'config/provider', 'package.json'];

const REPEATER = `
import { integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
export const schema: CubeTypeSchema = {
  type: 'Repeater', member: 'repeater', folder: 'repeater', description: 'joins its ports on layer 2.',
  schema: object('A repeater.', { agingSeconds: integer('Life of an entry.', 1, 3600, { default: 300 }) }, [], { typeName: 'Repeater' }),
  ports: { fixed: [], named: 'Any name.', max: 32, addresses: false },
  tables: [], hooks: ['TC'], rules: [],
  dropReasons: [{ id: 32, name: 'PortIsolated', description: 'The port is isolated.', remedy: 'Join it.' }],
  counters: [{ id: 0, name: 'flooded', description: 'Frames sent to all ports.' }],
  decisions: [{ id: 1, name: 'KnownMac', description: 'The MAC is known.', object: 'port' }],
  maps: [],
};
`;

/** What the agent runs, as far as the registry sees it. */
const REPEATER_TYPE = `
import type { CubeType } from '../cube-type.ts';
export const repeater = { type: 'Repeater', object: 'repeater' } as unknown as CubeType;
`;

let copy: string;

function generate(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/generate/main.ts', ...args], {
    cwd: copy,
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, text: stdout + stderr };
}

const read = (path: string): string => readFileSync(join(copy, path), 'utf8');

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'cubeplane-generate-'));
  for (const path of SOURCES) cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  rmSync(join(copy, 'scripts/generate/codecs.ts'), { force: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  expect(generate()).toMatchObject({ status: 0 });
});

afterAll(() => {
  rmSync(copy, { recursive: true, force: true });
});

describe('npm run generate', () => {
  test.each([
    'crds/cubeplane.io_cubes.yaml',
    'crds/cubeplane.io_servicechains.yaml',
    'config/default/provider.yaml',
    'src/api/generated/types.ts',
    'src/api/generated/validators.js',
    'src/api/generated/rules.js',
    'src/api/generated/reasons.ts',
    'src/cubes/generated/index.ts',
    'src/cubes/generated/registry.ts',
    'bpf/router/generated/reasons.h',
    'bpf/include/generated/reasons.h',
    'docs/reference/router.md',
  ])('%s in the repository is what the schemas say', (path) => {
    expect(readFileSync(join(ROOT, path), 'utf8')).toBe(read(path));
  });

  test('--check names a file that somebody edited, and leaves it', () => {
    expect(generate('--check')).toMatchObject({ status: 0 });
    writeFileSync(join(copy, 'docs/reference/router.md'), 'edited');
    const { status, text } = generate('--check');
    expect({ status, text }).toMatchObject({
      status: 1,
      text: expect.stringContaining('docs/reference/router.md'),
    });
    expect(read('docs/reference/router.md')).toBe('edited');
    expect(generate()).toMatchObject({ status: 0, text: expect.stringContaining('1 written') });
  });

  test('a new folder in src/cubes is a new cube type everywhere', () => {
    mkdirSync(join(copy, 'src/cubes/repeater'));
    writeFileSync(join(copy, 'src/cubes/repeater/schema.ts'), REPEATER);
    writeFileSync(join(copy, 'src/cubes/repeater/type.ts'), REPEATER_TYPE);
    expect(generate()).toMatchObject({ status: 0 });

    const crd = parse(read('crds/cubeplane.io_cubes.yaml'));
    const { spec } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
    expect(spec.properties.type.enum).toEqual(expect.arrayContaining(['Repeater', 'LoadBalancer', 'Router']));
    expect(spec.properties.repeater.properties.agingSeconds).toMatchObject({ default: 300, maximum: 3600 });
    expect(read('src/api/generated/types.ts')).toContain(
      'export interface RepeaterCubeSpec extends CubeSpecCommon',
    );
    expect(read('src/cubes/generated/index.ts')).toContain('Repeater: repeater');
    expect(read('bpf/repeater/generated/reasons.h')).toContain('#define DROP_PORT_ISOLATED 32');
    expect(read('bpf/repeater/generated/reasons.h')).toContain('#define COUNT_FLOODED 0');
    expect(read('bpf/repeater/generated/reasons.h')).toContain('#define DECIDE_KNOWN_MAC 1');
    expect(read('docs/reference/repeater.md')).toContain('`spec.repeater.agingSeconds`');

    const program = `
      import { validate } from './src/api/validate.ts';
      import { CUBES } from './src/cubes/generated/registry.ts';
      const spec = (repeater) => ({ nodeName: 'a', type: 'Repeater', ...repeater });
      const cube = (repeater) => ({ apiVersion: 'cubeplane.io/v1alpha1', kind: 'Cube', metadata: { name: 'b' }, spec: spec(repeater) });
      const good = validate(cube({ repeater: {} }));
      console.log(JSON.stringify([good.object.spec.repeater, validate(cube({})).reason, validate(cube({ repeater: { agingSeconds: 0 } })).reason, [...CUBES.keys()], CUBES.get('Repeater').object]));
    `;
    const args = ['--input-type=module-typescript', '--eval', program];
    const answer = execFileSync(process.execPath, args, { cwd: copy, encoding: 'utf8', timeout: 30_000 });
    expect(JSON.parse(answer)).toEqual([
      { agingSeconds: 300 },
      'MemberMismatch',
      'OutOfRange',
      expect.arrayContaining(['Repeater', 'LoadBalancer', 'Router']),
      'repeater',
    ]);
  });

  test('a schema that contradicts itself is refused with its place', () => {
    mkdirSync(join(copy, 'src/cubes/broken'));
    const path = join(copy, 'src/cubes/broken/schema.ts');
    const broken = REPEATER.replace("folder: 'repeater'", "folder: 'broken'").replaceAll(
      'Repeater',
      'Broken',
    );
    writeFileSync(path, broken.replace('id: 32', 'id: 7'));
    expect(generate()).toMatchObject({
      status: 1,
      text: expect.stringContaining(
        'src/cubes/broken/schema.ts: drop reason PortIsolated has id 7, outside 32–63',
      ),
    });
    rmSync(join(copy, 'src/cubes/broken'), { recursive: true });
  });
});
