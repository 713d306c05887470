// SPDX-License-Identifier: Apache-2.0
/**
 * Scheduler and kubelets of a light cluster in one process: pods are placed, joined to the network by the CNI plugin of their
 * node, run, probed and ended, and their status is published. Images are not: programs are this machine's own.
 */
import { Cache } from '../../../src/k8s/cache.ts';
import type { KubeClient } from '../../../src/k8s/client.ts';
import { isKubeError } from '../../../src/k8s/errors.ts';
import type { Log } from '../../../src/k8s/log.ts';
import { Reflector } from '../../../src/k8s/reflector.ts';
import { NODES, PODS, pathOf } from '../../../src/k8s/resource.ts';
import { type HandlerResult, WorkQueue } from '../../../src/k8s/work-queue.ts';
import { type PodObject, placementOf, runningStatus, waitingStatus } from './pod.ts';
import { Sandbox, type SandboxNode } from './sandbox.ts';

export class LightKubelet {
  readonly #client: KubeClient;
  readonly #nodes: ReadonlyMap<string, SandboxNode>;
  readonly #log: Log;
  readonly #pods = new Cache<PodObject>();
  readonly #sandboxes = new Map<string, Sandbox>();
  /** Pod → the status that was published last. */
  readonly #published = new Map<string, string>();
  readonly #queue: WorkQueue;
  readonly #reflector: Reflector<PodObject>;

  constructor(client: KubeClient, nodes: readonly SandboxNode[], log: Log) {
    this.#client = client;
    this.#nodes = new Map(nodes.map((node) => [node.name, node]));
    this.#log = log;
    this.#queue = new WorkQueue({
      name: 'pods',
      handler: (key) => this.#reconcile(key),
      concurrency: 8,
      backoff: { baseMs: 200, maxMs: 2_000 },
      log,
    });
    this.#reflector = new Reflector({
      client,
      type: PODS,
      cache: this.#pods,
      transform: (object) => object as PodObject,
      log,
    });
    this.#pods.onChange(({ key }) => this.#queue.add(key));
  }

  /** Resolves when all pods are known. */
  async start(): Promise<void> {
    this.#reflector.start();
    await this.#pods.synced;
    this.#queue.start();
  }

  async #reconcile(key: string): Promise<HandlerResult> {
    const pod = this.#pods.get(key);
    const sandbox = this.#sandboxes.get(key);
    // A pod of the same name may have come in the place of one that is gone.
    if (sandbox !== undefined && sandbox.uid !== pod?.metadata.uid) {
      await this.#end(key, sandbox);
      return { againAfterMs: 1 };
    }
    if (pod === undefined) return undefined;
    if (pod.metadata.deletionTimestamp !== undefined) return await this.#delete(key, pod, sandbox);
    if (pod.spec?.nodeName === undefined) return await this.#place(pod);
    const node = this.#nodes.get(pod.spec.nodeName);
    if (node === undefined) return undefined;
    const running = sandbox ?? (await this.#run(key, pod, node));
    await running.look();
    const now = new Date().toISOString();
    const states = running.containers.map(({ ready, restarts, ended }) => [ready, restarts, ended]);
    await this.#publish(key, pod, JSON.stringify(states), () =>
      runningStatus(node.addresses, running.addresses, running.containers, now),
    );
    return running.probeMs === undefined ? undefined : { againAfterMs: running.probeMs };
  }

  async #run(key: string, pod: PodObject, node: SandboxNode): Promise<Sandbox> {
    const began = performance.now();
    try {
      const sandbox = await Sandbox.start(node, pod, () => this.#queue.add(key));
      this.#sandboxes.set(key, sandbox);
      const ms = Math.round(performance.now() - began);
      this.#log.info({ pod: key, node: node.name, addresses: sandbox.addresses, ms }, 'runs');
      return sandbox;
    } catch (error) {
      const { message } = error as Error;
      const now = new Date().toISOString();
      await this.#publish(key, pod, message, () => waitingStatus(pod.spec?.containers ?? [], message, now));
      throw error;
    }
  }

  async #delete(key: string, pod: PodObject, sandbox: Sandbox | undefined): Promise<undefined> {
    if (sandbox !== undefined) await this.#end(key, sandbox);
    if (pod.spec?.nodeName !== undefined && !this.#nodes.has(pod.spec.nodeName)) return undefined;
    const { namespace, name = '', uid } = pod.metadata;
    await this.#client
      .request({
        method: 'DELETE',
        path: pathOf(PODS, { namespace, name }),
        body: { gracePeriodSeconds: 0, preconditions: { uid } },
        contentType: 'application/json',
      })
      .catch(ignoreGone);
    return undefined;
  }

  async #end(key: string, sandbox: Sandbox): Promise<void> {
    await sandbox.stop();
    this.#sandboxes.delete(key);
    this.#published.delete(key);
    this.#log.info({ pod: key, node: sandbox.node.name }, 'ended');
  }

  async #place(pod: PodObject): Promise<undefined> {
    const { namespace, name = '', uid = '' } = pod.metadata;
    const open: string[] = [];
    for await (const { metadata, spec } of this.#client.list(NODES))
      if (!(spec as { unschedulable?: boolean } | undefined)?.unschedulable) open.push(metadata.name ?? '');
    const node = placementOf(
      uid,
      open.filter((one) => this.#nodes.has(one)),
    );
    if (node === undefined) throw new Error('no node takes pods');
    await this.#client
      .request({
        method: 'POST',
        path: pathOf(PODS, { namespace, name, subresource: 'binding' }),
        body: {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name, namespace, uid },
          target: { apiVersion: 'v1', kind: 'Node', name: node },
        },
        contentType: 'application/json',
      })
      .catch(ignoreGone);
    return undefined;
  }

  /** `what` says what is published: the same is not written twice. */
  async #publish(key: string, pod: PodObject, what: string, status: () => object): Promise<void> {
    const { namespace, name = '', uid } = pod.metadata;
    const text = `${uid} ${what}`;
    if (this.#published.get(key) === text) return;
    await this.#client
      .request({
        method: 'PATCH',
        path: pathOf(PODS, { namespace, name, subresource: 'status' }),
        body: { metadata: { uid }, status: status() },
        contentType: 'application/merge-patch+json',
      })
      .catch(ignoreGone);
    this.#published.set(key, text);
  }
}

/** The pod went, or became another one, meanwhile: an event says so too. */
function ignoreGone(error: unknown): void {
  if (!isKubeError(error, 'NotFound', 'Conflict')) throw error;
}
