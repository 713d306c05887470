// SPDX-License-Identifier: Apache-2.0
/** Names of the objects that a chain makes on a node: `chain.cube.node`. */
import { createHash } from 'node:crypto';

/** Longest name of a Kubernetes object and longest value of a label. */
const MAX_NAME = 253;
const MAX_LABEL = 63;
const HASH_LENGTH = 10;

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export function isDnsLabel(text: string): boolean {
  return text.length <= MAX_LABEL && LABEL.test(text);
}

export function isDnsSubdomain(text: string): boolean {
  return text.length <= MAX_NAME && SUBDOMAIN.test(text);
}

/** Cuts a text that is too long and ends it with a hash of the whole, so that different texts stay different. */
function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
  const head = text.slice(0, max - HASH_LENGTH - 1).replace(/[^a-z0-9A-Z]+$/, '');
  return `${head}-${hash}`;
}

/**
 * Name of the Cube or CubeLink that a chain makes on a node. Chain and member are DNS labels, so the two first dots
 * tell the parts apart.
 */
export function memberName(chain: string, member: string, node: string): string {
  return shorten(`${chain}.${member}.${node}`, MAX_NAME);
}

/** A text as the value of a label; names of nodes may be longer than labels allow. */
export function labelValue(text: string): string {
  return shorten(text, MAX_LABEL);
}

/** Name of the CubeTable with slice `index` of the rows of an owner, such as `service.default.web.0`. */
export function tableName(source: string, namespace: string, name: string, index: number): string {
  const suffix = `.${index}`;
  const parts = [source, namespace, name].filter((part) => part !== '');
  return shorten(parts.join('.'), MAX_NAME - suffix.length) + suffix;
}

/** `Kind namespace/name`, as messages call an object. */
export function describeObject(object: {
  kind: string;
  metadata: { name: string; namespace?: string | undefined };
}): string {
  const { name, namespace } = object.metadata;
  return `${object.kind} ${namespace ? `${namespace}/` : ''}${name}`;
}
