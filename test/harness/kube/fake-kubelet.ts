// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import type { DualStack } from '../topology.ts';
import { ApiError, type KubeApi, type KubeObject } from './api.ts';

/** Pod prefixes of a node. */
export interface PodCidrs {
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface PublishedPod {
  readonly namespace: string;
  readonly name: string;
}

export interface PublishOptions {
  readonly name: string;
  /** `default` by default. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Without prefix length. */
  readonly addresses: DualStack;
  /** Container ports by name, for Services and policies that name them; a number is one of TCP. */
  readonly ports?: Readonly<Record<string, number | { readonly protocol: string; readonly port: number }>>;
  /** True by default. */
  readonly ready?: boolean;
}

export interface RegisterOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly effect: string }[];
  /**
   * Prefixes that the Node asks for. Without them the controller manager picks: usually the next free ones, but after a
   * conflict of two writes it skips some, so nobody may count on which.
   */
  readonly podCidrs?: PodCidrs;
}

type NodeObject = KubeObject & { readonly spec?: { readonly podCIDRs?: readonly string[] } };

/**
 * What a kubelet tells the API server, and no more: a Node with addresses, and pods bound to it with their addresses and
 * readiness. The controllers behind it are real, so EndpointSlices come out as in any cluster. Which process answers at a
 * pod's address is the caller's affair.
 */
export class FakeKubelet {
  readonly nodeName: string;
  readonly #api: KubeApi;
  readonly #nodeAddresses: DualStack;

  constructor(api: KubeApi, nodeName: string, nodeAddresses: DualStack) {
    this.#api = api;
    this.nodeName = nodeName;
    this.#nodeAddresses = nodeAddresses;
  }

  /** Registers the node, says that it is ready, and waits for its pod prefixes. */
  async register({ labels = {}, taints, podCidrs }: RegisterOptions = {}): Promise<PodCidrs> {
    const asked = podCidrs === undefined ? [] : [podCidrs.ipv4, podCidrs.ipv6];
    const path = `/api/v1/nodes/${this.nodeName}`;
    await this.#api.apply(path, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: this.nodeName,
        labels: { 'kubernetes.io/hostname': this.nodeName, 'kubernetes.io/os': 'linux', ...labels },
      },
      spec: { taints, podCIDR: asked[0], podCIDRs: podCidrs && asked },
    });
    await this.#api.mergePatch(`${path}/status`, {
      status: {
        addresses: [
          ...addressList(this.#nodeAddresses).map((address) => ({ type: 'InternalIP', address })),
          { type: 'Hostname', address: this.nodeName },
        ],
        conditions: [condition('Ready', true, 'KubeletReady')],
      },
    });
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50)) {
      const cidrs = (await this.#api.get<NodeObject>(path)).spec?.podCIDRs ?? [];
      const ipv4 = cidrs.find((cidr) => cidr.includes('.'));
      const ipv6 = cidrs.find((cidr) => cidr.includes(':'));
      if (ipv4 !== undefined && ipv6 !== undefined) return { ipv4, ipv6 };
    }
    throw new Error(`Node ${this.nodeName} was given no pod prefixes of both families within 20 s`);
  }

  /** Creates a pod on this node and says that it runs. */
  async publishPod(options: PublishOptions): Promise<PublishedPod> {
    const { name, namespace = 'default', labels = {}, addresses, ports = {} } = options;
    const pod = { namespace, name };
    await this.#createPod(namespace, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels },
      spec: {
        nodeName: this.nodeName,
        automountServiceAccountToken: false,
        containers: [
          {
            name: 'main',
            image: 'none',
            ports: Object.entries(ports).map(([portName, port]) => ({
              name: portName,
              ...(typeof port === 'number'
                ? { containerPort: port }
                : { containerPort: port.port, protocol: port.protocol }),
            })),
          },
        ],
      },
    });
    await this.#api.mergePatch(`${podPath(pod)}/status`, {
      status: {
        phase: 'Running',
        hostIP: addressList(this.#nodeAddresses)[0],
        podIP: addressList(addresses)[0],
        podIPs: addressList(addresses).map((ip) => ({ ip })),
        conditions: podConditions(options.ready ?? true),
      },
    });
    return pod;
  }

  /** In a namespace that was just made, pods are refused until its `default` service account is there. */
  async #createPod(namespace: string, body: object): Promise<void> {
    for (const deadline = Date.now() + 10_000; ; await sleep(50)) {
      try {
        await this.#api.create(`/api/v1/namespaces/${namespace}/pods`, body);
        return;
      } catch (failure) {
        const early =
          failure instanceof ApiError && failure.message.includes('error looking up service account');
        if (!early || Date.now() > deadline) throw failure;
      }
    }
  }

  /** What a readiness probe would find. */
  async setReady(pod: PublishedPod, ready: boolean): Promise<void> {
    await this.#api.mergePatch(`${podPath(pod)}/status`, { status: { conditions: podConditions(ready) } });
  }

  /** Asks for a pod's end, as `kubectl delete pod` does: it stays, terminating, until {@link removePod}. */
  async terminatePod(pod: PublishedPod, graceSeconds = 300): Promise<void> {
    await this.#api.delete(podPath(pod), graceSeconds);
  }

  /** The pod's programs are gone: its object goes at once. */
  async removePod(pod: PublishedPod): Promise<void> {
    await this.#api.delete(podPath(pod), 0);
  }

  /** Takes the node out of the cluster, with what is on it. */
  async deleteNode(): Promise<void> {
    await this.#api.delete(`/api/v1/nodes/${this.nodeName}`);
  }
}

function podPath({ namespace, name }: PublishedPod): string {
  return `/api/v1/namespaces/${namespace}/pods/${name}`;
}

/** IPv4 first: the first of a list is the primary address. */
function addressList({ ipv4, ipv6 }: DualStack): string[] {
  return [ipv4, ipv6].filter((address) => address !== undefined);
}

function condition(type: string, holds: boolean, reason: string): object {
  const now = new Date().toISOString();
  return { type, status: holds ? 'True' : 'False', reason, lastTransitionTime: now };
}

function podConditions(ready: boolean): object[] {
  return [
    condition('PodScheduled', true, 'Bound'),
    condition('Initialized', true, 'Started'),
    condition('ContainersReady', ready, ready ? 'ProbesPass' : 'ProbesFail'),
    condition('Ready', ready, ready ? 'ProbesPass' : 'ProbesFail'),
  ];
}
