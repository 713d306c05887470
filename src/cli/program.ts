// SPDX-License-Identifier: Apache-2.0
import { Command, Option } from 'commander';
import { clusterCommands } from './cluster-commands.ts';
import { EXIT_HELP } from './errors.ts';
import { inspectionCommands } from './inspection-commands.ts';

/** Options of commands that read or write objects. */
function withSource(command: Command): Command {
  return command
    .addOption(
      new Option('--manifests <dir>', 'objects are in this directory of YAML and JSON files').env(
        'CUBEPLANE_MANIFESTS',
      ),
    )
    .option('--kubeconfig <file>', 'objects are in the cluster of this kubeconfig')
    .option('--context <name>', 'context of the kubeconfig')
    .addOption(stateDir());
}

function stateDir(): Option {
  return new Option('--state-dir <dir>', 'folder with one folder a node, where agents keep state and status')
    .env('CUBEPLANE_STATE')
    .default(undefined, '/var/lib/cubeplane');
}

const namespaced = (command: Command): Command => command.option('-n, --namespace <name>', 'namespace');

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}

const collect = (value: string, values: string[] = []): string[] => [...values, value];

const KINDS = `
Kinds: servicechains (chain), cubes (cb), cubelinks (cl), cubetables (ct), cubenodes (cn), nodes (no), services (svc),
endpointslices; or cubeplane for all of its own. Several: cubes,cubelinks. One object: cube NAME, or cube/NAME.`;

/** The command line. Actions import what they need, so that a command costs the start of itself only. */
export function buildProgram(): Command {
  const program = new Command('cubeplane')
    .description('The network of a cluster, or of one machine, as objects: cubes in eBPF, joined by links.')
    .helpCommand(true)
    .configureHelp({ sortSubcommands: false, helpWidth: Math.min(process.stdout.columns ?? 100, 110) })
    .showHelpAfterError('(see --help)')
    .option('--debug', 'print stack traces')
    .exitOverride()
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Objects come from a directory (--manifests DIR or CUBEPLANE_MANIFESTS) or a cluster (--kubeconfig FILE, --context NAME,
KUBECONFIG). Commands work the same on both.

${EXIT_HELP}
NO_COLOR is respected. Shell completion: cubeplane completion bash|zsh|fish.
${examples(
  'cubeplane up --node $(hostname) --manifests /etc/cubeplane     # run the agent of this node',
  'cubeplane get cubes --manifests /etc/cubeplane -o wide         # what runs where, and is it ready',
  'cubeplane describe chain kubernetes --kubeconfig ~/.kube/config',
)}`,
    );
  objectCommands(program);
  agentCommands(program);
  inspectionCommands(program, { node, stateDir, examples });
  clusterCommands(program, { withSource, node, collect, examples });
  otherCommands(program);
  finish(program);
  return program;
}

/** What all commands below this one have. */
function finish(parent: Command): void {
  for (const command of parent.commands) {
    command.exitOverride().option('--debug', 'print stack traces').showHelpAfterError('(see --help)');
    finish(command);
  }
}

function objectCommands(program: Command): void {
  namespaced(withSource(program.command('get').description('list objects')))
    .argument('<kind>', 'kind, kinds or KIND/NAME')
    .argument('[name...]', 'names')
    .option('-A, --all-namespaces', 'of all namespaces (a directory shows all unless -n is given)')
    .option('-l, --selector <labels>', 'by labels: app=web,env in (a,b),!old')
    .option('--field-selector <fields>', 'by fields: spec.nodeName=node-a')
    .option('-o, --output <format>', 'wide, json, yaml, name or jsonpath=TEMPLATE')
    .option('-w, --watch', 'go on and print changes, until interrupted')
    .option('--show-labels', 'labels as the last column')
    .option('--no-headers', 'rows alone')
    .addHelpText(
      'after',
      KINDS +
        examples(
          'cubeplane get cubeplane',
          'cubeplane get cubes --field-selector spec.nodeName=node-a',
          'cubeplane get cube kubernetes.router.node-a -o yaml',
          'cubeplane get chain -w',
        ),
    )
    .action(async (kind: string, names: string[], options) => {
      await (await import('./commands/get.ts')).get([kind, ...names], options);
    });
  namespaced(
    withSource(
      program.command('describe').description('all about objects: spec, status, conditions, events'),
    ),
  )
    .argument('<kind>', 'kind or KIND/NAME')
    .argument('[name...]', 'names; all of the kind without one')
    .option('-l, --selector <labels>', 'by labels')
    .addHelpText(
      'after',
      KINDS + examples('cubeplane describe cube kubernetes.ilb.node-a', 'cubeplane describe chain'),
    )
    .action(async (kind: string, names: string[], options) => {
      await (await import('./commands/describe.ts')).describe([kind, ...names], options);
    });
  namespaced(
    withSource(program.command('apply').description('create objects, or change them to what files say')),
  )
    .requiredOption(
      '-f, --filename <path>',
      'file, directory, or - for standard input; may be repeated',
      collect,
    )
    .option('--dry-run [mode]', 'check only, and say what would happen')
    .option('--force', 'take over fields that another manager owns (cluster)')
    .option('-o, --output <format>', 'name, json or yaml')
    .addHelpText(
      'after',
      `
Every object is checked as an API server would; nothing is written when one is refused (exit code 4). In a directory an
object replaces the one of its name, in whatever file that stands; a new one gets a file of its own. Files are written by
rename, so an agent sees the old one or the new one.
${examples('cubeplane apply -f chain.yaml', 'cubeplane apply -f samples/demo --dry-run', 'cat web.yaml | cubeplane apply -f -')}`,
    )
    .action(async (options) => {
      await (await import('./commands/apply.ts')).apply(options);
    });
  namespaced(withSource(program.command('delete').description('delete objects')))
    .argument('[kind]', 'kind or KIND/NAME')
    .argument('[name...]', 'names')
    .option('-f, --filename <path>', 'the objects that stand in a file, directory, or -', collect)
    .option('-l, --selector <labels>', 'by labels')
    .option('--ignore-not-found', 'an object that is not there is fine')
    .option('--dry-run [mode]', 'say what would happen')
    .addHelpText(
      'after',
      `
In a directory, what agents derive (the cubes of a chain, the tables of a Service) goes with what it comes from.
${examples('cubeplane delete svc web -n default', 'cubeplane delete -f chain.yaml --ignore-not-found')}`,
    )
    .action(async (kind: string | undefined, names: string[], options) => {
      const words = kind === undefined ? [] : [kind, ...names];
      await (await import('./commands/delete.ts')).remove(words, options);
    });
  program
    .command('validate')
    .description('check files, without agent or cluster')
    .argument('[path...]', 'files or directories')
    .option('-f, --filename <path>', 'the same', collect)
    .addHelpText(
      'after',
      `\nPrints each problem as FILE:LINE: object: field: what is wrong (what to do). Exit code 4 when there is one.\n${examples('cubeplane validate samples/demo')}`,
    )
    .action(async (paths: string[], options: { filename?: string[] }) => {
      const all = [...paths, ...(options.filename ?? [])];
      if (all.length === 0) program.error("error: missing required argument 'path'");
      await (await import('./commands/validate.ts')).validateFiles(all);
    });
}

function node(): Option {
  return new Option('--node <name>', 'name of the node')
    .env('CUBEPLANE_NODE')
    .default(undefined, "this machine's host name");
}

function agentCommands(program: Command): void {
  const bpffs = () => new Option('--bpffs <dir>', 'BPF file system').default('/sys/fs/bpf');
  withSource(program.command('up').description('run the agent of a node, in the foreground'))
    .addOption(node())
    .addOption(bpffs())
    .addOption(
      new Option('--cgroup <dir>', 'directory of cgroup2 whose processes cubes at the hook Cgroup see')
        .env('CUBEPLANE_CGROUP')
        .default(undefined, 'the root of the cgroup2 mount'),
    )
    .addOption(
      new Option('--log-level <level>', 'least level that is logged')
        .choices(['debug', 'info', 'warn', 'error'])
        .env('CUBEPLANE_LOG_LEVEL')
        .default('info'),
    )
    .addOption(
      new Option(
        '--redirect <mode>',
        'how packets enter pods: at their end of the pair, or by way of its host end',
      )
        .choices(['peer', 'plain'])
        .default('peer'),
    )
    .addOption(
      new Option(
        '--flow-cache <on|off>',
        'whether packets of a flow fare as its last one did, for a second, without asking each cube again',
      )
        .choices(['on', 'off'])
        .env('CUBEPLANE_FLOW_CACHE')
        .default('on'),
    )
    .addOption(
      new Option('--metrics-address <host:port>', 'serve Prometheus metrics there, at /metrics').env(
        'CUBEPLANE_METRICS_ADDRESS',
      ),
    )
    .addOption(
      new Option(
        '--healthz-address <host:port>',
        "serve kube-proxy's /healthz and /livez there, for load balancers that ask nodes; [::]:10256 is theirs",
      ).env('CUBEPLANE_HEALTHZ_ADDRESS'),
    )
    .addOption(
      new Option(
        '--flow-log <path>',
        'write new connections and drops there, a JSON object a line; - for standard output',
      ).env('CUBEPLANE_FLOW_LOG'),
    )
    .addOption(
      new Option('--flow-rate <events>', 'lines of the flow log a second at most, of each CPU').default(
        '1000',
      ),
    )
    .option(
      '--cni',
      'give pods a network by CNI: serve the plugin, and configure the runtime when all is ready',
    )
    .addOption(
      new Option('--cni-conf-dir <dir>', 'where the runtime reads network configurations').default(
        '/etc/cni/net.d',
      ),
    )
    .addOption(
      new Option('--cni-bin-dir <dir>', 'where the runtime looks for plugins').default('/opt/cni/bin'),
    )
    .addOption(
      new Option('--cni-socket <path>', 'where the plugin finds the agent').default(
        '/run/cubeplane/cni.sock',
      ),
    )
    .addHelpText(
      'after',
      `
Makes the kernel match the objects of the node and keeps it so. Prints "ready" on standard output when it has done so the
first time; logs go to standard error. SIGTERM and SIGINT end the agent and leave the data plane working: the next start
adopts it. cubeplane down removes it.
${examples('cubeplane up --manifests /etc/cubeplane', 'cubeplane up --node node-a --kubeconfig agent.kubeconfig --log-level debug')}`,
    )
    .action(async (options) => {
      await (await import('./commands/up.ts')).up(options);
    });
  program
    .command('down')
    .description("remove everything of a node from the kernel, and its agent's state")
    .addOption(node())
    .addOption(bpffs())
    .addOption(stateDir())
    .addHelpText(
      'after',
      `\nThe agent must have ended. Traffic of the node's pods stops.\n${examples('cubeplane down --node node-a')}`,
    )
    .action(async (options) => {
      await (await import('./commands/down.ts')).down(options);
    });
  program
    .command('plug')
    .description("join a pod's interface to the chain of its node")
    .argument('<pod>', 'NAMESPACE/NAME, or NAME in the namespace default')
    .requiredOption('--interface <device>', "the node's end of the pod's veth pair")
    .requiredOption('--address <ip>', 'address of the pod; once a family', collect)
    .option('--mac <mac>', "MAC of the pod's end; read in --netns without it")
    .option('--netns <path>', "the pod's network namespace: gateways are made known there")
    .option('--pod-interface <device>', 'interface inside it', 'eth0')
    .option('--gateway <ip>', 'address of its gateway; found from the ports of cubes without it', collect)
    .option('--routes', 'set default routes inside the pod')
    .option('--mtu <bytes>', "MTU of the pod's interface", Number)
    .addOption(node())
    .addOption(bpffs())
    .addOption(stateDir())
    .addHelpText(
      'after',
      examples(
        'cubeplane plug default/web-1 --interface veth1 --address 10.244.1.10 --netns /run/netns/web-1 --routes',
      ),
    )
    .action(async (pod: string, options) => {
      await (await import('./commands/plug.ts')).plug(pod, options);
    });
  program
    .command('unplug')
    .description('take a pod off the chain of its node')
    .argument('<pod>', 'NAMESPACE/NAME, or NAME in the namespace default')
    .addOption(node())
    .addOption(bpffs())
    .addOption(stateDir())
    .addHelpText('after', examples('cubeplane unplug default/web-1 --node node-a'))
    .action(async (pod: string, options) => {
      await (await import('./commands/plug.ts')).unplug(pod, options);
    });
  program
    .command('allow-removal')
    .description('let go what disappeared in a mass, which the agent of a node holds back')
    .addOption(node())
    .addOption(stateDir())
    .addHelpText(
      'after',
      `
When most cubes, links or tables disappear at once, as when a directory is not mounted, the agent keeps the last state and
its CubeNode says MassDisappearance. This lets one such removal pass; the annotation cubeplane.io/allow-removal=true on the
CubeNode lets all pass.
${examples('cubeplane allow-removal --node node-a')}`,
    )
    .action(async (options) => {
      await (await import('./commands/allow-removal.ts')).allowRemoval(options);
    });
  program
    .command('plan')
    .description('what the agent of a node would change in the kernel, and why it does not yet')
    .addOption(node())
    .addOption(bpffs())
    .addOption(stateDir())
    .option('-o, --output <format>', 'json')
    .addHelpText(
      'after',
      `\nAsks the running agent. An empty plan says that the kernel holds what the objects say.\n${examples('cubeplane plan --node node-a')}`,
    )
    .action(async (options) => {
      await (await import('./commands/plan.ts')).plan(options);
    });
}

function otherCommands(program: Command): void {
  program
    .command('version')
    .description('version of cubeplane, its cube ABI, and the kernel')
    .option('-o, --output <format>', 'json')
    .addHelpText('after', examples('cubeplane version -o json'))
    .action(async (options) => {
      await (await import('./commands/version.ts')).version(options);
    });
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(
      new Command().createArgument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']),
    )
    .addHelpText(
      'after',
      examples(
        'source <(cubeplane completion bash)',
        'cubeplane completion zsh > ~/.zfunc/_cubeplane',
        'cubeplane completion fish > ~/.config/fish/completions/cubeplane.fish',
      ),
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      await (await import('./commands/completion.ts')).printScript(shell);
    });
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (words: string[]) => {
      await (await import('./commands/completion.ts')).complete(program, words);
    });
}
