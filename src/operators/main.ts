#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { connect } from '../k8s/client.ts';
import { KubeconfigError } from '../k8s/kubeconfig.ts';
import { serveHealth } from './health-server.ts';
import { AGENT_DEAD_MS } from './lease.ts';
import { startOperator } from './operator.ts';

interface Flags {
  kubeconfig?: string;
  context?: string;
  namespace: string;
  leaderElect: boolean;
  healthAddress?: string;
  agentTimeout: number;
  provider?: string;
  logLevel: string;
}

/** Agents renew their Leases every 10 s: with less, one that is late would be dead. */
const LEAST_AGENT_TIMEOUT = 15;
/** Less than the 30 s after which a kubelet kills. */
const STOP_MS = 10_000;

const program = new Command('cubeplane-operator')
  .description(
    'Translates Services, EndpointSlices, Nodes, NetworkPolicies, Pods and ServiceChains into Cubeplane objects.',
  )
  .option('--kubeconfig <path>', "default: KUBECONFIG, the pod's service account, ~/.kube/config")
  .option('--context <name>', 'context of the kubeconfig')
  .option('--namespace <name>', 'namespace of CubeTables and Leases', 'cubeplane-system')
  .option('--leader-elect', 'write only while holding the Lease; for several replicas', false)
  .option('--health-address <host:port>', 'serve /healthz, /readyz, /metrics and /state there')
  .option(
    '--agent-timeout <seconds>',
    'an agent that has not renewed its Lease for so long is taken for dead',
    seconds,
    AGENT_DEAD_MS / 1000,
  )
  .addOption(
    new Option(
      '--provider <folder>',
      'apply the ServiceChains in its YAML files, now and when they change; what others have set stays',
    ).env('CUBEPLANE_PROVIDER'),
  )
  .addOption(
    new Option('--log-level <level>', 'least level that is logged')
      .choices(['trace', 'debug', 'info', 'warn', 'error'])
      .env('CUBEPLANE_LOG_LEVEL')
      .default('info'),
  )
  .action(run);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof KubeconfigError)) throw error;
  process.stderr.write(`cubeplane-operator: error: ${error.message}\n`);
  process.exitCode = 1;
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= LEAST_AGENT_TIMEOUT && value <= 3600) return value;
  throw new InvalidArgumentError(`give a whole number from ${LEAST_AGENT_TIMEOUT} to 3600`);
}

async function run(flags: Flags): Promise<void> {
  const log = pino({ level: flags.logLevel, base: null });
  const client = await connect({
    ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
    ...(flags.context === undefined ? {} : { context: flags.context }),
  });
  const operator = startOperator({
    client,
    namespace: flags.namespace,
    leaderElect: flags.leaderElect,
    ...(flags.provider === undefined ? {} : { provider: flags.provider }),
    log,
    timing: { agentDeadMs: flags.agentTimeout * 1000 },
  });
  const server =
    flags.healthAddress === undefined ? undefined : await serveHealth(flags.healthAddress, operator.health);
  log.info({ server: client.server, namespace: flags.namespace }, 'operator started');
  const end = async (signal: string): Promise<void> => {
    log.info({ signal }, 'stopping');
    // An API server that hangs must not hold the process: what is unfinished, the next start does.
    setTimeout(() => process.exit(1), STOP_MS).unref();
    server?.close();
    await operator.stop();
    await client.close();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(signal));
}
