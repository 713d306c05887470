// SPDX-License-Identifier: Apache-2.0
/**
 * A container of a pod as its manifest says, without a container runtime: the image's root with the pod's volumes in it, exactly
 * the capabilities that are asked for, the user, the environment. /proc/sys is read-only, as runtimes have it. Network, process
 * and cgroup namespaces are the machine's; seccomp and AppArmor are a real runtime's to show.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../netns.ts';
import type { Result, Running } from '../process.ts';
import type { UnpackedImage } from './unpack.ts';

/** The parts of a container's manifest that count here. Anything else that would change what it may do is refused. */
export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } }[];
  readonly envFrom?: readonly { configMapRef: { name: string } }[];
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly runAsUser?: number;
    readonly readOnlyRootFilesystem?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
  readonly volumeMounts?: readonly { name: string; mountPath: string; readOnly?: boolean }[];
}

export interface PodSpec {
  readonly nodeName?: string;
  readonly hostNetwork?: boolean;
  readonly securityContext?: { readonly runAsUser?: number };
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly volumes?: readonly {
    name: string;
    hostPath?: { path: string };
    emptyDir?: object;
    projected?: object;
    configMap?: { name: string; optional?: boolean };
  }[];
}

export interface Surroundings {
  readonly image: UnpackedImage;
  /** The machine's network namespace. */
  readonly namespace: Namespace;
  /** For each `hostPath` the folder that stands for it: nothing of this machine is given away by accident. */
  readonly hostPaths: Readonly<Record<string, string>>;
  /** Folder of the service account's token; absent: the pod has none. */
  readonly account?: string;
  /** Data of ConfigMaps by name. */
  readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

let count = 0;

/** Starts it; it ends with the lab. */
export async function startContainer(
  pod: PodSpec,
  container: ContainerSpec,
  where: Surroundings,
): Promise<Running> {
  return await where.namespace.start(
    `container-${container.name}-${++count}`,
    commandOf(pod, container, where),
  );
}

/** Runs it to its end. @throws CommandError */
export async function runContainer(
  pod: PodSpec,
  container: ContainerSpec,
  where: Surroundings,
): Promise<Result> {
  return await where.namespace.exec(commandOf(pod, container, where), { timeoutMs: 60_000 });
}

function commandOf(pod: PodSpec, container: ContainerSpec, where: Surroundings): string[] {
  const { image, namespace } = where;
  if (pod.hostNetwork !== true)
    throw new Error(`${container.name}: only pods in their node's network are run here`);
  if (container.image !== image.name)
    throw new Error(`${container.name} asks for ${container.image}, not ${image.name}`);
  const { privileged, readOnlyRootFilesystem, capabilities } = container.securityContext ?? {};
  if (privileged || readOnlyRootFilesystem !== true || !capabilities?.drop?.includes('ALL'))
    throw new Error(`${container.name}: its root is writable, or it has more capabilities than it names`);
  const root = join(namespace.directory, `root-${++count}`);
  mkdirSync(root);
  const script = join(namespace.directory, `mounts-${count}.sh`);
  writeFileSync(script, mountScript(pod, container, where, root));
  return [
    ...[
      'unshare',
      '--mount',
      '--propagation',
      'slave',
      'sh',
      '-ec',
      '. "$1"; shift; exec "$@"',
      'sh',
      script,
    ],
    // the path of Debian's own chroot: the programs behind it are the image's
    ...['/usr/sbin/chroot', root, '/usr/bin/setpriv', ...rightsOf(pod, container), '--'],
    ...['/usr/bin/env', '-i', 'PATH=/usr/bin:/bin', ...environmentOf(pod, container, where)],
    ...[...container.command, ...(container.args ?? [])],
  ];
}

function rightsOf(pod: PodSpec, container: ContainerSpec): string[] {
  const {
    capabilities,
    allowPrivilegeEscalation,
    runAsUser = pod.securityContext?.runAsUser ?? 0,
  } = container.securityContext ?? {};
  const set = ['-all', ...(capabilities?.add ?? []).map((name) => `+${name.toLowerCase()}`)].join(',');
  return [
    `--bounding-set=${set}`,
    `--inh-caps=-all`,
    `--reuid=${runAsUser}`,
    `--regid=${runAsUser}`,
    '--clear-groups',
    ...(allowPrivilegeEscalation === false ? ['--no-new-privs'] : []),
  ];
}

function environmentOf(
  pod: PodSpec,
  { env = [], envFrom = [] }: ContainerSpec,
  { configMaps }: Surroundings,
): string[] {
  const all = new Map<string, string>();
  for (const { configMapRef } of envFrom) {
    const data = configMaps[configMapRef.name];
    if (data === undefined) throw new Error(`there is no ConfigMap ${configMapRef.name}`);
    for (const [name, value] of Object.entries(data)) all.set(name, value);
  }
  for (const { name, value, valueFrom } of env) {
    if (valueFrom !== undefined && valueFrom.fieldRef.fieldPath !== 'spec.nodeName')
      throw new Error(`${name}: ${valueFrom.fieldRef.fieldPath} is not known here`);
    all.set(name, valueFrom === undefined ? (value ?? '') : (pod.nodeName ?? ''));
  }
  return [...all].map(([name, value]) => `${name}=${value}`);
}

/** The shell commands that put the container's file system together, in a mount namespace of its own. */
function mountScript(pod: PodSpec, container: ContainerSpec, where: Surroundings, root: string): string {
  const lines = [`mount --bind ${where.image.root} ${root}`];
  const bind = (source: string, path: string, readOnly: boolean) => {
    // what is a link in the image would lead out of it here
    const target = join(root, path.replace(/^\/var\/run\//, '/run/'));
    // The mount point is made in the image's folder, as runtimes make it. Those in /sys and /proc are there.
    if (!/^\/(sys|proc)\//.test(path)) lines.push(`mkdir -p ${target}`);
    lines.push(`mount --rbind ${source} ${target}`);
    if (readOnly) lines.push(`mount -o remount,bind,ro ${target}`);
  };
  const volumes: [string, string, boolean][] = (container.volumeMounts ?? []).map(
    ({ name, mountPath, readOnly }) => {
      const volume = pod.volumes?.find((one) => one.name === name);
      if (volume?.projected !== undefined) {
        if (where.account === undefined) throw new Error(`${container.name} has no service account`);
        return [where.account, mountPath, true];
      }
      if (volume?.emptyDir !== undefined) {
        const path = join(where.namespace.directory, `empty-${name}-${++count}`);
        mkdirSync(path, { mode: 0o777 });
        lines.push(`chmod 1777 ${path}`);
        return [path, mountPath, readOnly === true];
      }
      if (volume?.configMap !== undefined) {
        const data = where.configMaps[volume.configMap.name];
        if (data === undefined && volume.configMap.optional !== true)
          throw new Error(`there is no ConfigMap ${volume.configMap.name}`);
        const path = join(where.namespace.directory, `config-${name}-${++count}`);
        mkdirSync(path);
        for (const [file, text] of Object.entries(data ?? {})) writeFileSync(join(path, file), text);
        return [path, mountPath, true];
      }
      const path = where.hostPaths[volume?.hostPath?.path ?? ''];
      if (path === undefined) throw new Error(`${container.name}: nothing stands for the volume ${name}`);
      if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
        throw new Error(`${path}: no such folder`);
      return [path, mountPath, readOnly === true];
    },
  );
  lines.push(
    `mount --rbind /dev ${root}/dev`,
    `mount --bind /proc ${root}/proc`,
    `mount --bind /sys ${root}/sys`,
  );
  lines.push(`mount --bind /proc/sys ${root}/proc/sys`);
  for (const path of ['proc/sys', 'sys']) lines.push(`mount -o remount,bind,ro ${root}/${path}`);
  for (const volume of volumes) bind(...volume);
  lines.push(`mount -o remount,bind,ro ${root}`);
  return `${lines.join('\n')}\n`;
}
