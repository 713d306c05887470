// SPDX-License-Identifier: Apache-2.0
/** One pod on its node: a network namespace, joined by the CNI plugin, and the programs in it. */
import { mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCgroup, removeCgroup } from '../cgroup.ts';
import { cniPlaces, pluginAnswer, readNetworkList, startPlugin } from '../cni.ts';
import { createNamespace, deleteNamespace, type Namespace } from '../netns.ts';
import { type Running, run, start } from '../process.ts';
import type { DualStack } from '../topology.ts';
import { type ContainerState, isStartedAgain, type PodContainer, type PodObject, probePort } from './pod.ts';

const SERVER = new URL('../tools/server.ts', import.meta.url).pathname;
/** What a container runs whose command is `cubeplane`, as the image of the agents has it. */
const CUBEPLANE = [process.execPath, new URL('../../../src/cli/main.ts', import.meta.url).pathname];
/** A kubelet's limit of a termination message, bytes. */
const MOST_MESSAGE = 4096;
const GRACE_SECONDS = 30;

export interface SandboxNode {
  readonly name: string;
  readonly namespace: Namespace;
  readonly addresses: { readonly ipv4: string; readonly ipv6: string };
}

interface Program {
  readonly container: PodContainer;
  running: Running[];
  startedAt: string;
  restarts: number;
  ready: boolean;
  ended?: NonNullable<ContainerState['ended']>;
}

export class Sandbox {
  readonly uid: string;
  readonly node: SandboxNode;
  readonly addresses: DualStack;
  readonly #pod: PodObject;
  /** The node's own for a pod of its network. */
  readonly #namespace: Namespace;
  readonly #cgroup: string;
  readonly #programs: Program[] = [];
  readonly #onExit: () => void;
  #isEnding = false;

  private constructor(
    node: SandboxNode,
    pod: PodObject,
    namespace: Namespace,
    addresses: DualStack,
    onExit: () => void,
  ) {
    this.#cgroup = cgroupOf(node, pod);
    this.uid = pod.metadata.uid ?? '';
    this.node = node;
    this.addresses = addresses;
    this.#pod = pod;
    this.#namespace = namespace;
    this.#onExit = onExit;
  }

  /** Makes the namespace, joins it (ADD) and starts the programs. Nothing stays of one that fails. */
  static async start(node: SandboxNode, pod: PodObject, onExit: () => void): Promise<Sandbox> {
    const cgroup = cgroupOf(node, pod);
    if (pod.spec?.hostNetwork === true) {
      await createCgroup(cgroup);
      const sandbox = new Sandbox(node, pod, node.namespace, node.addresses, onExit);
      await sandbox.#startPrograms();
      return sandbox;
    }
    const name = `${node.name}-pod-${pod.metadata.uid}`;
    const namespace = await createNamespace(node.namespace.lab, name, { cgroup });
    try {
      const addresses = await callPlugins(node, pod, namespace, 'ADD');
      const sandbox = new Sandbox(node, pod, namespace, addresses, onExit);
      await sandbox.#startPrograms();
      return sandbox;
    } catch (error) {
      await callPlugins(node, pod, namespace, 'DEL').catch(() => {});
      await removeCgroup(cgroup);
      await deleteNamespace(namespace);
      throw error;
    }
  }

  /** Folder of the logs of its programs; not that of an earlier pod of its name, whose words would be taken for its own. */
  get #logs(): string {
    const { namespace, name } = this.#pod.metadata;
    return join(this.node.namespace.lab.directory, 'pods', `${namespace}.${name}.${this.uid.slice(0, 8)}`);
  }

  async #startPrograms(): Promise<void> {
    await mkdir(this.#logs, { recursive: true });
    for (const container of this.#pod.spec?.containers ?? []) {
      const program: Program = { container, running: [], startedAt: '', restarts: 0, ready: false };
      this.#programs.push(program);
      await this.#startProgram(program);
    }
  }

  async #startProgram(program: Program): Promise<void> {
    const { container } = program;
    const env = Object.fromEntries((container.env ?? []).map(({ name, value = '' }) => [name, value]));
    program.running = [];
    program.startedAt = new Date().toISOString();
    const messages = await this.#messageFolder(container);
    for (const [index, argv] of commandsOf(this.#pod, container).entries()) {
      const name = `${container.name}-${program.restarts}-${index}`;
      const running = await start(this.#namespace.wrap([...messages.wrap, ...argv]), {
        env,
        logPath: join(this.#logs, `${name}.log`),
        cgroup: this.#cgroup,
        detached: true,
      });
      running.onExit(this.#onExit);
      program.running.push(running);
      if (argv[1] === SERVER) await running.waitForOutput(/ready/);
    }
  }

  /**
   * Where a program that is not started again leaves its termination message. Programs see the machine's own files, so that it
   * gets an own layer over the folder of terminationMessagePath.
   */
  async #messageFolder({
    name,
    terminationMessagePath: path,
  }: PodContainer): Promise<{ file: string; wrap: string[] }> {
    if (path === undefined || isStartedAgain(this.#pod, 1)) return { file: '', wrap: [] };
    const layer = join(this.#logs, `${name}.message`);
    const [upper, work] = [join(layer, 'upper'), join(layer, 'work')];
    for (const folder of [upper, work]) await mkdir(folder, { recursive: true });
    const script = `mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$1" && shift 3 && exec "$@"`;
    return {
      file: join(upper, basename(path)),
      wrap: ['unshare', '--mount', 'sh', '-c', script, 'sh', dirname(path), upper, work],
    };
  }

  /** Starts again what has ended where the pod says so, and asks the probes. */
  async look(): Promise<void> {
    if (this.#isEnding) return;
    for (const program of this.#programs) {
      if (program.ended !== undefined) continue;
      const over = program.running.find(({ status }) => status !== undefined);
      if (over !== undefined) {
        for (const running of program.running) await running.stop();
        const exitCode = over.status ?? 0;
        if (!isStartedAgain(this.#pod, exitCode)) {
          await this.#end(program, exitCode);
          continue;
        }
        program.restarts++;
        await this.#startProgram(program);
      }
      program.ready = await this.#probe(program);
    }
  }

  async #end(program: Program, exitCode: number): Promise<void> {
    const { file } = await this.#messageFolder(program.container);
    const text = file === '' ? Buffer.alloc(0) : await readFile(file).catch(() => Buffer.alloc(0));
    const message = text.subarray(0, MOST_MESSAGE).toString();
    program.ready = false;
    program.ended = { exitCode, finishedAt: new Date().toISOString(), message };
  }

  /** From the node, as a kubelet does it. */
  async #probe({ container }: Program): Promise<boolean> {
    const { tcpSocket, httpGet } = container.readinessProbe ?? {};
    const asked = tcpSocket ?? httpGet;
    if (asked === undefined) return true;
    const port = probePort(container, asked.port);
    const address = this.addresses.ipv4 ?? this.addresses.ipv6 ?? '';
    const request =
      httpGet === undefined
        ? ''
        : `printf 'GET ${httpGet.path ?? '/'} HTTP/1.0\\r\\n\\r\\n' >&3; head -c 12 <&3`;
    const script = `exec 3<>/dev/tcp/${address}/${port}; ${request}`;
    // bash takes a socket at its input for a remote shell, and would read the user's .bashrc first
    const argv = this.node.namespace.wrap(['timeout', '2', 'bash', '--norc', '-c', script]);
    const { status, stdout } = await run(argv, { anyStatus: true });
    return status === 0 && (httpGet === undefined || / [23]\d\d/.test(stdout));
  }

  /** The shortest period of a probe, ms; undefined: there is none. */
  get probeMs(): number | undefined {
    const periods = this.#programs.flatMap(({ container: { readinessProbe: probe } }) =>
      probe === undefined ? [] : [(probe.periodSeconds ?? 10) * 1000],
    );
    return periods.length === 0 ? undefined : Math.min(...periods);
  }

  get containers(): ContainerState[] {
    return this.#programs.map(({ container, startedAt, ready, restarts, ended }) => ({
      name: container.name,
      image: container.image ?? '',
      startedAt,
      ready,
      restarts,
      ...(ended === undefined ? {} : { ended }),
    }));
  }

  /** What preStop sleeps, SIGTERM, the rest of the grace, SIGKILL; then DEL, and the namespace goes. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    const grace = (this.#pod.spec?.terminationGracePeriodSeconds ?? GRACE_SECONDS) * 1000;
    await Promise.all(
      this.#programs.map(async ({ container, running }) => {
        const pause = Math.min(grace, (container.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000);
        if (pause > 0) await sleep(pause);
        await Promise.all(running.map((one) => one.stop(grace - pause)));
      }),
    );
    if (this.#pod.spec?.hostNetwork !== true) await callPlugins(this.node, this.#pod, this.#namespace, 'DEL');
    await removeCgroup(this.#cgroup);
    if (this.#pod.spec?.hostNetwork !== true) await deleteNamespace(this.#namespace);
  }
}

function cgroupOf({ namespace }: SandboxNode, { metadata }: PodObject): string {
  return join(namespace.cgroup, 'pods', metadata.uid ?? '');
}

/** What a container runs: its command, a program of this machine; without one a server that says its name, on each port. */
function commandsOf({ metadata }: PodObject, { command, args = [], ports = [] }: PodContainer): string[][] {
  if (command?.[0] === 'cubeplane') return [[...CUBEPLANE, ...command.slice(1), ...args]];
  if (command !== undefined && command.length > 0) return [[...command, ...args]];
  const numbers = [...new Set(ports.map(({ containerPort }) => containerPort))];
  if (numbers.length === 0) return [['sleep', 'infinity']];
  return numbers.map((port) => [process.execPath, SERVER, metadata.name ?? '', String(port)]);
}

/** As libcni: each plugin of the list, with name and version of the list in its configuration. */
export async function callPlugins(
  node: SandboxNode,
  { metadata }: Pick<PodObject, 'metadata'>,
  namespace: Namespace,
  command: 'ADD' | 'DEL',
  containerId = metadata.uid,
): Promise<DualStack> {
  const { confDir, binDir } = cniPlaces(node);
  const list = readNetworkList(confDir);
  if (list === undefined) {
    if (command === 'DEL') return {};
    throw new Error(`node ${node.name} has no network: ${confDir} holds no configuration`);
  }
  let result: { ips?: { address: string }[] } = {};
  for (const plugin of list.plugins) {
    const { name, cniVersion } = list;
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: namespace.path,
      CNI_IFNAME: 'eth0',
      CNI_PATH: binDir,
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${metadata.namespace};K8S_POD_NAME=${metadata.name};K8S_POD_INFRA_CONTAINER_ID=${containerId};K8S_POD_UID=${metadata.uid}`,
    };
    const input = JSON.stringify({ ...plugin, name, cniVersion });
    const child = startPlugin(node.namespace, join(binDir, plugin.type), variables, input);
    const { status, stdout } = await pluginAnswer(child);
    if (status !== 0) throw new Error(`${plugin.type} ${command}: ${stdout.trim()}`);
    if (command === 'ADD') result = JSON.parse(stdout) as typeof result;
  }
  const plain = (result.ips ?? []).map(({ address }) => address.replace(/\/\d+$/, ''));
  const ipv4 = plain.find((address) => address.includes('.'));
  const ipv6 = plain.find((address) => address.includes(':'));
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}
