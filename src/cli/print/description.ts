// SPDX-License-Identifier: Apache-2.0
import { stringify } from 'yaml';
import type { Condition, PortStatus } from '../../api/generated/types.ts';
import type { EventRow, ViewObject } from '../view/object-view.ts';
import { ageText, tableLines } from './table.ts';

/** Everything about one object for people, as `kubectl describe` lays it out. */
export function description(object: ViewObject, events: readonly EventRow[], now: Date): string {
  const { name, namespace, labels, annotations, creationTimestamp, generation, uid, ownerReferences } =
    object.metadata;
  const lines = [
    field('Name', name),
    ...(namespace === undefined ? [] : [field('Namespace', namespace)]),
    ...mapping('Labels', labels),
    ...mapping('Annotations', annotations),
    field('API Version', object.apiVersion),
    field('Kind', object.kind),
    ...(creationTimestamp === undefined
      ? []
      : [field('Created', `${creationTimestamp} (${ageText(creationTimestamp, now)} ago)`)]),
    ...(generation === undefined ? [] : [field('Generation', generation)]),
    ...(uid === undefined ? [] : [field('UID', uid)]),
    ...owners(ownerReferences),
  ];
  const { conditions, ports, ...status } = (object.status ?? {}) as {
    conditions?: Condition[];
    ports?: PortStatus[];
    [name: string]: unknown;
  };
  const { apiVersion: _a, kind: _k, metadata: _m, spec, status: _s, ...rest } = object;
  if (spec !== undefined) lines.push(...section('Spec', spec));
  if (Object.keys(rest).length > 0) lines.push(...section('Content', rest));
  if (Object.keys(status).length > 0) lines.push(...section('Status', status));
  if (ports !== undefined) {
    const rows = ports.map((port) => [port.name, port.state, port.peer ?? '']);
    lines.push('Ports:', ...indent(tableLines(['Name', 'State', 'Peer'], rows)));
  }
  if (conditions !== undefined) lines.push(...conditionLines(conditions, generation, now));
  lines.push(...eventLines(events, now));
  return `${lines.join('\n')}\n`;
}

function field(name: string, value: unknown): string {
  return `${`${name}:`.padEnd(14)}${value}`;
}

function mapping(name: string, values: Readonly<Record<string, string>> | undefined): string[] {
  const entries = Object.entries(values ?? {});
  if (entries.length === 0) return [field(name, '<none>')];
  return entries.map(
    ([key, value], index) => `${index === 0 ? `${name}:`.padEnd(14) : ' '.repeat(14)}${key}=${value}`,
  );
}

function owners(references: unknown): string[] {
  if (!Array.isArray(references)) return [];
  return references.map((owner: { kind: string; name: string }) =>
    field('Made By', `${owner.kind}/${owner.name}`),
  );
}

function section(title: string, value: unknown): string[] {
  const text = stringify(value, { aliasDuplicateObjects: false }).trimEnd();
  return [`${title}:`, ...indent(text.split('\n'))];
}

function conditionLines(
  conditions: readonly Condition[],
  generation: number | undefined,
  now: Date,
): string[] {
  const rows = conditions.map((condition) => {
    const seen = condition.observedGeneration;
    const stale =
      seen !== undefined && generation !== undefined && seen < generation ? ` (generation ${seen})` : '';
    const since =
      Date.parse(condition.lastTransitionTime) === 0 ? '' : ageText(condition.lastTransitionTime, now);
    return [condition.type, `${condition.status}${stale}`, condition.reason, since, condition.message];
  });
  return ['Conditions:', ...indent(tableLines(['Type', 'Status', 'Reason', 'Since', 'Message'], rows))];
}

function eventLines(events: readonly EventRow[], now: Date): string[] {
  if (events.length === 0) return [field('Events', '<none>')];
  const rows = events.map(({ type, reason, at, from, message }) => [
    type,
    reason,
    at === '' ? '' : ageText(at, now),
    from,
    message,
  ]);
  return ['Events:', ...indent(tableLines(['Type', 'Reason', 'Age', 'From', 'Message'], rows))];
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => (line === '' ? '' : `  ${line}`));
}
