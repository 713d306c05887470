// SPDX-License-Identifier: Apache-2.0
import type { SourceObject } from '../../../src/dataplane/sources/source.ts';

export const NAMESPACE = 'cubeplane-system';
export const NODE = 'node-a';

export function meta(name: string, generation = 1, extra: object = {}): SourceObject['metadata'] {
  return {
    namespace: NAMESPACE,
    name,
    uid: `uid-${name}`,
    generation,
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...extra,
  };
}

export function cube(
  name: string,
  turn: object,
  options: { generation?: number; labels?: Record<string, string>; spec?: object } = {},
): SourceObject {
  return {
    kind: 'Cube',
    metadata: meta(name, options.generation, options.labels && { labels: options.labels }),
    spec: { nodeName: NODE, type: 'Turn', hook: 'TC', turn, tables: [{ type: 'Prefix' }], ...options.spec },
  };
}

export function link(
  name: string,
  ends: object[],
  options: { generation?: number; labels?: Record<string, string> } = {},
): SourceObject {
  return {
    kind: 'CubeLink',
    metadata: meta(name, options.generation, options.labels && { labels: options.labels }),
    spec: { nodeName: NODE, endpoints: ends },
  };
}

export const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
export const pods = { type: 'Pods' };

/** Rows of the test cube's map: key → value. */
export function table(name: string, rows: Record<number, number>, generation = 1): SourceObject {
  const routes = Object.entries(rows).map(([key, value]) => ({
    destination: `10.0.0.${key}/32`,
    type: 'Blackhole',
    mtu: value,
  }));
  return { kind: 'CubeTable', metadata: meta(name, generation), spec: { type: 'Prefix', prefixes: routes } };
}

export function cubeNode(chains: object[] = [], generation = 1): SourceObject {
  return { kind: 'CubeNode', metadata: { name: NODE, uid: 'uid-node', generation }, spec: { chains } };
}

/** Two cubes in a row between the pods and the pods: every packet crosses both, twice. */
export function hubChain(label = 0): SourceObject[] {
  return [
    cube('front', { outPorts: [1, 0], label }),
    cube('hub', { outPorts: [0], label }),
    link('pods', [pods, at('front', 'a')]),
    link('inner', [at('front', 'b'), at('hub', 'in')]),
  ];
}
