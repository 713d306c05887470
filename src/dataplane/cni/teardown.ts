// SPDX-License-Identifier: Apache-2.0
import { textOf } from '../errors.ts';
import { deleteDevice } from '../kernel/pod-veth.ts';
import { type Attachment, keyOf } from './attachment.ts';
import type { CniNode } from './cni-node.ts';
import { Steps } from './steps.ts';

/**
 * Takes an attachment away, however much of it there is. It stays written down until all is gone, so that what fails is
 * done again by the next DEL, GC or start. Throws AgentError where the device cannot be deleted.
 */
export async function tearDown(
  { agent, attachments, log }: CniNode,
  attachment: Attachment,
  steps = new Steps(),
): Promise<void> {
  const { device, pod } = attachment;
  try {
    if (attachment.phase !== 'Removing') attachments.put({ ...attachment, phase: 'Removing' });
  } catch (error) {
    // A disk that is full must keep no pod from going.
    log.warn({ pod, error: textOf(error) }, 'that a pod goes could not be written down');
  }
  // The wire first: then nothing goes in or out, whatever comes after.
  await steps.of('pair', () => deleteDevice(device));
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
}
