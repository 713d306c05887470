// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cgroupProcesses, cgroupRoot } from '../../test/harness/cgroup.ts';
import { detachedLabs, labDirectory, openLab, removeLab } from '../../test/harness/lab.ts';
import { INTERNET, INTERNET_PORT, MOST_NODES, startLightCluster } from '../../test/harness/light/cluster.ts';
import { run } from '../../test/harness/process.ts';
import { isUsageError, UsageError } from '../../test/harness/usage.ts';

const HELP = `A cluster on this machine whose network is config/provider/kubernetes.yaml: nodes in network namespaces, a real API
server and controller manager, the operator, an agent a node, pods that the CNI plugin joins.

Usage: npm run --silent cluster -- --light COMMAND [--name NAME] [--nodes N]

Commands:
  up              start it, with progress; it stays until "down"
  down            end it and remove all it made, also after an "up" that was killed
  status          whether it runs, and where
  kubeconfig      path of the administrator's kubeconfig
  kubectl ARG ... kubectl against it: npm run --silent cluster -- --light kubectl get pods -A
  node NODE ARG ...
                  a program as a process of the node: npm run --silent cluster -- --light node node-1 curl 10.96.0.80

Options:
  --light         the only kind there is: nodes are network namespaces, and pods programs of this machine
  --name NAME     one of several that run side by side; "light" by default
  --nodes N       1 to ${MOST_NODES}; 2 by default

Needs root. The first "up" on a machine compiles Kubernetes (5 to 10 minutes on 2 cores); later ones take about half a minute.
docs/light-cluster.md says what it can do.
`;

/** What \`up\` leaves for the other commands. */
interface State {
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly namespace: string;
    /** Whose processes are the node's own to its SocketLB. */
    readonly cgroup: string;
    readonly address: string;
  }[];
}

const purposeOf = (name: string): string => `npm run cluster ${name}`;

async function up(name: string, nodes: number): Promise<number> {
  for (const id of await detachedLabs(purposeOf(name))) {
    if ((await stateOf(id)) !== undefined) {
      process.stderr.write(`${name} is up already\n`);
      return await status(name);
    }
    process.stderr.write(`removing what an "up" that was interrupted left behind (${id})\n`);
    await removeLab(id);
  }
  const lab = await openLab(purposeOf(name), { detached: true });
  try {
    const light = await startLightCluster(lab, { nodes });
    const state: State = {
      kubeconfig: light.kubeconfig,
      kubectl: join(light.cluster.binaries, 'kubectl'),
      nodes: light.nodes.map(({ node }) => ({
        name: node.name,
        namespace: node.namespace.path,
        cgroup: node.namespace.cgroup,
        address: node.addresses.ipv4,
      })),
    };
    await writeFile(join(lab.directory, 'light.json'), JSON.stringify(state));
  } catch (failure) {
    await lab.close();
    throw failure;
  }
  lab.release();
  return await status(name);
}

async function down(name: string): Promise<number> {
  const ids = await detachedLabs(purposeOf(name));
  for (const id of ids) await removeLab(id);
  process.stderr.write(ids.length === 0 ? `${name} is not up\n` : `${name} is down\n`);
  return 0;
}

async function status(name: string): Promise<number> {
  const found = await find(name);
  if (found === undefined) return notUp(name);
  const { id, state } = found;
  const ready = await run(
    [state.kubectl, `--kubeconfig=${state.kubeconfig}`, '--request-timeout=5s', 'get', '--raw=/readyz'],
    { anyStatus: true },
  );
  const processes = await cgroupProcesses(join(await cgroupRoot(), `cpl-${id}`)).catch(() => []);
  const lines = [
    `state       ${ready.status === 0 ? 'ready' : 'not ready'}, ${processes.length} processes`,
    `kubeconfig  ${state.kubeconfig}`,
    `kubectl     ${state.kubectl}`,
    ...state.nodes.map(
      ({ name: node, namespace, address }) => `${node.padEnd(11)} ${address}, network namespace ${namespace}`,
    ),
    `on a node   npm run --silent cluster -- --light${named(name)} node ${state.nodes[0]?.name} PROGRAM ARG ...`,
    `internet    ${INTERNET.ipv4} and ${INTERNET.ipv6}, port ${INTERNET_PORT}, TCP and UDP`,
    `agents      --state-dir ${join(labDirectory(id), 'state')}`,
    `logs        ${labDirectory(id)}/*/*.log`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return ready.status === 0 ? 0 : 1;
}

async function kubeconfig(name: string): Promise<number> {
  const found = await find(name);
  if (found === undefined) return notUp(name);
  process.stdout.write(`${found.state.kubeconfig}\n`);
  return 0;
}

async function kubectl(name: string, args: readonly string[]): Promise<number> {
  const found = await find(name);
  if (found === undefined) return notUp(name);
  const { state } = found;
  return await foreground([state.kubectl, `--kubeconfig=${state.kubeconfig}`, ...args]);
}

/** In the node's network namespace and in its cgroup. */
async function onNode(name: string, [node, ...argv]: readonly string[]): Promise<number> {
  if (node === undefined || argv.length === 0) throw new UsageError('node NODE PROGRAM ARG ...');
  const found = await find(name);
  if (found === undefined) return notUp(name);
  const { nodes } = found.state;
  const place = nodes.find((one) => one.name === node);
  if (place === undefined)
    throw new UsageError(`no node ${node}: ${nodes.map((one) => one.name).join(', ')}`);
  const enter = ['sh', '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'sh', place.cgroup];
  return await foreground([...enter, 'nsenter', `--net=${place.namespace}`, '--', ...argv]);
}

async function foreground([program = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' });
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

async function stateOf(id: string): Promise<State | undefined> {
  const text = await readFile(join(labDirectory(id), 'light.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as State);
}

async function find(name: string): Promise<{ id: string; state: State } | undefined> {
  for (const id of await detachedLabs(purposeOf(name))) {
    const state = await stateOf(id);
    if (state !== undefined) return { id, state };
  }
  return undefined;
}

const named = (name: string): string => (name === 'light' ? '' : ` --name ${name}`);

function notUp(name: string): number {
  process.stderr.write(`${name} is not up: npm run cluster -- --light up${named(name)}\n`);
  return 1;
}

/** Arguments before and after the command; those of a program that is run are its own. */
function split(argv: readonly string[]): { ours: string[]; theirs: string[] } {
  const isCommand = (word: string) => word === 'kubectl' || word === 'node';
  const at = argv.findIndex((word, i) => isCommand(word) && argv[i - 1] !== '--name');
  return at < 0
    ? { ours: [...argv], theirs: [] }
    : { ours: argv.slice(0, at + 1), theirs: argv.slice(at + 1) };
}

async function main(argv: readonly string[]): Promise<number> {
  const { ours, theirs } = split(argv);
  const { values, positionals } = parseArgs({
    args: ours,
    allowPositionals: true,
    options: {
      light: { type: 'boolean', default: false },
      name: { type: 'string', default: 'light' },
      nodes: { type: 'string', default: '2' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [command, ...more] = positionals;
  if (values.help || command === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  if (!values.light) throw new UsageError('--light is missing: it is the only kind of cluster that there is');
  if (more.length > 0) throw new UsageError(`${more[0]}: "${command}" takes no argument`);
  const { name } = values;
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name))
    throw new UsageError(`--name ${name}: lower-case letters, digits and dashes, at most 31`);
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MOST_NODES)
    throw new UsageError(`--nodes ${values.nodes}: a number from 1 to ${MOST_NODES}`);
  switch (command) {
    case 'up':
      return await up(name, nodes);
    case 'down':
      return await down(name);
    case 'status':
      return await status(name);
    case 'kubeconfig':
      return await kubeconfig(name);
    case 'kubectl':
      return await kubectl(name, theirs);
    case 'node':
      return await onNode(name, theirs);
    default:
      throw new UsageError(`unknown command ${command}: up, down, status, kubeconfig, kubectl or node`);
  }
}

process.exitCode = await main(process.argv.slice(2)).catch((failure: Error) => {
  process.stderr.write(`cluster: ${failure.message}\n`);
  const isUsage = isUsageError(failure);
  if (isUsage) process.stderr.write('see npm run --silent cluster -- --help\n');
  return isUsage ? 2 : 1;
});
