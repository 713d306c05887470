// SPDX-License-Identifier: Apache-2.0
/** Random configurations of a bridge, as an object of the API and as what its reference page says that it means. */
import type { Bridge, BridgePort, StormControl } from '../../../src/api/generated/types.ts';
import type { CubePort } from '../../../src/cubes/cube-type.ts';
import { macBytes } from '../support/bytes.ts';
import { HOSTS } from './bridge-frames.ts';
import type { FloodKind, ModelBridge, ModelPort } from './bridge-model.ts';
import type { Random } from './random.ts';

export interface Config {
  readonly ports: readonly CubePort[];
  readonly spec: Bridge;
}

/** Seconds; far apart from each other and from {@link AGES}, so that no test is as slow as one of the gaps. */
const AGINGS = [100, 300, 1000] as const;
export const AGES = [40, 200, 600, 5000] as const;

const KINDS: readonly FloodKind[] = ['broadcast', 'multicast', 'unknownUnicast'];
const VLANS = [1, 1, 1, 10, 10, 20, 2, 4094];
const MTUS = [68, 300, 1280, 1500];

type PortVlan = NonNullable<BridgePort['vlan']>;

function randomVlan(r: Random): PortVlan {
  if (r.chance(0.5)) return { type: 'Access', access: { vlan: r.pick(VLANS) } };
  const ranges = r.chance(0.03)
    ? [{ first: 1, last: 4094 }]
    : [
        { first: 1 },
        { first: 10, last: 20 },
        { first: 2, last: 2 },
        { first: 20, last: 30 },
        { first: 4094 },
      ];
  const vlans = ranges.filter(() => r.chance(0.6));
  return { type: 'Trunk', trunk: { vlans, ...(r.chance(0.5) ? { native: r.pick(VLANS) } : {}) } };
}

/** Tokens that come once a second, so that few of them depend on how fast the test is; or more than a test sends. */
function randomStorm(r: Random): StormControl {
  const limits = KINDS.filter(() => r.chance(0.6)).map((kind) => [
    kind,
    r.chance(0.8)
      ? { packetsPerSecond: 1, burst: r.pick([1, 2, 10, 40]) }
      : { packetsPerSecond: 10_000_000, burst: 1_000_000 },
  ]);
  return Object.fromEntries(limits) as StormControl;
}

function randomPort(r: Random, name: string): BridgePort {
  const flood = r.chance(0.3)
    ? { broadcast: r.chance(0.5), multicast: r.chance(0.5), unknownUnicast: r.chance(0.5) }
    : { broadcast: true, multicast: true, unknownUnicast: true };
  return {
    name,
    learning: !r.chance(0.15),
    isolated: r.chance(0.25),
    flood,
    ...(r.chance(0.7) ? { vlan: randomVlan(r) } : {}),
    ...(r.chance(0.15) ? { stormControl: randomStorm(r) } : {}),
  };
}

/** @param cubes how many ports may be linked to cubes. */
export function randomConfig(r: Random, most: number, cubes: number): Config {
  return configOf(
    r,
    Array.from({ length: r.between(r.chance(0.2) ? 2 : 4, most) }, (_, id) => `p${id}`),
    cubes,
  );
}

/** Another revision: the ports keep their names, or one of them is another one now. */
export function nextConfig(r: Random, { ports }: Config, cubes: number): Config {
  const names = ports.map(({ name }) => name);
  const other = `q${r.below(100)}`;
  if (r.chance(0.5) && !names.includes(other)) names[r.below(names.length)] = other;
  return configOf(r, names, cubes);
}

function configOf(r: Random, names: readonly string[], cubes: number): Config {
  let left = cubes;
  const ports = names.map((name, id) => {
    const isCube = left > 0 && r.chance(0.3);
    if (isCube) left--;
    return {
      id,
      name,
      addresses: [],
      endpoint: isCube ? ('Cube' as const) : ('Interface' as const),
      ...(isCube && r.chance(0.5) ? { endsSegment: true } : {}),
      ...(r.chance(0.5) ? { mtu: r.pick(MTUS) } : {}),
    };
  });
  const settings = names.filter(() => r.chance(0.8)).map((name) => randomPort(r, name));
  const staticEntries = HOSTS.filter(() => r.chance(0.12)).map((mac) => {
    const name = r.pick(names);
    const { vlans } = portOf(settings.find((port) => port.name === name));
    return { mac: r.chance(0.5) ? mac.toUpperCase() : mac, port: name, vlan: r.pick([...vlans, -1]) };
  });
  const spec: Bridge = {
    agingSeconds: r.pick(AGINGS),
    maxAddresses: 4096,
    ports: settings,
    // a trunk without VLANs has no place for one
    staticEntries: r.chance(0.7) ? staticEntries.filter(({ vlan }) => vlan > 0) : [],
    ...(r.chance(0.3) ? { stormControl: randomStorm(r) } : {}),
  };
  return { ports, spec };
}

function portOf(setting: BridgePort | undefined): { vlans: Set<number>; native?: number; isAccess: boolean } {
  const { vlan } = setting ?? {};
  if (vlan === undefined) return { vlans: new Set([1]), native: 1, isAccess: true };
  if (vlan.type === 'Access')
    return { vlans: new Set([vlan.access.vlan]), native: vlan.access.vlan, isAccess: true };
  const { native, vlans: ranges } = vlan.trunk;
  const vlans = new Set(native === undefined ? [] : [native]);
  for (const { first, last = first } of ranges) for (let id = first; id <= last; id++) vlans.add(id);
  return { vlans, isAccess: false, ...(native === undefined ? {} : { native }) };
}

/** What the configuration means, by the descriptions of the schema. */
export function modelOf({ ports, spec }: Config): ModelBridge {
  const settings = new Map((spec.ports ?? []).map((port) => [port.name, port]));
  const model = ports.map(({ name, mtu }): ModelPort => {
    const setting = settings.get(name);
    const storm = setting?.stormControl ?? spec.stormControl ?? {};
    const limits = KINDS.flatMap((kind) => {
      const limit = storm[kind];
      return limit === undefined
        ? []
        : [[kind, { interval: 1e9 / limit.packetsPerSecond, burst: limit.burst }]];
    });
    return {
      ...portOf(setting),
      learning: setting?.learning ?? true,
      isolated: setting?.isolated ?? false,
      floods: setting?.flood ?? { broadcast: true, multicast: true, unknownUnicast: true },
      limits: Object.fromEntries(limits) as ModelPort['limits'],
      ...(mtu === undefined ? {} : { mtu }),
    };
  });
  const byName = new Map(ports.map(({ name, id }) => [name, id]));
  const statics = new Map(
    spec.staticEntries.map(({ mac, vlan, port }) => [
      `${vlan} ${macBytes(mac).readUIntBE(0, 6)}`,
      byName.get(port) ?? -1,
    ]),
  );
  return {
    ports: model,
    portSet: ports.map(({ id, name }) => `${id} ${name}`).join(),
    statics,
    ageing: spec.agingSeconds * 1e9,
  };
}
