// SPDX-License-Identifier: Apache-2.0
/** The API group, its version, and the names of its kinds, labels and field managers. */

export const GROUP = 'cubeplane.io';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}` as const;

/** The plural of each kind, as it stands in a request path. */
export const PLURALS = {
  Cube: 'cubes',
  CubeLink: 'cubelinks',
  ServiceChain: 'servicechains',
  CubeTable: 'cubetables',
  CubeNode: 'cubenodes',
} as const;

export type Kind = keyof typeof PLURALS;
export const KINDS = Object.keys(PLURALS) as Kind[];

/** Kinds without a namespace. */
export const CLUSTER_SCOPED: readonly Kind[] = ['CubeNode'];

/** Who owns which fields in server-side apply. */
export const FIELD_MANAGERS = {
  operator: 'cubeplane-operator',
  agent: 'cubeplane-agent',
  /** The operator, of chains that its installation brings. */
  provider: 'cubeplane-provider',
} as const;

/** Labels that the operator writes on what it makes. Values longer than a label allows are hashed (names.ts). */
export const LABELS = {
  /** Name of the ServiceChain that a Cube or CubeLink was stamped from. */
  chain: `${GROUP}/chain`,
  /** Name of the template inside the chain: of a cube on a Cube, of a link on a CubeLink. */
  template: `${GROUP}/template`,
  /** Name of the node. */
  node: `${GROUP}/node`,
  /** Revision of the chain, as in CubeNode.spec.chains[].revision. */
  revision: `${GROUP}/revision`,
  /** On a CubeTable: UID of the Service, Node or policy that its rows come from. */
  ownerUid: `${GROUP}/owner-uid`,
} as const;

export function isKind(kind: string): kind is Kind {
  return Object.hasOwn(PLURALS, kind);
}
