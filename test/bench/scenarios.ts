// SPDX-License-Identifier: Apache-2.0

/** Each cube type with the configuration of a small node, and the packets that it sees there. */
import { macBytes, mappedBytes } from '../kernel/support/bytes.ts';
import { u32 } from '../kernel/support/chain.ts';
import { connect, type Ends, type Family, frameOf, prefixKey, sourceOffsets, tupleOf } from './connect.ts';
import type { CubeSpec } from './load.ts';
import type { Fresh, Packet } from './sender.ts';
import { BACKENDS, backendOf, SERVICES, serviceTables, TARGET, vip } from './service-rows.ts';

/** Packets of one kind. */
export interface Traffic {
  readonly packets: readonly Packet[];
  /** Of the cube, by which they come in. */
  readonly port: number;
  /** What becomes of every one of them. */
  readonly fate: 'sent' | 'dropped';
  /** They open flows that are always new. */
  readonly fresh?: Fresh;
}

/** Carries a frame into the cube by a port; resolves to what comes out. */
type Send = (port: number, frame: Uint8Array) => Buffer;

export interface Scenario {
  /** Of the cube's program, and of those beside it in lookups.bpf.c and inserts.bpf.c. */
  readonly name: string;
  /** Absent: the cube that only passes packets on (test/kernel/fixtures/pass.bpf.c). */
  readonly cube?: CubeSpec;
  /** So many flows that the cube knows: made known by packets where it remembers any. */
  known(family: Family, count: number, send: Send): Traffic;
  /** Rows that a packet is tried against at most, where they are tried one by one. */
  readonly rows?: number;
  /** So many packets that differ, each of a flow that is new; absent where the cube remembers nothing. */
  fresh?(family: Family, count: number): Traffic;
  /** Packets that the cube finds nothing for, and what they are called. */
  readonly miss?: { readonly name: string; traffic(family: Family, count: number): Traffic };
}

const host = (family: Family, net: number, n: number): string =>
  family === 'ipv4' ? `10.244.${net + (n >> 8)}.${n & 255}` : `fd00:244:0:${net}::${(n + 1).toString(16)}`;
const peer = (family: Family, n: number): string =>
  family === 'ipv4' ? `198.18.${n >> 8}.${n & 255}` : `2001:db8::${(n + 1).toString(16)}`;
const CLIENT = { ipv4: '10.244.1.10', ipv6: 'fd00:244:0:1::10' } as const;
const times = <Item>(count: number, item: (n: number) => Item): Item[] =>
  Array.from({ length: count }, (_, n) => item(n));
const ends = (src: string, dst: string, n: number, dport: number): Ends => ({
  protocol: n % 4 === 3 ? 'UDP' : 'TCP',
  src,
  dst,
  sport: 1024 + (n % 60_000),
  dport,
});
const tcpEnds = (src: string, dst: string, sport: number, dport: number): Ends => ({
  protocol: 'TCP',
  src,
  dst,
  sport,
  dport,
});
const plain = (packets: readonly Ends[], port: number, fate: Traffic['fate'] = 'sent'): Traffic => ({
  packets: packets.map((one) => ({ frame: frameOf(one), keys: [] })),
  port,
  fate,
});
const named = (...names: string[]) =>
  names.map((name, id) => ({ name, id, addresses: [], endpoint: 'Interface' as const }));

/** Connections from a port to another one of a cube that remembers them; keys: tuple, `pad` in it. */
function connections(all: readonly Ends[], from: number, to: number, send: Send, pad = 0): Traffic {
  const packets = all.map((client) => {
    const { request } = connect(client, (side, frame) => send(side === 'client' ? from : to, frame));
    return { frame: request, keys: [tupleOf(client, pad)] };
  });
  return { packets, port: from, fate: 'sent' };
}

/** New TCP connections; what differs is the source port, also in the tuple of the way back. */
function openings(
  family: Family,
  all: readonly { client: Ends; back?: Ends }[],
  port: number,
  pads: readonly [number, number] = [0, 0],
): Traffic {
  return {
    packets: all.map(({ client, back }) => ({
      frame: frameOf(client, 'S', 100),
      keys: [tupleOf(client, pads[0]), ...(back ? [tupleOf(back, pads[1])] : [])],
    })),
    port,
    fate: 'sent',
    fresh: { frame: sourceOffsets(family).port, keys: [32, 34] },
  };
}

/** What is left of a packet's cost when a cube does nothing: the entry, the way into the cube, and the edge. */
const pass: Scenario = {
  name: 'pass',
  known: (family, count) =>
    plain(
      times(count, (n) => ends(CLIENT[family], peer(family, n), n, 80)),
      0,
    ),
};

const loadBalancer: Scenario = {
  name: 'load_balancer',
  cube: {
    type: 'LoadBalancer',
    spec: {},
    ports: named('server', 'pods'),
    tables: serviceTables(),
  },
  known: (family, count, send) =>
    connections(
      times(count, (n) => ends(CLIENT[family], vip(family, n % SERVICES), n, 80)),
      1,
      0,
      send,
    ),
  fresh: (family, count) =>
    openings(
      family,
      times(count, (n) => {
        const src = host(family, 16, n);
        const backend = backendOf(family, (n % SERVICES) * BACKENDS);
        return {
          client: tcpEnds(src, vip(family, n % SERVICES), 0, 80),
          back: tcpEnds(backend, src, TARGET, 0),
        };
      }),
      1,
      [0, 1],
    ),
  miss: {
    name: 'no-service',
    traffic: (family, count) =>
      plain(
        times(count, (n) => ends(CLIENT[family], host(family, 64, n), n, 80)),
        1,
      ),
  },
};

const NAT_ADDRESS = { ipv4: '198.51.100.10', ipv6: '2001:db8:1::10' } as const;

const nat: Scenario = {
  name: 'nat',
  cube: {
    type: 'Nat',
    spec: {
      exclusions: ['10.0.0.0/8', 'fd00::/8'],
      sourceRules: [
        { type: 'Exclude', destinations: ['192.0.2.0/24'], protocol: 'ICMP' },
        { type: 'Masquerade', sources: ['10.244.0.0/16', 'fd00:244::/32'] },
      ],
      forwardRules: [
        { protocol: 'TCP', port: 80, target: { address: '10.244.1.11', port: 8080 } },
        { protocol: 'TCP', port: 80, target: { address: 'fd00:244:0:1::b', port: 8080 } },
      ],
    },
    ports: [
      { name: 'outside', id: 0, addresses: [`${NAT_ADDRESS.ipv4}/24`, `${NAT_ADDRESS.ipv6}/64`] },
      { name: 'inside', id: 1, addresses: [] },
    ],
  },
  known: (family, count, send) =>
    connections(
      times(count, (n) => ends(CLIENT[family], peer(family, n), n, 443)),
      1,
      0,
      send,
      1,
    ),
  fresh: (family, count) =>
    openings(
      family,
      times(count, (n) => ({
        client: tcpEnds(host(family, 16, n), peer(family, n), 0, 80),
        back: tcpEnds(peer(family, n), NAT_ADDRESS[family], 80, 0),
      })),
      1,
      [1, 0],
    ),
  miss: {
    name: 'excluded',
    traffic: (family, count) =>
      plain(
        times(count, (n) => ends(CLIENT[family], host(family, 64, n), n, 80)),
        1,
      ),
  },
};

const firewall: Scenario = {
  name: 'firewall',
  cube: {
    type: 'Firewall',
    spec: {
      rules: [
        {
          name: 'web',
          priority: 100,
          action: 'Allow',
          ports: [{ port: 80 }, { protocol: 'UDP', port: 443 }],
        },
        {
          name: 'ssh',
          priority: 100,
          action: 'Allow',
          sources: ['203.0.113.0/24', '2001:db8:ff1::/48'],
          ports: [{ port: 22 }],
        },
        {
          name: 'no-metadata',
          priority: 100,
          direction: 'Egress',
          action: 'Reject',
          destinations: ['169.254.169.254/32'],
        },
      ],
    },
    ports: named('outside', 'inside'),
  },
  known: (family, count, send) =>
    connections(
      times(count, (n) => ends(CLIENT[family], peer(family, n), n, 443)),
      1,
      0,
      send,
    ),
  fresh: (family, count) =>
    openings(
      family,
      times(count, (n) => ({ client: tcpEnds(host(family, 16, n), peer(family, n), 0, 443) })),
      1,
    ),
  miss: {
    name: 'refused',
    traffic: (family, count) => ({
      packets: times(count, (n) => ({
        frame: frameOf(tcpEnds(peer(family, n), CLIENT[family], 1024 + n, 9999), 'S'),
        keys: [],
      })),
      port: 0,
      fate: 'dropped',
    }),
  },
};

const NODES = 250;
const podNet = (family: Family, node: number): string =>
  family === 'ipv4' ? `10.200.${node}.0` : `fd00:200:0:${node.toString(16)}::`;

const router: Scenario = {
  name: 'router',
  cube: {
    type: 'Router',
    spec: {
      routes: times(NODES, (n) => [
        { destination: `${podNet('ipv4', n)}/24`, type: 'NextHop', nextHop: { address: `10.9.0.${n + 2}` } },
        {
          destination: `${podNet('ipv6', n)}/64`,
          type: 'NextHop',
          nextHop: { address: `fd09::${(n + 2).toString(16)}` },
        },
      ]).flat(),
    },
    ports: [
      { name: 'uplink', id: 0, addresses: ['10.9.0.1/24', 'fd09::1/64'], endpoint: 'Interface' },
      { name: 'pods', id: 1, addresses: ['10.244.1.1/24', 'fd00:244:0:1::1/64'], endpoint: 'Pods' },
    ],
  },
  known: (family, count) => ({
    packets: times(count, (n) => {
      const net = podNet(family, n % NODES);
      const dst = family === 'ipv4' ? net.replace(/0$/, `${1 + (n >> 8)}`) : `${net}${(n + 1).toString(16)}`;
      return {
        frame: frameOf(ends(CLIENT[family], dst, n, 80)),
        keys: [prefixKey(net, family === 'ipv4' ? 24 : 64)],
      };
    }),
    port: 1,
    fate: 'sent',
  }),
};

const mac = (n: number, kind: number): string =>
  `02:${[kind, n >> 8, n & 255, 0, 0].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
const NATIVE_VLAN = 1;

function fdbKey(address: string): Buffer {
  const key = Buffer.alloc(8);
  key.writeUInt16LE(NATIVE_VLAN, 0);
  key.set(macBytes(address), 2);
  return key;
}

function frameBetween(family: Family, src: string, dst: string): Buffer {
  const frame = frameOf(ends(CLIENT[family], peer(family, 1), 0, 80));
  frame.set(macBytes(dst), 0);
  frame.set(macBytes(src), 6);
  return frame;
}

const bridge: Scenario = {
  name: 'bridge',
  cube: {
    type: 'Bridge',
    spec: { ports: [{ name: 'left' }, { name: 'right' }] },
    ports: named('left', 'right'),
  },
  known: (family, count, send) => ({
    packets: times(count, (n) => {
      const [src, dst] = [mac(n, 1), mac(n, 2)];
      send(1, frameBetween(family, dst, src));
      send(0, frameBetween(family, src, dst));
      return { frame: frameBetween(family, src, dst), keys: [fdbKey(src), fdbKey(dst)] };
    }),
    port: 0,
    fate: 'sent',
  }),
  fresh: (family, count) => ({
    packets: times(count, (n) => ({
      frame: frameBetween(family, mac(n, 3), mac(0, 2)),
      keys: [fdbKey(mac(n, 3))],
    })),
    port: 0,
    fate: 'sent',
    fresh: { frame: 10, keys: [6] },
  }),
  miss: {
    name: 'unknown-destination',
    traffic: (family, count) => ({
      packets: times(count, (n) => ({ frame: frameBetween(family, mac(0, 1), mac(n, 4)), keys: [] })),
      port: 0,
      fate: 'sent',
    }),
  },
};

const RULES = 16;
/** Even rules are of IPv4, odd ones of IPv6. */
const ruleNet = (rule: number): string =>
  rule % 2 === 0 ? `10.9.${rule}.0/24` : `fd09:0:0:${rule.toString(16)}::/64`;

const forwarder: Scenario = {
  name: 'forwarder',
  rows: RULES,
  cube: {
    type: 'Forwarder',
    spec: {
      rules: times(RULES, (n) => ({
        destinations: [ruleNet(n)],
        ports: [{ protocol: 'TCP', port: 80 }],
        action: { type: 'Output', output: { port: 'fast' } },
      })),
      defaultAction: { type: 'Output', output: { port: 'slow' } },
    },
    ports: named('client', 'fast', 'slow'),
  },
  known: (family, count) => ({
    packets: times(count, (n) => {
      const rule = ((2 * n) % RULES) + (family === 'ipv4' ? 0 : 1);
      const dst = ruleNet(rule).replace(family === 'ipv4' ? /0\/.*/ : /\/.*/, `${1 + (n >> 8)}`);
      return { frame: frameOf(tcpEnds(CLIENT[family], dst, 1024 + n, 80)), keys: [u32(rule)] };
    }),
    port: 0,
    fate: 'sent',
  }),
  miss: {
    name: 'no-rule',
    traffic: (family, count) =>
      plain(
        times(count, (n) => ends(CLIENT[family], peer(family, n), n, 80)),
        0,
      ),
  },
};

const mirror: Scenario = {
  name: 'mirror',
  rows: 4,
  cube: {
    type: 'Mirror',
    spec: {
      rules: times(4, (n) => ({ ports: [{ protocol: 'TCP', port: 8080 + n }], port: 'probe' })),
    },
    ports: named('outside', 'inside', 'probe'),
  },
  /* of no rule: what a copy costs is the interface's */
  known: (family, count) =>
    plain(
      times(count, (n) => ends(CLIENT[family], peer(family, n), n, 80)),
      1,
    ),
};

const LISTED = 250;
const source = (family: Family, n: number): string =>
  family === 'ipv4' ? `${20 + (n >> 8)}.${n & 255}.0.7` : `2001:${(0xa000 + n).toString(16)}::7`;
const listed = (family: Family, n: number): string =>
  family === 'ipv4' ? `203.0.${n >> 8}.${n & 255}` : `2001:db8:bad::${(n + 1).toString(16)}`;

/** Of the bucket, and of the lists. */
function sourceKeys(family: Family, address: string): Buffer[] {
  const bucket = mappedBytes(address);
  if (family === 'ipv6') bucket.fill(0, 8);
  return [bucket, mappedBytes(address)];
}

const mitigator: Scenario = {
  name: 'ddos_mitigator',
  cube: {
    type: 'DDoSMitigator',
    spec: {
      denySources: times(LISTED, (n) => [`${listed('ipv4', n)}/32`, `${listed('ipv6', n)}/128`]).flat(),
      sourceRate: { packetsPerSecond: 1_000_000, burst: 1_000_000 },
    },
    ports: named('outside', 'inside'),
  },
  known: (family, count, send) => ({
    packets: times(count, (n) => {
      const frame = frameOf(ends(source(family, n), CLIENT[family], n, 80));
      send(0, frame);
      return { frame, keys: sourceKeys(family, source(family, n)) };
    }),
    port: 0,
    fate: 'sent',
  }),
  fresh: (family, count) => ({
    packets: times(count, (n) => ({
      frame: frameOf(ends(source(family, n), CLIENT[family], n, 80)),
      keys: sourceKeys(family, source(family, n)),
    })),
    port: 0,
    fate: 'sent',
    // what differs is in the /64 of IPv6, which lies at the same place as the end of an IPv4 address
    fresh: { frame: 28, keys: family === 'ipv4' ? [14, 14] : [6, 6] },
  }),
  miss: {
    name: 'denied',
    traffic: (family, count) =>
      plain(
        times(count, (n) => ends(listed(family, n % LISTED), CLIENT[family], n, 80)),
        0,
        'dropped',
      ),
  },
};

const LIMITS = 100;
const limited = (family: Family, n: number): string => host(family, 1, 20 + (n % LIMITS));

const limiter: Scenario = {
  name: 'rate_limiter',
  cube: {
    type: 'RateLimiter',
    spec: {
      limits: times(LIMITS, (n) => ({
        addresses: [limited('ipv4', n), limited('ipv6', n)],
        egress: { bitsPerSecond: 100_000_000_000 },
      })),
    },
    ports: named('outside', 'inside'),
  },
  /* what is within its limit */
  known: (family, count) => ({
    packets: times(count, (n) => ({
      frame: frameOf(ends(limited(family, n), peer(family, n), n, 80)),
      keys: [mappedBytes(limited(family, n))],
    })),
    port: 1,
    fate: 'sent',
  }),
  miss: {
    name: 'no-limit',
    traffic: (family, count) =>
      plain(
        times(count, (n) => ends(host(family, 64, n), peer(family, n), n, 80)),
        1,
      ),
  },
};

export const SCENARIOS: readonly Scenario[] = [
  pass,
  loadBalancer,
  nat,
  firewall,
  router,
  bridge,
  forwarder,
  mirror,
  mitigator,
  limiter,
];
