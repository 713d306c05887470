// SPDX-License-Identifier: Apache-2.0
/** The command line on a real API server: the same commands as on a directory. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { installApi } from '../harness/kube/access.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import type { Result } from '../harness/process.ts';
import { createUnderlay } from '../harness/topology.ts';

jest.setTimeout(120_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');
const CHAIN = join(import.meta.dirname, '../../samples/demo/chain.yaml');

let lab: Lab;
let cluster: Cluster;

beforeAll(async () => {
  lab = await openLab('cli test');
  cluster = await startCluster(await createUnderlay(lab));
  await installApi(cluster);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

async function cubeplane(args: readonly string[], input?: string): Promise<Result> {
  return await cluster.machine.namespace.exec(
    [process.execPath, MAIN, ...args, '--kubeconfig', cluster.kubeconfig],
    {
      anyStatus: true,
      env: { CUBEPLANE_MANIFESTS: undefined, NO_COLOR: '1' },
      ...(input === undefined ? {} : { input }),
    },
  );
}

const cube = (spec: string) => `apiVersion: cubeplane.io/v1alpha1
kind: Cube
metadata: {name: one, labels: {app: x}}
spec: {nodeName: node-a, type: Router, ${spec}}
`;

test('apply creates, configures, leaves unchanged; a dry run writes nothing', async () => {
  expect(await cubeplane(['apply', '-f', '-', '--dry-run'], cube('router: {}'))).toMatchObject({
    status: 0,
    stdout: 'cube.cubeplane.io/one created (dry run)\n',
  });
  expect((await cubeplane(['get', 'cube', 'one'])).status).toBe(3);
  expect((await cubeplane(['apply', '-f', '-'], cube('router: {}'))).stdout).toBe(
    'cube.cubeplane.io/one created\n',
  );
  expect((await cubeplane(['apply', '-f', '-'], cube('router: {}'))).stdout).toBe(
    'cube.cubeplane.io/one unchanged\n',
  );
  expect((await cubeplane(['apply', '-f', '-'], cube('router: {mtu: 1400}'))).stdout).toBe(
    'cube.cubeplane.io/one configured\n',
  );
  expect((await cubeplane(['get', 'cube', 'one', '-o', 'jsonpath={.spec.router.mtu}'])).stdout).toBe('1400');
});

test('get shows the columns that kubectl shows', async () => {
  await cubeplane(['apply', '-f', '-'], cube('router: {}'));
  const words = (text: string) => text.split('\n').map((line) => line.split(/\s+/).slice(0, 5));
  const own = await cubeplane(['get', 'cubes']);
  const kubectl = await cluster.kubectl(['get', 'cubes']);
  expect(words(own.stdout)).toEqual(words(kubectl.stdout));
  for (const kind of ['servicechains', 'cubelinks', 'cubetables', 'cubenodes']) {
    const manifest = { servicechains: CHAIN }[kind];
    if (manifest !== undefined) await cubeplane(['apply', '-f', manifest]);
    const theirs = await cluster.kubectl(['get', kind, '-A', '-o', 'wide']);
    const ours = await cubeplane(['get', kind, '-A', '-o', 'wide']);
    if (theirs.stdout !== '')
      expect(ours.stdout.split('\n')[0]?.split(/\s+/)).toEqual(theirs.stdout.split('\n')[0]?.split(/\s+/));
  }
});

test('selectors, namespaces, describe', async () => {
  await cubeplane(['apply', '-f', '-'], cube('router: {}'));
  expect(
    (await cubeplane(['get', 'cb', '-l', 'app=x', '--field-selector', 'spec.nodeName=node-a', '-o', 'name']))
      .stdout,
  ).toBe('cube.cubeplane.io/one\n');
  expect(
    (await cubeplane(['get', 'cb', '--field-selector', 'spec.nodeName=node-b', '-o', 'name'])).stdout,
  ).toBe('');
  expect((await cubeplane(['get', 'cb', '-n', 'kube-system'])).stderr).toContain(
    'No cubes found in namespace kube-system',
  );
  const { status, stdout } = await cubeplane(['describe', 'cube', 'one']);
  expect(status).toBe(0);
  expect(stdout).toMatch(/Conditions:\n {2}Type +Status +Reason/);
  expect(stdout).toContain('Waiting for the agent of the node');
});

test('what the server refuses is told with object, field and remedy, and ends with 4', async () => {
  const { status, stderr, stdout } = await cubeplane(['apply', '-f', '-'], cube('router: {mtu: 1}'));
  expect({ status, stdout }).toEqual({ status: 4, stdout: '' });
  expect(stderr).toContain('Cube default/one');
  expect(stderr).toContain('spec.router.mtu');
});

test("another manager's field is a conflict, and ends with 5; --force takes it over", async () => {
  await cubeplane(['apply', '-f', '-'], cube('router: {}'));
  const patch = ['patch', 'cube', 'one', '--type=merge', '-p', '{"spec":{"router":{"mtu":1300}}}'];
  await cluster.kubectl(patch);
  const refused = await cubeplane(['apply', '-f', '-'], cube('router: {mtu: 1500}'));
  expect(refused.status).toBe(5);
  expect(refused.stderr).toContain('.spec.router.mtu');
  expect((await cubeplane(['apply', '-f', '-', '--force'], cube('router: {mtu: 1500}'))).status).toBe(0);
});

test('delete, and delete of what is not there', async () => {
  await cubeplane(['apply', '-f', '-'], cube('router: {}'));
  expect((await cubeplane(['delete', 'cube', 'one'])).stdout).toBe('cube.cubeplane.io/one deleted\n');
  expect((await cubeplane(['delete', 'cube', 'one'])).status).toBe(3);
  expect((await cubeplane(['delete', 'cube', 'one', '--ignore-not-found'])).status).toBe(0);
});

test('a watch sees what comes, changes and goes', async () => {
  const argv = [
    process.execPath,
    MAIN,
    'get',
    'cubes',
    '-w',
    '-o',
    'name',
    '--kubeconfig',
    cluster.kubeconfig,
  ];
  const watching = await cluster.machine.namespace.start('watch', argv);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await cubeplane(['apply', '-f', '-'], cube('router: {}').replace('name: one', 'name: watched'));
  await watching.waitForOutput(/cube.cubeplane.io\/watched/);
  watching.kill('SIGINT');
  expect(await watching.exited()).toBe(0);
});
