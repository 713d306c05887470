// SPDX-License-Identifier: Apache-2.0
import { GROUP, VERSION } from '../api/group.ts';

/** What the command line must know of a kind to name it; what it prints of one is in print/columns.ts. */
export interface KindInfo {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly group: string;
  readonly version: string;
  readonly namespaced: boolean;
  /** Fields beside metadata.name and metadata.namespace that `--field-selector` takes. */
  readonly selectableFields: readonly string[];
}

const own = (
  kind: string,
  plural: string,
  shortName: string,
  selectableFields: string[] = [],
  namespaced = true,
): KindInfo => ({
  kind,
  plural,
  singular: kind.toLowerCase(),
  shortNames: [shortName],
  group: GROUP,
  version: VERSION,
  namespaced,
  selectableFields,
});

const core = (
  kind: string,
  plural: string,
  shortName: string,
  namespaced: boolean,
  group = '',
): KindInfo => ({
  kind,
  plural,
  singular: kind.toLowerCase(),
  shortNames: shortName === '' ? [] : [shortName],
  group,
  version: 'v1',
  namespaced,
  selectableFields: [],
});

/** In the order in which `get cubeplane` shows them; Kubernetes' own last. kinds.test.ts compares with the schemas. */
export const KIND_INFOS: readonly KindInfo[] = [
  own('ServiceChain', 'servicechains', 'chain', ['.spec.mode']),
  own('Cube', 'cubes', 'cb', ['.spec.nodeName', '.spec.type']),
  own('CubeLink', 'cubelinks', 'cl', ['.spec.nodeName']),
  own('CubeTable', 'cubetables', 'ct', ['.spec.type']),
  own('CubeNode', 'cubenodes', 'cn', [], false),
  core('Node', 'nodes', 'no', false),
  core('Service', 'services', 'svc', true),
  core('EndpointSlice', 'endpointslices', '', true, 'discovery.k8s.io'),
];

export const CATEGORY = 'cubeplane';

/** The kinds that a word of the command line means: a kind's names, with or without group, or the category. */
export function kindsOf(word: string): KindInfo[] {
  const text = word.toLowerCase();
  if (text === CATEGORY) return KIND_INFOS.filter((info) => info.group === GROUP);
  const [name = '', ...group] = text.split('.');
  return KIND_INFOS.filter(
    (info) =>
      [info.plural, info.singular, ...info.shortNames].includes(name) &&
      (group.length === 0 ||
        group.join('.') === info.group ||
        group.join('.') === `${info.version}.${info.group}`),
  );
}

export function infoOfKind(kind: string): KindInfo | undefined {
  return KIND_INFOS.find((info) => info.kind === kind);
}

/** `cube.cubeplane.io/NAME`, `service/NAME`: how `-o name` and messages of apply call an object. */
export function qualifiedName(info: KindInfo, name: string): string {
  return `${info.singular}${info.group === '' ? '' : `.${info.group}`}/${name}`;
}
