// SPDX-License-Identifier: Apache-2.0
/** The objects of a node as the agent keeps them. They were checked against their schema before they came here. */
import type {
  CubeLinkSpec,
  CubeNodeSpec,
  CubeSpecCommon,
  Endpoint,
  LabelSelector,
} from '../api/generated/types.ts';
import type { SourceMeta, StatusKind } from './sources/source.ts';

/** A Cube's spec whatever its type: the member that the type names is read by its cube type alone. */
export interface AnyCubeSpec extends CubeSpecCommon {
  readonly type: string;
  readonly [member: string]: unknown;
}

export interface CubeObject {
  readonly metadata: SourceMeta;
  readonly spec: AnyCubeSpec;
}

export interface LinkObject {
  readonly metadata: SourceMeta;
  readonly spec: CubeLinkSpec;
}

export interface CubeNodeObject {
  readonly metadata: SourceMeta;
  readonly spec: CubeNodeSpec;
}

export interface NodeObject {
  readonly metadata: SourceMeta;
  readonly spec: {
    readonly podCIDRs?: readonly string[];
    readonly podCIDR?: string;
    readonly taints?: readonly { readonly key: string }[];
  };
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}

/** Whether a cube asks by whom a packet is, which is what policies are about. */
export function readsPolicies({ spec }: Pick<CubeObject, 'spec'>): boolean {
  return (spec.tables ?? []).some(({ type }) => type === 'Identity');
}

export type { CubeNodeSpec, Endpoint };

/** `namespace/name`, or `name` for what has no namespace. */
export function keyOf(meta: { readonly namespace?: string | undefined; readonly name: string }): string {
  return meta.namespace === undefined ? meta.name : `${meta.namespace}/${meta.name}`;
}

/** What messages and finding lists call an object: `Cube cubeplane-system/kubernetes.ilb.node-a`. */
export function refOf(
  kind: StatusKind | 'CubeTable',
  meta: { readonly namespace?: string | undefined; readonly name: string },
): string {
  return `${kind} ${keyOf(meta)}`;
}

/** Older first, then by name: the first of two that want the same thing has it. */
export function byAge(a: { readonly metadata: SourceMeta }, b: { readonly metadata: SourceMeta }): number {
  const [at, bt] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  if (at !== bt) return at < bt ? -1 : 1;
  const [ak, bk] = [keyOf(a.metadata), keyOf(b.metadata)];
  return ak < bk ? -1 : ak > bk ? 1 : 0;
}

/** Kubernetes' rules of label selection; no selector, and an empty one, selects everything. */
export function selects(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const has = labels ?? {};
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {}))
    if (has[key] !== value) return false;
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    const value = has[key];
    const inside = value !== undefined && values.includes(value);
    if (operator === 'In' && !inside) return false;
    if (operator === 'NotIn' && inside) return false;
    if (operator === 'Exists' && value === undefined) return false;
    if (operator === 'DoesNotExist' && value !== undefined) return false;
  }
  return true;
}
