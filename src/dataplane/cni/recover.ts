// SPDX-License-Identifier: Apache-2.0
/** At the start of an agent: what is written down against what exists. */
import { existsSync } from 'node:fs';
import { textOf } from '../errors.ts';
import { lookAtDevices } from '../kernel/pod-veth.ts';
import { type Attachment, keyOf } from './attachment.ts';
import type { CniNode } from './cni-node.ts';
import { removeStrays } from './gc.ts';
import { tearDown } from './teardown.ts';

/** Half made when the agent ended, or without device and namespace, as after the node has started anew. */
export function isLost(
  { phase, device, netns }: Attachment,
  devices: ReadonlySet<string>,
  isThere: (path: string) => boolean,
): boolean {
  return phase !== 'Ready' || (!devices.has(device) && !isThere(netns));
}

/** Never throws: what cannot be done now is done by DEL or GC. */
export async function recover(node: CniNode): Promise<void> {
  const { attachments, log } = node;
  try {
    const devices = new Set((await lookAtDevices()).keys());
    const lost = attachments.values().filter((one) => isLost(one, devices, existsSync));
    node.known.remember(lost, node.agent.pods());
    for (const attachment of lost)
      await tearDown(node, attachment).catch((error) =>
        log.warn({ attachment: keyOf(attachment), error: textOf(error) }, 'an interface stays for now'),
      );
    const strays = await removeStrays(node);
    if (lost.length + strays.length > 0)
      log.info({ lost: lost.map(keyOf), strays }, 'interfaces of no container were removed');
  } catch (error) {
    log.warn({ error: textOf(error) }, 'interfaces of containers were not looked at');
  }
}
