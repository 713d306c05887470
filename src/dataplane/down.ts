// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentLog } from './agent-options.ts';
import { isAgentRunning } from './client.ts';
import { uninstall } from './cni/installation.ts';
import { COPY_DEVICES, INJECT_DEVICES, OVERLAY_DEVICE, STACK_DEVICES } from './desired.ts';
import { AgentError, textOf } from './errors.ts';
import { deletionOf } from './host-routes.ts';
import { removeKernelState } from './kernel/down.ts';
import { BPFFS } from './kernel/kernel.ts';
import { readNetwork } from './kernel/netlink.ts';
import { deleteDevice } from './kernel/pod-veth.ts';
import { reservePorts } from './kernel/reserved-ports.ts';
import { ipBatch } from './kernel/run.ts';
import { isPodDevice } from './names.ts';

export interface DownOptions {
  readonly node: string;
  /** The node's own folder of state. */
  readonly stateDir: string;
  readonly bpffs?: string;
  readonly log: AgentLog;
}

/**
 * Removes everything that agents of this node ever made: attachments first, then programs, maps, devices and state. What
 * is gone already is passed over; what cannot be removed is reported at the end, after all the rest. Run it in the node's
 * network namespace. Throws AgentError, AlreadyRunning while the agent runs.
 */
export async function down(options: DownOptions): Promise<void> {
  if (await isAgentRunning(options.stateDir)) {
    throw new AgentError(
      'AlreadyRunning',
      `the agent of node ${options.node} is running`,
      'end it first: it would make everything anew',
    );
  }
  const failures: string[] = [];
  const attempt = async (work: () => unknown) => {
    try {
      await work();
    } catch (error) {
      failures.push(textOf(error));
    }
  };
  // First of all, so that the runtime gives no pod a network any more.
  await attempt(() => uninstall(options.stateDir));
  await attempt(() => failures.push(...removeKernelState(options.bpffs ?? BPFFS, options.node)));
  await attempt(async () => {
    const { interfaces, hostRoutes } = await readNetwork();
    // those on cube0 go with it
    for (const route of hostRoutes) if (route.direct !== undefined) await ipBatch([deletionOf(route)]);
    for (const device of [OVERLAY_DEVICE, STACK_DEVICES[0], INJECT_DEVICES[0], COPY_DEVICES[0]]) {
      if (interfaces.has(device)) await ipBatch([`link delete ${device}`]);
    }
    for (const device of interfaces.keys()) if (isPodDevice(device)) await deleteDevice(device);
  });
  await attempt(() => reservePorts(options.stateDir, []));
  for (const name of [
    'cni',
    'pods',
    'logs',
    'committed.json',
    'tables.journal',
    'node.json',
    'restored.json',
    'agent.sock',
  ]) {
    await attempt(() => rmSync(join(options.stateDir, name), { recursive: true, force: true }));
  }
  if (failures.length > 0) {
    throw new AgentError(
      'KernelError',
      `not everything could be removed: ${failures.join('; ')}`,
      'run it again as root',
    );
  }
  options.log.info({ node: options.node }, 'everything was removed');
}
