// SPDX-License-Identifier: Apache-2.0
import type { ChainCommit, ServiceChain } from '../api/generated/types.ts';
import { API_VERSION, LABELS } from '../api/group.ts';
import { labelValue } from '../api/names.ts';
import { nodeFacts } from '../api/variables.ts';
import { isKubeError } from '../k8s/errors.ts';
import { CUBE_LINKS, CUBE_NODES, CUBES, type KubeObject, keyOf, type ResourceType } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import { selectsNode } from './chain-target.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import type { NodeInput } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER } from './labels.ts';
import { refusalOf, type Stamp, stampChain } from './service-chain.ts';
import type { CubeNodeView, MemberView } from './views.ts';

/** Why a chain could not be brought to a node. */
export interface StampProblem {
  reason: string;
  message: string;
}

const CONCURRENCY = 8;

/**
 * ServiceChains → Cubes, CubeLinks and the commit record of each node. Work is keyed by node, so that one CubeNode has
 * one writer. Order: members, then the commit record, then the removal of members that it no longer names; killed in
 * between, the node's agent still runs on the last complete set.
 */
export class ChainController extends Controller {
  /** Chain → node → problem; the status of the chain tells them. */
  readonly #problems = new Map<string, Map<string, StampProblem>>();
  readonly #onProblem: (chain: string) => void;

  constructor(context: ControllerContext, onProblem: (chain: string) => void) {
    super(context, { name: 'chains', concurrency: CONCURRENCY, spacingMs: 10 });
    this.#onProblem = onProblem;
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const member = (change: { old?: MemberView; value?: MemberView }): void => {
      if (change.old?.chain !== undefined) queue.add(change.old.node);
      if (change.value?.chain !== undefined) queue.add(change.value.node);
    };
    this.subscribe(
      world.chains.onChange((change) => {
        // The status is the operator's own word; only a new template matters.
        if (change.type === 'updated' && sameTemplate(change.old, change.value)) return;
        this.#addAllNodes();
      }),
      world.nodes.onChange(({ key }) => queue.add(key)),
      world.cubeNodes.onChange((change) => {
        if (change.type !== 'updated' || change.old.digest !== change.value.digest) queue.add(change.key);
      }),
      world.cubes.onChange((change) => {
        if (change.type !== 'updated' || change.old.digest !== change.value.digest) member(change);
      }),
      world.links.onChange((change) => {
        if (change.type !== 'updated' || change.old.digest !== change.value.digest) member(change);
      }),
    );
    this.#addAllNodes();
    queue.start();
  }

  /** Problems of a chain by node. */
  problemsOf(chain: string): ReadonlyMap<string, StampProblem> {
    return this.#problems.get(chain) ?? new Map();
  }

  /** Nodes that are there, and those that are gone but have left something. */
  #addAllNodes(): void {
    const { world } = this.context;
    for (const name of world.nodes.keys()) this.queue.add(name);
    for (const name of world.cubeNodes.keys()) this.queue.add(name);
    for (const name of world.cubes.indexValues('node')) this.queue.add(name);
    for (const name of world.links.indexValues('node')) this.queue.add(name);
  }

  protected async reconcile(name: string): Promise<HandlerResult> {
    const { world } = this.context;
    const node = world.nodes.get(name);
    const observed = world.cubeNodes.get(name);
    const members = world.membersOn(name).filter((member) => member.chain !== undefined);
    if (node === undefined) {
      await this.#clear(name, observed, members);
      return undefined;
    }
    const wanted = await this.#write(name, node, observed, members);
    await this.#commit(name, node, observed, wanted.commits);
    await this.#remove(members.filter((member) => !wanted.keep(member)));
    if (wanted.failure !== undefined) throw wanted.failure;
    return undefined;
  }

  /** Writes the members of every chain that selects the node; says what to commit and what to keep. */
  async #write(
    name: string,
    node: NodeInput,
    observed: CubeNodeView | undefined,
    members: readonly MemberView[],
  ): Promise<{ commits: ChainCommit[]; keep: (member: MemberView) => boolean; failure: unknown }> {
    const { world } = this.context;
    const commits: ChainCommit[] = [];
    const keptChains = new Set<string>();
    const keptMembers = new Set<string>();
    let failure: unknown;
    for (const [key, chain] of [...world.chains.entries()].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (chain.metadata.deletionTimestamp !== undefined) continue;
      const standing = observed?.chains.find((commit) => `${commit.namespace}/${commit.name}` === key);
      const leave = (): void => {
        if (standing !== undefined) commits.push(standing);
        keptChains.add(key);
      };
      if (chain.spec.paused || refusalOf(chain) !== undefined) {
        leave();
        continue;
      }
      if (!selectsNode(chain, node.metadata.labels ?? {}, (of) => world.chains.get(of))) {
        this.#setProblem(key, name, undefined);
        continue;
      }
      const stamp = stampChain(chain, nodeFacts(node as Parameters<typeof nodeFacts>[0]));
      if (!stamp.ok) {
        this.#setProblem(key, name, stamp);
        leave();
        continue;
      }
      try {
        await this.#apply(stamp, members);
        this.#setProblem(key, name, undefined);
        commits.push(stamp.commit);
        for (const member of stamp.commit.members)
          keptMembers.add(`${member.kind} ${chain.metadata.namespace}/${member.name}`);
      } catch (error) {
        if (isKubeError(error, 'Invalid', 'BadRequest', 'TooLarge')) {
          this.#setProblem(key, name, { reason: 'Invalid', message: error.message });
        }
        failure ??= error;
        leave();
      }
    }
    const keep = (member: MemberView): boolean =>
      keptChains.has(member.chain ?? '') || keptMembers.has(`${member.kind} ${member.key}`);
    return { commits, keep, failure };
  }

  async #apply(stamp: Stamp, members: readonly MemberView[]): Promise<void> {
    const { applier } = this.context;
    const digests = new Map(members.map((member) => [`${member.kind} ${member.key}`, member.digest]));
    const all = [
      ...stamp.cubes.map((cube) => [CUBES, cube] as const),
      ...stamp.links.map((link) => [CUBE_LINKS, link] as const),
    ];
    await Promise.all(
      all.map(([type, member]) =>
        applier.apply(
          type,
          member as unknown as KubeObject,
          digests.get(`${type.kind} ${keyOf(member.metadata)}`),
        ),
      ),
    );
  }

  async #commit(
    name: string,
    node: NodeInput,
    observed: CubeNodeView | undefined,
    chains: ChainCommit[],
  ): Promise<void> {
    const { uid } = node.metadata;
    const owner = { apiVersion: 'v1', kind: 'Node', name, ...(uid === undefined ? {} : { uid }) };
    const object = {
      apiVersion: API_VERSION,
      kind: 'CubeNode',
      metadata: {
        name,
        labels: { [KUBERNETES_LABELS.managedBy]: MANAGER, [LABELS.node]: labelValue(name) },
        ...(uid === undefined ? {} : { ownerReferences: [owner] }),
      },
      spec: { chains },
    };
    await this.context.applier.apply(CUBE_NODES, object as KubeObject, observed?.digest);
  }

  /** The Node is gone: first the commit record, then what it named. */
  async #clear(
    name: string,
    observed: CubeNodeView | undefined,
    members: readonly MemberView[],
  ): Promise<void> {
    if (observed !== undefined) {
      await this.context.client.delete(CUBE_NODES, { name }, { uid: observed.uid });
      this.context.applier.forget(CUBE_NODES, name);
    }
    await this.#remove(members);
    for (const chain of this.#problems.keys()) this.#setProblem(chain, name, undefined);
  }

  async #remove(members: readonly MemberView[]): Promise<void> {
    // Links first: a cube that is gone while a link names it would be reported for a moment.
    const ordered = [...members].sort((a, b) => (a.kind === b.kind ? 0 : a.kind === 'CubeLink' ? -1 : 1));
    for (const { kind, namespace, name, uid, key } of ordered) {
      const type: ResourceType = kind === 'Cube' ? CUBES : CUBE_LINKS;
      await this.context.client.delete(type, { namespace, name }, { uid });
      this.context.applier.forget(type, key);
    }
  }

  #setProblem(chain: string, node: string, problem: StampProblem | undefined): void {
    const nodes = this.#problems.get(chain) ?? new Map<string, StampProblem>();
    if (nodes.get(node)?.message === problem?.message) return;
    if (problem === undefined) nodes.delete(node);
    else nodes.set(node, { reason: problem.reason, message: problem.message });
    if (nodes.size === 0) this.#problems.delete(chain);
    else this.#problems.set(chain, nodes);
    this.#onProblem(chain);
  }
}

function sameTemplate(a: ServiceChain, b: ServiceChain): boolean {
  return (
    a.metadata.uid === b.metadata.uid &&
    a.metadata.generation === b.metadata.generation &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp
  );
}
