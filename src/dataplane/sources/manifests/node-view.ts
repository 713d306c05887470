// SPDX-License-Identifier: Apache-2.0
import type { ChainCommit, CubeNodeSpec } from '../../../api/generated/types.ts';
import { API_VERSION } from '../../../api/group.ts';
import { type ChainOutcome, commitsOf, type Stamps, stampChains } from './chains.ts';
import { type KubeManifest, keyOfObject, objectKey } from './manifest-object.ts';

/** What a directory means for one node. */
export interface NodeView {
  /** Cubes, CubeLinks, the CubeNode and the Node: what the node's agent realizes, tables apart. */
  readonly objects: readonly KubeManifest[];
  readonly chains: readonly ChainOutcome[];
}

/** Picks and makes the objects of one node. `last`: stamps before, see {@link stampChains}. Pure. */
export function nodeView(objects: readonly KubeManifest[], node: string, last: Stamps): NodeView {
  const own = objects.find((object) => object.kind === 'Node' && object.metadata.name === node);
  const chains = stampChains(objects, own, last);
  const members = chains.flatMap(({ stamp }) => [...(stamp?.cubes ?? []), ...(stamp?.links ?? [])]);
  // A chain that is refused because a manifest takes the name of a member keeps the member of its last stamp.
  const stamped = new Set((members as unknown as KubeManifest[]).map(keyOfObject));
  const explicit = objects.filter(
    (object) =>
      (object.kind === 'Cube' || object.kind === 'CubeLink') &&
      (object.spec as { nodeName: string }).nodeName === node &&
      !stamped.has(keyOfObject(object)),
  );
  return {
    objects: [
      ...(own === undefined ? [] : [own]),
      ...explicit,
      ...(members as unknown as KubeManifest[]),
      cubeNode(objects, node, commitsOf(chains)),
    ],
    chains,
  };
}

/** The commit record: a manifest's own entries stay, except for chains that the directory stamps. */
function cubeNode(
  objects: readonly KubeManifest[],
  node: string,
  commits: readonly ChainCommit[],
): KubeManifest {
  const given = objects.find((object) => object.kind === 'CubeNode' && object.metadata.name === node);
  const stamped = new Set(commits.map((commit) => objectKey('', commit.namespace, commit.name)));
  const others = ((given?.spec as CubeNodeSpec | undefined)?.chains ?? []).filter(
    (commit) => !stamped.has(objectKey('', commit.namespace, commit.name)),
  );
  const metadata = given?.metadata ?? { name: node };
  return { apiVersion: API_VERSION, kind: 'CubeNode', metadata, spec: { chains: [...others, ...commits] } };
}
