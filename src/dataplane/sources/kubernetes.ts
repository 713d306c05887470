// SPDX-License-Identifier: Apache-2.0
import { FIELD_MANAGERS } from '../../api/group.ts';
import { Applier } from '../../k8s/apply.ts';
import { Cache } from '../../k8s/cache.ts';
import type { KubeClient } from '../../k8s/client.ts';
import { isKubeError } from '../../k8s/errors.ts';
import type { Log } from '../../k8s/log.ts';
import { Reflector } from '../../k8s/reflector.ts';
import {
  CUBE_LINKS,
  CUBE_NODES,
  CUBE_TABLES,
  CUBES,
  type KubeObject,
  NAMESPACES,
  NODES,
  PODS,
  type ResourceType,
} from '../../k8s/resource.ts';
import type { NamespaceInput, PodInput } from '../../operators/inputs.ts';
import { AgentLease } from './agent-lease.ts';
import type {
  Source,
  SourceHandler,
  SourceHealth,
  SourceKind,
  SourceMeta,
  SourceObject,
  StatusKind,
  StatusTarget,
} from './source.ts';

export interface KubernetesSourceOptions {
  readonly client: KubeClient;
  readonly node: string;
  readonly log: Log;
  /** Namespace of the agents' Leases. Default cubeplane-system. */
  readonly leaseNamespace?: string;
}

const STATUS_TYPES: Readonly<Record<StatusKind, ResourceType>> = {
  Cube: CUBES,
  CubeLink: CUBE_LINKS,
  CubeNode: CUBE_NODES,
};

/** Not the objects: the handler keeps those, so the caches hold only that an object is there. */
type Seen = true;

/**
 * Objects from the API server: this node's by field selector, all CubeTables. Statuses by server-side apply as
 * `cubeplane-agent`. While it runs it renews the agent's Lease.
 */
export class KubernetesSource implements Source {
  readonly name: string;
  readonly #options: KubernetesSourceOptions;
  readonly #applier: Applier;
  readonly #lease: AgentLease;
  readonly #reflectors: Reflector<Seen>[] = [];
  #stopped = false;
  #synced = false;

  constructor(options: KubernetesSourceOptions) {
    const { client, node, log, leaseNamespace = 'cubeplane-system' } = options;
    this.#options = options;
    this.name = `Kubernetes at ${client.server}`;
    this.#applier = new Applier({ client, fieldManager: FIELD_MANAGERS.agent });
    this.#lease = new AgentLease({ client, node, namespace: leaseNamespace, log });
  }

  async start(handler: SourceHandler): Promise<void> {
    const { node } = this.#options;
    const waits = [
      this.#follow(handler, 'CubeTable', CUBE_TABLES),
      this.#follow(handler, 'Node', NODES, `metadata.name=${node}`),
      this.#follow(handler, 'Cube', CUBES, `spec.nodeName=${node}`),
      this.#follow(handler, 'CubeLink', CUBE_LINKS, `spec.nodeName=${node}`),
      this.#follow(handler, 'CubeNode', CUBE_NODES, `metadata.name=${node}`),
    ];
    void Promise.all(waits).then(() => {
      if (this.#stopped) return;
      this.#synced = true;
      handler.synced();
    });
    this.#lease.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([this.#lease.stop(), ...this.#reflectors.map((reflector) => reflector.stop())]);
  }

  async writeStatus(target: StatusTarget, status: Readonly<Record<string, unknown>>): Promise<boolean> {
    const { kind, ...metadata } = target;
    try {
      await this.#applier.applyStatus(STATUS_TYPES[kind], metadata, status);
      return true;
    } catch (error) {
      // Gone, or made anew under another UID: its new status comes with it.
      if (isKubeError(error, 'NotFound', 'Conflict')) return false;
      throw error;
    }
  }

  async readPod(
    namespace: string,
    name: string,
  ): Promise<{ pod: PodInput; namespace: NamespaceInput } | undefined> {
    const { client } = this.#options;
    const [pod, of] = await Promise.all([
      client.get(PODS, { namespace, name }),
      client.get(NAMESPACES, { name: namespace }),
    ]);
    return pod && of && { pod: pod as PodInput, namespace: of as NamespaceInput };
  }

  health(): SourceHealth {
    const behind = this.#reflectors
      .map((reflector) => reflector.health())
      .filter(({ failures }) => failures > 1);
    const problem = behind[0]?.lastError ?? this.#lease.problem;
    return { synced: this.#synced, ...(problem === undefined ? {} : { problem }) };
  }

  #follow(
    handler: SourceHandler,
    kind: SourceKind,
    type: ResourceType,
    fieldSelector?: string,
  ): Promise<void> {
    const { client, log } = this.#options;
    const cache = new Cache<Seen>();
    cache.onChange((change) => {
      if (change.type !== 'deleted' || this.#stopped) return;
      const [first = '', second] = change.key.split('/');
      if (second === undefined) handler.delete(kind, undefined, first);
      else handler.delete(kind, first, second);
    });
    const reflector = new Reflector<Seen>({
      client,
      type,
      cache,
      log,
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      transform: (object) => {
        if (!this.#stopped) handler.set(sourceObject(kind, object));
        return true;
      },
    });
    this.#reflectors.push(reflector);
    reflector.start();
    return cache.synced;
  }
}

/** What the agent keeps of an object: managedFields and the like stay behind. */
function sourceObject(kind: SourceKind, object: KubeObject): SourceObject {
  const {
    namespace,
    name = '',
    uid = '',
    generation = 0,
    labels,
    annotations,
    creationTimestamp,
    deletionTimestamp,
  } = object.metadata;
  const metadata: SourceMeta = {
    ...(namespace === undefined ? {} : { namespace }),
    name,
    uid,
    generation,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
  return {
    kind,
    metadata,
    spec: object.spec ?? {},
    ...(object.status === undefined ? {} : { status: object.status }),
  };
}
