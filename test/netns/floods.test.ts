// SPDX-License-Identifier: Apache-2.0
/**
 * Cubes with sessions in the wire between two hosts, flooded with SYNs and with datagrams of forged sources, ten times what
 * the tables of unconfirmed sessions hold: idle connections outlive it, and new ones succeed meanwhile. Then a mitigator
 * with a list of a million addresses in the same place.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Load } from '../harness/traffic.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { ethernet, ip, tcp, udp } from '../kernel/support/packet.ts';
import { sendFrames } from './support/frames.ts';
import { TARGET } from './support/services.ts';
import { connectTcp, holdConnections } from './support/sockets.ts';
import { cubeTable, difference, FAMILIES } from './support/two-nodes.ts';
import { openWire, VIRTUAL, type Wire, type WireCube } from './support/wire.ts';

jest.setTimeout(300_000);

type Family = (typeof FAMILIES)[number];

/** Unconfirmed sessions that a cube has room for. */
const TABLE = 1024;
/** Idle connections of a family; `npm run soak` asks for more. */
const FLOWS = Number(process.env.CUBEPLANE_FLOOD_FLOWS ?? 819);
const SESSIONS = { maxEmbryonic: TABLE, maxEstablished: 65_536 };
/** Forged sources of a family; what the server answers to them is sent to `left`, which is none of them. */
const SOURCES = 32;
const LISTED = 1_000_000;

const forged = (family: Family, i: number): string =>
  family === 'ipv4' ? `10.9.0.${200 + (i % SOURCES)}` : `fd09::f:${(i % SOURCES).toString(16)}`;

const CUBES: readonly (WireCube & { readonly to?: typeof VIRTUAL })[] = [
  {
    type: 'Firewall',
    ports: ['outside', 'inside'],
    spec: {
      firewall: {
        defaultActions: { ingress: 'Drop', egress: 'Allow' },
        // what it has forgotten it refuses
        handshake: 'Strict',
        rules: (['TCP', 'UDP'] as const).map((protocol) => ({
          name: protocol.toLowerCase(),
          action: 'Allow',
          ports: [{ protocol, port: TARGET }],
        })),
        sessions: SESSIONS,
      },
    },
  },
  {
    type: 'Nat',
    ports: ['inside', 'outside'],
    spec: {
      ports: [{ name: 'outside', addresses: [`${VIRTUAL.ipv4}/24`, `${VIRTUAL.ipv6}/64`] }],
      nat: {
        sourceRules: [{ type: 'Masquerade' }],
        portRange: { first: 20_000, last: 65_535 },
        sessions: SESSIONS,
      },
    },
  },
  {
    type: 'LoadBalancer',
    ports: ['pods', 'server'],
    spec: { loadBalancer: { sessions: SESSIONS }, tables: [{ type: 'Service' }] },
    to: VIRTUAL,
  },
];

let wire: Wire;

/** A Service on the virtual addresses, with `right` behind it. */
function service(): object {
  const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: TARGET,
  }));
  return cubeTable('flooded', {
    type: 'Service',
    services: [
      {
        namespace: 'default',
        name: 'flooded',
        frontends: ports.map((port) => ({ ...port, addresses: Object.values(VIRTUAL) })),
        backends: FAMILIES.map((family) => ({ address: wire.right[family], ports })),
      },
    ],
  });
}

/** New connections of a load that succeeded, of all, and how many that is a second; a line of the log for people. */
async function succeeded(load: Load, began: number, what: string): Promise<number> {
  const { requests, failures } = await load.end();
  const seconds = (performance.now() - began) / 1000;
  process.stderr.write(
    `${what}: ${requests} of ${requests + failures.length} new connections in ${seconds.toFixed(1)} s, ${Math.round(requests / seconds)} a second\n`,
  );
  return requests;
}

beforeAll(async () => {
  wire = await openWire('floods test');
  const { left, right, node } = wire;
  const known = FAMILIES.flatMap((family) =>
    Array.from({ length: SOURCES }, (_, i) => `neigh replace ${forged(family, i)} lladdr ${left.mac} dev`),
  );
  await right.namespace.ip(...known.map((line) => `${line} eth0`));
  await node.node.namespace.ip(...known.map((line) => `${line} ${left.device}`));
  await startServer(right.namespace, 'right', TARGET);
});
afterAll(async () => {
  await wire?.close();
});

describe.each(CUBES)('$type', (cube) => {
  let key = '';
  beforeAll(async () => {
    const name = `flooded-${cube.type.toLowerCase()}`;
    [key = ''] = await wire.put(name, [cube], ...(cube.to === undefined ? [] : [service()]));
  });

  test.each(FAMILIES)(`%s: ${FLOWS} idle connections outlive forged SYNs and datagrams`, async (family) => {
    const { left, right, node } = wire;
    const to = cube.to?.[family] ?? right[family];
    const held = await holdConnections(left.namespace, to, TARGET, FLOWS);
    const before = await node.counters.events(key, cube.type);
    const count = TABLE * 10;
    // each a session of its own: another port at each round through the sources
    const flood = (layer4: (sport: number, i: number) => ReturnType<typeof tcp>) =>
      Array.from({ length: count }, (_, i) =>
        ethernet(
          { src: left.mac, dst: right.mac },
          ip({ src: forged(family, i), dst: to }, layer4(10_000 + Math.floor(i / SOURCES), i)),
        ),
      );
    const frames = {
      SYN: flood((sport, i) => tcp({ sport, dport: TARGET, flags: 'S', seq: i * 7919 })),
      UDP: flood((sport) => udp({ sport, dport: TARGET, payload: 8 })),
    };
    for (const [kind, list] of Object.entries(frames)) {
      const began = performance.now();
      const load = await startLoad(left.namespace, to, TARGET, { every: 2 });
      await sendFrames(left.namespace, 'eth0', list);
      expect(await succeeded(load, began, `${cube.type} ${family}, ${kind} flood`)).toBeGreaterThan(0);
    }
    const after = await node.counters.events(key, cube.type);
    // Few sources find all places of a translator taken; nearly all of them make a session.
    expect((after.newSessions ?? 0) - (before.newSessions ?? 0)).toBeGreaterThan(1.9 * count);
    expect(await held.check()).toEqual({ alive: FLOWS, errors: {} });
    expect(await connectTcp(left.namespace, to, TARGET)).toMatchObject({ error: null });
  });
});

test(`a list of ${LISTED} addresses refuses what it lists, and nothing else`, async () => {
  const { left, right, node } = wire;
  // Every other address of two million; one in four is IPv6.
  const nth = (i: number) =>
    i % 8 < 2
      ? `2001:db8:5:${(i >> 16).toString(16)}::${(i & 0xffff).toString(16)}`
      : `11.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
  node.manifests.writeText(
    'million.prefixes',
    Array.from({ length: LISTED }, (_, i) => `${nth(2 * i + 1)}\n`).join(''),
  );
  const mitigator: WireCube = {
    type: 'DDoSMitigator',
    ports: ['outside', 'inside'],
    spec: { ddosMitigator: { sizes: { maxSourceHosts: 1_048_576 } }, tables: [{ type: 'Prefix' }] },
  };
  const [key = ''] = await wire.put(
    'million',
    [mitigator],
    cubeTable('million', { type: 'Prefix', prefixFile: { name: 'million.prefixes' } }),
  );
  for (const deadline = Date.now() + 120_000; ; ) {
    const rows = await node.counters.rows(key, 'source_hosts');
    if (rows === LISTED) break;
    if (Date.now() > deadline) throw new Error(`${rows} addresses are in the kernel`);
  }
  const drops = async () => await node.counters.cube(key, 'DDoSMitigator');
  const passed = async () => (await node.counters.ports(key))[1]?.txPackets ?? 0;
  const before = { drops: await drops(), passed: await passed() };
  // a prime step meets all parts of the list, listed and not
  const numbers = Array.from({ length: 4000 }, (_, n) => (n * 499_979) % (2 * LISTED));
  const listed = numbers.filter((i) => i % 2 === 1).length;
  await sendFrames(
    left.namespace,
    'eth0',
    numbers.map((i) =>
      ethernet(
        { src: left.mac, dst: right.mac },
        ip(
          { src: nth(i), dst: nth(i).includes(':') ? right.ipv6 : right.ipv4 },
          udp({ sport: 9, dport: TARGET, payload: 4 }),
        ),
      ),
    ),
  );
  expect(listed).toBeGreaterThan(1000);
  expect(difference(before.drops, await drops())).toEqual({ SourceDenied: listed });
  expect((await passed()) - before.passed).toBeGreaterThanOrEqual(numbers.length - listed);
});
