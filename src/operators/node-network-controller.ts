// SPDX-License-Identifier: Apache-2.0
import { isKubeError } from '../k8s/errors.ts';
import { NODES } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import type { NodeConditionInput } from './inputs.ts';
import { nodeNetwork } from './node-network.ts';
import { NETWORK_TAINT } from './node-taint.ts';
import type { MemberView } from './views.ts';

const CONCURRENCY = 4;
/** Members of a chain become Programmed together. */
const COALESCE_MS = 50;

interface Taint {
  readonly key: string;
}

/** Cubes and CubeLinks of a node → its condition NetworkUnavailable, and the end of our taint. Work is keyed by node. */
export class NodeNetworkController extends Controller {
  constructor(context: ControllerContext) {
    super(context, { name: 'node-networks', concurrency: CONCURRENCY, spacingMs: COALESCE_MS });
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const add = (change: { type: string; value?: MemberView; old?: MemberView }): void => {
      const { node } = (change.value ?? change.old) as MemberView;
      queue.add(node);
    };
    this.subscribe(
      world.nodes.onChange(({ key }) => queue.add(key)),
      world.cubes.onChange(add),
      world.links.onChange(add),
    );
    for (const key of world.nodes.keys()) queue.add(key);
    queue.start();
  }

  protected async reconcile(name: string): Promise<HandlerResult> {
    const { world, log } = this.context;
    const node = world.nodes.get(name);
    if (node === undefined) return undefined;
    const seen = node.status?.conditions?.find(({ type }) => type === 'NetworkUnavailable');
    const next = nodeNetwork(world.membersOn(name), seen);
    if (next !== undefined) {
      await this.#say(name, node.metadata.uid, { ...next, lastTransitionTime: timeOf(seen, next.status) });
      log.info({ node: name, reason: next.reason }, `NetworkUnavailable of node ${name} is ${next.status}`);
    }
    const isAvailable = (next ?? seen)?.status === 'False' && (next ?? seen)?.reason === 'ChainProgrammed';
    if (isAvailable && (node.spec?.taints ?? []).length > 0) await this.#removeTaint(name);
    return undefined;
  }

  async #say(name: string, uid: string | undefined, condition: object): Promise<void> {
    const conditions = [
      { type: 'NetworkUnavailable', lastHeartbeatTime: new Date().toISOString(), ...condition },
    ];
    const metadata = { name, ...(uid === undefined ? {} : { uid }) };
    await this.context.applier.applyStatus(NODES, metadata, { conditions }).catch((error) => {
      if (!isKubeError(error, 'NotFound')) throw error;
    });
  }

  /** The list of taints is one value, which others write too: a change of theirs in between is a conflict, and done again. */
  async #removeTaint(name: string): Promise<void> {
    const { client, log } = this.context;
    const node = await client.get(NODES, { name });
    if (node === undefined) return;
    const taints = (node.spec as { taints?: Taint[] } | undefined)?.taints ?? [];
    const kept = taints.filter(({ key }) => key !== NETWORK_TAINT);
    if (kept.length === taints.length) return;
    const { resourceVersion } = node.metadata;
    await client.mergePatch(NODES, { name }, { metadata: { resourceVersion }, spec: { taints: kept } });
    log.info({ node: name, taint: NETWORK_TAINT }, `node ${name} has a network: its taint was removed`);
  }
}

/** When the condition came to be as it is. */
function timeOf(seen: NodeConditionInput | undefined, status: string): string {
  const before = seen?.status === status ? seen.lastTransitionTime : undefined;
  return before ?? new Date().toISOString();
}
