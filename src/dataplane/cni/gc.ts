// SPDX-License-Identifier: Apache-2.0
import { textOf } from '../errors.ts';
import { deleteDevice, lookAtDevices } from '../kernel/pod-veth.ts';
import { isPodDevice } from '../names.ts';
import { keyOf } from './attachment.ts';
import { CniError, CODE } from './cni-error.ts';
import type { CniNode } from './cni-node.ts';
import type { Configuration } from './configuration.ts';
import { tearDown } from './teardown.ts';

/** Takes away every attachment of this network that the runtime does not know, and what is left of half-made ones. */
export async function collectGarbage(
  node: CniNode,
  { name, valid = new Set() }: Configuration,
): Promise<void> {
  const failures: string[] = [];
  for (const attachment of node.attachments.values()) {
    const isKept = attachment.phase === 'Ready' && valid.has(keyOf(attachment));
    if (attachment.network !== name || isKept) continue;
    await tearDown(node, attachment).catch((error) => failures.push(textOf(error)));
  }
  await removeStrays(node).catch((error) => failures.push(textOf(error)));
  if (failures.length > 0)
    throw new CniError(CODE.KernelRefused, failures.join('; '), 'it is done again by the next GC');
}

/** Deletes pairs of ours that nothing is written down of. Returns their names. */
export async function removeStrays({ attachments }: Pick<CniNode, 'attachments'>): Promise<string[]> {
  const known = new Set(attachments.values().map(({ device }) => device));
  const strays = [...(await lookAtDevices()).keys()].filter((name) => isPodDevice(name) && !known.has(name));
  for (const device of strays) await deleteDevice(device);
  return strays;
}
