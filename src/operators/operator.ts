// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { FIELD_MANAGERS } from '../api/group.ts';
import { Applier } from '../k8s/apply.ts';
import { sleep } from '../k8s/backoff.ts';
import type { KubeClient } from '../k8s/client.ts';
import { EventRecorder } from '../k8s/events.ts';
import { runAsLeader } from '../k8s/leader-election.ts';
import { type Log, SILENT } from '../k8s/log.ts';
import type { ReflectorHealth } from '../k8s/reflector.ts';
import type { WorkQueue, WorkQueueStats } from '../k8s/work-queue.ts';
import { AddressController } from './address-controller.ts';
import { AnnouncementController } from './announcement-controller.ts';
import { ChainController } from './chain-controller.ts';
import { ChainStatusController } from './chain-status-controller.ts';
import type { ControllerContext } from './context.ts';
import { IdentityController } from './identity-controller.ts';
import { LeaseController } from './lease-controller.ts';
import { NodeNetworkController } from './node-network-controller.ts';
import { PolicyController } from './policy-controller.ts';
import { ProviderController } from './provider-controller.ts';
import { TableController } from './table-controller.ts';
import { World } from './world.ts';

export interface OperatorOptions {
  client: KubeClient;
  /** Namespace of CubeTables, agents' Leases and the operator's own Lease. Default `cubeplane-system`. */
  namespace?: string;
  /** Several operators may run; only the holder of the Lease writes. Default false: this one writes at once. */
  leaderElect?: boolean;
  /** Folder with ServiceChains that it applies. */
  provider?: string;
  /** Name of this process in the Lease and in events. Default `HOSTNAME_UUID`. */
  identity?: string;
  log?: Log;
  /** Times that tests make short, ms. */
  timing?: {
    leaseMs?: number;
    renewDeadlineMs?: number;
    retryMs?: number;
    agentDeadMs?: number;
    idleTimeoutMs?: number;
  };
}

export interface OperatorHealth {
  /** All caches have read a whole list. */
  synced: boolean;
  leading: boolean;
  reflectors: ReflectorHealth[];
  queues: Record<string, WorkQueueStats>;
  /** Server-side applies sent since the start. */
  applies: number;
  eventsDropped: number;
}

/** A running operator. */
export interface Operator {
  /** Settles when all caches have read a whole list. */
  synced: Promise<void>;
  health(): OperatorHealth;
  /** Settles when no table or chain waits to be worked on; for tests. Never while this process does not lead. */
  idle(): Promise<void>;
  /** Ends controllers and watches, gives the Lease back, flushes events. */
  stop(): Promise<void>;
}

interface Term {
  controllers: readonly { queue: WorkQueue; stop(): Promise<void> }[];
}

const LEASE_NAME = 'cubeplane-operator';
const DEFAULT_NAMESPACE = 'cubeplane-system';

/**
 * Starts the operator. It keeps no state of its own: what it must know it reads from the API server, so it may be killed
 * at any instruction. The caches run without leadership too, so a takeover needs no list.
 */
export function startOperator(options: OperatorOptions): Operator {
  const { client } = options;
  const namespace = options.namespace ?? DEFAULT_NAMESPACE;
  const log = options.log ?? SILENT;
  const identity = options.identity ?? `${hostname()}_${randomUUID()}`;
  const idle = options.timing?.idleTimeoutMs;
  const world = new World({ client, namespace, log, ...(idle === undefined ? {} : { idleTimeoutMs: idle }) });
  const applier = new Applier({ client, fieldManager: FIELD_MANAGERS.operator });
  const events = new EventRecorder({ client, controller: 'cubeplane.io/operator', instance: identity, log });
  const context: ControllerContext = { world, client, applier, events, namespace, log };
  const stop = new AbortController();
  let synced = false;
  let term: Term | undefined;

  const caches = world.start().then(() => {
    synced = true;
    log.info(
      { services: world.services.size, nodes: world.nodes.size, chains: world.chains.size },
      'caches are complete',
    );
  });

  /** One term of leadership: all controllers run until the signal. */
  const lead = async (signal: AbortSignal): Promise<void> => {
    await Promise.race([caches, aborted(signal)]);
    if (signal.aborted) return;
    const current = startControllers(context, options);
    term = current;
    await aborted(signal);
    term = undefined;
    await Promise.all(current.controllers.map((controller) => controller.stop()));
  };

  const run = async (): Promise<void> => {
    if (options.leaderElect !== true) return lead(stop.signal);
    const election = {
      client,
      namespace,
      name: LEASE_NAME,
      identity,
      log,
      ...electionTiming(options.timing),
    };
    while (!stop.signal.aborted) {
      const end = await runAsLeader(election, stop.signal, lead);
      if (end === 'Lost') await sleep(1000, stop.signal);
    }
  };
  const running = run();

  return {
    synced: caches,
    health: () => ({
      synced,
      leading: term !== undefined,
      reflectors: world.health(),
      queues: Object.fromEntries((term?.controllers ?? []).map(({ queue }) => [queue.name, queue.stats()])),
      applies: applier.sent,
      eventsDropped: events.dropped,
    }),
    idle: async () => {
      while (term === undefined) await sleep(5);
      // Leases are always waited for.
      const busy = term.controllers.filter((controller) => !(controller instanceof LeaseController));
      await Promise.all(busy.map(({ queue }) => queue.idle()));
    },
    stop: async () => {
      stop.abort();
      await running;
      await world.stop();
      await events.flush();
    },
  };
}

function startControllers(context: ControllerContext, { provider, timing }: OperatorOptions): Term {
  const tables = new TableController(context);
  const status: ChainStatusController = new ChainStatusController(context, (chain) =>
    chains.problemsOf(chain),
  );
  const chains: ChainController = new ChainController(context, (chain) => status.queue.add(chain));
  const leases = new LeaseController(context, timing?.agentDeadMs);
  const identities = new IdentityController(context);
  const policies = new PolicyController(context, identities);
  const networks = new NodeNetworkController(context);
  const addresses = new AddressController(context);
  const announcements = new AnnouncementController(context);
  const controllers = [
    tables,
    identities,
    policies,
    chains,
    status,
    leases,
    networks,
    addresses,
    announcements,
    ...(provider === undefined ? [] : [new ProviderController(context, provider)]),
  ];
  for (const controller of controllers) controller.start();
  return { controllers };
}

function electionTiming(timing: OperatorOptions['timing']): {
  leaseMs?: number;
  renewDeadlineMs?: number;
  retryMs?: number;
} {
  const { leaseMs, renewDeadlineMs, retryMs } = timing ?? {};
  return {
    ...(leaseMs === undefined ? {} : { leaseMs }),
    ...(renewDeadlineMs === undefined ? {} : { renewDeadlineMs }),
    ...(retryMs === undefined ? {} : { retryMs }),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
