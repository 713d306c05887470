// SPDX-License-Identifier: Apache-2.0
/** One interface of one container: what is written down of it, and the names that follow from whose it is. Pure. */
import { createHash } from 'node:crypto';
import { isDnsLabel, isDnsSubdomain } from '../../api/names.ts';
import { isPodDevice, podDeviceOf } from '../names.ts';
import type { PodRecord } from '../pod-record.ts';
import { attachmentKey } from './configuration.ts';
import type { Target } from './environment.ts';

export interface Attachment {
  /** It is written down before anything of it is made, and until all of it is gone. */
  readonly phase: 'Making' | 'Ready' | 'Removing';
  /** Name of the network configuration. */
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** Path of the network namespace, as ADD was given it. */
  readonly netns: string;
  /** The node's end of the pair. */
  readonly device: string;
  /** Of the pod's end. */
  readonly mac: string;
  /** These addresses are taken as long as this is written down. Without prefix length, IPv4 first. */
  readonly addresses: readonly string[];
  /** One a family, in the same order. */
  readonly gateways: readonly string[];
  /** Bytes of IP packet: of both devices, and of the pod's routes. */
  readonly mtu: { readonly device: number; readonly route: number };
  /** As what it is plugged. */
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Of the pod, where the runtime told it. */
  readonly uid?: string;
  /** Milliseconds of the wall clock. */
  readonly createdAt: number;
}

/** Whether a file holds one. */
export function isAttachment(value: unknown): value is Attachment {
  const one = (value ?? {}) as Partial<Record<keyof Attachment, unknown>>;
  const texts = [one.phase, one.network, one.containerId, one.ifname, one.netns, one.device, one.mac];
  const lists = [one.addresses, one.gateways];
  const pod = one.pod as Partial<Attachment['pod']> | undefined;
  return (
    texts.every((text) => typeof text === 'string') &&
    lists.every((list) => Array.isArray(list) && list.every((text) => typeof text === 'string')) &&
    typeof pod?.namespace === 'string' &&
    typeof pod.name === 'string' &&
    isPodDevice(String(one.device))
  );
}

export function keyOf({ containerId, ifname }: Pick<Attachment, 'containerId' | 'ifname'>): string {
  return attachmentKey(containerId, ifname);
}

function digest(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** The same for a container and an interface each time: a DEL finds it without a record. */
export function deviceOf(key: string): string {
  return podDeviceOf(digest(key));
}

/** Locally administered, unicast. */
export function macOf(key: string): string {
  const bytes = digest(key).slice(-10).match(/../g) ?? [];
  return ['02', ...bytes].join(':');
}

export function fileOf(key: string): string {
  return `${digest(key).slice(0, 32)}.json`;
}

/** Namespace of what no orchestrator has named. */
const NAMESPACE = 'cni';

/**
 * As what a container is plugged: its pod, else its identifier. A pod's second interface, or a new sandbox of a pod
 * whose old one is still there, gets a suffix.
 */
export function podNameOf(
  { containerId, ifname, args }: Target,
  others: Iterable<PodRecord>,
): Attachment['pod'] {
  const suffix = digest(attachmentKey(containerId, ifname)).slice(0, 10);
  const [namespace, name] = [args.get('K8S_POD_NAMESPACE') ?? '', args.get('K8S_POD_NAME') ?? ''];
  const isNamed = isDnsLabel(namespace) && isDnsSubdomain(name);
  const plain = isNamed
    ? { namespace, name }
    : { namespace: NAMESPACE, name: containerName(containerId, suffix) };
  for (const other of others)
    if (other.namespace === plain.namespace && other.name === plain.name)
      return { ...plain, name: `${plain.name.slice(0, 242).replace(/[^a-z0-9]+$/, '')}.${suffix}` };
  return plain;
}

function containerName(containerId: string, suffix: string): string {
  const lower = containerId.toLowerCase();
  return lower === containerId && isDnsSubdomain(lower) ? lower : `container-${suffix}`;
}
