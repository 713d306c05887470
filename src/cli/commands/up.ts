// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { limitMemory } from '../../dataplane/kernel/memory.ts';
import { runAgent } from '../../dataplane/main.ts';
import type { Source } from '../../dataplane/sources/source.ts';
import { agentLog } from '../agent-log.ts';
import { type SourceOptions, sourceOf, stateRootOf } from '../context.ts';
import { nodeOf } from '../node-option.ts';
import { positive } from '../positive.ts';
import { packageVersion } from './version.ts';

export interface UpOptions extends SourceOptions {
  readonly node?: string;
  readonly bpffs: string;
  readonly cgroup?: string;
  readonly logLevel: string;
  readonly redirect: 'peer' | 'plain';
  readonly flowCache: 'on' | 'off';
  readonly metricsAddress?: string;
  readonly healthzAddress?: string;
  readonly flowLog?: string;
  readonly flowRate: string;
  readonly cni?: boolean;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly cniSocket: string;
}

/** Runs the agent until SIGTERM or SIGINT; what it has put into the kernel stays. */
export async function up(options: UpOptions): Promise<void> {
  limitMemory();
  const node = nodeOf(options);
  const stateRoot = stateRootOf(options);
  const log = agentLog(options.logLevel);
  const stateDir = join(stateRoot, node);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const source = await openSource(options, node, stateRoot, log);
  const version = packageVersion();
  log.info({ node, source: source.name, version }, `agent of node ${node}: ${source.name}`);
  const running = await runAgent({
    node,
    source,
    stateDir,
    log,
    bpffs: options.bpffs,
    version,
    redirectPeer: options.redirect === 'peer',
    flowCache: options.flowCache === 'on',
    ...(options.cgroup === undefined ? {} : { cgroup: resolve(options.cgroup) }),
    ...(options.metricsAddress === undefined ? {} : { metricsAddress: options.metricsAddress }),
    ...(options.healthzAddress === undefined ? {} : { healthzAddress: options.healthzAddress }),
    flowLog: flowLogOf(options),
    ...(options.cni === true
      ? {
          cni: {
            confDir: resolve(options.cniConfDir),
            binDir: resolve(options.cniBinDir),
            socket: resolve(options.cniSocket),
          },
        }
      : {}),
  });
  const ended = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  void running.ready.then(() => process.stdout.write('ready\n'));
  const signal = await ended;
  log.info({ signal }, 'the agent ends; what is in the kernel stays and goes on');
  await running.stop();
}

function flowLogOf({ flowLog, flowRate }: UpOptions): { path?: string; rate: number } {
  const rate = positive('--flow-rate', flowRate);
  if (flowLog === undefined || flowLog === '-') return { rate, ...(flowLog ? { path: '-' } : {}) };
  return { rate, path: resolve(flowLog) };
}

async function openSource(
  options: UpOptions,
  node: string,
  stateRoot: string,
  log: ReturnType<typeof agentLog>,
): Promise<Source> {
  const source = sourceOf(options);
  if (source.type === 'directory') {
    const { ManifestSource } = await import('../../dataplane/sources/manifests.ts');
    return new ManifestSource({ directory: source.directory, node, stateRoot, log });
  }
  const { type: _, ...from } = source;
  const [{ connect }, { KubernetesSource }] = await Promise.all([
    import('../../k8s/client.ts'),
    import('../../dataplane/sources/kubernetes.ts'),
  ]);
  return new KubernetesSource({ client: await connect(from), node, log });
}
