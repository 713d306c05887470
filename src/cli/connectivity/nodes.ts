// SPDX-License-Identifier: Apache-2.0
/** Which nodes are tried. Pure. */
import { gateway, nodeFacts } from '../../api/variables.ts';
import type { KubeObject } from '../../k8s/resource.ts';
import { CliError, EXIT } from '../errors.ts';
import type { StageNode } from './stage.ts';

export interface NodeObject extends KubeObject {
  spec?: {
    podCIDR?: string;
    podCIDRs?: string[];
    unschedulable?: boolean;
    taints?: { key: string; effect: string }[];
  };
  status?: {
    addresses?: { type: string; address: string }[];
    conditions?: { type: string; status: string }[];
  };
}

export interface CubeNodeObject extends KubeObject {
  status?: { uplink?: string };
}

export interface NodeChoice {
  /** By name; the first that can without. */
  readonly wanted: readonly string[];
  readonly single: boolean;
}

/** @throws CliError where there is none, or one that was asked for cannot be used. */
export function chooseNodes(
  nodes: readonly NodeObject[],
  cubeNodes: readonly CubeNodeObject[],
  { wanted, single }: NodeChoice,
): StageNode[] {
  const problems = new Map(
    nodes.map((node) => [node.metadata.name ?? '', problemOf(node, cubeNodes, wanted.length > 0)]),
  );
  for (const name of wanted) {
    const problem = problems.has(name) ? problems.get(name) : 'there is no such node';
    if (problem !== undefined) throw new CliError(EXIT.refused, `--nodes ${name}: ${problem}`, 'name others');
  }
  const usable =
    wanted.length > 0
      ? wanted
      : [...problems].flatMap(([name, problem]) => (problem === undefined ? [name] : []));
  if (usable.length === 0) {
    const why = [...problems].map(([name, problem]) => `${name}: ${problem}`).join('; ');
    throw new CliError(
      EXIT.failure,
      `no node can be tried: ${why || 'the cluster has none'}`,
      'cubeplane get cubenodes says where agents are; docs/provider.md installs the network',
    );
  }
  return usable.slice(0, single ? 1 : 2).map((name) => {
    const object = nodes.find(({ metadata }) => metadata.name === name) as NodeObject;
    const { internalIPs, podCIDRs } = nodeFacts(object as Parameters<typeof nodeFacts>[0]);
    const { ipv4, ipv6 } = podCIDRs;
    const plain = (cidr: string) => gateway(cidr).replace(/\/.*/, '');
    return {
      name,
      addresses: internalIPs,
      gateway: { ...(ipv4 ? { ipv4: plain(ipv4) } : {}), ...(ipv6 ? { ipv6: plain(ipv6) } : {}) },
      uplink: cubeNodes.find(({ metadata }) => metadata.name === name)?.status?.uplink ?? 'eth0',
    };
  });
}

/** Why a node cannot be tried. One that was asked for by name may be closed to other pods. */
function problemOf(
  { metadata, spec, status }: NodeObject,
  cubeNodes: readonly CubeNodeObject[],
  isAskedFor: boolean,
): string | undefined {
  if (!cubeNodes.some((one) => one.metadata.name === metadata.name))
    return 'it has no CubeNode: its network is another one';
  if (status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True') return 'it is not Ready';
  if (isAskedFor) return undefined;
  if (spec?.unschedulable) return 'it is cordoned';
  const taint = spec?.taints?.find(({ effect }) => effect !== 'PreferNoSchedule');
  return taint === undefined ? undefined : `it has the taint ${taint.key}`;
}
