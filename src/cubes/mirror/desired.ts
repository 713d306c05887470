// SPDX-License-Identifier: Apache-2.0

/** What the spec of a mirror means: pure, and the only place that decides it. */
import type { Mirror, MirrorRule } from '../../api/generated/types.ts';
import type { CubeInput, Problem } from '../cube-type.ts';
import { type MatchRow, matchRows } from '../packet-match.ts';
import { rules as rulesCodec } from './generated/codec.ts';

export const FIXED_PORTS = { outside: 0, inside: 1 } as const;
export const FIRST_COPY_PORT = 2;
const ALWAYS = 0xffffffff;
const WHOLE = 0xffff;

/** Bits of the ports that packets of a direction come in by. */
const ENTRIES = { Ingress: 1n, Egress: 2n, Both: 3n } as const;

export interface Row {
  readonly match: MatchRow;
  /** Place in the spec. */
  readonly rule: number;
  readonly sample: number;
  /** Byte of the frame that a copy ends with, counted from 0; 0xffff: all are in it. */
  readonly last: number;
  readonly port: number;
}

export interface Desired {
  readonly rows: readonly Row[];
  readonly problems: readonly Problem[];
}

/** Whether some of its copies go to cubes. */
export const copiesToCubes = ({ ports }: Pick<CubeInput<Mirror>, 'ports'>): boolean =>
  ports.some(({ id, endpoint }) => id >= FIRST_COPY_PORT && endpoint === 'Cube');

export const ruleName = ({ name }: MirrorRule, place: number): string => name ?? `rules[${place}]`;

export function desired({ spec, ports }: Pick<CubeInput<Mirror>, 'spec' | 'ports'>): Desired {
  const problems: Problem[] = [];
  const copyPorts = new Map(ports.filter(({ id }) => id >= FIRST_COPY_PORT).map((port) => [port.name, port]));
  for (const { name, endpoint } of copyPorts.values()) {
    if (endpoint === undefined || endpoint === 'Interface' || endpoint === 'Cube') continue;
    problems.push({
      reason: 'NotSupported',
      field: `spec.ports[${name}]`,
      message: `port ${name} is linked to a ${endpoint} endpoint, and a copy can go to an interface or a cube only; link it to one`,
    });
  }
  const rows: Row[] = [];
  for (const [place, rule] of spec.rules.entries()) {
    const field = `spec.mirror.rules[${place}]`;
    const port = copyPorts.get(rule.port);
    const name = ruleName(rule, place);
    if (port === undefined)
      problems.push({
        reason: 'UnknownPort',
        field: `${field}.port`,
        message: `the mirror has no port ${rule.port} for copies (it has ${[...copyPorts.keys()].join(', ') || 'none'}); name one of them or link ${rule.port} to an interface`,
      });
    if (rule.truncate !== undefined && port?.endpoint === 'Cube')
      problems.push({
        reason: 'NotSupported',
        field: `${field}.truncate`,
        message: `copies of rule ${name} go to a cube, and only an interface cuts copies; leave truncate out, or link port ${rule.port} to an interface`,
      });
    const matches = matchRows(rule, ENTRIES[rule.direction]);
    if (matches.length === 0)
      problems.push({
        reason: 'Invalid',
        field,
        message: `no packet can match rule ${name}: its prefixes are of different families, or its source and destination ports of different protocols; correct or remove it`,
      });
    // Of 2^32 random numbers, that many and one more are not above it.
    const sample = rule.oneIn === 1 ? ALWAYS : Math.floor(2 ** 32 / rule.oneIn) - 1;
    const last = rule.truncate === undefined ? WHOLE : rule.truncate - 1;
    for (const match of matches)
      rows.push({ match, rule: place, sample, last, port: port?.id ?? FIRST_COPY_PORT });
  }
  if (rows.length > rulesCodec.maxEntries)
    problems.push({
      reason: 'Invalid',
      field: 'spec.mirror.rules',
      message: `the rules are ${rows.length} combinations of prefixes and ports, and ${rulesCodec.maxEntries} fit; merge prefixes or ranges`,
    });
  return { rows, problems };
}
