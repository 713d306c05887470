// SPDX-License-Identifier: Apache-2.0
/**
 * Every cube, and chains of up to thirty, as the wire between two hosts: iperf3 over TCP and UDP in both directions,
 * pings up to the MTU and an ICMP error, of both families, with checksums left to the card and complete.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { DualStack } from '../harness/topology.ts';
import { type IperfReport, iperf, stackErrors, startIperf } from './support/iperf.ts';
import { CLOSED } from './support/services.ts';
import { sendUdp } from './support/sockets.ts';
import { cubeTable, difference, FAMILIES } from './support/two-nodes.ts';
import { openWire, VIRTUAL, type Wire, type WireCube } from './support/wire.ts';

jest.setTimeout(180_000);

const TCP_BYTES = 6_000_000;
const UDP_BYTES = 1_000_000;
/** What iperf3 listens on. */
const IPERF = 5201;
/** Headers of IP and ICMP echo in a packet of the wire's MTU. */
const MTU = 1500;
const HEADERS = { ipv4: 28, ipv6: 48 } as const;
/** Behind a router, `right` is in another network. */
const BEHIND = { ipv4: '10.9.9.12', ipv6: 'fd09:9::c' } as const;

interface Way {
  readonly name: string;
  readonly cubes: readonly WireCube[];
  /** Where `left` finds `right`; its own addresses by default. */
  readonly to?: DualStack;
  readonly more?: readonly object[];
  /** Routes of the hosts: without `route add`. */
  readonly routes?: { readonly left: readonly string[]; readonly right: readonly string[] };
}

const twoWay = (a: string, b: string) =>
  [
    [a, b],
    [b, a],
  ].map(([from, to]) => ({ name: `${from}-${to}`, inPorts: [from], action: output(to) }));
const output = (port?: string) => ({ type: 'Output', output: { port } });

const FORWARDER: WireCube = {
  type: 'Forwarder',
  ports: ['a', 'b'],
  spec: { forwarder: { rules: twoWay('a', 'b'), defaultAction: { type: 'Drop' } } },
};
const MIRROR: WireCube = { type: 'Mirror', ports: ['outside', 'inside'], spec: { mirror: { rules: [] } } };
const BRIDGE: WireCube = { type: 'Bridge', ports: ['a', 'b'], spec: { bridge: {} } };
const MITIGATOR: WireCube = {
  type: 'DDoSMitigator',
  ports: ['outside', 'inside'],
  spec: {
    ddosMitigator: {
      denySources: ['203.0.113.0/24', '2001:db8:bad::/48'],
      sourceRate: { packetsPerSecond: 10_000_000, burst: 1_000_000 },
      synGuard: { synsPerSecond: 100_000, burst: 10_000 },
      sizes: { maxSourceBuckets: 64, maxSynBuckets: 64, maxSourceHosts: 64, maxSourcePrefixes: 64 },
    },
  },
};
const FIREWALL: WireCube = {
  type: 'Firewall',
  ports: ['outside', 'inside'],
  spec: {
    firewall: {
      defaultActions: { ingress: 'Drop', egress: 'Drop' },
      rules: [
        { name: 'tcp', action: 'Allow', ports: [{ protocol: 'TCP', port: IPERF }] },
        {
          name: 'udp',
          action: 'Allow',
          ports: [IPERF, CLOSED].map((port) => ({ protocol: 'UDP', port })),
        },
        {
          name: 'ping',
          action: 'Allow',
          icmp: [
            { family: 'IPv4', type: 8 },
            { family: 'IPv6', type: 128 },
          ],
        },
      ],
      maxRules: 64,
      sessions: { maxEstablished: 1024, maxEmbryonic: 1024 },
    },
  },
};
const NAT: WireCube = {
  type: 'Nat',
  ports: ['inside', 'outside'],
  spec: {
    ports: [{ name: 'outside', addresses: [`${VIRTUAL.ipv4}/24`, `${VIRTUAL.ipv6}/64`] }],
    nat: { sourceRules: [{ type: 'Masquerade' }], sessions: { maxEstablished: 1024, maxEmbryonic: 1024 } },
  },
};
const BALANCER: WireCube = {
  type: 'LoadBalancer',
  ports: ['pods', 'server'],
  spec: {
    loadBalancer: { sessions: { maxEstablished: 1024, maxEmbryonic: 1024 } },
    tables: [{ type: 'Service' }],
  },
};
const ROUTER: WireCube = {
  type: 'Router',
  ports: ['near', 'far'],
  spec: {
    router: {},
    ports: [
      { name: 'near', addresses: ['10.9.0.254/24', 'fd09::fe/64'] },
      { name: 'far', addresses: ['10.9.9.1/24', 'fd09:9::1/64'] },
    ],
  },
};

/** A Service on the virtual addresses, with `right` behind it. */
function service(wire: Wire): object {
  const ports = (['TCP', 'UDP'] as const).flatMap((protocol) =>
    [IPERF, CLOSED].map((port) => ({ name: `${protocol.toLowerCase()}-${port}`, protocol, port })),
  );
  return cubeTable('iperf', {
    type: 'Service',
    services: [
      {
        namespace: 'default',
        name: 'iperf',
        frontends: ports.map((port) => ({ ...port, addresses: Object.values(VIRTUAL) })),
        backends: FAMILIES.map((family) => ({ address: wire.right[family], ports })),
      },
    ],
  });
}

/** So many cubes of four types, by turns. */
const chain = (count: number): WireCube[] =>
  Array.from({ length: count }, (_, i) => [FIREWALL, MITIGATOR, MIRROR, FORWARDER][i % 4] as WireCube);

const WAYS: readonly Way[] = [
  { name: 'forwarder', cubes: [FORWARDER] },
  { name: 'mirror', cubes: [MIRROR] },
  { name: 'bridge', cubes: [BRIDGE] },
  { name: 'mitigator', cubes: [MITIGATOR] },
  // At XDP it is in front of an interface; the wire goes on in TC.
  {
    name: 'xdp-mitigator',
    cubes: [{ ...MITIGATOR, spec: { ...MITIGATOR.spec, hook: 'XDP' } }, FORWARDER],
  },
  { name: 'firewall', cubes: [FIREWALL] },
  { name: 'nat', cubes: [NAT] },
  { name: 'balancer', cubes: [BALANCER], to: VIRTUAL },
  {
    name: 'router',
    cubes: [ROUTER],
    to: BEHIND,
    routes: {
      left: ['10.9.9.0/24 via 10.9.0.254', 'fd09:9::/64 via fd09::fe'],
      right: [`10.9.0.11/32 via 10.9.9.1 src ${BEHIND.ipv4}`, `fd09::b/128 via fd09:9::1 src ${BEHIND.ipv6}`],
    },
  },
  ...[4, 8, 30].map((count) => ({ name: `chain-of-${count}`, cubes: chain(count) })),
];

let wire: Wire;

beforeAll(async () => {
  wire = await openWire('iperf test');
  await wire.right.namespace.ip(
    `address add ${BEHIND.ipv4}/24 dev eth0`,
    `address add ${BEHIND.ipv6}/64 dev eth0 nodad`,
  );
  await startIperf(wire.right.namespace);
});
afterAll(async () => {
  await wire?.close();
});

describe.each(WAYS)('$name', ({ name, cubes, to, more = [], routes = { left: [], right: [] } }) => {
  let keys: string[] = [];
  const change = async (verb: 'add' | 'delete') => {
    for (const side of ['left', 'right'] as const)
      await wire[side].namespace.ip(...routes[side].map((route) => `route ${verb} ${route}`));
  };

  beforeAll(async () => {
    keys = await wire.put(name, cubes, ...more, ...(to === VIRTUAL ? [service(wire)] : []));
    await change('add');
  });
  afterAll(async () => {
    await change('delete');
  });

  test.each([true, false].flatMap((offload) => FAMILIES.map((family) => [offload, family] as const)))(
    'checksum offload %s, %s',
    async (offload, family) => {
      await wire.node.setOffload(offload);
      const { left, right, node } = wire;
      const address = to?.[family] ?? right[family];
      const pinged = to === VIRTUAL ? right[family] : address; // a Service is some ports of its address
      const errors = async () => await Promise.all([left, right].map((host) => stackErrors(host.namespace)));
      const before = { drops: await wire.drops(keys, cubes), errors: await errors() };
      const first = keys[0] ?? '';
      const counted = async () => (await node.counters.ports(first))[portOf(cubes[0])];
      const reports: Record<string, IperfReport> = {};
      for (const reverse of [false, true]) {
        const from = await counted();
        reports[`TCP ${reverse}`] = await iperf(left.namespace, address, { reverse, bytes: TCP_BYTES });
        const until = await counted();
        reports[`UDP ${reverse}`] = await iperf(left.namespace, address, {
          udp: true,
          reverse,
          bytes: UDP_BYTES,
        });
        const packets = (until?.rxPackets ?? 0) - (from?.rxPackets ?? 0);
        expect(packets).toBeGreaterThan(0);
        // Segments that the card is to cut go through a cube as one. XDP gets none.
        const mean = ((until?.rxBytes ?? 0) - (from?.rxBytes ?? 0)) / packets;
        if (!reverse && offload && name !== 'xdp-mitigator') expect(mean).toBeGreaterThan(MTU + 14);
        if (!offload) expect(mean).toBeLessThanOrEqual(MTU + 14);
      }
      for (const size of [56, 1000, MTU - HEADERS[family]]) {
        const argv = [
          'ping',
          '-n',
          '-M',
          'do',
          '-c',
          '3',
          '-i',
          '0.02',
          '-W',
          '10',
          '-s',
          String(size),
          pinged,
        ];
        expect((await left.namespace.exec(argv)).stdout).toContain(' 3 received');
      }
      expect(await sendUdp(left.namespace, address, CLOSED)).toMatchObject({ error: 'ECONNREFUSED' });

      // what the receiver has not read when the sender is done is not counted
      for (const reverse of [false, true])
        expect(reports[`TCP ${reverse}`]?.received).toBeGreaterThan(TCP_BYTES / 20);
      const after = await errors();
      const noRoom = after.reduce((sum, { noRoom }, i) => sum + noRoom - (before.errors[i]?.noRoom ?? 0), 0);
      for (const reverse of [false, true]) {
        const { received = 0, lost = 0 } = reports[`UDP ${reverse}`] ?? {};
        expect(received).toBeGreaterThan(0);
        expect(lost).toBeLessThanOrEqual(noRoom);
      }
      expect(after.map(({ checksum }) => checksum)).toEqual(before.errors.map(({ checksum }) => checksum));
      expect(difference(before.drops, await wire.drops(keys, cubes))).toEqual({});
    },
  );
});

/** Number of the port of a cube that is towards `left`: fixed ports first, others in the order of their names. */
function portOf(cube: WireCube | undefined): number {
  return cube?.type === 'LoadBalancer' || cube?.type === 'Nat' || cube?.type === 'Router' ? 1 : 0;
}
