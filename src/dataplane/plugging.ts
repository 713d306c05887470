// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { formatAddress, masked, parsePrefix } from '../api/ip.ts';
import { AgentError } from './errors.ts';
import { macInside, setUpPod } from './kernel/pod-network.ts';
import { GATEWAY_MAC } from './layout.ts';
import { readsPolicies } from './objects.ts';
import { gatewaysOf, type PlugRequest, recordOf } from './plug-request.ts';
import { limitersOf, whyNotLimited } from './pod-limits.ts';
import type { PodRecord } from './pod-record.ts';
import type { PodStore } from './pods.ts';
import type { Reconciler } from './reconciler.ts';
import type { Store } from './store.ts';

/** How long a pod whose interface is gone is remembered: a CNI may make it again under the same name. */
const SWEEP_MS = 60_000;

/** Plugs pods in and out. Its methods run one at a time, and never during a round of the agent. */
export class Plugging {
  readonly #node: string;
  readonly #pods: PodStore;
  readonly #store: Store;
  readonly #reconciler: Reconciler;
  readonly #missingSince = new Map<string, number>();

  constructor(node: string, pods: PodStore, store: Store, reconciler: Reconciler) {
    this.#node = node;
    this.#pods = pods;
    this.#store = store;
    this.#reconciler = reconciler;
  }

  /** Idempotent. On failure everything is as it was. Throws AgentError. */
  async plug(request: PlugRequest): Promise<PodRecord & { gatewayMac: string }> {
    const portAddresses = [...this.#reconciler.inForce.effective.cubes.values()].flatMap(({ spec }) =>
      (spec.ports ?? []).flatMap((port) => port.addresses ?? []),
    );
    const podCIDRs = this.#podCIDRs();
    let record = recordOf(request, {
      nodeName: this.#node,
      podCIDRs,
      pods: this.#pods.values(),
      portAddresses,
    });
    if (record.gateways?.length === 0) {
      record = { ...record, gateways: gatewaysOf(record.addresses, podCIDRs.flatMap(firstHost)) };
    }
    const host = await this.#reconciler.refreshInterface(record.interface, request.made);
    if (host === undefined) {
      throw new AgentError(
        'InterfaceNotFound',
        `pod ${record.namespace}/${record.name}: node ${this.#node} has no interface ${record.interface}`,
        'name the host end of the pod’s veth pair, in the network namespace of the agent',
      );
    }
    if (record.mac === '' || record.netns !== undefined) {
      const mac = await macInside(record);
      if (record.mac !== '' && record.mac !== mac) {
        throw new AgentError(
          'InvalidRequest',
          `pod ${record.namespace}/${record.name}: its interface has the MAC ${mac}, not ${record.mac}`,
          'leave the MAC out, or correct it',
        );
      }
      record = { ...record, mac };
    }
    const key = `${record.namespace}/${record.name}`;
    const before = this.#pods.get(key);
    if (request.made !== undefined) this.#reconciler.newDevices.add(host.ifindex);
    this.#pods.put(record);
    try {
      // Before it is reached, or sends: its interface has no address yet, and nobody else's packets come to it.
      this.#reconciler.inForce.addPod(record);
      await this.#followTables(record);
      await this.#reconciler.reconcilePods();
      if (record.about !== undefined) this.#requirePolicies(record);
      if (record.bandwidth !== undefined) this.#requireLimits(record);
      // Only now, where it was down: nothing passes before the chain has it.
      await setUpPod(record, host, {
        routes: request.routes === true,
        ...(request.mtu === undefined ? {} : { mtu: request.mtu }),
      });
    } catch (error) {
      this.#reconciler.inForce.removePod(record);
      if (before === undefined) this.#pods.remove(record.namespace, record.name);
      else this.#pods.put(before);
      throw error;
    }
    return { ...record, gatewayMac: GATEWAY_MAC };
  }

  /** Of a pod that has rows of its own. */
  async #followTables({ about, hostPorts, bandwidth }: PodRecord): Promise<void> {
    const hasTables = about !== undefined || hostPorts !== undefined || bandwidth !== undefined;
    if (hasTables && this.#reconciler.inKernel.ready) await this.#reconciler.followTables();
  }

  #requirePolicies({ namespace, name }: PodRecord): void {
    const why = this.#whyNoPolicies();
    if (why === undefined) return;
    throw new AgentError(
      'PolicyNotInForce',
      `pod ${namespace}/${name}: its policies are not in the kernel: ${why}`,
      'it is tried again; a pod gets no network before its policies are in force',
    );
  }

  #requireLimits(record: PodRecord): void {
    const why = whyNotLimited(record, limitersOf(this.#reconciler.running.values()));
    if (why === undefined) return;
    throw new AgentError(
      'LimitNotInForce',
      `pod ${record.namespace}/${record.name}: its bandwidth is not limited: ${why}`,
      'it is tried again; cubeplane get cubes says more of the RateLimiter',
    );
  }

  #whyNoPolicies(): string | undefined {
    const { inForce, running } = this.#reconciler;
    if (!this.#store.isKnown) return 'the objects of the node are not all known yet';
    if (!this.#store.isSynced && inForce.isDamaged) return 'some of the tables that were saved are damaged';
    if (inForce.holdsTables) return inForce.guarded?.message ?? 'many tables disappeared at once';
    const firewalls = [...running.values()].filter(({ plan: { cube } }) => readsPolicies(cube.object));
    return firewalls.flatMap(({ image }) => image.problems?.() ?? [])[0]?.message;
  }

  /** Returns whether it was plugged. A pod or interface that is gone already is no error. */
  async unplug(namespace: string, name: string): Promise<boolean> {
    const record = this.#pods.get(`${namespace}/${name}`);
    if (record === undefined) return false;
    this.#pods.remove(namespace, name);
    this.#reconciler.inForce.removePod(record);
    await this.#followTables(record);
    const link = await this.#reconciler.refreshInterface(record.interface);
    if (link !== undefined) this.#reconciler.newDevices.delete(link.ifindex);
    await this.#reconciler.reconcilePods();
    return true;
  }

  /** A new pod's interface that is there still gets its link now; of one that was deleted everything goes. */
  async follow(device: string): Promise<void> {
    const link = await this.#reconciler.refreshInterface(device);
    if (link !== undefined) this.#reconciler.newDevices.delete(link.ifindex);
    await this.#reconciler.reconcilePods();
  }

  /** Forgets pods whose interface has been gone for long, or whose network namespace is gone too. Returns their keys. */
  sweep(now: number): string[] {
    const swept: string[] = [];
    for (const { namespace, name, interface: device, netns } of [...this.#pods.values()]) {
      const key = `${namespace}/${name}`;
      if (this.#reconciler.network.interfaces.has(device)) {
        this.#missingSince.delete(key);
        continue;
      }
      const since = this.#missingSince.get(key) ?? now;
      this.#missingSince.set(key, since);
      const namespaceGone = netns !== undefined && !existsSync(netns);
      if (!namespaceGone && now - since < SWEEP_MS) continue;
      this.#pods.remove(namespace, name);
      this.#reconciler.inForce.removePod({ namespace, name });
      this.#missingSince.delete(key);
      swept.push(key);
    }
    return swept;
  }

  #podCIDRs(): string[] {
    const spec = this.#store.node?.spec;
    return [...(spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]))];
  }
}

/** The first host of a range with its length: the address that $(node.podCIDRs…gateway) stands for. */
function firstHost(cidr: string): string[] {
  const prefix = parsePrefix(cidr);
  if (prefix === undefined) return [];
  const base = masked(prefix);
  return [`${formatAddress({ family: base.family, value: base.value + 1n })}/${prefix.length}`];
}
