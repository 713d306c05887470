// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';
import { stderrLog } from '../../test/harness/progress.ts';
import {
  PROVIDERS,
  PROXY_MODES,
  type ProviderName,
  type ProxyMode,
} from '../../test/harness/real/provider.ts';
import { rebootNode } from '../../test/harness/real/reboot.ts';
import { isUsageError, UsageError } from '../../test/harness/usage.ts';
import { MOST_NODES, startLight, startReal } from './kinds.ts';
import { create, describe, type Found, find, foreground, type Kind, remove, type State } from './state.ts';

const HELP = `A Kubernetes cluster on this machine whose network is this project: real nodes (kubelet, containerd, runc), each in
namespaces of its own, or with --light nodes whose pods are programs of this machine.

Usage: npm run --silent cluster -- [--light] COMMAND [--name NAME] [--nodes N]

Commands:
  up              start it, with progress; it stays until "down"
  down            end it and remove all it made, also after an "up" that was killed
  status          whether it runs, and where
  kubeconfig      path of the administrator's kubeconfig
  kubectl ARG ... kubectl against it: npm run --silent cluster -- kubectl get pods -A
  reboot NODE     cut its power and start it anew, with what was on its disk; not with --light
  exec NODE PROGRAM ARG ...
                  a program of the node: npm run --silent cluster -- exec node-1 crictl ps ("node" is the same)

Options:
  --light         nodes are network namespaces: no images and no kubelet, starts faster (docs/light-cluster.md)
  --name NAME     one of several that run side by side; "real", or "light", by default
  --nodes N       1 to ${MOST_NODES.real} (--light: ${MOST_NODES.light}); 2 by default
  --provider NAME the network, not with --light:
                    cubeplane npm run images and config/default, as docs/installation.md installs it (default)
                    checkout  operator and agents of this checkout, as programs of the machines: no image is made
                    bridge    a bridge a node, routes between them and kube-proxy, to compare with
                    none      no network: nodes are not Ready until you install one
  --proxy-mode MODE
                  kube-proxy's with --provider bridge: ${PROXY_MODES.join(' or ')}

Needs root. The first "up" on a machine compiles Kubernetes (10 to 15 minutes on 2 cores); later ones take half a minute.
docs/real-cluster.md says what it can do.
`;

const COMMANDS = ['up', 'down', 'status', 'kubeconfig', 'kubectl', 'reboot', 'exec', 'node'];
/** Those that take a program or its arguments, which are not ours. */
const RUNNING = new Set(['kubectl', 'exec', 'node']);

interface Which {
  readonly kind: Kind;
  readonly name: string;
}

interface UpOptions {
  readonly nodes: number;
  readonly provider?: ProviderName;
  readonly proxyMode?: ProxyMode;
}

async function up(which: Which, options: UpOptions): Promise<number> {
  const { kind, name } = which;
  if ((await find(kind, name)) !== undefined) process.stderr.write(`${name} is up already\n`);
  else
    await create(kind, name, (lab) =>
      kind === 'light' ? startLight(lab, options.nodes) : startReal(lab, options),
    );
  return await status(which);
}

async function down({ kind, name }: Which): Promise<number> {
  const removed = await remove(kind, name);
  process.stderr.write(removed === 0 ? `${name} is not up\n` : `${name} is down\n`);
  return 0;
}

async function status(which: Which): Promise<number> {
  return await withState(which, async (found) => {
    const { ready, lines } = await describe(found);
    const [node] = found.state.nodes;
    const onNode = `on a node   ${commandOf(which)} exec ${node?.name} PROGRAM ARG ...`;
    process.stdout.write(`${[...lines, onNode].join('\n')}\n`);
    return ready ? 0 : 1;
  });
}

async function reboot(which: Which, names: readonly string[]): Promise<number> {
  const [node] = names;
  if (which.kind === 'light') throw new UsageError('reboot: nodes of the light cluster are no machines');
  if (node === undefined || names.length > 1) throw new UsageError('reboot NODE');
  return await withState(which, async ({ id, state: { nodes } }) => {
    if (!nodes.some(({ name }) => name === node))
      throw new UsageError(`no node ${node}: ${nodes.map(({ name }) => name).join(', ')}`);
    await rebootNode(id, node, stderrLog);
    return 0;
  });
}

async function onNode(which: Which, [node, ...argv]: readonly string[]): Promise<number> {
  if (node === undefined || argv.length === 0) throw new UsageError('exec NODE PROGRAM ARG ...');
  return await withState(which, async ({ state: { nodes } }) => {
    const place = nodes.find(({ name }) => name === node);
    if (place === undefined)
      throw new UsageError(`no node ${node}: ${nodes.map(({ name }) => name).join(', ')}`);
    return await foreground([...place.enter, ...argv]);
  });
}

async function withState(which: Which, use: (found: Found) => Promise<number>): Promise<number> {
  const found = await find(which.kind, which.name);
  if (found !== undefined) return await use(found);
  process.stderr.write(`${which.name} is not up: ${commandOf(which)} up\n`);
  return 1;
}

function commandOf({ kind, name }: Which): string {
  const words = ['npm run --silent cluster --'];
  if (kind === 'light') words.push('--light');
  if (name !== kind) words.push(`--name ${name}`);
  return words.join(' ');
}

const kubectlOf = ({ kubectl, kubeconfig }: State) => [kubectl, `--kubeconfig=${kubeconfig}`];

/** Arguments before and after the command; those of a program that is run are its own. */
function split(argv: readonly string[]): { ours: string[]; theirs: string[] } {
  const at = argv.findIndex((word, i) => RUNNING.has(word) && !argv[i - 1]?.startsWith('--name'));
  return at < 0
    ? { ours: [...argv], theirs: [] }
    : { ours: argv.slice(0, at + 1), theirs: argv.slice(at + 1) };
}

/** The value of an option, where it is one of those that there are. */
function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  all: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = all.find((one) => one === value);
  if (found === undefined) throw new UsageError(`--${option} ${value}: ${all.join(', ')}`);
  return found;
}

async function main(argv: readonly string[]): Promise<number> {
  const { ours, theirs } = split(argv);
  const { values, positionals } = parseArgs({
    args: ours,
    allowPositionals: true,
    options: {
      light: { type: 'boolean', default: false },
      name: { type: 'string' },
      nodes: { type: 'string', default: '2' },
      provider: { type: 'string' },
      'proxy-mode': { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [command, ...more] = positionals;
  if (values.help || command === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  if (!COMMANDS.includes(command))
    throw new UsageError(`unknown command ${command}: ${COMMANDS.slice(0, -1).join(', ')}`);
  if (more.length > 0 && command !== 'reboot')
    throw new UsageError(`${more[0]}: "${command}" takes no argument`);
  const kind: Kind = values.light ? 'light' : 'real';
  const { name = kind } = values;
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name))
    throw new UsageError(`--name ${name}: lower-case letters, digits and dashes, at most 31`);
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MOST_NODES[kind])
    throw new UsageError(`--nodes ${values.nodes}: a number from 1 to ${MOST_NODES[kind]}`);
  const provider = oneOf('provider', values.provider, PROVIDERS);
  const proxyMode = oneOf('proxy-mode', values['proxy-mode'], PROXY_MODES);
  if (values.light && provider !== undefined)
    throw new UsageError('--provider: the light cluster has one network, this project');
  if (proxyMode !== undefined && provider !== 'bridge')
    throw new UsageError('--proxy-mode: kube-proxy runs with --provider bridge alone');
  const which = { kind, name };
  switch (command) {
    case 'up':
      return await up(which, {
        nodes,
        ...(provider === undefined ? {} : { provider }),
        ...(proxyMode === undefined ? {} : { proxyMode }),
      });
    case 'down':
      return await down(which);
    case 'status':
      return await status(which);
    case 'kubeconfig':
      return await withState(which, async ({ state }) => {
        process.stdout.write(`${state.kubeconfig}\n`);
        return 0;
      });
    case 'reboot':
      return await reboot(which, more);
    case 'kubectl':
      return await withState(which, ({ state }) => foreground([...kubectlOf(state), ...theirs]));
    default:
      return await onNode(which, theirs);
  }
}

process.exitCode = await main(process.argv.slice(2)).catch((failure: Error) => {
  process.stderr.write(`cluster: ${failure.message}\n`);
  const isUsage = isUsageError(failure);
  if (isUsage) process.stderr.write('see npm run --silent cluster -- --help\n');
  return isUsage ? 2 : 1;
});
