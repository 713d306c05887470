// SPDX-License-Identifier: Apache-2.0
import { sleep } from '../k8s/backoff.ts';
import { isKubeError } from '../k8s/errors.ts';
import { CUBE_LINKS, CUBE_NODES, CUBES, LEASES } from '../k8s/resource.ts';
import type { HandlerResult } from '../k8s/work-queue.ts';
import type { ControllerContext } from './context.ts';
import { Controller } from './controller.ts';
import { AGENT_DEAD_MS, AgentLiveness, unreachable } from './lease.ts';
import { AGENT_LEASE_PREFIX } from './views.ts';

/** Objects marked before a pause, and the pause, ms: losing a whole rack must not flood the API server. */
const BATCH = 20;
const PAUSE_MS = 200;
const CONCURRENCY = 2;

/** Agents' Leases → `Unknown/AgentUnreachable` on what dead agents said. Work is keyed by node. */
export class LeaseController extends Controller {
  readonly #liveness: AgentLiveness;

  constructor(context: ControllerContext, deadMs = AGENT_DEAD_MS) {
    super(context, { name: 'agent-leases', concurrency: CONCURRENCY, spacingMs: 1000 });
    this.#liveness = new AgentLiveness(deadMs);
  }

  start(): void {
    const { world } = this.context;
    const { queue } = this;
    const now = performance.now();
    for (const lease of world.leases.values()) this.#liveness.observe(lease.node, lease.renewal, now);
    this.subscribe(
      world.leases.onChange((change) => {
        const node = change.type === 'deleted' ? change.old.node : change.value.node;
        this.#liveness.observe(
          node,
          change.type === 'deleted' ? '' : change.value.renewal,
          performance.now(),
        );
        queue.add(node);
      }),
      world.cubeNodes.onChange(({ key }) => queue.add(key)),
      world.cubes.onChange((change) =>
        queue.add((change.type === 'deleted' ? change.old : change.value).node),
      ),
    );
    for (const node of world.cubeNodes.keys()) queue.add(node);
    for (const node of world.cubes.indexValues('node')) queue.add(node);
    for (const lease of world.leases.values()) queue.add(lease.node);
    queue.start();
  }

  protected async reconcile(node: string, signal: AbortSignal): Promise<HandlerResult> {
    const { world, client, namespace } = this.context;
    const members = world.membersOn(node);
    if (members.length === 0 && !world.cubeNodes.has(node)) {
      this.#liveness.forget(node);
      if (!world.nodes.has(node) && world.leases.has(`${namespace}/${AGENT_LEASE_PREFIX}${node}`)) {
        await client.delete(LEASES, { namespace, name: `${AGENT_LEASE_PREFIX}${node}` });
      }
      return undefined;
    }
    const left = this.#liveness.leftMs(node, performance.now());
    if (left > 0) return { againAfterMs: left + 10 };
    await this.#markAll(node, signal);
    return undefined;
  }

  async #markAll(node: string, signal: AbortSignal): Promise<void> {
    const { world, applier, log } = this.context;
    const cubeNode = world.cubeNodes.get(node);
    const objects = [
      ...world
        .membersOn(node)
        .map((member) => ({ ...member, type: member.kind === 'Cube' ? CUBES : CUBE_LINKS })),
      ...(cubeNode === undefined ? [] : [{ ...cubeNode, namespace: undefined, type: CUBE_NODES }]),
    ];
    let marked = 0;
    for (const object of objects) {
      const conditions = unreachable(object, node, new Date());
      if (conditions === undefined) continue;
      // It may have come back, or leadership may be lost, while this loop waited.
      if (signal.aborted || this.#liveness.leftMs(node, performance.now()) > 0) return;
      const { namespace, name, uid } = object;
      const metadata = { name, uid, ...(namespace === undefined ? {} : { namespace }) };
      try {
        await applier.applyStatus(object.type, metadata, { conditions });
      } catch (error) {
        if (!isKubeError(error, 'NotFound', 'Conflict')) throw error;
      }
      marked++;
      if (marked % BATCH === 0) await sleep(PAUSE_MS, signal);
    }
    if (marked > 0)
      log.warn({ node, objects: marked }, 'the agent does not renew its Lease; its word is marked Unknown');
  }
}
