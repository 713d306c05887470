// SPDX-License-Identifier: Apache-2.0
import { askAgent } from '../../dataplane/client.ts';
import { AgentError } from '../../dataplane/errors.ts';
import { surveyNode } from '../../dataplane/kernel/node-survey.ts';
import { connect } from '../../k8s/client.ts';
import { type KubeObject, NODES, PODS } from '../../k8s/resource.ts';
import { type SourceOptions, sourceOf } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { type Finding, findingsOf, isReady, type NodePod } from '../migrate/findings.ts';
import { nodeOf } from '../node-option.ts';
import { type Colours, colours } from '../print/colours.ts';
import { tableLines } from '../print/table.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';
import { outputOf } from './tables.ts';

export interface MigrateOptions extends SourceOptions {
  readonly node?: string;
  readonly cniConfDir: string;
  readonly vxlanPort: string;
  readonly offline?: boolean;
  readonly output?: string;
}

interface PodObject extends KubeObject {
  readonly spec?: { readonly hostNetwork?: boolean };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
}

export async function migrateCheck(options: MigrateOptions): Promise<void> {
  const output = outputOf(options.output);
  const node = nodeOf(options);
  const vxlanPort = Number(options.vxlanPort);
  if (!Number.isInteger(vxlanPort) || vxlanPort < 1 || vxlanPort > 65_535)
    throw new CliError(EXIT.usage, `--vxlan-port ${options.vxlanPort} is no port`, 'give 1 to 65535');
  const known = options.offline ? { pods: undefined, podCIDRs: [] } : await readCluster(options, node);
  const survey = await surveyNode(options.cniConfDir);
  const findings = findingsOf({ survey, vxlanPort, plugged: await pluggedAddresses(options), ...known });
  const ready = isReady(findings);
  if (output !== undefined) await printData({ node, ready, findings }, output);
  else print(node, findings, ready, colours(process.stdout));
  process.exitCode = ready ? EXIT.ok : EXIT.failure;
}

async function readCluster(
  options: MigrateOptions,
  node: string,
): Promise<{ pods: NodePod[]; podCIDRs: readonly string[] }> {
  const source = sourceOf(options);
  if (source.type !== 'cluster')
    throw new CliError(
      EXIT.usage,
      'a directory of manifests has no pods',
      'give --kubeconfig FILE, or --offline',
    );
  const client = await connect(source);
  try {
    const object = await client.get<KubeObject & { spec?: { podCIDRs?: string[] } }>(NODES, { name: node });
    if (object === undefined)
      throw new CliError(EXIT.notFound, `there is no Node ${node}`, 'give --node NAME, or --offline');
    const pods = await client.listAll<PodObject>(PODS, { fieldSelector: `spec.nodeName=${node}` });
    return {
      podCIDRs: object.spec?.podCIDRs ?? [],
      pods: pods.map(({ metadata, spec, status }) => ({
        namespace: metadata.namespace ?? '',
        name: metadata.name ?? '',
        hostNetwork: spec?.hostNetwork === true,
        ended: ['Succeeded', 'Failed'].includes(status?.phase ?? ''),
        addresses: (status?.podIPs ?? []).map(({ ip }) => ip),
      })),
    };
  } finally {
    await client.close();
  }
}

/** Without an agent no pod is plugged, as far as anybody can say. */
async function pluggedAddresses(options: MigrateOptions): Promise<string[]> {
  try {
    const { pods } = await askAgent(agentDirectory(options), 'pods', {});
    return pods.flatMap(({ addresses }) => addresses);
  } catch (failure) {
    if (failure instanceof AgentError && failure.code === 'AgentNotRunning') return [];
    throw failure;
  }
}

function print(node: string, findings: readonly Finding[], ready: boolean, paint: Colours): void {
  const rows = findings.map(({ severity, reason, object, message }) => [severity, reason, object, message]);
  const lines = rows.length === 0 ? [] : tableLines(['SEVERITY', 'REASON', 'OBJECT', 'WHAT'], rows);
  const remedies = new Map(findings.map((finding) => [`${finding.reason}: ${finding.remedy}`, finding]));
  for (const line of lines) process.stdout.write(`${line}\n`);
  if (remedies.size > 0) process.stdout.write('\nTo do:\n');
  for (const { reason, object, remedy } of remedies.values())
    process.stdout.write(`  ${paint.bold(reason)} ${object}: ${remedy}\n`);
  const end = ready
    ? paint.green(`Nothing of another network stands in the way on ${node}.`)
    : paint.yellow(`${node}: see the steps in docs/migration.md; run this again after them.`);
  process.stdout.write(`${lines.length > 0 ? '\n' : ''}${end}\n`);
}
