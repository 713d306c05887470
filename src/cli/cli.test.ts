// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'src/cli/main.ts');

let root = '';
let directory = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cubeplane-cli-'));
  directory = join(root, 'manifests');
  cpSync(join(ROOT, 'samples/demo'), directory, { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const environment = () => ({
  PATH: process.env.PATH,
  HOME: root,
  NODE_COMPILE_CACHE: join(tmpdir(), 'cubeplane-cli-compile-cache'),
  CUBEPLANE_MANIFESTS: directory,
  CUBEPLANE_STATE: join(root, 'state'),
});

/** Runs the real program; ages and times of its output are made the same on every run. */
function cubeplane(
  args: string[],
  options: { input?: string; env?: Record<string, string | undefined> } = {},
) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    input: options.input ?? '',
    env: { ...environment(), ...options.env },
    timeout: 15_000,
  });
  const steady = (text: string) =>
    text
      .replaceAll(directory, 'DIR')
      .replace(/ \d+s$/gm, ' AGE')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
  return { status, stdout: steady(stdout), stderr: steady(stderr) };
}

const UNIT = `apiVersion: cubeplane.io/v1alpha1
kind: Cube
metadata: {name: extra, namespace: default}
spec: {nodeName: node-a, type: Router, router: {}}
`;

describe('get', () => {
  test('a table with the columns of the CRD, in all namespaces unless one is chosen', () => {
    const { status, stdout, stderr } = cubeplane(['get', 'cubes']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(
      [
        'NAMESPACE          NAME                 NODE     TYPE           READY     REASON    AGE',
        'cubeplane-system   demo.ilb.node-a      node-a   LoadBalancer   Unknown   Pending   AGE',
        'cubeplane-system   demo.ilb.node-b      node-b   LoadBalancer   Unknown   Pending   AGE',
        'cubeplane-system   demo.router.node-a   node-a   Router         Unknown   Pending   AGE',
        'cubeplane-system   demo.router.node-b   node-b   Router         Unknown   Pending   AGE',
        '',
      ].join('\n'),
    );
    const one = cubeplane([
      'get',
      'cb',
      '-n',
      'cubeplane-system',
      '--field-selector',
      'spec.nodeName=node-b,spec.type=Router',
    ]);
    expect(one.stdout).toBe(
      'NAME                 NODE     TYPE     READY     REASON    AGE\ndemo.router.node-b   node-b   Router   Unknown   Pending   AGE\n',
    );
    expect(cubeplane(['get', 'cb', '-n', 'default'])).toEqual({
      status: 0,
      stdout: '',
      stderr: 'No cubes found in namespace default (manifests in DIR).\n',
    });
  });

  test('several kinds, the category, wide, labels, no headers', () => {
    const all = cubeplane(['get', 'cubeplane']);
    expect(all.stdout.match(/^NAM/gm)).toHaveLength(5);
    expect(all.stdout).toContain('servicechain.cubeplane.io/demo');
    const wide = cubeplane([
      'get',
      'cubes',
      '-o',
      'wide',
      '--no-headers',
      '-l',
      'cubeplane.io/template=router',
    ]);
    expect(wide.stdout.split('\n')).toHaveLength(3);
    expect(wide.stdout).toContain('TC');
    expect(cubeplane(['get', 'no', '--show-labels']).stdout).toContain('kubernetes.io/os=linux');
  });

  test('json, yaml, name and jsonpath', () => {
    const object = JSON.parse(cubeplane(['get', 'cube', 'demo.router.node-a', '-o', 'json']).stdout);
    expect(object).toMatchObject({
      kind: 'Cube',
      spec: { ports: [{ addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] }] },
    });
    const list = JSON.parse(cubeplane(['get', 'nodes', '-o', 'json']).stdout);
    expect(list).toMatchObject({
      kind: 'List',
      items: [{ metadata: { name: 'node-a' } }, { metadata: { name: 'node-b' } }],
    });
    expect(cubeplane(['get', 'svc/web', '-o', 'yaml']).stdout).toContain('clusterIP: 10.96.0.10');
    expect(cubeplane(['get', 'svc,chain', '-o', 'name']).stdout).toBe(
      'service/web\nservicechain.cubeplane.io/demo\n',
    );
    expect(
      cubeplane(['get', 'nodes', '-o', 'jsonpath={.metadata.name}:{.spec.podCIDRs[0]}{"\\n"}']).stdout,
    ).toBe('node-a:10.244.1.0/24\nnode-b:10.244.2.0/24\n');
  });

  test('a watch prints what is there and what changes, until it is interrupted', async () => {
    const child = spawn(process.execPath, [MAIN, 'get', 'svc', '-w', '-o', 'name'], { env: environment() });
    let seen = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
    const until = async (text: string) => {
      for (let tries = 0; !seen.includes(text); tries += 1) {
        if (tries > 500) throw new Error(`never printed ${text}; printed ${seen}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await until('service/web\n');
    writeFileSync(
      join(directory, 'more.yaml'),
      'apiVersion: v1\nkind: Service\nmetadata: {name: more}\nspec: {ports: [{port: 1}]}\n',
    );
    await until('service/more\n');
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
  });
});

test('describe shows spec, status, conditions and what is wrong', () => {
  const { status, stdout } = cubeplane(['describe', 'chain', 'demo']);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^Name: {9}demo\nNamespace: {4}cubeplane-system\n/);
  expect(stdout).toContain('  desiredNodes: 2\n');
  expect(stdout).toMatch(/^ {2}Ready +False +NodesNotReady /m);
  const file = join(directory, 'web.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('port: 80,', 'port: 80000,'));
  const broken = cubeplane(['describe', 'cubes']);
  expect(broken.stderr).toMatch(/^warning: web.yaml:\d+: Service default\/web: spec.ports\[0\].port: /);
});

describe('apply and delete', () => {
  test('a new object gets a file of its own; the same again is unchanged; a change is seen', () => {
    const file = join(root, 'extra.yaml');
    writeFileSync(file, UNIT);
    expect(cubeplane(['apply', '-f', file, '--dry-run']).stdout).toBe(
      'cube.cubeplane.io/extra created (dry run)\n',
    );
    expect(existsSync(join(directory, 'cube.default.extra.yaml'))).toBe(false);
    expect(cubeplane(['apply', '-f', file]).stdout).toBe('cube.cubeplane.io/extra created\n');
    expect(cubeplane(['apply', '-f', file]).stdout).toBe('cube.cubeplane.io/extra unchanged\n');
    const changed = UNIT.replace('router: {}', 'router: {mtu: 1400}');
    expect(cubeplane(['apply', '-f', '-'], { input: changed }).stdout).toBe(
      'cube.cubeplane.io/extra configured\n',
    );
    expect(cubeplane(['get', 'cube', 'extra', '-o', 'jsonpath={.spec.router.mtu}']).stdout).toBe('1400');
    expect(cubeplane(['delete', 'cube', 'extra']).stdout).toBe('cube.cubeplane.io/extra deleted\n');
    expect(readdirSync(directory).sort()).toEqual(['chain.yaml', 'nodes.yaml', 'web.yaml']);
    expect(cubeplane(['delete', 'cube', 'extra']).status).toBe(3);
    expect(cubeplane(['delete', '-f', file, '--ignore-not-found']).status).toBe(0);
  });

  test('an object that shares a file is changed in its place; the others keep their comments', () => {
    const input = 'apiVersion: v1\nkind: Node\nmetadata: {name: node-b}\nspec: {podCIDRs: [10.244.9.0/24]}\n';
    expect(cubeplane(['apply', '-f', '-'], { input }).stdout).toBe('node/node-b configured\n');
    const text = readFileSync(join(directory, 'nodes.yaml'), 'utf8');
    expect(text).toContain('# The two machines.');
    expect(text).toContain('10.244.9.0/24');
    expect(text).toContain('10.244.1.0/24');
    expect(cubeplane(['delete', 'node', 'node-b']).status).toBe(0);
    expect(cubeplane(['get', 'nodes', '-o', 'name']).stdout).toBe('node/node-a\n');
  });

  test('nothing is written when one object is refused, and the refusal says where and what to do', () => {
    const input = `${UNIT}---\n${UNIT.replace('name: extra', 'name: other').replace('router: {}', 'router: {mtu: 1}')}`;
    const { status, stdout, stderr } = cubeplane(['apply', '-f', '-'], { input });
    expect({ status, stdout }).toEqual({ status: 4, stdout: '' });
    expect(stderr).toMatch(/^cubeplane: error: -:6: Cube .*other: spec.router.mtu: .*\n {2}\S/);
    expect(readdirSync(directory)).toHaveLength(3);
  });

  test('an immutable field cannot be changed', () => {
    cubeplane(['apply', '-f', '-'], { input: UNIT });
    const { status, stderr } = cubeplane(['apply', '-f', '-'], { input: UNIT.replace('node-a', 'node-b') });
    expect(status).toBe(4);
    expect(stderr).toContain('spec.nodeName');
  });

  test('what a chain makes is changed in the chain', () => {
    const { status, stderr } = cubeplane(['delete', 'cube', 'demo.ilb.node-a']);
    expect(status).toBe(4);
    expect(stderr).toContain('derived from ServiceChain cubeplane-system/demo');
  });

  test('a broken file is not written over', () => {
    writeFileSync(join(directory, 'cube.default.extra.yaml'), 'kind: [');
    const { status, stderr } = cubeplane(['apply', '-f', '-'], { input: UNIT });
    expect(status).toBe(5);
    expect(stderr).toContain('cube.default.extra.yaml is broken');
  });
});

test('validate prints every problem with file and line', () => {
  expect(cubeplane(['validate', join(ROOT, 'samples/demo')])).toMatchObject({ status: 0, stderr: '' });
  const file = join(root, 'bad.yaml');
  writeFileSync(file, UNIT.replace('router: {}', 'router: {mtu: 1, colour: red}'));
  const { status, stderr } = cubeplane(['validate', file]);
  expect(status).toBe(4);
  expect(stderr).toMatch(/bad.yaml:4: Cube .*extra: spec.router/);
});

describe('usage', () => {
  test.each([
    [['get', 'pods'], 2, 'there is no kind "pods"'],
    [['get', 'cubes', '-o', 'xml'], 2, 'there is no output format xml'],
    [['get', 'cubes', '--field-selector', 'spec.hook=TC'], 2, 'fields of Cube: '],
    [['get'], 2, "missing required argument 'kind'"],
    [['fly'], 2, "unknown command 'fly'"],
    [['get', 'cube', 'none'], 3, 'Cube none not found'],
    [['get', 'cubes', '--manifests', '/nowhere'], 1, '/nowhere cannot be read'],
    [['get', 'cubes', '--kubeconfig', '/nowhere', '--manifests', '/x'], 2, 'exclude each other'],
  ])('%j ends with %i', (args, status, text) => {
    const result = cubeplane(args);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toContain('    at ');
    expect(result.stdout).toBe('');
  });

  test('where objects are has to be said', () => {
    const { status, stderr } = cubeplane(['get', 'cubes'], { env: { CUBEPLANE_MANIFESTS: undefined } });
    expect(status).toBe(2);
    expect(stderr).toContain('--manifests DIR');
  });

  test('every command has help with an example', () => {
    const names = [...cubeplane(['--help']).stdout.matchAll(/^ {2}([a-z][a-z-]*) /gm)].map(
      (match) => match[1] ?? '',
    );
    expect(names).toEqual(
      expect.arrayContaining([
        'up',
        'down',
        'apply',
        'delete',
        'get',
        'describe',
        'plan',
        'allow-removal',
        'version',
        'completion',
      ]),
    );
    for (const name of names.filter((one) => one !== 'help' && one !== 'cubeplane')) {
      const { status, stdout } = cubeplane([name, '--help']);
      expect({ name, status }).toEqual({ name, status: 0 });
      expect(stdout).toContain('Examples:');
    }
  });

  test('version starts without what it does not need: no API client, schemas, agent or addon', () => {
    const hook =
      "import { registerHooks } from 'node:module'; registerHooks({ load: (url, context, next) => { process.stderr.write('load ' + url + '\\n'); return next(url, context); } });";
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` };
    const { status, stdout, stderr } = cubeplane(['version'], { env });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^cubeplane \d+\.\d+\.\d+, cube ABI \d+/);
    const loaded = [...stderr.matchAll(/^load (.*)$/gm)].map(([, url = '']) => url);
    expect(loaded.length).toBeGreaterThan(3);
    const heavy =
      /client-node|ajv|undici|\/src\/(api\/generated|k8s|operators|dataplane\/(agent|kernel))|\.node$/;
    expect(loaded.filter((url) => heavy.test(url))).toEqual([]);
  });
});

test('completion in a real bash: commands, kinds, names, options, files', () => {
  const bin = join(root, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'cubeplane'), `#!/bin/sh\nexec ${process.execPath} ${MAIN} "$@"\n`, {
    mode: 0o755,
  });
  const completed = (...words: string[]) => {
    const script = `source <(cubeplane completion bash)
COMP_WORDS=(cubeplane ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_cubeplane; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { ...environment(), PATH: `${bin}:${process.env.PATH}` };
    const result = spawnSync('bash', ['--norc', '-c', script], {
      encoding: 'utf8',
      env,
      cwd: root,
      timeout: 15_000,
    });
    return result.stdout.trim().split('\n');
  };
  expect(completed('de')).toEqual(['describe', 'delete']);
  expect(completed('get', 'cubet')).toEqual(['cubetables']);
  expect(completed('get', 'cubes', 'demo.r')).toEqual(['demo.router.node-a', 'demo.router.node-b']);
  expect(completed('get', 'cubes', '-n', '')).toEqual(['cubeplane-system', 'default']);
  expect(completed('get', '--sho')).toEqual(['--show-labels']);
  expect(completed('apply', '-f', 'ma')).toEqual(['manifests']);
  expect(completed('completion', '')).toEqual(['bash', 'zsh', 'fish']);
});
