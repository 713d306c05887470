// SPDX-License-Identifier: Apache-2.0
/** Random configurations of a NAT, and what they mean by the descriptions of the schema. */
import type { Frontend, Nat, Service } from '../../../src/api/generated/types.ts';
import { desired } from '../../../src/cubes/nat/desired.ts';
import { ipBytes, isV6, mappedBytes } from '../support/bytes.ts';
import { type ForwardRule, natPorts, type SourceRule } from '../support/translator.ts';
import type { ModelForwardRule, ModelNat, ModelPrefix, ModelSourceRule } from './nat-model.ts';
import { rawOf } from './nat-model.ts';
import type { Timeouts } from './nat-sessions-model.ts';
import { addressOf } from './parse-model.ts';
import type { Random } from './random.ts';

/** Time passes in steps of so many seconds: real time, which passes while a test runs, is none beside it. */
export const STEP_SECONDS = 10_000;

/** In steps. All differ, and none is a whole number, so that no session is just as old as its timeout. */
export const TIMEOUTS: Timeouts = {
  tcpSyn: 1.5,
  tcpEstablished: 6.5,
  tcpClosing: 2.5,
  udp: 0.5,
  udpStream: 5.5,
  sctp: 4.5,
  icmp: 3.5,
};

export const OWN = ['198.51.100.10', '198.51.100.11', '2001:db8::10', '2001:db8::11'] as const;
export const SERVERS = ['10.244.2.7', '10.244.2.8', 'fd00:244:2::7', 'fd00:244:2::8'] as const;
export const PEERS = ['203.0.113.7', '203.0.113.8', '192.0.2.9', '2001:db8:7::7', '2001:db8:7::8', '2600::9'];
/** Of prefixes that forward rules name. */
export const PUBLISHED = ['198.51.101.9', '198.51.101.10', '2001:db8:50::9', '2001:db8:50::a'] as const;

const CLIENT_NETS = ['10.244.1.0/24', '10.244.0.0/16', '10.244.1.4/30', 'fd00:244:1::/64', 'fd00:244::/32'];
const PEER_NETS = ['203.0.113.0/24', '203.0.113.8/32', '0.0.0.0/0', '2001:db8:7::/64', '2001:db8:7::8/128'];
const EXCLUDED = [
  ...['192.0.2.0/24', '203.0.113.8/32', '10.244.0.0/16', '198.51.100.0/24', '2600::/16'],
  ...['2001:db8:7::8/128', '2001:db8::/32', '::/0'],
];
const DESTINATIONS = [
  ...['198.51.101.0/24', '198.51.101.9/32', '203.0.113.8/32', '198.51.100.0/24'],
  ...['2001:db8:50::/64', '2001:db8::/32'],
];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP', 'ICMP'] as const;
const NUMBERS = { TCP: [6], UDP: [17], SCTP: [132], ICMP: [1, 58] } as const;

export interface Config {
  readonly spec: Nat;
  /** Of the port outside, with prefix length. */
  readonly addresses: readonly string[];
  /** Of its tables; none where it is a gateway. */
  readonly services: readonly Service[];
}

/**
 * What a configuration makes use of. It follows from the spec and is a constant of the program, as are the range of ports and the
 * limit on RSTs: configurations of one shape differ in maps alone and share one loaded program, for loading takes as long as
 * thousands of packets.
 */
export interface Shape {
  readonly features: readonly Feature[];
  readonly portRange: Nat['portRange'];
  readonly rejects: Nat['rejects'];
  readonly maxEstablished: number;
  readonly role?: 'Discriminator';
}

const FEATURES = [
  'forwards',
  'forwardSources',
  'forwardServices',
  'sources',
  'destinations',
  'protocols',
  'exclusions',
] as const;
type Feature = (typeof FEATURES)[number];

const NARROW = { first: 60000, last: 60063 };
const WIDE = { first: 49152, last: 65535 };
const FREELY = { errorsPerSecond: 1_000_000, burst: 100_000 };
const SELDOM = { errorsPerSecond: 1, burst: 20 };
const NEVER = { errorsPerSecond: 0, burst: 1 };

/** Those with the same number of sessions follow each other in one run. */
export const SHAPES: readonly Shape[] = [
  { features: ['forwards', 'sources'], portRange: NARROW, rejects: FREELY, maxEstablished: 4096 },
  {
    features: ['forwards', 'forwardServices', 'sources'],
    portRange: WIDE,
    rejects: FREELY,
    maxEstablished: 4096,
  },
  { features: FEATURES, portRange: NARROW, rejects: FREELY, maxEstablished: 4096 },
  {
    features: ['forwards', 'forwardServices', 'sources', 'destinations', 'protocols'],
    portRange: NARROW,
    rejects: SELDOM,
    maxEstablished: 4096,
  },
  {
    features: ['forwards', 'forwardSources', 'forwardServices', 'sources', 'exclusions'],
    portRange: NARROW,
    rejects: NEVER,
    maxEstablished: 4096,
  },
  {
    features: ['forwards', 'forwardServices', 'sources'],
    portRange: NARROW,
    rejects: FREELY,
    maxEstablished: 24,
  },
  { features: ['forwards', 'forwardServices'], portRange: NARROW, rejects: FREELY, maxEstablished: 24 },
  {
    features: ['forwards', 'sources'],
    portRange: NARROW,
    rejects: FREELY,
    maxEstablished: 4096,
    role: 'Discriminator',
  },
  {
    features: ['forwards', 'forwardServices', 'sources', 'exclusions'],
    portRange: WIDE,
    rejects: FREELY,
    maxEstablished: 4096,
    role: 'Discriminator',
  },
];

const some = (r: Random, list: readonly string[], chance: number): string[] =>
  list.filter(() => r.chance(chance));

/** Few rules name anything: each condition takes away packets from those behind it. */
const few = (r: Random, list: readonly string[]): string[] => (r.chance(0.5) ? some(r, list, 0.4) : []);

function randomSourceRule(
  r: Random,
  uses: (feature: Feature) => boolean,
  addresses: readonly string[],
): SourceRule {
  const conditions = {
    sources: few(r, CLIENT_NETS),
    destinations: uses('destinations') ? few(r, PEER_NETS) : [],
    ...(uses('protocols') && r.chance(0.4) ? { protocol: r.pick(PROTOCOLS) } : {}),
  };
  const kind = r.pick(['Masquerade', 'Masquerade', 'SNAT', 'SNAT', 'Exclude'] as const);
  const given = some(r, addresses, 0.7);
  if (kind === 'SNAT' && given.length > 0) return { ...conditions, type: 'SNAT', snat: { addresses: given } };
  if (kind === 'Exclude') return { ...conditions, type: 'Exclude' };
  return { ...conditions, type: 'Masquerade' };
}

function randomForwardRule(r: Random, uses: (feature: Feature) => boolean): ForwardRule {
  const v6 = r.chance(0.5);
  const family = (list: readonly string[]) => list.filter((one) => isV6(one) === v6);
  const server = r.pick(family(SERVERS));
  const destination = r.chance(0.4) ? r.pick(family(DESTINATIONS)) : undefined;
  const base = {
    sources: uses('forwardSources') && r.chance(0.4) ? some(r, family(PEER_NETS), 0.6) : [],
    ...(destination === undefined ? {} : { destination }),
  };
  const protocol = uses('forwardServices') ? r.pick(['any', ...PROTOCOLS, 'TCP', 'UDP'] as const) : 'any';
  if (protocol === 'any') return { ...base, target: { address: server } };
  if (protocol === 'ICMP' || r.chance(0.2)) return { ...base, protocol, target: { address: server } };
  const port = r.pick([53, 80, 81, 2905, 8000]);
  const range = r.chance(0.6) ? { endPort: port + r.below(5) } : {};
  const changed = protocol !== 'SCTP' && r.chance(0.7) ? { port: r.pick([8080, 8081, 53, 80]) } : {};
  return { ...base, protocol, port, ...range, target: { address: server, ...changed } };
}

/** Some frontends of every scope, at addresses that packets are sent to. */
function randomServices(r: Random): Service[] {
  const frontend = (): Frontend => {
    const scope = r.pick(['ClusterIP', 'External', 'LoadBalancer', 'NodePort'] as const);
    return {
      name: '',
      addresses: scope === 'NodePort' ? [] : some(r, [...OWN, ...PUBLISHED, ...SERVERS], 0.3),
      port: r.pick([53, 80, 81, 2905, 8000, 60_001]),
      protocol: r.pick(['TCP', 'UDP', 'SCTP'] as const),
      scope,
      affinity: { type: 'None', timeoutSeconds: 1 },
      sourceRanges: [],
      trafficPolicy: 'Cluster',
    };
  };
  return Array.from({ length: r.below(4) }, (_, i) => ({
    namespace: 'n',
    name: `s${i}`,
    frontends: Array.from({ length: r.between(1, 3) }, frontend),
    backends: [],
  }));
}

function anyConfig(r: Random, { features, portRange, rejects, maxEstablished, role }: Shape): Config {
  const uses = (feature: Feature) => features.includes(feature);
  const addresses = some(r, OWN, 0.8);
  const masquerade = { type: 'Masquerade' as const, sources: [], destinations: [] };
  const rules = Array.from({ length: r.below(4) }, () => randomSourceRule(r, uses, addresses));
  return {
    addresses: addresses.map((address) => `${address}/${isV6(address) ? 64 : 24}`),
    services: role ? randomServices(r) : [],
    spec: {
      role: role ?? 'Gateway',
      maxServices: 1024,
      sourceRules: uses('sources') ? [...rules, ...(r.chance(0.9) ? [masquerade] : [])] : [],
      forwardRules: Array.from({ length: r.below(9) }, () => randomForwardRule(r, uses)),
      exclusions: uses('exclusions') ? some(r, EXCLUDED, 0.25) : [],
      portRange,
      rejects,
      sessions: {
        maxEstablished,
        maxEmbryonic: 16_384,
        timeouts: Object.fromEntries(
          Object.entries(TIMEOUTS).map(([name, steps]) => [name, steps * STEP_SECONDS]),
        ) as unknown as Nat['sessions']['timeouts'],
      },
    },
  };
}

/** One of the shape, which the cube's type takes. */
export function randomConfig(r: Random, shape: Shape): Config {
  for (;;) {
    const config = anyConfig(r, shape);
    const { problems, options } = desired(inputOf(config));
    const isOfShape = FEATURES.every((name) => (options[name] === 1) === shape.features.includes(name));
    if (problems.length === 0 && isOfShape) return config;
  }
}

export function inputOf({ spec, addresses }: Pick<Config, 'spec' | 'addresses'>) {
  return { namespace: 'n', name: 'nat', uid: 'u', spec, ports: natPorts(addresses) };
}

function prefixOf(text: string): ModelPrefix {
  const [address = '', length = ''] = text.split('/');
  const v6 = isV6(address);
  return { prefix: addressOf(mappedBytes(address)), length: Number(length) + (v6 ? 0 : 96), v6 };
}

const raw = (address: string) => rawOf(ipBytes(address));

/** Address, port and protocol of each place where clients outside reach a Service. */
function placesOf({ services }: Config): Set<string> {
  const places = new Set<string>();
  for (const { frontends } of services) {
    const listed = frontends.flatMap(({ addresses }) => addresses);
    const families = new Set(listed.map(isV6));
    const node = OWN.filter((address) => listed.length === 0 || families.has(isV6(address)));
    for (const { scope, addresses, port, protocol } of frontends) {
      if (scope === 'ClusterIP') continue;
      for (const address of scope === 'NodePort' ? node : addresses)
        places.add(`${raw(address)} ${port} ${NUMBERS[protocol][0]}`);
    }
  }
  return places;
}

export function modelOf(config: Config): ModelNat {
  const { spec, addresses } = config;
  const own = addresses.map((text) => text.split('/')[0] ?? '');
  const protocolsOf = (name: keyof typeof NUMBERS | undefined) => (name === undefined ? [] : NUMBERS[name]);
  const sourceRules = spec.sourceRules.map(
    (rule): ModelSourceRule => ({
      excludes: rule.type === 'Exclude',
      sources: rule.sources.map(prefixOf),
      destinations: rule.destinations.map(prefixOf),
      protocols: protocolsOf(rule.protocol),
      pool: (rule.type === 'SNAT' ? rule.snat.addresses : rule.type === 'Exclude' ? [] : own).map(raw),
    }),
  );
  const forwardRules = spec.forwardRules.map(
    ({ destination, sources, protocol, port, endPort, target }): ModelForwardRule => {
      const v6 = isV6(target.address);
      return {
        destinations: (destination === undefined
          ? own.filter((one) => isV6(one) === v6).map((one) => `${one}/${v6 ? 128 : 32}`)
          : [destination]
        ).map(prefixOf),
        sources: sources.map(prefixOf),
        protocols: protocolsOf(protocol),
        ...(port === undefined ? {} : { ports: [port, endPort ?? port] as const }),
        target: raw(target.address),
        ...(target.port === undefined ? {} : { targetPort: target.port }),
      };
    },
  );
  return {
    own: new Set(own.map(raw)),
    sourceRules,
    forwardRules,
    exclusions: spec.exclusions.map(prefixOf),
    portRange: [spec.portRange.first, spec.portRange.last],
    ...(spec.role === 'Gateway'
      ? {}
      : {
          host: {
            addresses: new Set(OWN.map(raw)),
            services: placesOf(config),
            inside: spec.sourceRules.flatMap(({ sources }) => sources).map(prefixOf),
          },
        }),
  };
}
