// SPDX-License-Identifier: Apache-2.0
import { textOf } from '../errors.ts';
import { deleteDevice, deleteIdle, type IdleVeth, idleVeth } from '../kernel/pod-veth.ts';
import { type Attachment, keyOf } from './attachment.ts';
import type { CniNode } from './cni-node.ts';
import { Steps } from './steps.ts';

/**
 * Takes an attachment away, however much of it there is. It stays written down until all is gone, so that what fails is
 * done again by the next DEL, GC or start. Throws AgentError where the device cannot be deleted.
 */
export async function tearDown(node: CniNode, attachment: Attachment, steps?: Steps): Promise<void> {
  await takeAway(node, attachment, deletePair, steps);
}

/**
 * The same without the wait for the kernel to delete the pair: it is out of use, and is deleted later. An agent that is killed before
 * leaves a pair of which nothing is written down, which the next one deletes.
 */
export async function letGo(node: CniNode, attachment: Attachment, steps?: Steps): Promise<void> {
  const idle = await takeAway(node, attachment, idlePair, steps);
  if (idle === undefined || node.afterwork.remove(idle)) return;
  await deleteIdle(idle);
  await node.agent.followDevice(idle.device);
}

async function deletePair({ device }: Attachment): Promise<undefined> {
  await deleteDevice(device);
}

async function idlePair(attachment: Attachment): Promise<IdleVeth | undefined> {
  return (await idleVeth(attachment)) ?? (await deletePair(attachment));
}

async function takeAway(
  { agent, attachments, log }: CniNode,
  attachment: Attachment,
  cut: (attachment: Attachment) => Promise<IdleVeth | undefined>,
  steps = new Steps(),
): Promise<IdleVeth | undefined> {
  const { device, pod } = attachment;
  try {
    if (attachment.phase !== 'Removing') attachments.put({ ...attachment, phase: 'Removing' });
  } catch (error) {
    // A disk that is full must keep no pod from going.
    log.warn({ pod, error: textOf(error) }, 'that a pod goes could not be written down');
  }
  // The wire first: then nothing goes in or out, whatever comes after.
  const idle = await steps.of('pair', () => cut(attachment));
  const isPlugged = agent
    .pods()
    .some((one) => one.interface === device && one.namespace === pod.namespace && one.name === pod.name);
  if (isPlugged) {
    // The record is gone then; what the kernel refuses now is done again by the agent's next round.
    await steps
      .of('rows', () => agent.unplug(pod.namespace, pod.name))
      .catch((error) => {
        log.warn({ pod, error: textOf(error) }, 'a pod was unplugged, the kernel follows later');
      });
  }
  await steps.of('record', () => attachments.remove(keyOf(attachment), Date.now()));
  return idle;
}
