// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { INTERNET, INTERNET_PORT } from '../../test/harness/internet.ts';
import { type Lab, labDirectory } from '../../test/harness/lab.ts';
import { MOST_NODES as MOST_LIGHT, startLightCluster } from '../../test/harness/light/cluster.ts';
import {
  MOST_NODES as MOST_REAL,
  type RealOptions,
  startRealCluster,
} from '../../test/harness/real/cluster.ts';
import type { Kind, State } from './state.ts';

export const MOST_NODES: Readonly<Record<Kind, number>> = { light: MOST_LIGHT, real: MOST_REAL };

const NOTES = {
  internet: `${INTERNET.ipv4} and ${INTERNET.ipv6}, port ${INTERNET_PORT}, TCP and UDP`,
};

export async function startLight(lab: Lab, nodes: number): Promise<State> {
  const light = await startLightCluster(lab, { nodes });
  // In its network namespace and in its cgroup, which decides whose Services a program sees.
  const enter = (cgroup: string, namespace: string) => [
    ...['sh', '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'sh', cgroup],
    ...['nsenter', `--net=${namespace}`, '--'],
  ];
  return {
    kubeconfig: light.kubeconfig,
    insideKubeconfig: light.cluster.kubeconfig,
    kubectl: join(light.cluster.binaries, 'kubectl'),
    nodes: light.nodes.map(({ node: { name, namespace, addresses } }) => ({
      name,
      address: addresses.ipv4,
      place: `network namespace ${namespace.path}`,
      enter: enter(namespace.cgroup, namespace.path),
    })),
    notes: { ...NOTES, agents: `--state-dir ${join(labDirectory(lab.id), 'state')}` },
  };
}

export async function startReal(lab: Lab, options: RealOptions): Promise<State> {
  const real = await startRealCluster(lab, options);
  const { namespace, addresses } = real.cluster.machine;
  return {
    kubeconfig: real.kubeconfig,
    insideKubeconfig: real.cluster.kubeconfig,
    kubectl: join(real.cluster.binaries, 'kubectl'),
    nodes: [
      ...real.nodes.map(({ node, inside }) => ({
        name: node.name,
        address: node.addresses.ipv4,
        place: 'a machine with containerd and kubelet',
        enter: inside.wrap([]),
      })),
      {
        name: 'control-plane',
        address: addresses.ipv4,
        place: 'no node: it has routes to pods by their nodes',
        enter: namespace.wrap([]),
      },
      {
        name: 'internet',
        address: INTERNET.ipv4,
        place: "outside: the nodes' default gateway",
        enter: real.internet.namespace.wrap([]),
      },
    ],
    notes: NOTES,
  };
}
