// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './checkout.ts';
import { labPins } from './lab.ts';
import { type Result, type Running, type RunOptions, run } from './process.ts';
import type { Node, Pod } from './topology.ts';

const OPERATOR = new URL('../../src/operators/main.ts', import.meta.url).pathname;

/** Where an agent reads its objects: a directory of manifests, or an API server. */
export type AgentSource = { readonly manifests: string } | { readonly kubeconfig: string };

/** The agent of one node: a real process in the node's namespace, and the CLI beside it. */
export class Agent {
  readonly node: Node;
  readonly source: AgentSource;
  /** Holds one folder a node. */
  readonly stateDir: string;
  readonly bpffs: string;
  /** More flags for `cubeplane up`. */
  readonly flags: readonly string[];
  /** Another release: a folder that the agent finds in the place of build/bpf from its next start on. */
  release: string | undefined;
  /** Another commit: a folder that has it built, which agent and command line are taken from, from the next start on. */
  checkout = ROOT;
  #running: Running | undefined;
  #starts = 0;

  constructor(node: Node, source: AgentSource, flags: readonly string[] = []) {
    const { lab } = node.underlay;
    this.node = node;
    this.source = source;
    this.stateDir = join(lab.directory, 'state');
    this.bpffs = labPins(lab.id);
    this.flags = flags;
  }

  get running(): Running {
    if (this.#running === undefined) throw new Error(`the agent of ${this.node.name} was not started`);
    return this.#running;
  }

  /** Starts the agent and waits until it says that it is ready. */
  async start(timeoutMs = 90_000): Promise<void> {
    const running = await this.launch();
    await running.waitForOutput(/ready/, timeoutMs);
  }

  /** Starts the agent without waiting: its objects may be out of reach. */
  async launch(): Promise<Running> {
    await mkdir(this.bpffs, { recursive: true });
    const from =
      'manifests' in this.source
        ? ['--manifests', this.source.manifests]
        : ['--kubeconfig', this.source.kubeconfig];
    const argv = [
      ...this.#program(),
      'up',
      '--node',
      this.node.name,
      ...from,
      ...this.#places(),
      // the root of cgroup2 is everybody's on this machine
      '--cgroup',
      this.node.namespace.cgroup,
      ...this.flags,
    ];
    const swapped =
      this.release === undefined
        ? argv
        : [
            ...['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" "$2" && shift 2 && exec "$@"', 'sh'],
            ...[this.release, join(this.checkout, 'build/bpf'), ...argv],
          ];
    this.#running = await this.node.namespace.start(`agent-${++this.#starts}`, swapped);
    return this.#running;
  }

  /** SIGKILL: no chance to tidy up. */
  async kill(): Promise<void> {
    this.running.kill('SIGKILL');
    await this.running.exited();
  }

  /** SIGTERM: traffic goes on without it. */
  async stop(): Promise<void> {
    await this.running.stop();
  }

  /** `cubeplane ARGS…` in the node's namespace, with this agent's state and pins. @throws CommandError */
  async cli(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return await run(this.node.namespace.wrap([...this.#program(), ...args]), {
      ...options,
      env: {
        CUBEPLANE_STATE: this.stateDir,
        CUBEPLANE_NODE: this.node.name,
        NO_COLOR: '1',
        ...('manifests' in this.source ? { CUBEPLANE_MANIFESTS: this.source.manifests } : {}),
        ...options.env,
      },
    });
  }

  /** Joins a pod to the node's chain. */
  async plug(pod: Pod, namespace = 'default'): Promise<void> {
    const addresses = [pod.addresses.ipv4, pod.addresses.ipv6].filter((address) => address !== undefined);
    await this.cli([
      'plug',
      `${namespace}/${pod.name}`,
      '--node',
      this.node.name,
      ...this.#places(),
      '--interface',
      pod.hostDevice,
      '--mac',
      pod.mac,
      '--netns',
      pod.namespace.path,
      ...addresses.flatMap((address) => ['--address', address]),
    ]);
  }

  async unplug(pod: Pod, namespace = 'default'): Promise<void> {
    await this.cli(['unplug', `${namespace}/${pod.name}`, '--node', this.node.name, ...this.#places()]);
  }

  /** Removes everything that the agent ever made on the node. */
  async down(): Promise<void> {
    await this.cli(['down', '--node', this.node.name, ...this.#places()]);
  }

  #program(): string[] {
    const node = this.checkout === ROOT ? process.execPath : join(this.checkout, 'node_modules/.bin/node');
    return [node, join(this.checkout, 'src/cli/main.ts')];
  }

  #places(): string[] {
    return ['--state-dir', this.stateDir, '--bpffs', this.bpffs];
  }
}

/** Starts an agent on a node. It ends with the lab. */
export async function startAgent(node: Node, source: AgentSource): Promise<Agent> {
  const agent = new Agent(node, source);
  await agent.start();
  return agent;
}

/** Starts the operator on a machine that reaches the API server; resolves when it runs. */
export async function startOperator(
  machine: Pick<Node, 'namespace'>,
  kubeconfig: string,
  flags: readonly string[] = [],
): Promise<Running> {
  const operator = await machine.namespace.start('operator', [
    process.execPath,
    OPERATOR,
    '--kubeconfig',
    kubeconfig,
    ...flags,
  ]);
  await operator.waitForOutput(/operator started/);
  return operator;
}
