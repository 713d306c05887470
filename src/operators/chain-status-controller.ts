// SPDX-License-Identifier: Apache-2.0
import type { ServiceChain } from '../api/generated/types.ts';
import { contentHash } from '../api/hash.ts';
import { SERVICE_CHAINS } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { StampProblem } from './chain-controller.ts';
import { chainStatus, type MemberState, type NodeState } from './chain-status.ts';
import { selectsNode, targetOf } from './chain-target.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';

/** A thousand nodes that become ready one after the other are told in a few writes, not in a thousand. */
const SPACING_MS = 500;

/** Members → ServiceChain.status. */
export class ChainStatusController extends Controller {
  readonly #problemsOf: (chain: string) => ReadonlyMap<string, StampProblem>;

  constructor(context: ControllerContext, problemsOf: (chain: string) => ReadonlyMap<string, StampProblem>) {
    super(context, { name: 'chain-status', spacingMs: SPACING_MS });
    this.#problemsOf = problemsOf;
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const all = (): void => {
      for (const key of world.chains.keys()) queue.add(key);
    };
    this.subscribe(
      // A chain of whose links others are part changes them too.
      world.chains.onChange((change) => {
        if (
          change.type === 'updated' &&
          change.old.metadata.generation === change.value.metadata.generation
        ) {
          queue.add(change.key);
        } else all();
      }),
      world.nodes.onChange((change) => {
        const same =
          change.type === 'updated' &&
          contentHash(change.old.metadata.labels ?? {}) === contentHash(change.value.metadata.labels ?? {});
        if (!same) all();
      }),
      world.cubeNodes.onChange(all),
      ...[world.cubes, world.links].map((cache) =>
        cache.onChange((change) => {
          const member = change.type === 'deleted' ? change.old : change.value;
          if (member.chain !== undefined) queue.add(member.chain);
        }),
      ),
    );
    all();
    queue.start();
  }

  protected async reconcile(key: string): Promise<HandlerResult> {
    const chain = this.context.world.chains.get(key);
    if (chain === undefined || chain.metadata.deletionTimestamp !== undefined) return undefined;
    const target = targetOf(chain, (of) => this.context.world.chains.get(of));
    const next = chainStatus(chain, this.#nodesOf(key, chain), new Date(), target);
    if (contentHash(next) === contentHash(chain.status ?? {})) return undefined;
    await this.context.applier.applyStatus(SERVICE_CHAINS, chain.metadata, next);
    return undefined;
  }

  #nodesOf(key: string, chain: ServiceChain): NodeState[] {
    const { world } = this.context;
    const problems = this.#problemsOf(key);
    const states: NodeState[] = [];
    for (const [node, input] of world.nodes.entries()) {
      if (!selectsNode(chain, input.metadata.labels ?? {}, (of) => world.chains.get(of))) continue;
      const commit = world.cubeNodes
        .get(node)
        ?.chains.find((entry) => `${entry.namespace}/${entry.name}` === key);
      const members = (commit?.members ?? []).map((member): MemberState => {
        const at = `${commit?.namespace ?? ''}/${member.name}`;
        const view = (member.kind === 'Cube' ? world.cubes : world.links).get(at);
        return {
          object: `${member.kind} ${at}`,
          current: view?.hash === member.hash,
          generation: view?.generation ?? 0,
          conditions: view?.conditions ?? [],
        };
      });
      states.push({ node, revision: commit?.revision, members, problem: problems.get(node) });
    }
    return states.sort((a, b) => (a.node < b.node ? -1 : 1));
  }
}
