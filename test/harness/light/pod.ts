// SPDX-License-Identifier: Apache-2.0
/** What a kubelet reads of a pod, and what it says of it. Pure. */
import type { KubeObject } from '../../../src/k8s/resource.ts';
import type { DualStack } from '../topology.ts';

export interface Probe {
  readonly tcpSocket?: { readonly port: number | string };
  readonly httpGet?: { readonly path?: string; readonly port: number | string };
  readonly periodSeconds?: number;
}

export interface PodContainer {
  readonly name: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly readinessProbe?: Probe;
  readonly terminationMessagePath?: string;
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
}

export interface PodObject extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
    readonly terminationGracePeriodSeconds?: number;
    readonly containers?: readonly PodContainer[];
  };
  readonly status?: { readonly phase?: string };
}

/** One container as it is now. */
export interface ContainerState {
  readonly name: string;
  readonly image: string;
  readonly startedAt: string;
  readonly ready: boolean;
  readonly restarts: number;
  /** Set where it has ended, and is not started again. */
  readonly ended?: { readonly exitCode: number; readonly finishedAt: string; readonly message: string };
}

/** A port of a probe by number, or by the name that the container gives it. */
export function probePort({ ports = [] }: PodContainer, port: number | string): number | undefined {
  return typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.containerPort;
}

/** IPv4 first: the first of a list is the primary address. */
export function addressList({ ipv4, ipv6 }: DualStack): string[] {
  return [ipv4, ipv6].filter((address) => address !== undefined);
}

function condition(type: string, holds: boolean, since: string, reason?: string, message?: string): object {
  return {
    type,
    status: holds ? 'True' : 'False',
    lastTransitionTime: since,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

/** Whether a container that ended so is started again. */
export function isStartedAgain({ spec }: PodObject, exitCode: number): boolean {
  const policy = spec?.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function phaseOf(containers: readonly ContainerState[]): string {
  if (containers.some(({ ended }) => ended === undefined)) return 'Running';
  return containers.every(({ ended }) => ended?.exitCode === 0) ? 'Succeeded' : 'Failed';
}

/** The status of a pod whose containers run, or have ended. */
export function runningStatus(
  node: DualStack,
  pod: DualStack,
  containers: readonly ContainerState[],
  now: string,
): object {
  const ready = containers.every((container) => container.ready);
  const startedAt = containers[0]?.startedAt ?? now;
  return {
    phase: phaseOf(containers),
    hostIP: addressList(node)[0],
    hostIPs: addressList(node).map((ip) => ({ ip })),
    podIP: addressList(pod)[0],
    podIPs: addressList(pod).map((ip) => ({ ip })),
    startTime: startedAt,
    conditions: [
      condition('PodScheduled', true, startedAt),
      condition('Initialized', true, startedAt),
      condition('ContainersReady', ready, now),
      condition('Ready', ready, now),
    ],
    containerStatuses: containers.map(
      ({ name, image, ready: isReady, restarts, startedAt: since, ended }) => ({
        name,
        image,
        imageID: '',
        ready: isReady,
        started: ended === undefined,
        restartCount: restarts,
        state:
          ended === undefined ? { running: { startedAt: since } } : { terminated: terminated(ended, since) },
      }),
    ),
  };
}

function terminated(ended: NonNullable<ContainerState['ended']>, startedAt: string): object {
  return { ...ended, startedAt, reason: ended.exitCode === 0 ? 'Completed' : 'Error' };
}

/** The status of a pod that has no network yet. */
export function waitingStatus(containers: readonly PodContainer[], message: string, now: string): object {
  return {
    phase: 'Pending',
    conditions: [
      condition('PodScheduled', true, now),
      condition('Ready', false, now, 'ContainersNotReady', message),
    ],
    containerStatuses: containers.map(({ name, image = '' }) => ({
      name,
      image,
      imageID: '',
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: 'ContainerCreating', message } },
    })),
  };
}

/** The node that a pod without one goes to: spread by its uid, the same whoever asks. */
export function placementOf(uid: string, nodes: readonly string[]): string | undefined {
  let sum = 0;
  for (const character of uid) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 2 ** 31;
  return nodes[sum % Math.max(1, nodes.length)];
}
