// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run conformance`: upstream's own tests on a cluster with real nodes. Ten of different kinds; with CUBEPLANE_CONFORMANCE=all
 * all of networking, on three nodes, which writes docs/conformance.md.
 */
import { join } from 'node:path';
import { afterAll, expect, jest, test } from '@jest/globals';
import { detachedLabs } from '../harness/lab.ts';
import { run } from '../harness/process.ts';

/** With the first build of Kubernetes, of its tests and of the images, on a machine that never did it. */
jest.setTimeout(100 * 60_000);

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'scripts/conformance/main.ts');
const NAME = `conformance-${process.pid}`;
const IS_WHOLE = process.env.CUBEPLANE_CONFORMANCE === 'all';

/** Each the name of one test. */
const TEN = [
  'Services should serve multiport endpoints from pods',
  'Services should be able to create a functioning NodePort service',
  'Services should have session affinity work for NodePort service',
  'Services should be rejected when no endpoints exist',
  'DNS should provide DNS for services',
  'Networking Granular Checks: Pods should function for node-pod communication: udp',
  'Networking Granular Checks: Services should function for node-Service: http',
  'HostPort validates that there is no conflict between pods with same hostPort but different hostIP',
  'NetworkPolicy between server and client should enforce policy based on Ports',
  'EndpointSlice should support a Service with multiple ports',
];

afterAll(async () => {
  expect(await detachedLabs(`npm run real cluster ${NAME}`)).toEqual([]);
});

test(IS_WHOLE ? 'all of networking' : 'ten of networking', async () => {
  const choice = IS_WHOLE
    ? ['--procs', '6', '--report', 'docs/conformance.md']
    : [...TEN.flatMap((name) => ['--focus', name.replace(/[()]/g, '\\$&')]), '--nodes', '2'];
  const { status, stdout, stderr } = await run([process.execPath, MAIN, '--name', NAME, ...choice], {
    cwd: ROOT,
    anyStatus: true,
    timeoutMs: 100 * 60_000,
  });
  const said = `${stdout}\n${stderr.slice(-4000)}`;
  const [, passed, failed, left] = /^(\d+) passed, (\d+) failed, (\d+) not run/m.exec(said) ?? [];
  expect({ said, status, failed }).toEqual({ said, status: 0, failed: '0' });
  expect({ said, left: IS_WHOLE || left }).toEqual({ said, left: IS_WHOLE || '0' });
  expect(Number(passed)).toBeGreaterThanOrEqual(IS_WHOLE ? 210 : TEN.length);
});
