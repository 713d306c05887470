// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { cgroupProcesses } from '../cgroup.ts';
import type { Cluster } from './cluster.ts';

export interface ServerProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** The cluster's kube-apiserver as a process, found by its command line: tests stop it, kill it and start it again. */
export async function findServerProcess({ machine }: Cluster): Promise<ServerProcess> {
  const { cgroup } = machine.namespace;
  for (const pid of await cgroupProcesses(cgroup)) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    if (argv[0]?.endsWith('/kube-apiserver')) return { pid, argv };
  }
  throw new Error(`no kube-apiserver runs in ${cgroup}`);
}
