// SPDX-License-Identifier: Apache-2.0
/** What a node has of networks, whosever they are. Reads only; works without an agent. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeSurvey, SurveyedProgram } from '../survey.ts';
import { BpfProgram, tcxAttachments } from './addon/index.ts';
import { findCgroup } from './cgroup.ts';
import { BPFFS, kernelFeatures } from './kernel.ts';
import { type LinkInfo, readNetwork } from './netlink.ts';
import { isBpffs } from './pins.ts';
import { run } from './run.ts';
import { foreignFilters } from './tc-filter.ts';

/** Network parameters that are looked at, below /proc/sys/net. */
const PARAMETERS = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv4/conf/all/rp_filter'] as const;
/** Programs of the agent at devices: functions of bpf/entry. */
const OWN_PROGRAMS = new Set(['entry', 'copies', 'xdp_entry']);

/** Throws AgentError where the node's devices cannot be read. */
export async function surveyNode(cniConfDir: string): Promise<NodeSurvey> {
  const { interfaces, uplink } = await readNetwork();
  const devices = [...interfaces.values()];
  const problems: string[] = [];
  const [rules, filters] = await Promise.all([readRules(problems), readFilters(devices, problems)]);
  return {
    kernel: kernelFeatures(),
    hasBpffs: isBpffs(BPFFS),
    hasCgroup: findCgroup(undefined) !== undefined,
    uplink,
    devices: devices.map(({ name, kind, up, addresses, vxlanPort }) => ({
      name,
      kind,
      up,
      addresses,
      ...(vxlanPort === undefined ? {} : { vxlanPort }),
    })),
    programs: [...devices.flatMap((device) => attachedPrograms(device, problems)), ...filters],
    cniConfigs: readCniConfigs(cniConfDir),
    proxies: readProxies(),
    rules,
    parameters: Object.fromEntries(
      PARAMETERS.flatMap((name) => {
        const value = readText(join('/proc/sys/net', name));
        return value === undefined ? [] : [[name.replaceAll('/', '.'), Number(value)]];
      }),
    ),
    problems,
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Programs at tcx and XDP that are not the agent's. */
function attachedPrograms({ name: device, ifindex, xdp }: LinkInfo, problems: string[]): SurveyedProgram[] {
  const found: SurveyedProgram[] = [];
  try {
    for (const direction of ['ingress', 'egress'] as const)
      for (const { programId } of tcxAttachments(ifindex, direction)) {
        const program = BpfProgram.openId(programId);
        found.push({ device, hook: `tcx ${direction}`, name: program.name });
        program.close();
      }
  } catch (failure) {
    problems.push(`programs at ${device} could not be read: ${(failure as Error).message}`);
  }
  if (xdp !== undefined) found.push({ device, hook: 'XDP', name: xdp.name });
  return found.filter(({ name }) => !OWN_PROGRAMS.has(name));
}

/** Programs of the older hook, clsact, where the agent has one of its own for a moment at a new pod. */
async function readFilters(devices: readonly LinkInfo[], problems: string[]): Promise<SurveyedProgram[]> {
  const names = new Map(devices.map(({ ifindex, name }) => [ifindex, name]));
  try {
    return (await foreignFilters()).flatMap(({ ifindex, hook, name }) => {
      const device = names.get(ifindex);
      return device === undefined ? [] : [{ device, hook: `tc ${hook}`, name }];
    });
  } catch (failure) {
    problems.push(`programs at clsact could not be read: ${(failure as Error).message}`);
    return [];
  }
}

/** Files by name, as runtimes read them: the first one counts. */
function readCniConfigs(directory: string): NodeSurvey['cniConfigs'] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => /\.(conflist|conf|json)$/.test(name))
    .sort()
    .map((name) => {
      const path = join(directory, name);
      try {
        const { type, plugins = [] } = JSON.parse(readFileSync(path, 'utf8')) as {
          type?: string;
          plugins?: { type: string }[];
        };
        return { path, types: type === undefined ? plugins.map((plugin) => plugin.type) : [type] };
      } catch {
        return { path, types: [] };
      }
    });
}

/** kube-proxies of this network namespace. */
function readProxies(): number[] {
  const own = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    if (readText(`/proc/${entry}/comm`)?.trim() !== 'kube-proxy') return [];
    try {
      return readlinkSync(`/proc/${entry}/ns/net`) === own ? [Number(entry)] : [];
    } catch {
      return []; // it has ended
    }
  });
}

interface NftList {
  readonly nftables?: readonly {
    readonly chain?: { readonly family: string; readonly table: string; readonly name: string };
  }[];
}

/** Chains of netfilter, by `family table/chain`, and services of IPVS. */
async function readRules(problems: string[]): Promise<NodeSurvey['rules']> {
  const chains: string[] = [];
  try {
    const { nftables = [] } = JSON.parse(await run(['nft', '--json', 'list', 'chains'])) as NftList;
    for (const { chain } of nftables)
      if (chain !== undefined) chains.push(`${chain.family} ${chain.table}/${chain.name}`);
  } catch (failure) {
    problems.push(`rules of nftables could not be read: ${(failure as Error).message}`);
  }
  for (const program of ['iptables-legacy-save', 'ip6tables-legacy-save']) {
    const text = await run([program]).catch(() => '');
    for (const [, chain] of text.matchAll(/^:(\S+) /gm)) chains.push(`${program} ${chain}`);
  }
  const ipvs = (readText('/proc/net/ip_vs') ?? '')
    .split('\n')
    .filter((line) => /^(TCP|UDP|SCTP|FWM) /.test(line));
  return { chains, ipvsServices: ipvs.length };
}
