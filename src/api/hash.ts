// SPDX-License-Identifier: Apache-2.0
/** Hash of what an object says, the same on every machine: the commit record names the members of a revision by it. */
import { createHash } from 'node:crypto';

/** JSON with sorted keys and without undefined members. Numbers as JavaScript prints them; -0 as 0. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonicalJson(item === undefined ? null : item)).join(',')}]`;
  }
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** 16 hexadecimal digits (64 bits) of SHA-256 over the canonical JSON. */
export function contentHash(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 16);
}

/** The hash of an object in CubeNode.spec.chains[].members[]: of its spec alone. */
export function specHash(object: { spec: unknown }): string {
  return contentHash(object.spec);
}
