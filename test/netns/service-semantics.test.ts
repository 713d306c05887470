// SPDX-License-Identifier: Apache-2.0
/**
 * What a pod meets at Services, by real sockets: each row of service-cases.ts with TCP and UDP on one port, in both families, with
 * checksums left to the card and not; and what follows when Services change.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { httpGet } from '../harness/http.ts';
import type { Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { type Manifest, nodeObject, serviceObjects, vipsOf } from './support/manifests.ts';
import { SERVICE_CASES, type ServiceCase } from './support/service-cases.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { type Held, holdConnections, type Place, survey } from './support/sockets.ts';
import { FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(300_000);

type Family = (typeof FAMILIES)[number];
const PROTOCOLS = ['tcp', 'udp'] as const;
/** Another server of the pod far. */
const OTHER_TARGET = 8081;
const FIRST = 40;
const EDITED = 20;
const MANY = { first: 100, count: 50 } as const;
const HEALTH = 32_100;

let lab: TwoNodes;
let client: Pod;
let near: Pod;
let far: Pod;

const outside = {
  External: (number: number) => ({ ipv4: `203.0.113.${number}`, ipv6: `2001:db8:1::${number.toString(16)}` }),
  LoadBalancer: (number: number) => ({
    ipv4: `198.51.100.${number}`,
    ipv6: `2001:db8:2::${number.toString(16)}`,
  }),
} as const;

const placeOf = ({ at = 'ClusterIP' }: ServiceCase, number: number) =>
  at === 'ClusterIP' ? vipsOf(number) : outside[at](number);

/** A Service and a slice a family and endpoint, as while endpoints move between slices. */
function objectsOf(row: ServiceCase, number: number): Manifest[] {
  const { ipv4, ipv6 } = placeOf(row, number);
  const spec = {
    ...row.spec,
    ...(row.at === 'External' ? { externalIPs: [ipv4, ipv6] } : {}),
    ...(row.at === 'LoadBalancer' ? { type: 'LoadBalancer' } : {}),
  };
  const name = `case-${number}`;
  const [service, ...slices] = serviceObjects({ name, number, ports: named, backends: [near], spec });
  const status = { loadBalancer: { ingress: [{ ip: ipv4 }, { ip: ipv6 }] } };
  return [
    { ...(service as Manifest), ...(row.at === 'LoadBalancer' ? { status } : {}) },
    ...row.endpoints.flatMap(([backend, patch], i) =>
      slices.map((slice, j) => {
        const pod = backend === 'near' ? near : far;
        const addresses = [pod.addresses[j === 0 ? 'ipv4' : 'ipv6']];
        return {
          ...slice,
          metadata: { ...slice.metadata, name: `${slice.metadata.name}-${i}` },
          endpoints: [{ addresses, nodeName: pod.node.name, ...patch }],
        };
      }),
    ),
  ];
}

/** Of a change it takes the agents a moment to see it. */
async function eventually(check: () => Promise<void>): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    try {
      await check();
      return;
    } catch {
      // not yet
    }
  }
  await check();
}

/** What the answers of a survey say: who answered, or what happened instead. */
function meaningOf(outcomes: Readonly<Record<string, number>>): string {
  const names = Object.keys(outcomes).map((text) => text.split(' ')[0] ?? '');
  return [...new Set(names)].sort().join();
}

const meetingOf = ({ meets }: ServiceCase): string =>
  meets === 'Rejected' ? 'ECONNREFUSED' : Array.isArray(meets) ? [...meets].sort().join() : 'ETIMEDOUT';

function withLoadBalancers(chain: { spec: { cubes: { loadBalancer?: object }[] } }): void {
  Object.assign(chain.spec.cubes[0]?.loadBalancer ?? {}, {
    scopes: ['ClusterIP', 'External', 'LoadBalancer'],
    drainSeconds: 1,
  });
}

beforeAll(async () => {
  lab = await openTwoNodes('service semantics', { chain: withLoadBalancers });
  client = await lab.addPod(0, 'client', 10);
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  await startServer(near.namespace, 'near', TARGET);
  await startServer(far.namespace, 'far', TARGET);
  await startServer(far.namespace, 'other', OTHER_TARGET);
  const nodes = lab.workers.map(({ node, index }) => nodeObject(node, index));
  for (const [i, { metadata }] of nodes.entries())
    Object.assign(metadata, {
      labels: { 'kubernetes.io/os': 'linux', 'topology.kubernetes.io/zone': `zone-${i + 1}` },
    });
  lab.manifests.write('nodes.yaml', ...nodes);
  lab.manifests.write('cases.yaml', ...SERVICE_CASES.flatMap((row, i) => objectsOf(row, FIRST + i)));
  const outer = SERVICE_CASES.filter(({ at = 'ClusterIP' }) => at !== 'ClusterIP').length;
  await lab.untilFrontends(0, (SERVICE_CASES.length + outer) * FAMILIES.length * PROTOCOLS.length);
  await lab.untilReady();
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  const results = new Map<string, Record<string, number>>();
  const keyOf = (row: ServiceCase, family: Family, protocol: string) => `${row.name} ${family} ${protocol}`;
  let drops: Readonly<Record<string, number>>;
  let dropsBefore: Readonly<Record<string, number>>;

  beforeAll(async () => {
    await lab.setOffload(offload);
    dropsBefore = (await lab.drops(0)).ilb;
    const asked: [string, Place][] = SERVICE_CASES.flatMap((row, i) =>
      FAMILIES.flatMap((family) =>
        PROTOCOLS.map((protocol): [string, Place] => {
          const count = Array.isArray(row.meets) ? 24 : 1;
          return [
            keyOf(row, family, protocol),
            { address: placeOf(row, FIRST + i)[family], port: PORT, protocol, count },
          ];
        }),
      ),
    );
    const found = await survey(
      client.namespace,
      asked.map(([, place]) => place),
    );
    for (const [i, [key]] of asked.entries()) results.set(key, found[i] ?? {});
    drops = (await lab.drops(0)).ilb;
  });

  test.each(SERVICE_CASES.map((row) => [row.name, row] as const))('%s', (_, row) => {
    for (const family of FAMILIES) {
      for (const protocol of PROTOCOLS) {
        const outcomes = results.get(keyOf(row, family, protocol)) ?? {};
        expect([family, protocol, meaningOf(outcomes)]).toEqual([family, protocol, meetingOf(row)]);
        if (!Array.isArray(row.meets)) continue;
        // The backend sees the pod's own address.
        for (const text of Object.keys(outcomes)) expect(text.split(' ')[1]).toBe(client.addresses[family]);
      }
    }
    if (typeof row.meets === 'object' && 'dropped' in row.meets)
      expect(drops[row.meets.dropped] ?? 0).toBeGreaterThan(dropsBefore[row.meets.dropped] ?? 0);
  });
});

describe.each(FAMILIES)('%s', (family) => {
  const vip = vipsOf(EDITED)[family];
  const ask = async (protocol: 'tcp' | 'udp', count = 1) =>
    meaningOf((await survey(client.namespace, [{ address: vip, port: PORT, protocol, count }]))[0] ?? {});
  const write = (options: { port?: number; targetPort?: number; backends?: Pod[] }) => {
    const { port = PORT, targetPort = TARGET, backends = [far] } = options;
    const ports = named.map((one) => ({ ...one, port, targetPort }));
    lab.writeService({ name: 'edited', number: EDITED, ports, backends });
  };

  test.each(PROTOCOLS)('%s: another target port of the same address is another backend', async (protocol) => {
    write({});
    await eventually(async () => expect(await ask(protocol)).toBe('far'));
    write({ targetPort: OTHER_TARGET });
    await eventually(async () => expect(await ask(protocol)).toBe('other'));
  });

  test.each(PROTOCOLS)('%s: another port: the old one is no longer of the Service', async (protocol) => {
    write({});
    await eventually(async () => expect(await ask(protocol)).toBe('far'));
    write({ port: 81 });
    await eventually(async () => expect(await ask(protocol)).not.toBe('far'));
    write({});
    await eventually(async () => expect(await ask(protocol)).toBe('far'));
  });

  test('a TCP connection to a backend that is gone is reset; the next one goes elsewhere', async () => {
    // a backend that no other Service lists: one that is listed somewhere keeps its connections
    write({ targetPort: OTHER_TARGET });
    await eventually(async () => expect(await ask('tcp')).toBe('other'));
    const probes: Held[] = [];
    for (let i = 0; i < 6; i++) probes.push(await holdConnections(client.namespace, vip, PORT, 1));
    const last = await holdConnections(client.namespace, vip, PORT, 3);
    write({ backends: [near] });
    await eventually(async () => expect(await ask('tcp')).toBe('near'));
    // A probe can be asked once; the drain time is over when one of them is reset.
    for (const probe of probes) {
      if ((await probe.check()).alive === 0) break;
      await sleep(1_000);
    }
    expect(await last.check()).toEqual({ alive: 0, errors: { ECONNRESET: 3 } });
  });
});

test('twelve backends, all of them met, and nothing left of them', async () => {
  const ports = Array.from({ length: 6 }, (_, i) => 9_000 + i);
  const pods = { near, far };
  const servers = await Promise.all(
    Object.entries(pods).flatMap(([name, pod]) =>
      ports.map((port) => startServer(pod.namespace, `${name}-${port}`, port)),
    ),
  );
  const rows = async () => {
    const { counters } = lab.worker(0);
    const maps = ['frontends', 'backends', 'picks'];
    const counts = maps.map((map) => counters.rows('cubeplane-system/kubernetes.ilb.node-a', map));
    return await Promise.all(counts);
  };
  const before = await rows();
  // A slice for each port, as where pods give its name different numbers.
  const number = 94;
  const [service] = serviceObjects({ name: 'twelve', number, ports: named, backends: [] });
  const slices = ports.flatMap((targetPort) =>
    serviceObjects({
      name: 'twelve',
      number,
      ports: named.map((one) => ({ ...one, targetPort })),
      backends: [near, far],
    })
      .slice(1)
      .map((slice) => ({
        ...slice,
        metadata: { ...slice.metadata, name: `${slice.metadata.name}-${targetPort}` },
      })),
  );
  const [marker] = serviceObjects({ name: 'marker-twelve', number: 95, ports: named, backends: [] });
  lab.manifests.write('twelve.yaml', service as Manifest, ...slices);
  await lab.untilFrontends(0, (before[0] ?? 0) + FAMILIES.length * PROTOCOLS.length);
  const all = ports.flatMap((port) => [`far-${port}`, `near-${port}`]).sort();
  const places = FAMILIES.flatMap((family) =>
    PROTOCOLS.map(
      (protocol): Place => ({ address: vipsOf(number)[family], port: PORT, protocol, count: 250 }),
    ),
  );
  for (const outcomes of await survey(client.namespace, places)) expect(meaningOf(outcomes)).toBe(all.join());
  lab.manifests.write('twelve.yaml', marker as Manifest);
  await lab.untilFrontends(0, (before[0] ?? 0) + FAMILIES.length * PROTOCOLS.length);
  lab.manifests.write('twelve.yaml');
  // Rows of backends go when the last connection through them has ended, or is given up.
  await eventually(async () => expect(await rows()).toEqual(before));
  await Promise.all(servers.map((server) => server.stop()));
});

describe.each(FAMILIES)('%s: clients', (family) => {
  const number = 96;
  const ask = async (count: number): Promise<string> =>
    meaningOf(
      (
        await survey(client.namespace, [
          { address: vipsOf(number)[family], port: PORT, protocol: 'tcp', count },
        ])
      )[0] ?? {},
    );

  test('affinity keeps a client at its backend, and forgets it after its timeout', async () => {
    const spec = {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 2 } },
    };
    lab.writeService({ name: 'sticky', number, ports: named, backends: [near, far], spec });
    await eventually(async () => expect(await ask(1)).toMatch(/^(near|far)$/));
    const first = await ask(24);
    expect(first).toMatch(/^(near|far)$/);
    // A client that comes back later may meet the same one again; not each time.
    const met = new Set([first]);
    for (let tries = 0; tries < 30 && met.size < 2; tries++) {
      await sleep(4_000);
      met.add(await ask(5));
    }
    expect([...met].sort()).toEqual(['far', 'near']);
  });

  test.each([
    ['that nobody else lists', OTHER_TARGET, 'other'],
    ['that other Services keep', TARGET, 'far'],
  ])('a UDP socket whose backend goes, one %s, meets another one', async (_name, target, first) => {
    const write = (backends: Pod[], targetPort = TARGET) => {
      const ports = named.map((one) => ({ ...one, targetPort }));
      lab.writeService({ name: 'sticky', number, ports, backends });
    };
    write([far], target);
    await eventually(async () => expect(await ask(1)).toBe(first));
    const script = `import socket,sys,time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2]))); s.settimeout(0.2)
last = None
end = time.time() + 90
while time.time() < end and last != 'near':
  try:
    s.send(b'x\\n'); name = s.recv(100).split()[0].decode()
  except OSError: continue
  if name != last: print(name, flush=True)
  last = name
  time.sleep(0.02)`;
    const argv = ['python3', '-c', script, vipsOf(number)[family], String(PORT)];
    const talk = await client.namespace.start(`talk-${family}-${first}`, argv);
    await talk.waitForOutput(new RegExp(first));
    write([near]);
    await talk.exited(100_000);
    expect((await talk.output()).trim().split('\n')).toEqual([first, 'near']);
  });

  test('a Service of this family alone has nothing in the other one', async () => {
    const other = FAMILIES.find((one) => one !== family) as Family;
    const [service, ...slices] = serviceObjects({
      name: 'single',
      number: 97,
      ports: named,
      backends: [near],
      spec: {
        clusterIP: vipsOf(97)[family],
        clusterIPs: [vipsOf(97)[family]],
        ipFamilies: [family === 'ipv4' ? 'IPv4' : 'IPv6'],
        ipFamilyPolicy: 'SingleStack',
      },
    });
    lab.manifests.write('single.yaml', service as Manifest, ...slices);
    const at = async (one: Family) => {
      const place: Place = { address: vipsOf(97)[one], port: PORT, protocol: 'tcp', count: 1 };
      return meaningOf((await survey(client.namespace, [place]))[0] ?? {});
    };
    await eventually(async () => expect(await at(family)).toBe('near'));
    expect(await at(other)).not.toMatch(/near|far/);
    lab.manifests.write('single.yaml', ...slices);
    await eventually(async () => expect(await at(family)).not.toMatch(/near|far/));
  });
});

test('fifty Services beside each other, and nothing of them left when they go', async () => {
  const numbers = Array.from({ length: MANY.count }, (_, i) => MANY.first + i);
  const before = await lab.worker(0).counters.rows('cubeplane-system/kubernetes.ilb.node-a', 'frontends');
  const many = numbers.flatMap((number) =>
    serviceObjects({ name: `many-${number}`, number, ports: named, backends: [near, far] }),
  );
  lab.manifests.write('many.yaml', ...many);
  await lab.untilFrontends(0, before + MANY.count * FAMILIES.length * PROTOCOLS.length);
  const places = numbers.flatMap((number) =>
    FAMILIES.flatMap((family) =>
      PROTOCOLS.map(
        (protocol): Place => ({ address: vipsOf(number)[family], port: PORT, protocol, count: 1 }),
      ),
    ),
  );
  const found = (await survey(client.namespace, places)).map(meaningOf);
  expect(found.filter((one) => one !== 'near' && one !== 'far')).toEqual([]);
  // More than half of all tables at once, as with a namespace.
  lab.manifests.remove('many.yaml');
  await lab.untilFrontends(0, before);
});

test.each([
  ['headless', { clusterIP: 'None', clusterIPs: ['None'] }, {}],
  ['ExternalName', { type: 'ExternalName', externalName: 'web.example', clusterIP: '', clusterIPs: [] }, {}],
  ['another proxy', {}, { 'service.kubernetes.io/service-proxy-name': 'other' }],
] as const)('%s: no address is served', async (name, spec, labels) => {
  const before = await lab.worker(0).counters.rows('cubeplane-system/kubernetes.ilb.node-a', 'frontends');
  const [service, ...slices] = serviceObjects({
    name: 'ignored',
    number: 90,
    ports: named,
    backends: [near],
    spec,
  });
  Object.assign((service as Manifest).metadata, { labels });
  const [marker] = serviceObjects({
    name: `marker-${name.replace(' ', '-')}`.toLowerCase(),
    number: 91,
    ports: named,
    backends: [],
  });
  lab.manifests.write('ignored.yaml', service as Manifest, ...slices, marker as Manifest);
  await lab.untilFrontends(0, before + FAMILIES.length * PROTOCOLS.length);
  lab.manifests.write('ignored.yaml', ...slices);
  await lab.untilFrontends(0, before);
});

test('healthCheckNodePort: each node says whether it has ready backends, over both families', async () => {
  const write = (backends: Pod[], state: object = {}) => {
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: HEALTH };
    const [service, ...slices] = serviceObjects({ name: 'health', number: 92, ports: named, backends, spec });
    for (const slice of slices)
      for (const endpoint of slice.endpoints as Record<string, unknown>[])
        Object.assign(endpoint, { conditions: { ready: true, serving: true, terminating: false, ...state } });
    lab.manifests.write('health.yaml', service as Manifest, ...slices);
  };
  const ask = async (index: number, family: Family) => {
    const address = lab.worker(index).node.addresses[family];
    // from the other node, as a load balancer outside does
    const found = await httpGet(lab.worker(1 - index).node.namespace, address, HEALTH);
    if (found === undefined) return 'none';
    return `${found.status} ${found.headers['x-load-balancing-endpoint-weight']} ${found.body}`.trim();
  };
  for (const family of FAMILIES) {
    write([near]);
    await eventually(async () => expect(await ask(0, family)).toMatch(/^200 2 /));
    expect(JSON.parse((await ask(0, family)).slice(6))).toEqual({
      service: { namespace: 'default', name: 'health' },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    });
    await eventually(async () => expect(await ask(1, family)).toMatch(/^503 0 /));
    write([near], { ready: false, terminating: true });
    await eventually(async () => expect(await ask(0, family)).toMatch(/^503 0 /));
  }
  write([near]);
  const { agent } = lab.worker(0);
  await agent.kill();
  await agent.start();
  await eventually(async () => expect(await ask(0, 'ipv4')).toMatch(/^200 2 /));
  lab.manifests.write(
    'health.yaml',
    ...serviceObjects({ name: 'health', number: 92, ports: named, backends: [] }),
  );
  await eventually(async () => expect(await ask(0, 'ipv4')).toBe('none'));
});
