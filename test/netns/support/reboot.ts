// SPDX-License-Identifier: Apache-2.0
/** A node that starts anew: what lives in the kernel is gone, what is on its disk stays. */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCgroup, removeCgroup } from '../../harness/cgroup.ts';
import { deleteNamespace } from '../../harness/netns.ts';
import { createNode, type Node } from '../../harness/topology.ts';

export interface RebootOptions {
  /** Folder of the node's pins. */
  readonly pins: string;
  /** As where only the network namespace is made anew: a node in a container. */
  readonly keepPins?: boolean;
}

/**
 * Ends every process of the `index`-th node and its pods, takes its devices, namespaces and pins away, and plugs it into the
 * underlay again. Pods are forgotten: make them anew. No agent runs then.
 */
export async function reboot(node: Node, index: number, { pins, keepPins }: RebootOptions): Promise<void> {
  const { underlay } = node;
  await removeCgroup(node.namespace.cgroup);
  for (const pod of node.pods.values()) await deleteNamespace(pod.namespace);
  node.pods.clear();
  await deleteNamespace(node.namespace);
  const port = `port${node.addresses.ipv4.split('.')[3]}`;
  const isThere = async () =>
    (await underlay.namespace.ipJson('link show')).some(({ ifname }) => ifname === port);
  // The kernel takes a namespace apart in its own time.
  for (const deadline = Date.now() + 30_000; await isThere(); await sleep(20))
    if (Date.now() > deadline) throw new Error(`${port} is still there: something keeps ${node.name} alive`);
  if (keepPins !== true) rmSync(pins, { recursive: true, force: true });
  await createNode(underlay, node.name, index);
  await createCgroup(node.namespace.cgroup);
}
