// SPDX-License-Identifier: Apache-2.0
/** The fixtures of the API against a real API server: it refuses what validate() refuses, and fills in the same defaults. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { CUBE_HOOKS } from '../../src/api/generated/supported.ts';
import { API_VERSION, GROUP, isKind, KINDS, PLURALS } from '../../src/api/group.ts';
import { validate } from '../../src/api/validate.ts';
import { type Fixture, fixtures } from '../fixtures/manifests.ts';
import { mutations } from '../fixtures/mutations.ts';
import type { KubeObject } from '../harness/kube/api.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createUnderlay } from '../harness/topology.ts';

jest.setTimeout(120_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
/** Random changes that both are asked about; 400 in every run, more in a soak. */
const MUTATIONS = Number(process.env.CUBEPLANE_MUTATIONS ?? 400);
const CRDS = join(import.meta.dirname, '../../crds');
const PROVIDER = join(import.meta.dirname, '../../config/provider');

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

  test('takes the provider as kustomize builds it', async () => {
    const system = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'cubeplane-system' } };
    await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(system) });
    const stored = await kubectlJson(['create', '--dry-run=server', '-k', PROVIDER]);
    const checked = validate(parse(readFileSync(join(PROVIDER, 'kubernetes.yaml'), 'utf8')));
    if (!checked.ok) throw new Error(checked.message);
    expect(stored.spec).toEqual(checked.object.spec);
  });

  // Defaults fill the empty member; where one is an empty set, a second apply would take the member away.
  test.each([
    ['Bridge', 'bridge'],
    ['DDoSMitigator', 'ddosMitigator'],
    ['Firewall', 'firewall'],
    ['Forwarder', 'forwarder'],
    ['LoadBalancer', 'loadBalancer'],
    ['Nat', 'nat'],
    ['Router', 'router'],
    ['SocketLB', 'socketLB'],
  ])('takes a %s without settings when it is applied again', async (type, member) => {
    const name = `empty-${type.toLowerCase()}`;
    const hook = CUBE_HOOKS[type]?.[0];
    const manifest = {
      ...{ apiVersion: API_VERSION, kind: 'Cube', metadata: { name, namespace: 'default' } },
      spec: { type, hook, nodeName: 'node-empty', [member]: {} },
    };
    const path = `/apis/${API_VERSION}/namespaces/default/cubes/${name}`;
    const first = await cluster.api.apply<Stored>(path, manifest);
    expect((await cluster.api.apply<Stored>(path, manifest)).spec).toEqual(first.spec);
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

  test('serves kubectl edit, patch, describe, wait and delete', async () => {
    const fixture = valid.find(({ name }) => name === 'cube-minimal') as Fixture;
    await cluster.kubectl(['apply', '-f', fixture.path]);
    const editor = { KUBE_EDITOR: `sed -i 's/maxRoutes: .*/maxRoutes: 2048/'` };
    await cluster.kubectl(['edit', 'cube', 'minimal'], { env: editor });
    await cluster.kubectl([
      'patch',
      'cube',
      'minimal',
      '--type=merge',
      '-p',
      '{"spec":{"router":{"mtu":1400}}}',
    ]);
    const edited = await kubectlJson(['get', 'cube', 'minimal']);
    expect(edited.spec).toMatchObject({ router: { maxRoutes: 2048, mtu: 1400 } });

    const refused = ['patch', 'cube', 'minimal', '--type=merge', '-p', '{"spec":{"nodeName":"node-b"}}'];
    await expect(cluster.kubectl(refused)).rejects.toThrow(
      /spec.nodeName: .*the node of a cube cannot be changed/,
    );

    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: 'Packets pass',
      observedGeneration: 3,
    };
    const status = {
      conditions: [{ ...ready, lastTransitionTime: '2026-01-01T00:00:00Z' }],
      program: { tag: 'x' },
    };
    const write = (body: object) =>
      cluster.kubectl([
        'patch',
        'cube',
        'minimal',
        '--subresource=status',
        '--type=merge',
        '-p',
        JSON.stringify({ status: body }),
      ]);
    await expect(write(status)).rejects.toThrow(/status.program.tag/);
    await write({ ...status, program: { tag: '0123456789abcdef', abi: 1 } });
    await cluster.kubectl(['wait', '--for=condition=Ready', '--timeout=5s', 'cube/minimal']);
    const { stdout } = await cluster.kubectl(['describe', 'cube', 'minimal']);
    expect(stdout).toMatch(/Conditions:[\s\S]*Message:\s+Packets pass[\s\S]*Tag:\s+0123456789abcdef/);
    await cluster.kubectl(['delete', 'cube', 'minimal']);
    await expect(cluster.kubectl(['get', 'cube', 'minimal'])).rejects.toThrow(/NotFound/);
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

describe('validate() and the API server agree', () => {
  /** What the server says to a new object; undefined when it takes it. */
  async function serverRefusal(manifest: object): Promise<string | undefined> {
    const { kind } = manifest as { kind: keyof typeof PLURALS };
    const namespace = kind === 'CubeNode' ? '' : 'namespaces/default/';
    const path = `/apis/${API_VERSION}/${namespace}${PLURALS[kind]}?dryRun=All&fieldValidation=Strict`;
    const fresh = { ...manifest, metadata: { name: 'fresh' } };
    return await cluster.api.raw('POST', path, fresh).then(
      () => undefined,
      (failure: Error) => failure.message,
    );
  }

  function validateRefusal(manifest: object): string | undefined {
    const result = validate({ ...manifest, metadata: { name: 'fresh' } });
    return result.ok ? undefined : result.message;
  }

  test(`about ${MUTATIONS} random changes of good manifests`, async () => {
    const all = [...valid, ...unsupported].map(({ manifest }) => manifest);
    const differences: string[] = [];
    let refused = 0;
    for (const { what, manifest } of mutations(all, MUTATIONS, 20261122)) {
      const server = await serverRefusal(manifest);
      const own = validateRefusal(manifest);
      if (server !== undefined) refused += 1;
      if ((server === undefined) !== (own === undefined)) {
        differences.push(`${manifest.kind}: ${what}\n  server: ${server}\n  validate(): ${own}`);
      }
    }
    expect(differences).toEqual([]);
    expect(refused).toBeGreaterThan(MUTATIONS / 4);
  });

  test.each([
    '10.0.0.1',
    '10.0.0.01',
    '10.0.0',
    '0x0a.0.0.1',
    '10.0.0.256',
    '::',
    '::ffff:10.0.0.1',
    '::ffff:a00:1',
    '64:ff9b::10.0.0.1',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7::',
    '1:2:3:4:5:6:7:8:9',
    'FD00::A',
    '1::2::3',
    '00001::',
    ' ::1',
    '10.0.0.1 ',
  ])('about the address %p, alone and with a prefix length', async (address) => {
    const table = (type: string, rows: object) => ({
      apiVersion: API_VERSION,
      kind: 'CubeTable',
      spec: { type, ...rows },
    });
    const tunnel = { destination: '10.0.0.0/8', type: 'Tunnel', tunnel: { remote: address } };
    const manifests = [
      table('Route', { routes: [tunnel] }),
      ...['/0', '/8', '/08', '/32', '/33', '/128', '/129', '/-1', '/', '/+8', '/a'].map((length) =>
        table('Prefix', { prefixes: [{ cidr: `${address}${length}` }] }),
      ),
    ];
    for (const manifest of manifests) {
      const server = await serverRefusal(manifest);
      const own = validateRefusal(manifest);
      expect({ manifest, refused: own !== undefined }).toEqual({ manifest, refused: server !== undefined });
    }
  });

  test('about tables that are as full as they may be', async () => {
    const frontend = (port: number) => ({
      name: `port-${port}`,
      addresses: Array.from({ length: 8 }, (_, i) => `10.96.${i}.1`),
      port,
      sourceRanges: ['10.0.0.0/8'],
    });
    const ports = Array.from({ length: 32 }, (_, i) => ({ name: `port-${i + 1}`, port: 8000 + i }));
    const service = {
      namespace: 'default',
      name: 'large',
      frontends: ports.map((_, i) => frontend(i + 1)),
      backends: Array.from({ length: 100 }, (_, i) => ({ address: `10.244.1.${i + 1}`, ports })),
    };
    const routes = Array.from({ length: 500 }, (_, i) => ({
      destination: `10.${i >> 8}.${i & 255}.0/24`,
      type: 'Tunnel',
      tunnel: { remote: '198.18.0.2' },
    }));
    for (const spec of [
      { type: 'Service', services: [service] },
      { type: 'Route', routes },
      { type: 'Prefix', prefixes: routes.concat(routes).map(({ destination }) => ({ cidr: destination })) },
    ]) {
      const manifest = { apiVersion: API_VERSION, kind: 'CubeTable', spec };
      expect(await serverRefusal(manifest)).toBeUndefined();
      expect(validateRefusal(manifest)).toBeUndefined();
    }
  });
});

test('the kinds of the fixtures are all kinds of the API', () => {
  const kinds = valid.map(({ manifest }) => (manifest as { kind: string }).kind);
  expect(kinds.every(isKind)).toBe(true);
  expect([...new Set(kinds)].sort()).toEqual([...KINDS].sort());
});
