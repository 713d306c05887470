// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lab, openLab } from '../../harness/lab.ts';
import { run } from '../../harness/process.ts';
import { createNode, createPod, createUnderlay, type Node, type Pod } from '../../harness/topology.ts';
import { AgentClient } from './agent-client.ts';
import { NODE } from './agent-objects.ts';

export const GATEWAYS = { ipv4: '10.244.1.1', ipv6: 'fd00:244:1::1' };

/** A node in a namespace with a BPF file system of its own, and agents that come and go. */
export class AgentLab {
  readonly lab: Lab;
  readonly node: Node;
  readonly root: string;
  readonly bpffs: string;
  readonly state: string;
  readonly #agents: AgentClient[] = [];

  constructor(lab: Lab, node: Node, root: string) {
    this.lab = lab;
    this.node = node;
    this.root = root;
    this.bpffs = join(root, 'bpffs');
    this.state = join(root, 'state');
  }

  static async open(purpose: string): Promise<AgentLab> {
    const lab = await openLab(purpose);
    const root = await mkdtemp(join(tmpdir(), 'cubeplane-agent-'));
    const node = await createNode(await createUnderlay(lab), NODE, 0);
    const result = new AgentLab(lab, node, root);
    await mkdir(result.bpffs);
    await run(['mount', '-t', 'bpf', 'bpf', result.bpffs]);
    return result;
  }

  async start(env: Record<string, string> = {}, wrap: readonly string[] = []): Promise<AgentClient> {
    const all = { NODE, STATE: this.state, BPFFS: this.bpffs, ...env };
    const agent = new AgentClient(this.node.namespace.path, all, wrap);
    this.#agents.push(agent);
    return await agent.started();
  }

  async pod(name: string, number: number): Promise<Pod> {
    const addresses = { ipv4: `10.244.1.${number}/32`, ipv6: `fd00:244:1::${number.toString(16)}/128` };
    return await createPod(this.node, { name, addresses, gateways: GATEWAYS });
  }

  /** A new node would have none of this. */
  async wipe(): Promise<void> {
    await run(['umount', this.bpffs]);
    await run(['mount', '-t', 'bpf', 'bpf', this.bpffs]);
    await rm(this.state, { recursive: true, force: true });
  }

  /** Every path on the BPF file system below the node's folder, with its inode: the same pin is the same object. */
  pins(): Map<string, number> {
    const found = new Map<string, number>();
    const walk = (folder: string) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) walk(path);
        else found.set(path.slice(this.bpffs.length), statSync(path).ino);
      }
    };
    const root = join(this.bpffs, 'cubeplane');
    if (existsSync(root)) walk(root);
    return found;
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.child.kill('SIGKILL');
    await run(['umount', this.bpffs], { anyStatus: true });
    await this.lab.close();
    await rm(this.root, { recursive: true, force: true });
  }
}

export function plugRequest(pod: Pod): object {
  return {
    namespace: 'default',
    name: pod.name,
    interface: pod.hostDevice,
    netns: pod.namespace.path,
    addresses: [pod.addresses.ipv4, pod.addresses.ipv6],
    gateways: [GATEWAYS.ipv4, GATEWAYS.ipv6],
  };
}

/** How many of `count` pings are answered. */
export async function pings(from: Pod, to: Pod, count = 3): Promise<number> {
  let answered = 0;
  for (const address of [to.addresses.ipv4, to.addresses.ipv6]) {
    const argv = ['ping', '-c', String(count), '-i', '0.02', '-W', '1', address as string];
    const { stdout } = await from.namespace.exec(argv, { anyStatus: true });
    answered += Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  }
  return answered;
}
