// SPDX-License-Identifier: Apache-2.0
/** A container runtime's side of CNI: the real plugin, called with variables and standard input as the specification says. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cniFlags, cniPlaces, pluginAnswer, startPlugin } from '../../harness/cni.ts';
import { createNamespace, type Namespace } from '../../harness/netns.ts';
import { run } from '../../harness/process.ts';
import type { Worker } from './two-nodes.ts';

export { cniFlags };

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what a plugin prints
  readonly json: any;
  readonly stdout: string;
  readonly ms: number;
}

export interface Container {
  readonly id: string;
  readonly namespace: Namespace;
}

// biome-ignore lint/suspicious/noExplicitAny: tests write broken ones too
export type NetConf = Record<string, any>;

export interface CallOptions {
  readonly ifname?: string;
  /** Members of the configuration beside the usual ones. */
  readonly conf?: NetConf;
  /** Instead of all of the configuration. */
  readonly input?: string;
  /** Variables beside the usual ones; undefined: without it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export class CniRuntime {
  readonly worker: Worker;
  readonly plugin: string;
  readonly #socket: string;
  #count = 0;

  constructor(worker: Worker) {
    this.worker = worker;
    const { binDir, socket } = cniPlaces(worker.node);
    this.plugin = join(binDir, 'cubeplane-cni');
    this.#socket = socket;
  }

  get confDir(): string {
    return cniPlaces(this.worker.node).confDir;
  }

  /** A container without a network. */
  async container(name = `c${++this.#count}`): Promise<Container> {
    const { lab } = this.worker.node.underlay;
    const namespace = await createNamespace(lab, `${this.worker.node.name}-${name}`);
    return { id: `${lab.id}${name}`, namespace };
  }

  conf(members: NetConf = {}): NetConf {
    return {
      cniVersion: '1.1.0',
      name: 'cubeplane',
      type: 'cubeplane-cni',
      socket: this.#socket,
      ...members,
    };
  }

  #start(command: string, container: Container | undefined, options: CallOptions): ChildProcess {
    const variables = {
      CNI_COMMAND: command,
      CNI_PATH: cniPlaces(this.worker.node).binDir,
      ...(container === undefined
        ? {}
        : {
            CNI_CONTAINERID: container.id,
            CNI_NETNS: container.namespace.path,
            CNI_IFNAME: options.ifname ?? 'eth0',
          }),
      ...options.env,
    };
    const input = options.input ?? JSON.stringify(this.conf(options.conf));
    return startPlugin(this.worker.node.namespace, this.plugin, variables, input);
  }

  async call(command: string, container?: Container, options: CallOptions = {}): Promise<Answer> {
    const startedAt = performance.now();
    const { status, stdout } = await pluginAnswer(this.#start(command, container, options));
    const json = stdout.trim() === '' ? undefined : JSON.parse(stdout);
    return { status, json, stdout, ms: performance.now() - startedAt };
  }

  /** The result of an ADD, which must succeed. */
  async add(container: Container, options: CallOptions = {}): Promise<Answer['json']> {
    const { status, json, stdout } = await this.call('ADD', container, options);
    if (status !== 0) throw new Error(`ADD ${container.id}: ${stdout}`);
    return json;
  }

  async delete(container: Container, options: CallOptions = {}): Promise<void> {
    const { status, stdout } = await this.call('DEL', container, options);
    if (status !== 0) throw new Error(`DEL ${container.id}: ${stdout}`);
  }

  /** Starts an ADD and kills the plugin after a while. Returns whether it had answered before. */
  async addAndKill(container: Container, afterMs: number): Promise<boolean> {
    const child = this.#start('ADD', container, {});
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    await sleep(afterMs);
    child.kill('SIGKILL');
    return (await ended) === 0;
  }

  /** Removes all that this network has but these. */
  async gc(valid: readonly { containerID: string; ifname: string }[]): Promise<Answer> {
    return await this.call('GC', undefined, { conf: { 'cni.dev/valid-attachments': valid } });
  }

  /** The node's ends of pods' pairs. */
  async #devices(): Promise<string[]> {
    const links = await this.worker.node.namespace.ipJson('link show');
    return links.map(({ ifname }) => String(ifname)).filter((name) => /^cp[0-9a-f]{13}$/.test(name));
  }

  get #leases(): number {
    const { node, agent } = this.worker;
    return files(join(agent.stateDir, node.name, 'cni', 'attachments'));
  }

  /** Waits until the pairs that a DEL has left to the agent are deleted. */
  async settled(): Promise<void> {
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await sleep(20))
      if ((await this.#devices()).length <= this.#leases) return;
  }

  /** What CNI has made on the node: devices, leases, rows of pods in the kernel. Waits for what a DEL has left to the agent. */
  async traces(): Promise<{ devices: string[]; leases: number; pods: number; rows: number }> {
    await this.settled();
    const { node, agent } = this.worker;
    const path = this.worker.counters.pins.sharedMap('pods');
    const { stdout } = await run(['bpftool', '-j', 'map', 'dump', 'pinned', path]);
    return {
      devices: await this.#devices(),
      leases: this.#leases,
      pods: files(join(agent.stateDir, node.name, 'pods')),
      rows: (JSON.parse(stdout) as unknown[]).length,
    };
  }
}

function files(path: string): number {
  return existsSync(path) ? readdirSync(path).length : 0;
}

export const NOTHING = { devices: [], leases: 0, pods: 0, rows: 0 };

/** The addresses of a result, without prefix length. */
export function addressesOf(result: Answer['json']): string[] {
  return result.ips.map(({ address }: { address: string }) => address.replace(/\/\d+$/, ''));
}

export async function ping(from: Namespace, to: string, count = 2): Promise<number> {
  const argv = ['ping', '-n', '-c', String(count), '-i', '0.05', '-W', '2', to];
  const { stdout } = await from.exec(argv, { anyStatus: true });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}
