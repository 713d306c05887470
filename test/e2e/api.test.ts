// SPDX-License-Identifier: Apache-2.0
/** The fixtures of the API against a real API server: it refuses what validate() refuses, and fills in the same defaults. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { API_VERSION, GROUP, isKind, KINDS, PLURALS } from '../../src/api/group.ts';
import { validate } from '../../src/api/validate.ts';
import { type Fixture, fixtures } from '../fixtures/manifests.ts';
import type { KubeObject } from '../harness/kube/api.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createUnderlay } from '../harness/topology.ts';

jest.setTimeout(60_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const CRDS = join(import.meta.dirname, '../../crds');

const valid = fixtures('valid');
const invalid = fixtures('invalid');
const unsupported = fixtures('not-supported');

let lab: Lab;
let cluster: Cluster;

beforeAll(async () => {
  lab = await openLab('api test');
  cluster = await startCluster(await createUnderlay(lab));
  await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=20s', '-f', CRDS]);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

type Stored = KubeObject & { spec: unknown; status?: { conditions: { type: string; reason: string }[] } };

async function kubectlJson(args: string[]): Promise<Stored> {
  return JSON.parse((await cluster.kubectl([...args, '-o', 'json'])).stdout) as Stored;
}

/** What the real API server and kubectl say to a manifest; fails the test when they take it. */
async function refusal(fixture: Fixture): Promise<string> {
  const old = valid.find(({ name }) => name === fixture.old);
  if (old) await cluster.kubectl(['apply', '-f', old.path]);
  const verb = old ? 'replace' : 'create';
  const result = await cluster.kubectl([verb, '--dry-run=server', '-f', fixture.path], { anyStatus: true });
  if (result.status === 0) throw new Error(`the API server took it: ${result.stdout}`);
  return result.stderr;
}

/** What the server says where its words are not those of a field: the request never becomes an object of ours. */
const OUTSIDE_OF_SCHEMA: Record<string, RegExp> = {
  NotAnObject: /invalid object to validate/,
  UnknownVersion: /no matches for kind "Cube" in version "cubeplane.io\/v1"/,
  UnknownKind: /no matches for kind "Cubes"/,
  NameMissing: /resource name may not be empty|name or generateName is required/,
  LabelInvalid: /metadata.labels: Invalid value: "a b"/,
  NamespaceInvalid: /namespaces "a.b" not found|Invalid value: "a.b"/,
};

describe('the API server', () => {
  test('has every kind, in the category cubeplane, by its short names', async () => {
    const { stdout } = await cluster.kubectl([
      'api-resources',
      `--api-group=${GROUP}`,
      '-o',
      'wide',
      '--no-headers',
    ]);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/));
    expect(rows.map(([plural]) => plural).sort()).toEqual(Object.values(PLURALS).sort());
    expect(rows.map((row) => row[1]).sort()).toEqual(['cb', 'chain', 'cl', 'cn', 'ct']);
    expect(rows.every((row) => row.at(-1) === 'cubeplane')).toBe(true);
    await cluster.kubectl(['get', 'cubeplane', '-A']);
  });

  test.each(valid)(
    'takes valid/$name and fills in the defaults that validate() does',
    async ({ path, manifest }) => {
      const stored = await kubectlJson(['create', '--dry-run=server', '-f', path]);
      const checked = validate(manifest);
      if (!checked.ok) throw new Error(checked.message);
      expect(stored.spec).toEqual(checked.object.spec);
    },
  );

  test.each(unsupported)(
    'takes not-supported/$name: only this release does not do it',
    async ({ path, manifest }) => {
      const stored = await kubectlJson(['create', '--dry-run=server', '-f', path]);
      const checked = validate(manifest);
      expect(checked.ok && checked.object.spec).toEqual(stored.spec);
    },
  );

  test.each(invalid)('refuses invalid/$name at $field', async (fixture) => {
    const said = await refusal(fixture);
    const outside = OUTSIDE_OF_SCHEMA[fixture.reason];
    if (outside) {
      expect(said).toMatch(outside);
      return;
    }
    // A rule about the whole object cannot name a field of metadata.
    if (fixture.reason !== 'ChainNameNotLabel') expect(said).toContain(fixture.field);
    const old = valid.find(({ name }) => name === fixture.old);
    const before = old && validate(old.manifest);
    const checked = validate(fixture.manifest, before?.ok ? before.object : undefined);
    if (checked.ok) throw new Error('validate() took it');
    // A rule says the same in both places, word for word.
    const [first] = checked.failures;
    if (first?.rule) expect(said).toContain(`${first.problem}; ${first.remedy}`);
  });

  test('gives a new object conditions that are Unknown and Pending', async () => {
    for (const name of ['cube-router', 'cube-link', 'service-chain', 'cube-node']) {
      const fixture = valid.find((candidate) => candidate.name === name) as Fixture;
      const stored = await kubectlJson(['apply', '-f', fixture.path]);
      expect(stored.status?.conditions.map(({ reason }) => reason)).toContain('Pending');
      expect(stored.status?.conditions.map(({ type }) => type)).toContain('Ready');
    }
    const { stdout } = await cluster.kubectl(['get', 'cubes', 'kubernetes.router.node-a']);
    expect(stdout.split('\n').map((line) => line.split(/\s+/).slice(0, 5))).toEqual([
      ['NAME', 'NODE', 'TYPE', 'READY', 'REASON'],
      ['kubernetes.router.node-a', 'node-a', 'Router', 'Unknown', 'Pending'],
      [''],
    ]);
  });

  test('selects cubes by node and type', async () => {
    const fixture = valid.find(({ name }) => name === 'cube-load-balancer') as Fixture;
    await cluster.kubectl(['apply', '-f', fixture.path]);
    const get = async (selector: string): Promise<string> =>
      (await cluster.kubectl(['get', 'cb', `--field-selector=${selector}`, '-o', 'name'])).stdout;
    expect(await get('spec.nodeName=node-a,spec.type=LoadBalancer')).toBe(
      'cube.cubeplane.io/kubernetes.ilb.node-a\n',
    );
    expect(await get('spec.nodeName=node-b')).toBe('');
  });

  test('explains every field of every kind', async () => {
    for (const kind of KINDS) {
      const { stdout } = await cluster.kubectl([
        'explain',
        '--recursive=false',
        `--api-version=${API_VERSION}`,
        `${PLURALS[kind]}.spec`,
      ]);
      expect(stdout).not.toContain('<no description>');
    }
    const { stdout } = await cluster.kubectl(['explain', 'cube.spec.router.routes']);
    expect(stdout).toMatch(/destination\s+<string> -required-\n\s+Prefix that the route is for/);
  });

  test('keeps two managers of one chain apart under server-side apply', async () => {
    const apply = async (manager: string, cube: string, path: object[] = []): Promise<Stored> => {
      const manifest = {
        apiVersion: API_VERSION,
        kind: 'ServiceChain',
        metadata: { name: 'shared', namespace: 'default' },
        spec: { cubes: [{ name: cube, type: 'Router', router: {} }], ...(path.length > 0 ? { path } : {}) },
      };
      const args = ['apply', '--server-side', `--field-manager=${manager}`, '-f', '-', '-o', 'json'];
      return JSON.parse((await cluster.kubectl(args, { input: JSON.stringify(manifest) })).stdout) as Stored;
    };
    await apply('one', 'a', [{ type: 'Pods' }, { type: 'Stack' }]);
    const both = await apply('two', 'b');
    expect((both.spec as { cubes: { name: string }[] }).cubes.map(({ name }) => name)).toEqual(['a', 'b']);
    await expect(apply('two', 'b', [{ type: 'Stack' }, { type: 'Pods' }])).rejects.toThrow(
      /conflict with "one": .spec.path/,
    );
  });
});

test('the kinds of the fixtures are all kinds of the API', () => {
  const kinds = valid.map(({ manifest }) => (manifest as { kind: string }).kind);
  expect(kinds.every(isKind)).toBe(true);
  expect([...new Set(kinds)].sort()).toEqual([...KINDS].sort());
});
