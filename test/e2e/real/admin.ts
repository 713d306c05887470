// SPDX-License-Identifier: Apache-2.0
import { expect } from '@jest/globals';
import { find, type State } from '../../../scripts/cluster/state.ts';
import { SYSTEM_NAMESPACE } from '../../harness/kube/access.ts';
import { attachLab, type Lab } from '../../harness/lab.ts';
import { type RunOptions, run } from '../../harness/process.ts';
import { until } from '../../harness/until.ts';

export const AGENTS = 'daemonset/cubeplane-agent';

interface PodObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** What pods leave on a node, and in its kernel, as numbers that are the same when they are gone. */
export type Traces = Readonly<Record<string, number>>;

/** Who runs the cluster of `npm run cluster` with this name. */
export class Admin {
  readonly lab: Lab;
  readonly #state: State;

  constructor(lab: Lab, state: State) {
    this.lab = lab;
    this.#state = state;
  }

  static async of(name: string): Promise<Admin> {
    const found = await find('real', name);
    if (found === undefined) throw new Error(`${name} is not up`);
    return new Admin(await attachLab(found.id), found.state);
  }

  async kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { kubectl, kubeconfig } = this.#state;
    const argv = [kubectl, `--kubeconfig=${kubeconfig}`, ...args];
    return (await run(argv, { timeoutMs: 300_000, ...options })).stdout;
  }

  async system(...args: string[]): Promise<string> {
    return await this.kubectl(['--namespace', SYSTEM_NAMESPACE, ...args]);
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await this.kubectl(['apply', '-f', '-'], { input });
  }

  /** Runs a program on a node, or another machine. */
  async inMachine(name: string, ...argv: string[]): Promise<string> {
    const machine = this.#state.nodes.find((one) => one.name === name);
    if (machine === undefined) throw new Error(`no machine ${name}`);
    return (await run([...machine.enter, ...argv], { timeoutMs: 120_000 })).stdout;
  }

  addressOf(name: string): string {
    return this.#state.nodes.find((one) => one.name === name)?.address ?? '';
  }

  /** Pods with this label that are not being deleted. */
  async pods(selector: string, namespace = 'default'): Promise<PodObject[]> {
    const text = await this.kubectl(['--namespace', namespace, 'get', 'pods', '-l', selector, '-o', 'json']);
    const { items } = JSON.parse(text) as { items: PodObject[] };
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** The agent's pod of a node, once it is ready. */
  async agentOf(node: string): Promise<string> {
    return await until(`the agent of ${node} is ready`, async () => {
      const pods = await this.pods('app.kubernetes.io/name=cubeplane-agent', SYSTEM_NAMESPACE);
      const isReady = ({ status }: PodObject) =>
        status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
      return pods.find((pod) => pod.spec.nodeName === node && isReady(pod))?.metadata.name;
    });
  }

  /** `cubeplane …` on a node. */
  async cubeplane(node: string, ...args: string[]): Promise<string> {
    return await this.system('exec', await this.agentOf(node), '--', 'cubeplane', ...args);
  }

  /** Resident memory of a node's agent, in megabytes. */
  async agentMemory(node: string): Promise<number> {
    const text = await this.inMachine(node, 'ps', '-eo', 'rss,args');
    const line = text.split('\n').find((one) => one.includes('/cubeplane up --cni')) ?? '';
    return Math.round(Number.parseInt(line, 10) / 1024);
  }

  async traces(node: string): Promise<Traces> {
    const state = `/var/lib/cubeplane/${node}`;
    const count = async (script: string) =>
      Number(await this.inMachine(node, 'sh', '-c', `${script} | wc -l`));
    return {
      pairs: await count("ip -o link show type veth | grep -E ' cp[0-9a-f]{13}@'"),
      leases: await count(`ls ${state}/cni/attachments`),
      pods: await count(`ls ${state}/pods`),
      namespaces: await count('ls /run/netns'),
      ...(await this.#rows(node)),
    };
  }

  /** How many backends of a Service the pods of a node have, those included that are kept for connections which may still have them. */
  async backendRows(node: string, service: string): Promise<number> {
    const words = ['tables', `kubernetes.ilb.${node}`, 'backends', '--match', `Service ${service}`];
    const text = await this.cubeplane(node, ...words, '--limit', '1000', '-o', 'json');
    return (JSON.parse(text) as { readonly rows: readonly object[] }).rows.length;
  }

  /** Rows of pods and Services in the kernel. */
  async #rows(node: string): Promise<Traces> {
    const tables = JSON.parse(await this.cubeplane(node, 'tables', '-o', 'json')) as {
      readonly cube?: string;
      readonly table: string;
      readonly used: number | null;
    }[];
    const wanted = /^(pods|attachments|frontends|picks)$/;
    const named = tables.filter(({ table }) => wanted.test(table));
    expect(named.length).toBeGreaterThanOrEqual(8);
    return Object.fromEntries(
      named.map(({ cube, table, used }) => [
        `${cube ?? 'node'} ${table}`.replace(/^.*\.(.*)\..* /, '$1 '),
        used ?? 0,
      ]),
    );
  }
}
