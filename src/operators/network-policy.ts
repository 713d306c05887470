// SPDX-License-Identifier: Apache-2.0
import type { CubeTable, Policy, PolicyEntry } from '../api/generated/types.ts';
import { type Diagnostic, Diagnostics } from './diagnostic.ts';
import type { NetworkPolicyInput, PolicyEntryInput } from './inputs.ts';
import { chunks, translateSelector } from './label-selector.ts';
import { peersOf, unknownMember } from './network-policy-peer.ts';
import { portsOf } from './network-policy-port.ts';
import { policyTables } from './policy-tables.ts';

/** Bounds of the CubeTable schema. */
export const MAX_ENTRIES = 32;
export const MAX_PEERS = 32;
export const MAX_PORTS = 64;
/** Most entries of a direction: a policy of one megabyte must not become a thousand. */
const MOST_ENTRIES = 2048;

type Direction = 'Ingress' | 'Egress';
const DIRECTIONS: readonly Direction[] = ['Ingress', 'Egress'];
const LIST = { Ingress: 'ingress', Egress: 'egress' } as const;
const PEERS = { Ingress: 'from', Egress: 'to' } as const;

/**
 * NetworkPolicy → CubeTables. Pure and total, as tablesOfService.
 *
 * Most policies are one row of one table. A larger one is cut into rows with the same selector and the same directions:
 * entries are a union, so the rows together mean the same. Their tables are slices of one revision, which agents apply at
 * once: a half of a policy is never in force.
 *
 * What cannot be understood allows nothing. So an entry is left out when none of its peers or none of its ports is left,
 * since an empty list would mean all; and where the pods themselves are not known, all that might be meant are isolated.
 */
export function tablesOfNetworkPolicy(
  policy: NetworkPolicyInput,
  options: { namespace: string },
): { tables: CubeTable[]; diagnostics: Diagnostic[] } {
  const { namespace = '', name = '' } = policy.metadata;
  const diagnostics = new Diagnostics(`NetworkPolicy ${namespace}/${name}`);
  const rows = rowsOf(policy, diagnostics);
  return { tables: policyTables(policy.metadata, rows, options), diagnostics: diagnostics.list };
}

function rowsOf({ metadata, spec }: NetworkPolicyInput, diagnostics: Diagnostics): Policy[] {
  const { namespace = '', name = '', uid = '' } = metadata;
  const subjects = translateSelector(spec?.podSelector ?? {}, 'spec.podSelector', diagnostics);
  const types = typesOf(spec, diagnostics);
  const entries = (direction: Direction): PolicyEntry[] => {
    if (!types.includes(direction) || !subjects.exact) return [];
    return entriesOf(spec?.[LIST[direction]] ?? [], direction, diagnostics);
  };
  const ingress = chunks(entries('Ingress'), MAX_ENTRIES);
  const egress = chunks(entries('Egress'), MAX_ENTRIES);
  const count = Math.max(1, ingress.length, egress.length);
  return subjects.selectors.flatMap((podSelector) =>
    Array.from({ length: count }, (_, index) => ({
      namespace,
      name,
      ...(uid === '' ? {} : { uid }),
      podSelector,
      types,
      ingress: ingress[index] ?? [],
      egress: egress[index] ?? [],
    })),
  );
}

/** Absent types are Ingress, and Egress where there are egress entries, as the API server sets them. */
function typesOf(spec: NetworkPolicyInput['spec'], diagnostics: Diagnostics): Direction[] {
  const given = spec?.policyTypes ?? [];
  if (given.length === 0) return (spec?.egress ?? []).length === 0 ? ['Ingress'] : [...DIRECTIONS];
  given.forEach((type, index) => {
    if (DIRECTIONS.some((known) => known === type)) return;
    const field = `spec.policyTypes[${index}]`;
    diagnostics.add('NotSupported', field, `${type} is no direction`, 'use Ingress and Egress');
  });
  const known = DIRECTIONS.filter((direction) => given.includes(direction));
  return known.length === 0 ? [...DIRECTIONS] : known;
}

function entriesOf(
  entries: readonly (PolicyEntryInput | null | undefined)[],
  direction: Direction,
  diagnostics: Diagnostics,
): PolicyEntry[] {
  const made: PolicyEntry[] = [];
  entries.forEach((entry, index) => {
    const field = `spec.${LIST[direction]}[${index}]`;
    const parts = entryParts(entry, direction, field, diagnostics);
    const size = parts.peers.length * parts.ports.length;
    if (made.length + size > MOST_ENTRIES) {
      const message = `the policy makes more than ${MOST_ENTRIES} entries; this one allows nothing`;
      diagnostics.add('TooMany', field, message, 'spread the policy over several');
      return;
    }
    for (const peers of parts.peers) for (const ports of parts.ports) made.push({ peers, ports });
  });
  return made;
}

/** Lists of peers and lists of ports of which each pair is an entry; none when the entry allows nothing. */
function entryParts(
  entry: PolicyEntryInput | null | undefined,
  direction: Direction,
  field: string,
  diagnostics: Diagnostics,
): { peers: Required<PolicyEntry>['peers'][]; ports: Required<PolicyEntry>['ports'][] } {
  const nothing = { peers: [], ports: [] };
  if (entry === null || typeof entry !== 'object') {
    diagnostics.add('InvalidPeer', field, 'the entry is empty', 'write {} to allow everything');
    return nothing;
  }
  const unknown = unknownMember(entry, [PEERS[direction], 'ports']);
  if (unknown !== undefined) {
    diagnostics.add('NotSupported', `${field}.${unknown}`, 'the field is not known here', 'remove it');
    return nothing;
  }
  const others = entry[PEERS[direction]] ?? [];
  const listed = entry.ports ?? [];
  const peers = peersOf(others, `${field}.${PEERS[direction]}`, diagnostics);
  const ports = portsOf(listed, `${field}.ports`, diagnostics);
  if ((others.length > 0 && peers.length === 0) || (listed.length > 0 && ports.length === 0)) return nothing;
  return {
    peers: peers.length === 0 ? [[]] : chunks(peers, MAX_PEERS),
    ports: ports.length === 0 ? [[]] : chunks(ports, MAX_PORTS),
  };
}
