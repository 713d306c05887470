// SPDX-License-Identifier: Apache-2.0
/** A node whose machine is ended and started anew, by whichever process asks: what it takes lies in the node's folder. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { routeToInternet } from '../internet.ts';
import { attachLab, type Lab } from '../lab.ts';
import { namespaceOf } from '../netns.ts';
import { formatElapsed, type Log } from '../progress.ts';
import { createNode, type Machine, underlayOf } from '../topology.ts';
import { cutPower } from './machine.ts';
import { type KubeletOptions, prepareNode, type RealNodeOptions, startKubelet } from './node.ts';

/** What a node is started with each time, as JSON. Its images are on its disk then. */
export interface Boot extends Omit<RealNodeOptions, 'archives'> {
  /** Of the cluster's nodes, from 0. */
  readonly index: number;
  readonly addresses: Machine['addresses'];
  /** Addresses of its default gateway. */
  readonly gateway: Machine['addresses'];
  readonly kubelet: KubeletOptions;
}

const FILE = 'boot.json';

/** Makes a node that is prepared one that {@link rebootNode} can start anew. */
export async function rememberBoot({ namespace }: Pick<Machine, 'namespace'>, boot: Boot): Promise<void> {
  await writeFile(join(namespace.directory, FILE), JSON.stringify(boot), { mode: 0o600 });
}

/**
 * Cuts a node's power, and starts it anew: its processes, namespaces, devices and pins are gone, its disk is as it was. Resolves when
 * kubelet runs.
 *
 * @throws Error for a node that some program on it could not be started again on.
 */
export async function rebootNode(id: string, name: string, log: Log): Promise<void> {
  const lab = await attachLab(id);
  try {
    await reboot(lab, name, log);
    lab.release();
  } catch (failure) {
    // What it has started already is ended with the lab.
    lab.scope.forget();
    throw failure;
  }
}

async function reboot(lab: Lab, name: string, log: Log): Promise<void> {
  const began = Date.now();
  const say = (line: string) => log(`${formatElapsed(Date.now() - began)}  ${line}`);
  const namespace = namespaceOf(lab, name);
  const text = await readFile(join(namespace.directory, FILE), 'utf8').catch(() => undefined);
  if (text === undefined)
    throw new Error(`${name} cannot be started anew: its network is programs that run beside kubelet`);
  const boot = JSON.parse(text) as Boot;
  const underlay = underlayOf(lab);
  await cutPower({ name, namespace, underlay, addresses: boot.addresses });
  say(`${name} is off`);
  const node = await createNode(underlay, name, boot.index);
  await routeToInternet(node, { addresses: boot.gateway });
  const real = await prepareNode(node, { ...boot, archives: [] });
  say(`${name}: containerd runs`);
  await startKubelet(real, boot.kubelet);
  say(`${name}: kubelet runs`);
}
