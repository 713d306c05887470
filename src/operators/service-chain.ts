// SPDX-License-Identifier: Apache-2.0
import type {
  ChainCommit,
  Cube,
  CubeLink,
  CubeSpec,
  CubeTemplate,
  Endpoint,
  LinkTemplate,
  ServiceChain,
  Splice,
} from '../api/generated/types.ts';
import { API_VERSION, LABELS } from '../api/group.ts';
import { contentHash, specHash } from '../api/hash.ts';
import { describeObject, labelValue, memberName } from '../api/names.ts';
import { notSupported } from '../api/not-supported.ts';
import { chainLinks } from '../api/path.ts';
import type { AcceptedReason } from '../api/reasons.ts';
import { type NodeFacts, resolveVariables } from '../api/variables.ts';
import { KUBERNETES_LABELS, MANAGER } from './labels.ts';

/** What a chain makes on one node, in the order in which it is written. */
export interface Stamp {
  cubes: Cube[];
  links: CubeLink[];
  /** Entry of CubeNode.spec.chains; written when all members are there. */
  commit: ChainCommit;
}

export type StampResult =
  | ({ ok: true } & Stamp)
  | { ok: false; reason: AcceptedReason; field: string; message: string };

/** What the schema allows and this release does not do; undefined for a chain that can be stamped. */
export function refusalOf(
  chain: ServiceChain,
): { reason: AcceptedReason; field: string; message: string } | undefined {
  const [first, ...more] = notSupported(chain);
  if (first === undefined) return undefined;
  const others = more.length === 0 ? '' : `; and ${more.length} more`;
  return {
    reason: 'NotSupported',
    field: first.field,
    message: `${describeObject(chain)}: ${first.field}: ${first.message}; ${first.remedy}${others}`,
  };
}

/**
 * Revision of a chain: a hash of what is stamped, the same for all nodes. Which nodes, pace and pause are no part of it,
 * so a change of them leaves the nodes alone.
 */
export function revisionOf(chain: ServiceChain): string {
  const { target, paused: __, updateStrategy: ___, ...template } = chain.spec;
  return contentHash(target.type === 'Link' ? { ...template, link: target.link } : template);
}

/**
 * ServiceChain + one node → its Cubes and CubeLinks there, and the commit record that names them. Pure.
 *
 * Names are `chain.cube.node`; members have the chain as owner where the chain has a UID. The hash of a member is that
 * of its spec, which the agent compares with what it received.
 */
export function stampChain(chain: ServiceChain, facts: NodeFacts): StampResult {
  const refusal = refusalOf(chain);
  if (refusal !== undefined) return { ok: false, ...refusal };
  const cubes: Cube[] = [];
  for (const template of chain.spec.cubes) {
    const resolved = resolveVariables(template, facts);
    if (!resolved.ok) return failed(chain, facts, `spec.cubes[${template.name}]`, resolved);
    cubes.push(cubeOf(chain, resolved.value, facts));
  }
  const links: CubeLink[] = [];
  for (const template of chainLinks(chain.spec)) {
    const resolved = resolveVariables(template, facts);
    if (!resolved.ok) return failed(chain, facts, `spec.links[${template.name}]`, resolved);
    const isHead = chain.spec.mode === 'Transparent' && links.length === 0;
    links.push(linkOf(chain, resolved.value, facts, isHead ? spliceOf(chain, facts) : undefined));
  }
  const commit: ChainCommit = {
    namespace: chain.metadata.namespace ?? '',
    name: chain.metadata.name,
    revision: revisionOf(chain),
    members: [...cubes, ...links].map((member) => ({
      kind: member.kind,
      name: member.metadata.name,
      hash: specHash(member),
    })),
  };
  return { ok: true, cubes, links, commit };
}

function cubeOf(chain: ServiceChain, template: CubeTemplate, facts: NodeFacts): Cube {
  const { name, ...body } = template;
  return {
    apiVersion: API_VERSION,
    kind: 'Cube',
    metadata: metadataOf(chain, name, facts),
    spec: { nodeName: facts.name, ...body } as CubeSpec,
  };
}

/** Where a Transparent chain goes on a node. */
function spliceOf(chain: ServiceChain, facts: NodeFacts): Splice {
  const { target, priority } = chain.spec;
  const since = chain.metadata.creationTimestamp;
  const common = { priority, ...(since === undefined ? {} : { since }) };
  if (target.type !== 'Link') return common;
  const { chain: of, namespace, name } = target.link;
  const link = memberName(of, name, facts.name);
  return { link, ...(namespace === undefined ? {} : { namespace }), ...common };
}

function linkOf(
  chain: ServiceChain,
  template: LinkTemplate,
  facts: NodeFacts,
  splice: Splice | undefined,
): CubeLink {
  const { failurePolicy, spliceFrom } = chain.spec;
  const endpoints = template.endpoints.map((endpoint): Endpoint => {
    if (endpoint.type === 'Cube') {
      const name = memberName(chain.metadata.name, endpoint.cube.name, facts.name);
      return { ...endpoint, cube: { ...endpoint.cube, name } };
    }
    // Of a Transparent chain the first end says it, for the whole of it.
    if (endpoint.type === 'Next' && splice === undefined) return { type: 'Next' };
    const policy = endpoint.failurePolicy ?? failurePolicy;
    return policy === undefined ? endpoint : { ...endpoint, failurePolicy: policy };
  });
  return {
    apiVersion: API_VERSION,
    kind: 'CubeLink',
    metadata: metadataOf(chain, template.name, facts),
    spec: {
      nodeName: facts.name,
      endpoints,
      ...(splice === undefined ? {} : { splice }),
      ...(spliceFrom === undefined ? {} : { spliceFrom }),
    },
  };
}

function metadataOf(chain: ServiceChain, template: string, facts: NodeFacts): Cube['metadata'] {
  const { name, namespace, uid } = chain.metadata;
  return {
    name: memberName(name, template, facts.name),
    ...(namespace === undefined ? {} : { namespace }),
    labels: {
      [KUBERNETES_LABELS.managedBy]: MANAGER,
      [LABELS.chain]: name,
      [LABELS.template]: template,
      [LABELS.node]: labelValue(facts.name),
    },
    ...(uid === undefined
      ? {}
      : {
          ownerReferences: [{ apiVersion: API_VERSION, kind: 'ServiceChain', name, uid, controller: true }],
        }),
  };
}

function failed(
  chain: ServiceChain,
  facts: NodeFacts,
  field: string,
  problem: { reason: AcceptedReason; message: string; field: string },
): StampResult {
  const at = problem.field === '' ? field : `${field}.${problem.field}`;
  return {
    ok: false,
    reason: problem.reason,
    field: at,
    message: `${describeObject(chain)}: ${at}: on node ${facts.name}: ${problem.message}`,
  };
}
