// SPDX-License-Identifier: Apache-2.0

/**
 * What the spec of a bridge means: pure, and the only place that decides it. Rows are plain objects as the generated
 * codecs take them; bpf/bridge/bridge.h says what the program does with them.
 */
import { createHash } from 'node:crypto';
import type { Bridge, BridgePort, StormControl } from '../../api/generated/types.ts';
import type { CubeInput, CubePort, Problem } from '../cube-type.ts';
import type { BridgeSettings, FdbKey, RateLimit, Vlan } from './generated/codec.ts';

const PORTS = 64;
const DEFAULT_VLAN = 1;
/** FLOOD_* of bridge.h, in its order. */
const KINDS = ['broadcast', 'multicast', 'unknownUnicast'] as const;
const FLOOD_KINDS = 4;

export interface StaticRow {
  readonly key: FdbKey;
  readonly port: number;
}

export interface Desired {
  readonly settings: BridgeSettings;
  /** By number; VLANs without a port are left out. */
  readonly vlans: ReadonlyMap<number, Vlan>;
  /** By port * 4 + kind. */
  readonly limits: ReadonlyMap<number, RateLimit>;
  readonly statics: readonly StaticRow[];
  readonly problems: readonly Problem[];
}

const bit = (port: CubePort): bigint => 1n << BigInt(port.id);

/** In units of 2^30 ns, as the program counts; never less than asked for. */
const coarse = (seconds: number): number => Math.ceil((seconds * 1e9) / 2 ** 30);

/** 24 bits that stand for the names and numbers of all ports: what was learned for others is not believed. */
function portsTag(ports: readonly CubePort[]): number {
  const text = ports.map(({ name, id }) => `${id} ${name}\n`).join('');
  return createHash('sha256').update(text).digest().readUIntLE(0, 3);
}

interface Membership {
  /** Every VLAN of the port. */
  readonly vlans: ReadonlySet<number>;
  /** The one of frames without a tag, which leave without one too. 0: none. */
  readonly native: number;
  readonly isAccess: boolean;
}

function membershipOf(port: BridgePort | undefined): Membership {
  const vlan = port?.vlan ?? { type: 'Access', access: { vlan: DEFAULT_VLAN } };
  if (vlan.type === 'Access')
    return { vlans: new Set([vlan.access.vlan]), native: vlan.access.vlan, isAccess: true };
  const { vlans: ranges, native = 0 } = vlan.trunk;
  const vlans = new Set(native === 0 ? [] : [native]);
  for (const { first, last = first } of ranges) for (let id = first; id <= last; id++) vlans.add(id);
  return { vlans, native, isAccess: false };
}

function endpointProblem({ name, endpoint }: CubePort): Problem | undefined {
  if (endpoint === undefined || endpoint === 'Cube' || endpoint === 'Interface') return undefined;
  return {
    reason: 'NotSupported',
    field: `spec.ports[${name}]`,
    message: `a bridge carries Ethernet frames, and a ${endpoint} endpoint takes IP packets; link port ${name} to an interface, or put a Router between them`,
  };
}

function staticRows(
  spec: Bridge,
  byName: ReadonlyMap<string, CubePort>,
  members: ReadonlyMap<string, Membership>,
): { rows: StaticRow[]; problems: Problem[] } {
  const rows: StaticRow[] = [];
  const problems: Problem[] = [];
  const seen = new Set<string>();
  spec.staticEntries.forEach(({ mac, port: name, vlan }, i) => {
    const field = `spec.bridge.staticEntries[${i}]`;
    const port = byName.get(name);
    const key = { mac: mac.toLowerCase(), vlan };
    const id = `${key.mac} ${vlan}`;
    if (port === undefined) {
      problems.push(unknownPort(name, `${field}.port`, byName));
    } else if (!members.get(name)?.vlans.has(vlan)) {
      problems.push({
        reason: 'Invalid',
        field: `${field}.vlan`,
        message: `port ${name} is not in VLAN ${vlan}; correct the VLAN, or add it in spec.bridge.ports`,
      });
    } else if (/^[0:]*$/.test(mac)) {
      problems.push({
        reason: 'Invalid',
        field: `${field}.mac`,
        message: `${mac} is no address of a host; write the one that it has`,
      });
    } else if (seen.has(id)) {
      problems.push({
        reason: 'Invalid',
        field,
        message: `${mac} stands there twice for VLAN ${vlan}; an address is at one port: remove one entry`,
      });
    } else {
      seen.add(id);
      rows.push({ key, port: port.id });
    }
  });
  return { rows, problems };
}

function unknownPort(name: string, field: string, byName: ReadonlyMap<string, CubePort>): Problem {
  return {
    reason: 'UnknownPort',
    field,
    message: `the bridge has no port ${name} (it has ${[...byName.keys()].join(', ') || 'none'}); name one of them or link ${name}`,
  };
}

function limitRows(port: CubePort, control: StormControl | undefined): [number, RateLimit][] {
  return KINDS.flatMap((kind, i) => {
    const limit = control?.[kind];
    if (limit === undefined) return [];
    const interval = BigInt(Math.floor(1e9 / limit.packetsPerSecond));
    return [[port.id * FLOOD_KINDS + i, { interval, tolerance: interval * BigInt(limit.burst - 1) }]];
  });
}

export function desired({ spec, ports }: Pick<CubeInput<Bridge>, 'spec' | 'ports'>): Desired {
  const byName = new Map(ports.map((port) => [port.name, port]));
  const listed = spec.ports ?? [];
  const settings = new Map(listed.map((port) => [port.name, port]));
  const members = new Map(ports.map(({ name }) => [name, membershipOf(settings.get(name))]));
  const statics = staticRows(spec, byName, members);
  const problems: Problem[] = [
    ...listed.flatMap(({ name }, i) =>
      byName.has(name) ? [] : [unknownPort(name, `spec.bridge.ports[${i}].name`, byName)],
    ),
    ...ports.flatMap((port) => endpointProblem(port) ?? []),
    ...statics.problems,
  ];

  const setOf = (has: (port: CubePort, setting: BridgePort | undefined) => boolean): bigint =>
    ports.reduce((set, port) => (has(port, settings.get(port.name)) ? set | bit(port) : set), 0n);
  const vlans = new Map<number, { members: bigint; untagged: bigint }>();
  for (const port of ports) {
    const { vlans: ids, native } = members.get(port.name) ?? membershipOf(undefined);
    for (const id of ids) {
      const row = vlans.get(id) ?? { members: 0n, untagged: 0n };
      row.members |= bit(port);
      if (id === native) row.untagged |= bit(port);
      vlans.set(id, row);
    }
  }
  const limits = new Map(
    ports.flatMap((port) => limitRows(port, settings.get(port.name)?.stormControl ?? spec.stormControl)),
  );
  const perPort = (value: (port: CubePort) => number): number[] => {
    const list = new Array<number>(PORTS).fill(0);
    for (const port of ports) list[port.id] = value(port);
    return list;
  };
  return {
    settings: {
      learning: setOf((_, setting) => setting?.learning ?? true),
      isolated: setOf((_, setting) => setting?.isolated ?? false),
      access: setOf(({ name }) => members.get(name)?.isAccess ?? false),
      cubes: setOf(({ endpoint }) => endpoint === 'Cube'),
      bridges: setOf(({ endpoint, endsSegment }) => endpoint === 'Cube' && endsSegment !== true),
      flood: KINDS.map((kind) => setOf((_, setting) => setting?.flood[kind] ?? true)),
      limited: setOf(({ id }) => KINDS.some((_, i) => limits.has(id * FLOOD_KINDS + i))),
      ageing: coarse(spec.agingSeconds),
      portsTag: portsTag(ports),
      hasStatic: statics.rows.length > 0 ? 1 : 0,
      native: perPort(({ name }) => members.get(name)?.native ?? 0),
      mtu: perPort(({ mtu }) => Math.min(mtu ?? 0, 0xffff)),
    },
    vlans,
    limits,
    statics: statics.rows,
    problems,
  };
}
