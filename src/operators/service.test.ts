// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Backend, CubeTable, Frontend, ServiceCubeTableSpec } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import type { EndpointInput, EndpointSliceInput, ServiceInput } from './inputs.ts';
import { tablesOfService } from './service.ts';

const NAMESPACE = { namespace: 'cubeplane-system' };

function service(spec: ServiceInput['spec'], extra: Partial<ServiceInput> = {}): ServiceInput {
  return {
    metadata: { namespace: 'default', name: 'web', uid: '0b6f0f2e-5f3c-4a0e-9a4f-0d6a3a3f1a11' },
    spec: {
      type: 'ClusterIP',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      ...spec,
    },
    ...extra,
  };
}

function slice(endpoints: EndpointInput[], extra: Partial<EndpointSliceInput> = {}): EndpointSliceInput {
  return {
    metadata: { namespace: 'default', name: 'web-x1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints,
    ...extra,
  };
}

const ready = (address: string, extra: Partial<EndpointInput> = {}): EndpointInput => ({
  addresses: [address],
  conditions: { ready: true, serving: true, terminating: false },
  ...extra,
});

/** Translates, and checks that the API server would take the tables as they are, with nothing left to default. */
function translate(
  input: ServiceInput,
  slices: EndpointSliceInput[] = [],
): { frontends: Frontend[]; backends: Backend[]; tables: CubeTable[]; problems: string[] } {
  const { tables, diagnostics } = tablesOfService(input, slices, NAMESPACE);
  for (const table of tables) {
    const validation = validate(table);
    if (!validation.ok) throw new Error(validation.message);
    expect(validation.object).toEqual(table);
  }
  const rows = tables.map((table) => (table.spec as ServiceCubeTableSpec).services[0]);
  return {
    frontends: rows.flatMap((row) => row?.frontends ?? []),
    backends: rows.flatMap((row) => row?.backends ?? []),
    tables,
    problems: diagnostics.map(
      (diagnostic) => `${diagnostic.reason} ${diagnostic.object} ${diagnostic.field}`,
    ),
  };
}

/** What tells frontends apart, in short: `http TCP ClusterIP 10.96.0.10:80`. */
const short = (rows: Frontend[]): string[] =>
  rows.map((row) => `${row.name} ${row.protocol} ${row.scope} ${row.addresses.join(',')}:${row.port}`);

describe('frontends of a Service', () => {
  it('makes one a port, with both families of a dual-stack Service in one row', () => {
    const { frontends, tables, problems } = translate(
      service({
        clusterIPs: ['10.96.0.10', 'FD00:96::A'],
        ipFamilies: ['IPv4', 'IPv6'],
        ports: [
          { name: 'http', port: 80 },
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'm3ua', port: 2905, protocol: 'SCTP' },
        ],
      }),
    );
    expect(short(frontends)).toEqual([
      'http TCP ClusterIP 10.96.0.10,fd00:96::a:80',
      'dns UDP ClusterIP 10.96.0.10,fd00:96::a:53',
      'm3ua SCTP ClusterIP 10.96.0.10,fd00:96::a:2905',
    ]);
    expect(problems).toEqual([]);
    expect(tables[0]?.metadata).toEqual({
      namespace: 'cubeplane-system',
      name: 'service.default.web.0',
      labels: {
        'app.kubernetes.io/managed-by': 'cubeplane-operator',
        'cubeplane.io/service-namespace': 'default',
        'cubeplane.io/service-name': 'web',
        'cubeplane.io/owner-uid': '0b6f0f2e-5f3c-4a0e-9a4f-0d6a3a3f1a11',
      },
    });
  });

  it('calls the only port of a Service, which needs no name, the empty name', () => {
    const { frontends, backends } = translate(service({ ports: [{ port: 80 }] }), [
      slice([ready('10.244.1.5')], { ports: [{ port: 8080 }] }),
    ]);
    expect(short(frontends)).toEqual([' TCP ClusterIP 10.96.0.10:80']);
    expect(backends[0]?.ports).toEqual([{ name: '', protocol: 'TCP', port: 8080 }]);
  });

  it('reads clusterIP where clusterIPs is absent, and waits while none is allocated', () => {
    expect(short(translate(service({ clusterIPs: null, clusterIP: '10.96.0.11' })).frontends)).toEqual([
      'http TCP ClusterIP 10.96.0.11:80',
    ]);
    expect(translate(service({ clusterIPs: [], clusterIP: '' })).tables).toEqual([]);
  });

  it('gives external IPs, load-balancer addresses and the node port scopes of their own', () => {
    const { frontends } = translate(
      service(
        {
          type: 'LoadBalancer',
          externalIPs: ['203.0.113.7'],
          ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
          internalTrafficPolicy: 'Local',
          externalTrafficPolicy: 'Local',
        },
        {
          status: {
            loadBalancer: { ingress: [{ ip: '198.51.100.1' }, { ip: '198.51.100.2', ipMode: 'VIP' }] },
          },
        },
      ),
    );
    expect(short(frontends)).toEqual([
      'http TCP ClusterIP 10.96.0.10:80',
      'http TCP External 203.0.113.7:80',
      'http TCP LoadBalancer 198.51.100.1,198.51.100.2:80',
      'http TCP NodePort :30080',
    ]);
    expect(frontends.map((row) => row.trafficPolicy)).toEqual(['Local', 'Local', 'Local', 'Local']);
  });

  it('maps internal and external traffic policy apart', () => {
    const { frontends } = translate(
      service({ externalIPs: ['203.0.113.7'], externalTrafficPolicy: 'Local' }),
    );
    expect(frontends.map((row) => [row.scope, row.trafficPolicy])).toEqual([
      ['ClusterIP', 'Cluster'],
      ['External', 'Local'],
    ]);
  });

  it('leaves out load-balancer addresses of ipMode Proxy, host names, and those of a Service of another type', () => {
    const status = {
      loadBalancer: { ingress: [{ ip: '198.51.100.1', ipMode: 'Proxy' }, { hostname: 'lb.example' }] },
    };
    expect(short(translate(service({ type: 'LoadBalancer' }, { status })).frontends)).toHaveLength(1);
    const other = { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } };
    expect(short(translate(service({ type: 'NodePort' }, { status: other })).frontends)).toHaveLength(1);
  });

  it('lists an address that stands in two scopes once: cluster IP, then load balancer, then external', () => {
    const { frontends } = translate(
      service(
        { type: 'LoadBalancer', externalIPs: ['198.51.100.1', '10.96.0.10', '203.0.113.7', '203.0.113.7'] },
        { status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } } },
      ),
    );
    expect(short(frontends)).toEqual([
      'http TCP ClusterIP 10.96.0.10:80',
      'http TCP External 203.0.113.7:80',
      'http TCP LoadBalancer 198.51.100.1:80',
    ]);
  });

  it('keeps source ranges for load-balancer addresses only, from the spec or the annotation', () => {
    const status = { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } };
    const bySpec = translate(
      service(
        { type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.9/24', ' fd01::/16 '] },
        { status },
      ),
    );
    expect(bySpec.frontends.map((row) => row.sourceRanges)).toEqual([[], ['203.0.113.0/24', 'fd01::/16']]);
    const byAnnotation = service({ type: 'LoadBalancer' }, { status });
    byAnnotation.metadata.annotations = {
      'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8, 192.168.0.0/16',
    };
    expect(translate(byAnnotation).frontends[1]?.sourceRanges).toEqual(['10.0.0.0/8', '192.168.0.0/16']);
  });

  it('lets nobody in where every source range is wrong, and says so', () => {
    const { frontends, problems } = translate(
      service(
        { type: 'LoadBalancer', loadBalancerSourceRanges: ['everybody'] },
        { status: { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } } },
      ),
    );
    expect(frontends[1]?.sourceRanges).toHaveLength(1);
    expect(problems).toEqual(['InvalidCIDR Service default/web spec.loadBalancerSourceRanges']);
  });

  it('maps ClientIP affinity with its timeout, three hours where none is given', () => {
    const affinity = (spec: ServiceInput['spec']) => translate(service(spec)).frontends[0]?.affinity;
    expect(affinity({ sessionAffinity: 'None' })).toEqual({ type: 'None', timeoutSeconds: 10_800 });
    expect(affinity({ sessionAffinity: 'ClientIP' })).toEqual({ type: 'ClientIP', timeoutSeconds: 10_800 });
    expect(
      affinity({
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      }),
    ).toEqual({ type: 'ClientIP', timeoutSeconds: 60 });
  });

  it('makes no table for headless Services, ExternalName, and those of another proxy', () => {
    expect(translate(service({ clusterIPs: ['None'], clusterIP: 'None' })).tables).toEqual([]);
    expect(translate(service({ type: 'ExternalName', clusterIPs: null })).tables).toEqual([]);
    for (const label of ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']) {
      const input = service({});
      input.metadata.labels = { [label]: '' };
      expect(translate(input).tables).toEqual([]);
    }
  });

  it('reports what it cannot use and keeps the rest', () => {
    const { frontends, problems } = translate(
      service({
        externalIPs: ['203.0.113.7', 'nonsense', '127.0.0.1', '::ffff:1.2.3.4', '224.0.0.1'],
        ports: [
          { name: 'ok', port: 80 },
          { name: 'bad', port: 0 },
          { name: 'odd', port: 81, protocol: 'QUIC' },
        ],
      }),
    );
    expect(short(frontends)).toEqual(['ok TCP ClusterIP 10.96.0.10:80', 'ok TCP External 203.0.113.7:80']);
    expect(problems).toEqual([
      'InvalidAddress Service default/web spec.externalIPs[1]',
      'InvalidAddress Service default/web spec.externalIPs[2]',
      'InvalidAddress Service default/web spec.externalIPs[3]',
      'InvalidAddress Service default/web spec.externalIPs[4]',
      'InvalidPort Service default/web spec.ports[1].port',
      'NotSupported Service default/web spec.ports[2].protocol',
    ]);
  });

  it('reports a Service without ports and one with more frontends than a table holds', () => {
    expect(translate(service({ ports: [] })).problems).toEqual([
      'MissingField Service default/web spec.ports',
    ]);
    const ports = Array.from({ length: 200 }, (_, i) => ({ name: `p${i}`, port: i + 1 }));
    const many = translate(service({ ports }));
    expect(many.frontends).toHaveLength(128);
    expect(many.problems).toEqual(['TooMany Service default/web spec.ports']);
  });

  it('cuts more than 64 addresses of a port into several rows', () => {
    const externalIPs = Array.from({ length: 150 }, (_, i) => `203.0.113.${i}`);
    const { frontends } = translate(service({ externalIPs }));
    expect(frontends.map((row) => row.addresses.length)).toEqual([1, 64, 64, 22]);
  });
});

describe('backends of a Service', () => {
  it('joins the ports of slices to frontends by name and protocol', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const { backends } = translate(service({ ports }), [
      slice([ready('10.244.1.5', { nodeName: 'node-a', zone: 'z1' })], {
        ports: [
          { name: 'dns', protocol: 'UDP', port: 5353 },
          { name: 'http', protocol: 'TCP', port: 8080 },
          { name: 'dns', protocol: 'TCP', port: 5353 },
          { name: 'metrics', protocol: 'TCP', port: 9090 },
        ],
      }),
    ]);
    expect(backends).toEqual([
      {
        address: '10.244.1.5',
        weight: 1,
        state: 'Ready',
        node: 'node-a',
        zone: 'z1',
        ports: [
          { name: 'dns', protocol: 'UDP', port: 5353 },
          { name: 'http', protocol: 'TCP', port: 8080 },
        ],
      },
    ]);
  });

  it.each<[string, EndpointInput['conditions'], boolean, Backend['state']]>([
    ['no conditions at all', undefined, false, 'Ready'],
    ['ready unknown', { ready: null }, false, 'Ready'],
    ['ready', { ready: true, serving: true, terminating: false }, false, 'Ready'],
    ['not ready', { ready: false, serving: false, terminating: false }, false, 'NotReady'],
    ['serving unknown, not ready', { ready: false }, false, 'NotReady'],
    ['terminating but serving', { ready: false, serving: true, terminating: true }, false, 'Serving'],
    ['terminating', { ready: false, serving: false, terminating: true }, false, 'Terminating'],
    ['terminating, serving unknown', { ready: false, terminating: true }, false, 'Serving'],
    ['ready and terminating (publishNotReadyAddresses)', { ready: true, terminating: true }, false, 'Ready'],
    ['not ready, but wanted', { ready: false, serving: false }, true, 'Ready'],
  ])('state: %s', (_, conditions, publishNotReadyAddresses, state) => {
    const { backends } = translate(service({ publishNotReadyAddresses }), [
      slice([{ addresses: ['10.244.1.5'], conditions }]),
    ]);
    expect(backends.map((backend) => backend.state)).toEqual([state]);
  });

  it('merges an endpoint that stands in two slices while it moves, and takes the better state', () => {
    const notReady = ready('10.244.1.5', { conditions: { ready: false } });
    const slices = [
      slice([notReady, ready('10.244.1.6')]),
      slice([ready('10.244.1.5', { nodeName: 'node-a' })]),
    ];
    const { backends } = translate(service({}), slices);
    expect(backends.map(({ address, state, node }) => [address, state, node])).toEqual([
      ['10.244.1.5', 'Ready', 'node-a'],
      ['10.244.1.6', 'Ready', undefined],
    ]);
    expect(translate(service({}), [...slices].reverse()).backends).toEqual(backends);
  });

  it('keeps two host-network pods of one node apart: same address, other port, other state', () => {
    const { backends } = translate(service({}), [
      slice([ready('172.18.0.2')]),
      slice([ready('172.18.0.2', { conditions: { ready: false } })], {
        ports: [{ name: 'http', protocol: 'TCP', port: 9090 }],
      }),
    ]);
    expect(backends.map(({ state, ports }) => [state, ports[0]?.port])).toEqual([
      ['NotReady', 9090],
      ['Ready', 8080],
    ]);
  });

  it('takes both families of a dual-stack Service and leaves out those that it does not have', () => {
    const v6 = slice([ready('fd00:244:1::5')], { addressType: 'IPv6' });
    const both = service({ clusterIPs: ['10.96.0.10', 'fd00:96::a'], ipFamilies: ['IPv4', 'IPv6'] });
    expect(translate(both, [slice([ready('10.244.1.5')]), v6]).backends.map((b) => b.address)).toEqual([
      '10.244.1.5',
      'fd00:244:1::5',
    ]);
    expect(translate(service({}), [v6]).backends).toEqual([]);
  });

  it('takes the slices of a Service without selector as they are', () => {
    const manual = slice([{ addresses: ['192.168.7.1'] }], { ports: [{ name: 'http', port: 8080 }] });
    expect(translate(service({}), [manual]).backends).toEqual([
      {
        address: '192.168.7.1',
        weight: 1,
        state: 'Ready',
        ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      },
    ]);
  });

  it('uses the first address of an endpoint only', () => {
    const { backends } = translate(service({}), [slice([{ addresses: ['10.244.1.5', '10.244.1.6'] }])]);
    expect(backends.map((backend) => backend.address)).toEqual(['10.244.1.5']);
  });

  it('reports what it cannot use and keeps the rest', () => {
    const { backends, problems } = translate(service({}), [
      slice([
        ready('10.244.1.5'),
        ready('nonsense'),
        ready('fd00::1'),
        ready('127.0.0.1'),
        { addresses: [] },
      ]),
      slice([], { addressType: 'FQDN' }),
      slice([ready('10.244.1.9')], { ports: [{ name: 'http', protocol: 'TCP' }] }),
      slice([ready('10.244.1.9')], { ports: null, endpoints: null }),
    ]);
    expect(backends.map((backend) => backend.address)).toEqual(['10.244.1.5']);
    expect(problems).toEqual([
      'InvalidAddress EndpointSlice default/web-x1 endpoints[1].addresses[0]',
      'InvalidAddress EndpointSlice default/web-x1 endpoints[2].addresses[0]',
      'InvalidAddress EndpointSlice default/web-x1 endpoints[3].addresses[0]',
      'InvalidAddress EndpointSlice default/web-x1 endpoints[4].addresses[0]',
      'NotSupported EndpointSlice default/web-x1 addressType',
      'InvalidPort EndpointSlice default/web-x1 ports[0].port',
    ]);
  });
});

describe('hints of endpoints', () => {
  const hinted = (zones: (string | null)[], nodes: string[] = []) =>
    ready('10.244.1.5', {
      hints: { forZones: zones.map((name) => ({ name })), forNodes: nodes.map((name) => ({ name })) },
    });
  const hintsOf = (...endpoints: EndpointInput[]) =>
    translate(service({}), [slice(endpoints)]).backends.map(({ hints }) => hints);

  it('are those of zones and of nodes, each once', () => {
    expect(hintsOf(hinted(['b', 'a', 'a'], ['node-a']))).toEqual([{ zones: ['a', 'b'], nodes: ['node-a'] }]);
    expect(hintsOf(hinted(['a']))).toEqual([{ zones: ['a'] }]);
  });

  it('are none where the lists are empty or hold nothing that could be a zone', () => {
    expect(hintsOf(ready('10.244.1.5', { hints: null }))).toEqual([undefined]);
    expect(hintsOf(ready('10.244.1.5', { hints: { forZones: null, forNodes: [null] } }))).toEqual([
      undefined,
    ]);
    expect(hintsOf(hinted([null, '', 'z'.repeat(64)]))).toEqual([undefined]);
  });

  it('stay with an endpoint that stands in two slices while it moves', () => {
    expect(hintsOf(ready('10.244.1.5'), hinted(['a']))).toEqual([{ zones: ['a'] }]);
  });
});

describe('healthCheckNodePort', () => {
  const portOf = (spec: ServiceInput['spec'], count = 1) => {
    const endpoints = Array.from({ length: count }, (_, i) => ready(`10.244.${i >> 8}.${i & 255}`));
    const { tables } = translate(service(spec), [slice(endpoints)]);
    return tables.map((table) => (table.spec as ServiceCubeTableSpec).services[0]?.healthCheckNodePort);
  };
  const outside = {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32_100,
  } as const;

  it('is in the first table of a LoadBalancer with externalTrafficPolicy Local', () => {
    expect(portOf(outside)).toEqual([32_100]);
    expect(portOf(outside, 150)).toEqual([32_100, undefined, undefined, undefined]);
  });

  it.each<[string, ServiceInput['spec']]>([
    ['another policy', { ...outside, externalTrafficPolicy: 'Cluster' }],
    ['another type', { ...outside, type: 'NodePort' }],
    ['no port yet', { ...outside, healthCheckNodePort: 0 }],
  ])('is left out with %s', (_, spec) => {
    expect(portOf(spec)).toEqual([undefined]);
  });
});

describe('slices of a large Service', () => {
  const addresses = (count: number): EndpointInput[] =>
    Array.from({ length: count }, (_, i) => ready(`10.${244 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`));
  const specs = (count: number): ServiceCubeTableSpec[] =>
    translate(service({}), [slice(addresses(count))]).tables.map(
      (table) => table.spec as ServiceCubeTableSpec,
    );

  it('keeps 100 backends in one table and cuts 101', () => {
    expect(specs(100)).toHaveLength(1);
    expect(specs(101)).toHaveLength(2);
  });

  it.each([101, 1000, 5000])('spreads %i backends: all there, none twice, at most 100 a table', (count) => {
    const all = specs(count);
    const rows = all.map((spec) => spec.services[0]);
    expect(Math.max(...rows.map((row) => row?.backends.length ?? 0))).toBeLessThanOrEqual(100);
    expect(new Set(rows.flatMap((row) => row?.backends.map((backend) => backend.address))).size).toBe(count);
    expect(rows.map((row) => row?.frontends.length)).toEqual(rows.map((_, index) => (index === 0 ? 1 : 0)));
    expect(all.map((spec) => spec.slice?.index)).toEqual(all.map((_, index) => index));
    expect(new Set(all.map((spec) => spec.slice?.count))).toEqual(new Set([all.length]));
    expect(new Set(all.map((spec) => spec.slice?.revision)).size).toBe(1);
  });

  it('rewrites one table when one endpoint of a thousand comes, goes or changes', () => {
    const changed = (after: ServiceCubeTableSpec[], before: ServiceCubeTableSpec[]): number =>
      after.filter((spec, index) => JSON.stringify(spec) !== JSON.stringify(before[index])).length;
    const before = specs(1000);
    expect(changed(specs(1001), before)).toBe(1);
    expect(changed(specs(999), before)).toBe(1);
    const endpoints = addresses(1000);
    endpoints[500] = { ...endpoints[500], conditions: { ready: false } };
    const after = translate(service({}), [slice(endpoints)]).tables.map(
      (t) => t.spec as ServiceCubeTableSpec,
    );
    expect(changed(after, before)).toBe(1);
  });

  it('gives the slices a new revision when a port is renamed, so that no old backend meets a new frontend', () => {
    const renamed = translate(service({ ports: [{ name: 'web', port: 80 }] }), [
      slice(addresses(200), { ports: [{ name: 'web', protocol: 'TCP', port: 8080 }] }),
    ]);
    const spec = renamed.tables[0]?.spec as ServiceCubeTableSpec;
    expect(spec.slice?.revision).not.toBe(specs(200)[0]?.slice?.revision);
  });
});

describe('totality', () => {
  it('never throws and always gives tables that the API server takes', () => {
    const odd = fc.oneof(fc.constant(null), fc.constant(undefined), fc.string(), fc.integer(), fc.boolean());
    const address = fc.oneof(fc.ipV4(), fc.ipV6(), odd);
    const port = fc.oneof(fc.integer({ min: -1, max: 70_000 }), odd);
    const name = fc.constantFrom('http', 'dns', '', null, undefined);
    const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP', 'QUIC', '', null, undefined);
    const specs = fc.record(
      {
        type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName', 'Other'),
        clusterIPs: fc.oneof(fc.array(address, { maxLength: 3 }), fc.constant(null)),
        externalIPs: fc.oneof(fc.array(address, { maxLength: 70 }), fc.constant(null)),
        ports: fc.oneof(
          fc.array(fc.record({ name, port, protocol, nodePort: port }), { maxLength: 4 }),
          fc.constant(null),
        ),
        externalTrafficPolicy: fc.constantFrom('Local', 'Cluster', 'Other', null),
        healthCheckNodePort: port,
        loadBalancerSourceRanges: fc.oneof(fc.array(fc.string(), { maxLength: 3 }), fc.constant(null)),
      },
      { requiredKeys: [] },
    );
    const endpoint = fc.record({
      addresses: fc.oneof(fc.array(address, { maxLength: 2 }), fc.constant(null)),
      conditions: fc.oneof(fc.constant(null), fc.record({ ready: fc.constantFrom(true, false, null) })),
      hints: fc.oneof(
        fc.constant(null),
        fc.record({ forZones: fc.oneof(fc.constant(null), fc.array(fc.record({ name: fc.string() }))) }),
      ),
    });
    const slices = fc.record({
      addressType: fc.constantFrom('IPv4', 'IPv6', 'FQDN', null),
      ports: fc.oneof(fc.array(fc.record({ name, port, protocol }), { maxLength: 3 }), fc.constant(null)),
      endpoints: fc.array(endpoint, { maxLength: 8 }),
    });
    fc.assert(
      fc.property(specs, fc.array(slices, { maxLength: 3 }), (spec, list) => {
        const inputs = list.map((entry) => slice([], entry as Partial<EndpointSliceInput>));
        translate(service(spec as ServiceInput['spec']), inputs);
      }),
      { numRuns: 300 },
    );
  });
});
