// SPDX-License-Identifier: Apache-2.0
/** Two nodes joined by the underlay, an agent on each, both reading one directory of manifests. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DirectoryReport, reportPath } from '../../../src/dataplane/sources/manifests/report.ts';
import { readJson } from '../../../src/dataplane/sources/manifests/state-files.ts';
import { readStatuses, type StatusFile } from '../../../src/dataplane/sources/manifests/status-files.ts';
import { Agent } from '../../harness/cubeplane.ts';
import { type Lab, openLab } from '../../harness/lab.ts';
import {
  createNodes,
  createPod,
  createUnderlay,
  type Node,
  type Pod,
  type PodOptions,
  setPodOffload,
  setUnderlayOffload,
  type Underlay,
} from '../../harness/topology.ts';
import { Counters, type Drops } from './counters.ts';
import {
  type Manifest,
  Manifests,
  nodeObject,
  podNetwork,
  type ServiceOptions,
  sampleChain,
  serviceObjects,
} from './manifests.ts';

export const FAMILIES = ['ipv4', 'ipv6'] as const;
export const SYSTEM = 'cubeplane-system';

export function cubeTable(name: string, spec: object): Manifest {
  return {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeTable',
    metadata: { name, namespace: SYSTEM },
    spec,
  };
}

/** What VXLAN over IPv6 takes of a packet; IPv4 takes 20 less. */
const OVERLAY_BYTES = 70;

export interface TwoNodesOptions {
  /** Changes the sample chain before it is written. */
  // biome-ignore lint/suspicious/noExplicitAny: tests change any field of it
  readonly chain?: (chain: any) => void;
  /** How many nodes; 2 by default. */
  readonly nodes?: number;
  /** More flags for `cubeplane up`. */
  readonly flags?: readonly string[];
  /** The same for one node. */
  readonly flagsOf?: (node: Node) => readonly string[];
  /** Another commit that agents and command line are taken from, as `Agent.checkout`. */
  readonly checkout?: string;
}

/** One node of the lab with its agent and counters. */
export interface Worker {
  readonly index: number;
  readonly node: Node;
  readonly agent: Agent;
  readonly counters: Counters;
}

export class TwoNodes {
  readonly lab: Lab;
  readonly underlay: Underlay;
  readonly manifests: Manifests;
  readonly workers: readonly Worker[];

  constructor(lab: Lab, underlay: Underlay, manifests: Manifests, workers: readonly Worker[]) {
    this.lab = lab;
    this.underlay = underlay;
    this.manifests = manifests;
    this.workers = workers;
  }

  /** The `index`-th node, from 0: node-a, node-b. */
  worker(index: number): Worker {
    const worker = this.workers[index];
    if (worker === undefined) throw new Error(`no node ${index}`);
    return worker;
  }

  /** A pod with host number `number`, joined to the chain of the `index`-th node. */
  async addPod(index: number, name: string, number: number, options: Partial<PodOptions> = {}): Promise<Pod> {
    const { node, agent } = this.worker(index);
    const mtu = node.underlay.mtu - OVERLAY_BYTES;
    const pod = await createPod(node, { name, mtu, ...podNetwork(index, number), ...options });
    await agent.plug(pod);
    return pod;
  }

  /** Writes a Service and its EndpointSlices into one file. */
  writeService(options: ServiceOptions): void {
    this.manifests.write(`service-${options.name}.yaml`, ...serviceObjects(options));
  }

  /** Checksum offload everywhere: on all pods' pairs and on the way of all nodes to the switch. */
  async setOffload(on: boolean): Promise<void> {
    for (const { node } of this.workers) {
      await setUnderlayOffload(node, on);
      for (const pod of node.pods.values()) await setPodOffload(pod, on);
    }
  }

  /** Statuses that the agent of a node wrote, by `kind/namespace/name`. */
  async statuses(index: number): Promise<Map<string, StatusFile>> {
    const { agent, node } = this.worker(index);
    return await readStatuses(agent.stateDir, node.name);
  }

  /** What the agent of a node says about the directory. */
  async report(index: number): Promise<DirectoryReport | undefined> {
    const { agent, node } = this.worker(index);
    return await readJson<DirectoryReport>(reportPath(agent.stateDir, node.name));
  }

  /** Drops of a node by cube (`entry` for the entry program). `ilb` and `router` are those of the sample chain. */
  async drops(index: number): Promise<Record<'entry' | 'ilb' | 'router', Drops>> {
    const { counters, node } = this.worker(index);
    return {
      entry: await counters.entry(),
      ilb: await counters.cube(`${SYSTEM}/kubernetes.ilb.${node.name}`, 'LoadBalancer'),
      router: await counters.cube(`${SYSTEM}/kubernetes.router.${node.name}`, 'Router'),
    };
  }

  /** Waits until every cube and link of the chain is Ready on all nodes. */
  async untilReady(timeoutMs = 60_000): Promise<void> {
    let missing: string[] = [];
    for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(100)) {
      missing = [];
      for (const { index, node } of this.workers) {
        const statuses = [...(await this.statuses(index)).values()].filter(({ kind }) => kind === 'Cube');
        if (statuses.length === 0) missing.push(`no Cube on ${node.name}`);
        for (const { metadata, status } of statuses) {
          const ready = conditionOf(status, 'Ready');
          if (ready?.status !== 'True') missing.push(`${metadata.name}: ${ready?.message ?? 'no condition'}`);
        }
      }
      if (missing.length === 0) return;
    }
    throw new Error(`not ready after ${timeoutMs} ms: ${missing.join('; ')}`);
  }

  /** Waits until the balancer of the sample chain holds so many frontends: address, port and protocol. */
  async untilFrontends(index: number, count: number, timeoutMs = 60_000): Promise<void> {
    const { counters, node } = this.worker(index);
    let held = 0;
    for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(50)) {
      held = await counters.rows(`${SYSTEM}/kubernetes.ilb.${node.name}`, 'frontends');
      if (held === count) return;
    }
    throw new Error(`${held} frontends on ${node.name} after ${timeoutMs} ms, not ${count}`);
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}

export interface ConditionText {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

export function conditionOf(
  status: Readonly<Record<string, unknown>>,
  type: string,
): ConditionText | undefined {
  return ((status.conditions ?? []) as ConditionText[]).find((condition) => condition.type === type);
}

/** Opens a lab with nodes node-a, node-b, their agents running and the chain ready. */
export async function openTwoNodes(purpose: string, options: TwoNodesOptions = {}): Promise<TwoNodes> {
  const lab = await openLab(purpose);
  try {
    const underlay = await createUnderlay(lab);
    const names = ['node-a', 'node-b', 'node-c'].slice(0, options.nodes ?? 2);
    const nodes = await createNodes(underlay, names);
    const manifests = new Manifests(join(lab.directory, 'manifests'));
    const chain = sampleChain();
    options.chain?.(chain);
    manifests.write('chain.yaml', chain);
    manifests.write('nodes.yaml', ...nodes.map(nodeObject));
    const workers = nodes.map((node, index): Worker => {
      const flags = [...(options.flags ?? []), ...(options.flagsOf?.(node) ?? [])];
      const agent = new Agent(node, { manifests: manifests.directory }, flags);
      agent.checkout = options.checkout ?? agent.checkout;
      return { index, node, agent, counters: new Counters(agent.bpffs, node.name) };
    });
    for (const { agent } of workers) await agent.start();
    const two = new TwoNodes(lab, underlay, manifests, workers);
    await two.untilReady();
    return two;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** What was counted between two looks, by reason. */
export function difference(before: Drops, after: Drops): Drops {
  const result: Record<string, number> = {};
  for (const [name, count] of Object.entries(after)) {
    const more = count - (before[name] ?? 0);
    if (more !== 0) result[name] = more;
  }
  return result;
}
