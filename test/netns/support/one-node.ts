// SPDX-License-Identifier: Apache-2.0
/** One node with an agent that reads a directory of manifests, and hosts on interfaces of their own. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStatuses } from '../../../src/dataplane/sources/manifests/status-files.ts';
import { Agent } from '../../harness/cubeplane.ts';
import { type Lab, openLab } from '../../harness/lab.ts';
import { connect, createNamespace, type Namespace, setPairChecksumOffload } from '../../harness/netns.ts';
import { createNodes, createUnderlay, type Node } from '../../harness/topology.ts';
import { Counters } from './counters.ts';
import { Manifests } from './manifests.ts';
import { conditionOf } from './two-nodes.ts';

export interface Host {
  readonly name: string;
  readonly namespace: Namespace;
  /** Of the node's end; the host's own is `eth0`. */
  readonly device: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface HostOptions {
  /** Number in 10.9.0.0/24 and fd09::/64. */
  readonly number: number;
  readonly mac?: string;
}

export class OneNode {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly manifests: Manifests;
  readonly counters: Counters;
  readonly hosts: Host[] = [];

  constructor(lab: Lab, node: Node, agent: Agent, manifests: Manifests) {
    this.lab = lab;
    this.node = node;
    this.agent = agent;
    this.manifests = manifests;
    this.counters = new Counters(agent.bpffs, node.name);
  }

  /** A host whose wire ends in an interface of the node that has its name. */
  async addHost(name: string, { number, mac }: HostOptions): Promise<Host> {
    const namespace = await createNamespace(this.lab, name);
    await this.#quiet(namespace);
    const ends = [
      { namespace, device: 'eth0', ...(mac === undefined ? {} : { mac }) },
      { namespace: this.node.namespace, device: name },
    ] as const;
    await connect(...ends);
    const host = {
      name,
      namespace,
      device: name,
      mac: await namespace.macOf('eth0'),
      ipv4: `10.9.0.${number}`,
      ipv6: `fd09::${number.toString(16)}`,
    };
    await namespace.ip(`address add ${host.ipv4}/24 dev eth0`, `address add ${host.ipv6}/64 dev eth0 nodad`);
    this.hosts.push(host);
    return host;
  }

  /** No router solicitations: nobody speaks but the test. */
  async #quiet(namespace: Namespace): Promise<void> {
    await namespace.sysctl({
      'net.ipv6.conf.default.router_solicitations': 0,
      'net.ipv6.conf.default.dad_transmits': 0,
    });
  }

  /** Checksum offload on all wires. */
  async setOffload(on: boolean): Promise<void> {
    for (const { namespace, device } of this.hosts)
      await setPairChecksumOffload(
        [
          { namespace, device: 'eth0' },
          { namespace: this.node.namespace, device },
        ],
        on,
      );
  }

  /** Waits until so many cubes and links are Ready, `named` among them, and there are no others. */
  async untilReady(
    count: number,
    options: { timeoutMs?: number; named?: readonly string[]; meanwhile?: () => Promise<void> } = {},
  ): Promise<void> {
    const { timeoutMs = 60_000, named = [], meanwhile } = options;
    let missing: string[] = [];
    for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(100)) {
      const statuses = [...(await readStatuses(this.agent.stateDir, this.node.name)).values()].filter(
        ({ kind }) => kind === 'Cube' || kind === 'CubeLink',
      );
      missing = statuses.flatMap(({ kind, metadata, status }) => {
        const ready = conditionOf(status, 'Ready');
        return ready?.status === 'True' ? [] : [`${kind} ${metadata.name}: ${ready?.message}`];
      });
      const names = new Set(statuses.map(({ metadata }) => metadata.name));
      missing.push(...named.filter((name) => !names.has(name)).map((name) => `no ${name}`));
      if (missing.length === 0 && statuses.length === count) return;
      missing.push(`${statuses.length} objects of ${count}`);
      await meanwhile?.();
    }
    throw new Error(`not ready after ${timeoutMs} ms: ${missing.join('; ')}`);
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}

/** Opens a lab with node-a and starts its agent. */
export async function openOneNode(purpose: string): Promise<OneNode> {
  const lab = await openLab(purpose);
  try {
    const underlay = await createUnderlay(lab);
    const [node] = await createNodes(underlay, ['node-a']);
    if (node === undefined) throw new Error('no node');
    const manifests = new Manifests(join(lab.directory, 'manifests'));
    const agent = new Agent(node, { manifests: manifests.directory });
    await agent.start();
    return new OneNode(lab, node, agent, manifests);
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** `ping` of a few packets: how many came back of how many. */
export async function pings(
  from: Namespace,
  to: string,
  options: { count?: number; size?: number } = {},
): Promise<number> {
  const { count = 3, size = 56 } = options;
  const argv = ['ping', '-n', '-c', String(count), '-i', '0.05', '-W', '2', '-s', String(size), to];
  const { stdout } = await from.exec(argv, { anyStatus: true, timeoutMs: 60_000 });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}
