// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupProcesses, cgroupRoot } from '../cgroup.ts';
import { detachedLabs, labDirectory, openLab, removeLab } from '../lab.ts';
import { run } from '../process.ts';
import { createUnderlay } from '../topology.ts';
import { isUsageError, UsageError } from '../usage.ts';
import { installApi } from './access.ts';
import { startCluster } from './cluster.ts';

const PURPOSE = 'npm run kube';

const HELP = `A real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager) in a network namespace of its own.

Usage: npm run --silent kube -- COMMAND

Commands:
  up [--bare]       start it, with Cubeplane's CRDs and roles (--bare: without); it stays until "down"
  down              end it and remove all it made
  status            whether it runs, and where
  kubeconfig        path of the administrator's kubeconfig
  kubectl ARG ...   kubectl against it, for example: npm run --silent kube -- kubectl get nodes

Its address is reached only inside its namespaces: "status" shows how to run a program there. The first "up" on a
machine compiles Kubernetes (5 to 10 minutes on 2 cores); later ones take seconds.
`;

/** What `up` leaves for the other commands. */
interface State {
  readonly server: string;
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly namespace: string;
}

async function up(bare: boolean): Promise<number> {
  const [running] = await detachedLabs(PURPOSE);
  if (running !== undefined) {
    process.stderr.write('it is up already\n');
    return await status();
  }
  const lab = await openLab(PURPOSE, { detached: true });
  try {
    const cluster = await startCluster(await createUnderlay(lab));
    if (!bare) await installApi(cluster);
    const state: State = {
      server: cluster.server,
      kubeconfig: cluster.kubeconfig,
      kubectl: join(cluster.binaries, 'kubectl'),
      namespace: cluster.machine.namespace.path,
    };
    await writeFile(join(lab.directory, 'cluster.json'), JSON.stringify(state));
  } catch (failure) {
    await lab.close();
    throw failure;
  }
  lab.release();
  return await status();
}

async function down(): Promise<number> {
  const ids = await detachedLabs(PURPOSE);
  for (const id of ids) await removeLab(id);
  process.stderr.write(ids.length === 0 ? 'nothing is up\n' : 'down\n');
  return 0;
}

async function status(): Promise<number> {
  const found = await find();
  if (found === undefined) return notUp();
  const { id, state } = found;
  const alive = await run(
    ['nsenter', `--net=${state.namespace}`, '--', ...kubectlCommand(state), 'get', '--raw=/readyz'],
    {
      anyStatus: true,
      timeoutMs: 10_000,
    },
  );
  const processes = await cgroupProcesses(join(await cgroupRoot(), `cpl-${id}`)).catch(() => []);
  const lines = [
    `state       ${alive.status === 0 ? 'ready' : 'not ready'}, ${processes.length} processes`,
    `server      ${state.server}`,
    `kubeconfig  ${state.kubeconfig}`,
    `logs        ${join(labDirectory(id), 'control-plane')}/*.log`,
    `inside      nsenter --net=${state.namespace} env KUBECONFIG=${state.kubeconfig} ${state.kubectl} get namespaces`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return alive.status === 0 ? 0 : 1;
}

async function kubeconfig(): Promise<number> {
  const found = await find();
  if (found === undefined) return notUp();
  process.stdout.write(`${found.state.kubeconfig}\n`);
  return 0;
}

async function kubectl(args: readonly string[]): Promise<number> {
  const found = await find();
  if (found === undefined) return notUp();
  const { state } = found;
  const child = spawn('nsenter', [`--net=${state.namespace}`, '--', ...kubectlCommand(state), ...args], {
    stdio: 'inherit',
  });
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function kubectlCommand(state: State): string[] {
  return [state.kubectl, `--kubeconfig=${state.kubeconfig}`];
}

async function find(): Promise<{ id: string; state: State } | undefined> {
  for (const id of await detachedLabs(PURPOSE)) {
    const text = await readFile(join(labDirectory(id), 'cluster.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return { id, state: JSON.parse(text) as State };
  }
  return undefined;
}

function notUp(): number {
  process.stderr.write('nothing is up: npm run kube -- up\n');
  return 1;
}

/** Refuses what a command does not take: an "up" that is not bare, or a "down" of something else, would be a surprise. */
function only(command: string, args: readonly string[], known: readonly string[] = []): void {
  const unknown = args.find((arg) => !known.includes(arg));
  if (unknown === undefined) return;
  throw new UsageError(
    `${unknown}: "${command}" takes ${known.length > 0 ? known.join(', ') : 'no argument'}`,
  );
}

async function main([command, ...args]: readonly string[]): Promise<number> {
  switch (command) {
    case 'up':
      only(command, args, ['--bare']);
      return await up(args.includes('--bare'));
    case 'down':
      only(command, args);
      return await down();
    case 'status':
      only(command, args);
      return await status();
    case 'kubeconfig':
      only(command, args);
      return await kubeconfig();
    case 'kubectl':
      return await kubectl(args);
    case undefined:
    case 'help':
    case '-h':
    case '--help':
      process.stdout.write(HELP);
      return 0;
    default:
      throw new UsageError(`unknown command ${command}: up, down, status, kubeconfig or kubectl`);
  }
}

process.exitCode = await main(process.argv.slice(2)).catch((failure: Error) => {
  process.stderr.write(`kube: ${failure.message}\n`);
  const isUsage = isUsageError(failure);
  if (isUsage) process.stderr.write('see npm run --silent kube -- --help\n');
  return isUsage ? 2 : 1;
});
