// SPDX-License-Identifier: Apache-2.0

import { trimmedNamespace } from '../operators/identity.ts';
import type { ContainerInput, NamespaceInput, PodInput } from '../operators/inputs.ts';
import { AgentError, textOf } from './errors.ts';
import type { AboutPod } from './pod-record.ts';
import type { Source } from './sources/source.ts';

export interface PodName {
  readonly namespace: string;
  readonly name: string;
  /** As the runtime was told. */
  readonly uid?: string | undefined;
  /** What was known of it when the node went down; it counts while nobody can be asked. */
  readonly recorded?: AboutPod | undefined;
}

/** UID that a kubelet gives a pod of its own files; the API server's copy of it has another one (Kubernetes, static pods). */
const STATIC_UID = 'kubernetes.io/config.hash';

/**
 * What policies may look at in a pod, from the API server. Undefined where the source has no pods, as a directory of
 * manifests. Throws AgentError.
 */
export async function aboutPod(
  source: Pick<Source, 'readPod'>,
  { namespace, name, uid, recorded }: PodName,
): Promise<AboutPod | undefined> {
  if (source.readPod === undefined) return undefined;
  const which = `Pod ${namespace}/${name}`;
  const read = await source.readPod(namespace, name).catch((error) => {
    if (recorded !== undefined) return recorded;
    throw new AgentError(
      'PodUnreadable',
      `${which}: which policies it is under is not known: ${textOf(error)}`,
      'it is tried again; a pod gets no network before its policies are known',
      error,
    );
  });
  if (read !== undefined && read === recorded) return recorded;
  const known = [read?.pod.metadata.uid, read?.pod.metadata.annotations?.[STATIC_UID]];
  const isOther = uid !== undefined && uid !== '' && !known.includes(uid);
  if (read === undefined || isOther)
    throw new AgentError(
      'PodUnreadable',
      `${which}: the API server has ${read === undefined ? 'no such pod' : `one with the UID ${known[0]}, not ${uid}`}`,
      'it is tried again, and ends when the kubelet hears of it too',
    );
  return { pod: trimmed(read.pod), namespace: trimmedNamespace(read.namespace) };
}

/** What is written down: labels and ports. */
function trimmed({ metadata, spec }: PodInput): PodInput {
  const portsOf = ({ restartPolicy, ports }: ContainerInput): ContainerInput => ({
    ...(restartPolicy ? { restartPolicy } : {}),
    ports: (ports ?? []).map(({ name, protocol, containerPort }) => ({ name, protocol, containerPort })),
  });
  return {
    ...labelsOf({ metadata }),
    spec: {
      containers: (spec?.containers ?? []).map(portsOf),
      initContainers: (spec?.initContainers ?? []).map(portsOf),
    },
  };
}

function labelsOf({ metadata: { namespace, name, labels } }: NamespaceInput): NamespaceInput {
  return {
    metadata: { ...(namespace ? { namespace } : {}), ...(name ? { name } : {}), labels: labels ?? {} },
  };
}
