// SPDX-License-Identifier: Apache-2.0
/** Brings up servers and Services, and reads what the cluster gave them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../k8s/client.ts';
import { isKubeError } from '../../k8s/errors.ts';
import { type KubeObject, PODS, SERVICES } from '../../k8s/resource.ts';
import { type Frame, serverPods, serviceObjects } from './objects.ts';
import { type PodObject, runningPods } from './pods.ts';
import { addressesOf, type Stage, type StageService } from './stage.ts';

interface ServiceObject extends KubeObject {
  readonly spec?: {
    readonly clusterIPs?: readonly string[];
    readonly ports?: readonly { port: number; protocol?: string; nodePort?: number }[];
  };
}

const LOOK_MS = 300;

export async function setStage(
  client: KubeClient,
  frame: Frame,
  signal: AbortSignal,
  external: string | undefined,
): Promise<Stage> {
  const { namespace, nodes } = frame;
  for (const service of serviceObjects(frame)) await client.create(SERVICES, service);
  for (const pod of serverPods(frame)) await createPod(client, pod, signal);
  const pods = await runningPods(client, namespace, serverPods(frame).length, signal);
  const services = await client.listAll<ServiceObject>(SERVICES, { namespace });
  const apiServer = await client.get<ServiceObject>(SERVICES, { namespace: 'default', name: 'kubernetes' });
  const dns = await client.get(SERVICES, { namespace: 'kube-system', name: 'kube-dns' });
  const byName = <T extends KubeObject, R>(list: readonly T[], what: (one: T) => R): Record<string, R> =>
    Object.fromEntries(list.map((one) => [one.metadata.name ?? '', what(one)]));
  return {
    namespace,
    nodes,
    pods: byName(pods, ({ status }: PodObject) => addressesOf((status?.podIPs ?? []).map(({ ip }) => ip))),
    services: byName(services, stageService),
    apiServer: stageService(apiServer ?? { metadata: {} }),
    hasDns: dns !== undefined,
    hostPort: frame.hostPort,
    ...(external === undefined ? {} : { external }),
  };
}

function stageService({ spec }: ServiceObject): StageService {
  const ports = (spec?.ports ?? []).flatMap(({ protocol = 'TCP', nodePort }) =>
    nodePort === undefined ? [] : [[protocol, nodePort]],
  );
  const addresses = addressesOf((spec?.clusterIPs ?? []).filter((ip) => ip !== 'None'));
  return { addresses, port: spec?.ports?.[0]?.port ?? 0, nodePorts: Object.fromEntries(ports) };
}

/** In a namespace that was just made, pods are refused until its service account is there. */
export async function createPod(client: KubeClient, pod: KubeObject, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await client.create(PODS, pod);
      return;
    } catch (failure) {
      if (!isKubeError(failure, 'Forbidden') || !/service ?account/i.test(failure.message)) throw failure;
      await sleep(LOOK_MS, undefined, { signal });
    }
  }
}
