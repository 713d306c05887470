// SPDX-License-Identifier: Apache-2.0
/** What a node has → what stands between it and Cubeplane as its network. Pure. */
import { contains, parseAddress, parsePrefix } from '../../api/ip.ts';
import type { FINDING_REASONS } from '../../api/reasons.ts';
import { OVERLAY_DEVICE } from '../../dataplane/desired.ts';
import type { NodeSurvey } from '../../dataplane/survey.ts';
import { networkOfChain, networkOfDevice, networkOfPlugins } from './foreign.ts';

/** `Blocks`: no start before it is dealt with. `Remove`: of another network. `Restart`: a pod. `Note`: worth knowing. */
export type Severity = 'Blocks' | 'Remove' | 'Restart' | 'Note';

/** Stable: scripts may depend on these. */
export type FindingReason = keyof typeof FINDING_REASONS;

export interface Finding {
  readonly reason: FindingReason;
  readonly severity: Severity;
  /** A file, device, process, chain or Pod. */
  readonly object: string;
  readonly message: string;
  readonly remedy: string;
}

/** A Pod of the node, as the API server has it. */
export interface NodePod {
  readonly namespace: string;
  readonly name: string;
  readonly hostNetwork: boolean;
  readonly ended: boolean;
  readonly addresses: readonly string[];
}

export interface CheckInput {
  readonly survey: NodeSurvey;
  /** UDP port of the overlay of the chain. */
  readonly vxlanPort: number;
  /** Undefined: the API server was not asked. */
  readonly pods: readonly NodePod[] | undefined;
  /** Node's spec.podCIDRs. */
  readonly podCIDRs: readonly string[];
  /** Addresses of pods that are plugged; empty without an agent. */
  readonly plugged: readonly string[];
}

const OLDEST = [6, 16] as const;

export function findingsOf(input: CheckInput): Finding[] {
  const { survey } = input;
  return [
    ...kernelFindings(survey),
    ...vxlanFindings(input),
    ...configFindings(survey),
    ...proxyFindings(survey),
    ...leftFindings(survey),
    ...parameterFindings(survey),
    ...podFindings(input),
    ...survey.problems.map(
      (message): Finding => ({
        reason: 'NotLookedAt',
        severity: 'Note',
        object: 'node',
        message,
        remedy: 'run it as root, with nft (nftables) installed',
      }),
    ),
  ];
}

/** Whether something has to be done before the node is done. */
export const isReady = (findings: readonly Finding[]): boolean =>
  findings.every(({ severity }) => severity === 'Note');

function kernelFindings({ kernel, hasBpffs, hasCgroup, uplink }: NodeSurvey): Finding[] {
  const findings: Finding[] = [];
  const add = (reason: FindingReason, severity: Severity, message: string, remedy: string) =>
    findings.push({ reason, severity, object: 'kernel', message, remedy });
  const [major = 0, minor = 0] = kernel.release.split('.').map((part) => Number.parseInt(part, 10));
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    add(
      'KernelTooOld',
      'Blocks',
      `Linux ${kernel.release}; programs need ${OLDEST.join('.')}`,
      'boot a newer kernel',
    );
  if (!kernel.features.includes('BTF'))
    add(
      'NoBTF',
      'Blocks',
      'there is no /sys/kernel/btf/vmlinux',
      'use a kernel that is built with CONFIG_DEBUG_INFO_BTF',
    );
  if (!hasBpffs)
    add(
      'NoBpffs',
      'Note',
      'no BPF file system is mounted at /sys/fs/bpf',
      'an agent that may mount does it; else: mount -t bpf bpf /sys/fs/bpf',
    );
  if (!hasCgroup)
    add(
      'NoCgroup2',
      'Blocks',
      'no cgroup2 is mounted, which Services for processes of the node need',
      'mount -t cgroup2 cgroup2 DIR, and give the agent --cgroup DIR',
    );
  if (uplink === undefined)
    add(
      'NoUplink',
      'Note',
      'there is no default route',
      'the uplink is then the interface that has an address of the Node object',
    );
  return findings;
}

function vxlanFindings({ survey, vxlanPort }: CheckInput): Finding[] {
  return survey.devices
    .filter((device) => device.vxlanPort === vxlanPort && device.name !== OVERLAY_DEVICE)
    .map(({ name }) => ({
      reason: 'VxlanPortInUse',
      severity: 'Blocks',
      object: name,
      message: `it has UDP port ${vxlanPort}, which the overlay of the chain needs`,
      remedy: `ip link delete ${name} when its network is gone from the node, or another overlay.port in the chain`,
    }));
}

function configFindings({ cniConfigs }: NodeSurvey): Finding[] {
  return cniConfigs.flatMap(({ path, types }): Finding[] => {
    const network = networkOfPlugins(types);
    if (network === undefined) return [];
    const message = `${network} (${types.join(', ') || 'it cannot be read'}) gives pods their network, unless a file before it does`;
    const remedy = `move it away when the node is drained: mv ${path} ${path}.before-cubeplane`;
    return [{ reason: 'ForeignCNIConfig', severity: 'Remove', object: path, message, remedy }];
  });
}

function proxyFindings({ proxies, rules }: NodeSurvey): Finding[] {
  const findings = proxies.map(
    (pid): Finding => ({
      reason: 'KubeProxyRunning',
      severity: 'Remove',
      object: `process ${pid}`,
      message: 'kube-proxy runs; it and the chain would both translate Services',
      remedy: 'keep its DaemonSet off the node (docs/migration.md), or stop its service',
    }),
  );
  const chains = rules.chains.filter((chain) => networkOfChain(chain) === 'kube-proxy');
  const { ipvsServices } = rules;
  if (chains.length === 0 && ipvsServices === 0) return findings;
  const what = [
    ...(chains.length > 0 ? [`${chains.length} chains, as ${chains[0]}`] : []),
    ...(ipvsServices > 0 ? [`${ipvsServices} services of IPVS`] : []),
  ];
  return [
    ...findings,
    {
      reason: 'KubeProxyRules',
      severity: 'Remove',
      object: 'netfilter',
      message: `rules of kube-proxy: ${what.join('; ')}`,
      remedy: 'when it has ended: kube-proxy --cleanup (in its image), or boot the node',
    },
  ];
}

function leftFindings({ rules, devices, programs }: NodeSurvey): Finding[] {
  const chains = Map.groupBy(rules.chains, (chain) => networkOfChain(chain));
  const found: Finding[] = [...chains].flatMap(([network, list]): Finding[] =>
    network === undefined || network === 'kube-proxy'
      ? []
      : [
          {
            reason: 'ForeignRules',
            severity: 'Remove',
            object: 'netfilter',
            message: `${list.length} chains of ${network}, as ${list[0]}`,
            remedy: `remove them as ${network} documents, or boot the node when its agent is gone`,
          },
        ],
  );
  for (const device of devices) {
    const network = networkOfDevice(device);
    if (network === undefined) continue;
    const message = `of ${network}${device.addresses.length > 0 ? `, with ${device.addresses.join(', ')}` : ''}`;
    const remedy = `ip link delete ${device.name} when no pod needs it any more`;
    found.push({ reason: 'ForeignDevice', severity: 'Remove', object: device.name, message, remedy });
  }
  for (const { device, hook, name } of programs)
    found.push({
      reason: 'ForeignProgram',
      severity: hook === 'XDP' ? 'Note' : 'Remove',
      object: device,
      message: `the program ${name} at ${hook} sees packets before or after the chain`,
      remedy: 'end what attached it, or leave it where it only watches',
    });
  return found;
}

function parameterFindings({ parameters }: NodeSurvey): Finding[] {
  const off = ['ipv4.ip_forward', 'ipv6.conf.all.forwarding'].filter((name) => parameters[name] === 0);
  const findings = off.map(
    (name): Finding => ({
      reason: 'ForwardingOff',
      severity: 'Note',
      object: `net.${name}`,
      message: 'direct routing, several uplinks, and nodes of the other network need it',
      remedy: `sysctl -w net.${name}=1`,
    }),
  );
  if (parameters['ipv4.conf.all.rp_filter'] !== 1) return findings;
  return [
    ...findings,
    {
      reason: 'ReversePathFilter',
      severity: 'Note',
      object: 'net.ipv4.conf.all.rp_filter',
      message: 'strict: packets that come in by another interface than that of the way back are lost',
      remedy: 'sysctl -w net.ipv4.conf.all.rp_filter=2 where nodes have several interfaces',
    },
  ];
}

function podFindings({ pods = [], podCIDRs, plugged }: CheckInput): Finding[] {
  const prefixes = podCIDRs.flatMap((text) => parsePrefix(text) ?? []);
  const isInside = (text: string) => {
    const address = parseAddress(text);
    return (
      address !== undefined &&
      prefixes.some((prefix) => prefix.family === address.family && contains(prefix, address))
    );
  };
  return pods
    .filter(
      ({ hostNetwork, ended, addresses }) =>
        !hostNetwork && !ended && addresses.length > 0 && !addresses.some((one) => plugged.includes(one)),
    )
    .map(({ namespace, name, addresses }) => ({
      reason: 'PodOfOtherNetwork',
      severity: 'Restart',
      object: `${namespace}/${name}`,
      message: `it has its network from elsewhere (${addresses.join(', ')}${addresses.some(isInside) ? '' : ', outside of the podCIDRs of the node'})`,
      remedy: `when the agent runs: kubectl delete pod -n ${namespace} ${name}`,
    }));
}
