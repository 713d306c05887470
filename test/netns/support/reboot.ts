// SPDX-License-Identifier: Apache-2.0
/** A node that starts anew: what lives in the kernel is gone, what is on its disk stays. */
import { rmSync } from 'node:fs';
import { createCgroup, removeCgroup } from '../../harness/cgroup.ts';
import { deleteNamespace } from '../../harness/netns.ts';
import { createNode, type Node, unplug } from '../../harness/topology.ts';

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
  await removeCgroup(node.namespace.cgroup);
  for (const pod of node.pods.values()) await deleteNamespace(pod.namespace);
  node.pods.clear();
  await unplug(node);
  if (keepPins !== true) rmSync(pins, { recursive: true, force: true });
  await createNode(node.underlay, node.name, index);
  await createCgroup(node.namespace.cgroup);
}
