// SPDX-License-Identifier: Apache-2.0
/** Waits for the test's pods. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../k8s/client.ts';
import { type KubeObject, PODS } from '../../k8s/resource.ts';
import { CliError, EXIT } from '../errors.ts';
import { PROBE_CONTAINER } from './objects.ts';

interface ContainerStatus {
  readonly name: string;
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly running?: object;
    readonly terminated?: { readonly exitCode?: number; readonly message?: string };
  };
}

export interface PodObject extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly message?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

const LOOK_MS = 300;
/** In which a client has to start, and to try all. */
const CLIENT_MS = 45_000;
/** Reasons that do not go away by waiting. */
const HOPELESS = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'CrashLoopBackOff',
  'RunContainerError',
]);

type Look = { readonly ready: PodObject[] } | { readonly waiting: readonly PodObject[] };

/** The pods of a namespace when all `count` run. Throws CliError for one that never will. */
export async function runningPods(
  client: KubeClient,
  namespace: string,
  count: number,
  signal: AbortSignal,
): Promise<PodObject[]> {
  return await lookUntil(client, namespace, signal, (pods) => {
    const waiting = pods.filter(
      ({ status }) => status?.phase !== 'Running' || (status.podIPs ?? []).length === 0,
    );
    return pods.length >= count && waiting.length === 0 ? { ready: pods } : { waiting };
  });
}

export interface ClientEnd {
  /** What it says came of its probes. */
  readonly message?: string;
  /** Why it says nothing. */
  readonly problem?: string;
}

/** What became of clients, by name. One that does not start holds nobody up for long: that is an answer, too. */
export async function endedClients(
  client: KubeClient,
  namespace: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, ClientEnd>> {
  const endOf = ({ status }: PodObject) =>
    status?.containerStatuses?.find(({ name }) => name === PROBE_CONTAINER)?.state?.terminated;
  const deadline = Date.now() + CLIENT_MS;
  const clients = await lookUntil(client, namespace, signal, (pods) => {
    const found = pods.filter(({ metadata }) => names.includes(metadata.name ?? ''));
    const waiting = found.filter((pod) => endOf(pod) === undefined);
    return waiting.length === 0 || Date.now() > deadline ? { ready: found } : { waiting };
  });
  return new Map(
    clients.map((pod) => {
      const end = endOf(pod);
      const problem = `its client did not end within ${CLIENT_MS / 1000} s: ${words(pod)}`;
      return [pod.metadata.name ?? '', end === undefined ? { problem } : { message: end.message ?? '' }];
    }),
  );
}

async function lookUntil(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
  look: (pods: PodObject[]) => Look,
): Promise<PodObject[]> {
  for (;;) {
    const found = look(await client.listAll<PodObject>(PODS, { namespace }));
    if ('ready' in found) return found.ready;
    const hopeless = found.waiting.find((pod) => HOPELESS.has(waitingOf(pod)?.reason ?? ''));
    if (hopeless !== undefined)
      throw new CliError(
        EXIT.failure,
        `pod ${namespace}/${hopeless.metadata.name} does not start: ${words(hopeless)}`,
        'give --image NAME of an image of cubeplane that the nodes have or can pull',
      );
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {
      const names = found.waiting.map((pod) => `${pod.metadata.name} (${words(pod)})`);
      throw new CliError(
        EXIT.failure,
        `it was ended while it waited for pods: ${names.join('; ')}`,
        TOO_LATE,
      );
    });
  }
}

const TOO_LATE =
  'kubectl describe the pods (--keep leaves them); where they only need longer: --timeout SECONDS';

function waitingOf({ status }: PodObject): { reason?: string; message?: string } | undefined {
  return status?.containerStatuses?.find(({ state }) => state?.waiting !== undefined)?.state?.waiting;
}

function words(pod: PodObject): string {
  const { reason = pod.status?.phase ?? 'not seen by its node yet', message = pod.status?.message } =
    waitingOf(pod) ?? {};
  return message === undefined ? reason : `${reason}: ${message}`;
}
