// SPDX-License-Identifier: Apache-2.0
/**
 * Which objects are in force. Members of a chain come into force together, when the node's CubeNode names a revision and
 * every member of it is there with its hash; cubes and links without a chain come into force by themselves. A revision
 * with a member that is not accepted does not come into force at all: the one before stays. Pure.
 */
import { LABELS } from '../api/group.ts';
import { specHash } from '../api/hash.ts';
import { type GraphInput, resolveGraph } from './graph.ts';
import type { Finding, Graph } from './graph-model.ts';
import { type CubeNodeObject, type CubeObject, keyOf, type LinkObject } from './objects.ts';

export interface EffectiveSet {
  readonly cubes: ReadonlyMap<string, CubeObject>;
  readonly links: ReadonlyMap<string, LinkObject>;
  /** Revision in force by chain (`namespace/name`). */
  readonly chains: ReadonlyMap<string, string>;
}

export const NOTHING: EffectiveSet = { cubes: new Map(), links: new Map(), chains: new Map() };

export interface Objects {
  readonly cubes: ReadonlyMap<string, CubeObject>;
  readonly links: ReadonlyMap<string, LinkObject>;
  readonly cubeNode: CubeNodeObject | undefined;
}

export interface Candidate {
  readonly set: EffectiveSet;
  /** Chain → why its newest revision does not come into force yet. */
  readonly waiting: ReadonlyMap<string, string>;
}

type Member = CubeObject | LinkObject;

const hashes = new WeakMap<Member, string>();

function hashOf(object: Member): string {
  let hash = hashes.get(object);
  if (hash === undefined) {
    hash = specHash(object);
    hashes.set(object, hash);
  }
  return hash;
}

export function chainOf(object: Member): string | undefined {
  const name = object.metadata.labels?.[LABELS.chain];
  return name === undefined ? undefined : `${object.metadata.namespace ?? ''}/${name}`;
}

/** What would be in force if all of it were accepted. */
export function advance(objects: Objects, before: EffectiveSet): Candidate {
  const cubes = new Map<string, CubeObject>();
  const links = new Map<string, LinkObject>();
  const chains = new Map<string, string>();
  const waiting = new Map<string, string>();
  for (const [key, cube] of objects.cubes) if (chainOf(cube) === undefined) cubes.set(key, cube);
  for (const [key, link] of objects.links) if (chainOf(link) === undefined) links.set(key, link);
  const keep = (chain: string): void => {
    const revision = before.chains.get(chain);
    if (revision !== undefined) chains.set(chain, revision);
    for (const [key, cube] of before.cubes) if (chainOf(cube) === chain) cubes.set(key, cube);
    for (const [key, link] of before.links) if (chainOf(link) === chain) links.set(key, link);
  };
  if (objects.cubeNode === undefined) {
    // One object alone must not take down every chain of a node.
    for (const chain of before.chains.keys()) {
      keep(chain);
      waiting.set(chain, 'the CubeNode of this node is gone; the last revision stays');
    }
    return { set: { cubes, links, chains }, waiting };
  }
  for (const record of objects.cubeNode.spec.chains ?? []) {
    const chain = `${record.namespace}/${record.name}`;
    const missing: string[] = [];
    const found: ['Cube' | 'CubeLink', string, Member][] = [];
    for (const member of record.members) {
      const key = `${record.namespace}/${member.name}`;
      const object = (member.kind === 'Cube' ? objects.cubes : objects.links).get(key);
      if (object === undefined) missing.push(`${member.kind} ${key} is not there`);
      else if (hashOf(object) !== member.hash) missing.push(`${member.kind} ${key} is of another revision`);
      else found.push([member.kind, key, object]);
    }
    if (missing.length > 0) {
      waiting.set(
        chain,
        `revision ${record.revision} waits: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''}`,
      );
      keep(chain);
      continue;
    }
    chains.set(chain, record.revision);
    for (const [kind, key, object] of found) {
      if (kind === 'Cube') cubes.set(key, object as CubeObject);
      else links.set(key, object as LinkObject);
    }
  }
  return { set: { cubes, links, chains }, waiting };
}

export interface Accepted {
  readonly set: EffectiveSet;
  readonly graph: Graph;
  /** Of the newest generation of every object, also of those whose earlier generation stays in force. */
  readonly findings: ReadonlyMap<string, readonly Finding[]>;
  /** Chains that stay at their last revision because a member of the newest is not accepted. */
  readonly held: ReadonlyMap<string, string>;
}

/**
 * Resolves a candidate; what is not accepted falls back to what was in force before it: the whole chain for a member, the
 * object itself otherwise. A link that names what is not there, or that a cube in force could not have, stays out, so that
 * it changes nothing in the kernel. Ends because every round takes at least one newest object out.
 */
export function accept(
  candidate: EffectiveSet,
  before: EffectiveSet,
  input: Omit<GraphInput, 'cubes' | 'links'>,
): Accepted {
  const cubes = new Map(candidate.cubes);
  const links = new Map(candidate.links);
  const chains = new Map(candidate.chains);
  const findings = new Map<string, readonly Finding[]>();
  const held = new Map<string, string>();
  for (;;) {
    const graph = resolveGraph({ ...input, cubes: cubes.values(), links: links.values() });
    for (const [ref, list] of graph.findings) if (!findings.has(ref)) findings.set(ref, list);
    if (takeOutRefused(graph.findings, cubes, before)) continue;
    let changed = false;
    const withhold = (key: string, link: LinkObject): void => {
      const chain = chainOf(link);
      const old = before.links.get(key);
      changed = true;
      if (chain !== undefined) {
        revertChain(chain, before, cubes, links, chains);
        held.set(chain, `CubeLink ${key} is not accepted`);
      } else if (old !== undefined && old.metadata.uid === link.metadata.uid) links.set(key, old);
      else links.delete(key);
    };
    for (const [ref, list] of graph.findings) {
      const culprits = newLinksOf(ref, list, links, before);
      const [why] = list;
      for (const [key, link] of culprits) {
        const [first] = findings.get(`CubeLink ${key}`) ?? [];
        if (first?.condition !== 'Accepted' && why !== undefined) {
          const message = `spec.endpoints: ${ref} could not be as it is with this link: ${why.message}; delete the CubeLink or link another cube`;
          findings.set(`CubeLink ${key}`, [{ condition: 'Accepted', reason: why.reason, message }]);
        }
        withhold(key, link);
      }
      if (culprits.length > 0) {
        findings.delete(ref);
        break;
      }
      const unresolved = links.get(ref.slice(ref.indexOf(' ') + 1));
      if (
        ref.startsWith('CubeLink ') &&
        unresolved !== undefined &&
        staysOut(unresolved, list, cubes, before)
      ) {
        withhold(keyOf(unresolved.metadata), unresolved);
        break;
      }
    }
    if (changed) continue;
    for (const [ref, list] of graph.findings) {
      if (list.every((finding) => finding.condition === 'ResolvedRefs')) continue;
      const isCube = ref.startsWith('Cube ');
      const key = ref.slice(ref.indexOf(' ') + 1);
      const object = isCube ? cubes.get(key) : links.get(key);
      if (object === undefined) continue;
      const chain = chainOf(object);
      if (chain !== undefined && isCutOrLeftOut(chain, list, links, before)) continue;
      if (chain !== undefined && chains.get(chain) !== before.chains.get(chain)) {
        revertChain(chain, before, cubes, links, chains);
        held.set(chain, `${ref} is not accepted`);
        changed = true;
        break;
      }
      const old = isCube ? before.cubes.get(key) : before.links.get(key);
      if (
        chain === undefined &&
        old !== undefined &&
        old !== object &&
        old.metadata.uid === object.metadata.uid
      ) {
        if (isCube) cubes.set(key, old as CubeObject);
        else links.set(key, old as LinkObject);
        changed = true;
      }
    }
    if (!changed) return { set: withoutRefused(cubes, links, chains, graph), graph, findings, held };
  }
}

/**
 * Whether a Transparent chain comes into force although the kernel refused one of its cubes, because there is no earlier
 * revision of it: its failurePolicy says what that means for the link that it goes into.
 */
function isCutOrLeftOut(
  chain: string,
  findings: readonly Finding[],
  links: ReadonlyMap<string, LinkObject>,
  before: EffectiveSet,
): boolean {
  if (before.chains.has(chain) || findings.some(({ condition }) => condition === 'Accepted')) return false;
  return [...links.values()].some((link) => link.spec.splice !== undefined && chainOf(link) === chain);
}

/** Whether this very generation was in force before. */
function isInForce(object: Member, before: ReadonlyMap<string, Member>): boolean {
  const old = before.get(keyOf(object.metadata));
  return old?.metadata.uid === object.metadata.uid && old.metadata.generation === object.metadata.generation;
}

/**
 * Whether a new link whose ends are not all there is kept out of the kernel: one that names a missing cube can do nothing,
 * and one to a cube in force would only replace its program. A new cube keeps it: its routes may name the link's port.
 */
function staysOut(
  link: LinkObject,
  findings: readonly Finding[],
  cubes: ReadonlyMap<string, CubeObject>,
  before: EffectiveSet,
): boolean {
  if (chainOf(link) !== undefined || isInForce(link, before.links)) return false;
  if (findings.some((finding) => finding.condition !== 'ResolvedRefs')) return false;
  if (findings.some((finding) => finding.reason.startsWith('Cube'))) return true;
  return link.spec.endpoints.every((end) => {
    if (end.type !== 'Cube') return true;
    const cube = cubes.get(`${link.metadata.namespace ?? ''}/${end.cube.name}`);
    return cube !== undefined && isInForce(cube, before.cubes);
  });
}

/**
 * Takes new cubes out that are not accepted: one that is refused for its links must not come into force without them, when
 * they are kept out because of it.
 */
function takeOutRefused(
  findings: ReadonlyMap<string, readonly Finding[]>,
  cubes: Map<string, CubeObject>,
  before: EffectiveSet,
): boolean {
  const refused = [...cubes].filter(
    ([key, cube]) =>
      chainOf(cube) === undefined &&
      before.cubes.get(key)?.metadata.uid !== cube.metadata.uid &&
      findings.get(`Cube ${key}`)?.some(({ condition }) => condition === 'Accepted'),
  );
  for (const [key] of refused) cubes.delete(key);
  return refused.length > 0;
}

/** The links that keep a cube from being accepted as it was: those to it that were not in force before. */
function newLinksOf(
  ref: string,
  findings: readonly Finding[],
  links: ReadonlyMap<string, LinkObject>,
  before: EffectiveSet,
): [string, LinkObject][] {
  const cube = before.cubes.get(ref.slice('Cube '.length));
  if (!ref.startsWith('Cube ') || cube === undefined) return [];
  if (findings[0]?.condition !== 'Accepted') return [];
  const { namespace, name } = cube.metadata;
  return [...links].filter(
    ([, link]) =>
      link.metadata.namespace === namespace &&
      link.spec.endpoints.some((end) => end.type === 'Cube' && end.cube.name === name) &&
      !isInForce(link, before.links),
  );
}

/** What was refused and has nothing to fall back to is not in force. */
function withoutRefused(
  cubes: Map<string, CubeObject>,
  links: Map<string, LinkObject>,
  chains: Map<string, string>,
  graph: Graph,
): EffectiveSet {
  for (const key of [...cubes.keys()]) if (!graph.cubes.has(key)) cubes.delete(key);
  for (const key of [...links.keys()]) if (!graph.links.has(key)) links.delete(key);
  return { cubes, links, chains };
}

function revertChain(
  chain: string,
  before: EffectiveSet,
  cubes: Map<string, CubeObject>,
  links: Map<string, LinkObject>,
  chains: Map<string, string>,
): void {
  for (const [key, cube] of cubes) if (chainOf(cube) === chain) cubes.delete(key);
  for (const [key, link] of links) if (chainOf(link) === chain) links.delete(key);
  for (const [key, cube] of before.cubes) if (chainOf(cube) === chain) cubes.set(key, cube);
  for (const [key, link] of before.links) if (chainOf(link) === chain) links.set(key, link);
  const revision = before.chains.get(chain);
  if (revision === undefined) chains.delete(chain);
  else chains.set(chain, revision);
}

/** As it is kept on disk. */
export function toSaved(set: EffectiveSet): unknown {
  const bare = ({ metadata, spec }: Member) => ({ metadata, spec });
  return {
    version: 1,
    chains: Object.fromEntries(set.chains),
    cubes: [...set.cubes.values()].map(bare),
    links: [...set.links.values()].map(bare),
  };
}

/** Throws when it is not what {@link toSaved} made. */
export function fromSaved(saved: unknown): EffectiveSet {
  const { version, chains, cubes, links } = saved as ReturnType<typeof JSON.parse>;
  if (version !== 1 || !Array.isArray(cubes) || !Array.isArray(links)) {
    throw new Error('not a committed set of version 1');
  }
  const byKey = <T extends Member>(list: T[]) =>
    new Map(list.map((object) => [keyOf(object.metadata), object]));
  return {
    chains: new Map(Object.entries(chains as Record<string, string>)),
    cubes: byKey(cubes as CubeObject[]),
    links: byKey(links as LinkObject[]),
  };
}
