// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createCgroup } from './cgroup.ts';
import type { Lab } from './lab.ts';
import { type Result, type Running, type RunOptions, run, type StartOptions, start } from './process.ts';

/** One end of a veth pair. */
export interface VethEnd {
  readonly namespace: Namespace;
  /** At most 15 characters, unique within its namespace. */
  readonly device: string;
  /** Fixed MAC address; the kernel picks one otherwise. */
  readonly mac?: string;
}

export interface NamespaceOptions {
  /** The cgroup its processes run in; by default one of its own under the lab's. */
  readonly cgroup?: string;
}

/**
 * A network namespace of a lab. It stands for one machine or one pod: it shares mounts, and so the BPF file system, with
 * this process, because programs enter it by nsenter(1). (`ip netns exec` would mount a new /sys over it.)
 */
export class Namespace {
  readonly lab: Lab;
  /** Its name within the lab, for people and logs. */
  readonly name: string;
  /** Its name for `ip netns`, unique on this machine. */
  readonly kernelName: string;
  readonly path: string;
  readonly cgroup: string;
  /** Holds the logs of the programs started here. */
  readonly directory: string;

  constructor(lab: Lab, name: string, cgroup: string) {
    this.lab = lab;
    this.name = name;
    this.kernelName = lab.uniqueName(name);
    this.path = join('/run/netns', this.kernelName);
    this.cgroup = cgroup;
    this.directory = join(lab.directory, name);
  }

  /** The command line that runs a program in here. */
  wrap(argv: readonly string[]): string[] {
    return ['nsenter', `--net=${this.path}`, '--', ...argv];
  }

  /** Runs a program to its end. @throws CommandError as {@link run} does. */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    return await run(this.wrap(argv), options);
  }

  /** Starts a long-running program in here and in its cgroup; it ends with the lab. */
  async start(
    name: string,
    argv: readonly string[],
    options: Omit<StartOptions, 'logPath' | 'cgroup' | 'detached'> = {},
  ): Promise<Running> {
    const running = await start(this.wrap(argv), {
      ...options,
      logPath: join(this.directory, `${name}.log`),
      cgroup: this.cgroup,
      detached: this.lab.detached,
    });
    this.lab.scope.defer(`${name} in ${this.name}`, async () => {
      await running.stop();
    });
    return running;
  }

  /** Runs lines of `ip` commands, without the word `ip`, in one process: `link set eth0 up`. */
  async ip(...lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await run(['ip', '-n', this.kernelName, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  /** What `ip -json` answers to a command such as `link show eth0`. */
  async ipJson(command: string): Promise<Record<string, unknown>[]> {
    const { stdout } = await run(['ip', '-n', this.kernelName, '-json', '-details', ...command.split(' ')]);
    return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Record<string, unknown>[]);
  }

  /** Kernel parameters below `net.`, such as `{'net.ipv4.ip_forward': 1}`. */
  async sysctl(parameters: Readonly<Record<string, number | string>>): Promise<void> {
    const sets = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
    await this.exec(['sysctl', '--quiet', '--write', ...sets]);
  }

  /** The MAC address of a device. */
  async macOf(device: string): Promise<string> {
    const [link] = await this.ipJson(`link show ${device}`);
    return String(link?.address);
  }

  /**
   * Sends the packets of a device with checksums left to the (absent) hardware, as veth does by default, or complete.
   * Segmentation offload needs the former, so it follows.
   */
  async setChecksumOffload(device: string, on: boolean): Promise<void> {
    await this.exec(['ethtool', '--offload', device, 'tx', on ? 'on' : 'off']);
  }

  /** Whether checksums are left to the hardware. */
  async checksumOffload(device: string): Promise<boolean> {
    const { stdout } = await this.exec(['ethtool', '--show-features', device]);
    return /^tx-checksumming: on/m.test(stdout);
  }
}

/** A namespace of a lab that is there. */
export function namespaceOf(lab: Lab, name: string, options: NamespaceOptions = {}): Namespace {
  return new Namespace(lab, name, options.cgroup ?? join(lab.cgroup, name));
}

/** Makes a namespace with its loopback up. It goes with the lab. */
export async function createNamespace(
  lab: Lab,
  name: string,
  options: NamespaceOptions = {},
): Promise<Namespace> {
  const namespace = namespaceOf(lab, name, options);
  await mkdir(namespace.directory, { recursive: true });
  await createCgroup(namespace.cgroup);
  await run(['ip', 'netns', 'add', namespace.kernelName]);
  await namespace.ip('link set lo up');
  return namespace;
}

/** Removes a namespace before its lab ends. Programs in it must have ended: they would keep it alive, unnamed. */
export async function deleteNamespace(namespace: Namespace): Promise<void> {
  await run(['ip', 'netns', 'delete', namespace.kernelName]);
}

/** Joins two namespaces by a veth pair, both ends up. `mtu` is in bytes of IP packet, 1500 by default. */
export async function connect(a: VethEnd, b: VethEnd, mtu = 1500): Promise<void> {
  for (const { device } of [a, b]) {
    if (device.length > 15) throw new Error(`device name ${device}: longer than 15 characters`);
  }
  const end = ({ device, mac }: VethEnd) =>
    `name ${device} mtu ${mtu}${mac === undefined ? '' : ` address ${mac}`}`;
  await a.namespace.ip(
    `link add ${end(a)} type veth peer ${end(b)} netns ${b.namespace.kernelName}`,
    `link set ${a.device} up`,
  );
  await b.namespace.ip(`link set ${b.device} up`);
}

/** Checksum offload on both ends of a pair: what one end leaves undone, the other has to cope with. */
export async function setPairChecksumOffload(ends: readonly VethEnd[], on: boolean): Promise<void> {
  for (const { namespace, device } of ends) await namespace.setChecksumOffload(device, on);
}
