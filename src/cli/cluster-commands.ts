// SPDX-License-Identifier: Apache-2.0
/** `cubeplane connectivity test`, what its pods run, and `cubeplane migrate check`. */
import type { Command, Option } from 'commander';

interface Parts {
  readonly withSource: (command: Command) => Command;
  readonly node: () => Option;
  readonly collect: (value: string, values?: string[]) => string[];
  readonly examples: (...lines: readonly string[]) => string;
}

export function clusterCommands(program: Command, parts: Parts): void {
  connectivityCommands(program, parts);
  migrateCommands(program, parts);
}

function connectivityCommands(program: Command, { withSource, collect, examples }: Parts): void {
  const connectivity = program
    .command('connectivity')
    .description('try whether a cluster works: every path between pods, Services and nodes')
    .addHelpText('after', examples('cubeplane connectivity test', 'cubeplane connectivity test --list'));
  withSource(
    connectivity
      .command('test')
      .description('try every path with pods of its own, and say where packets end'),
  )
    .option(
      '-n, --namespace <name>',
      'created for the test, and deleted at its end',
      'cubeplane-connectivity-test',
    )
    .option('--image <name>', "image that has cubeplane; the agents' own without it")
    .option('--nodes <names>', 'on these nodes, A,B; on the first two that can without it')
    .option('--single-node', 'on one node only')
    .option('--test <regex>', 'only tests whose name matches')
    .option('--list', 'name the tests, and try nothing')
    .option('--external <url>', 'also try whether pods reach this URL')
    .option('--host-port <port>', 'port of the servers in the network of the nodes', '28282')
    .option('--timeout <seconds>', 'end after so long', '300')
    .option('--keep', 'leave the namespace with its pods at the end')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `
Clients and servers run on two nodes, in pods and in the network of the nodes, and try TCP and UDP over the families that pods
have. For a path that does not work, the agent is asked for a trace (on the node itself, else by exec in the pods of the agents): at
which cube the packet ends, why, and what to do. What was created is removed at the end, also at Ctrl-C.

Exit codes: 0 all paths work, 1 one does not or the test could not be done, 2 wrong usage, 4 the namespace is somebody else's.
${examples(
  'cubeplane connectivity test --kubeconfig ~/.kube/config',
  'cubeplane connectivity test --test policy -o json',
  'cubeplane connectivity test --nodes node-a,node-b --external https://example.org',
)}`,
    )
    .action(async (options) => {
      await (await import('./commands/connectivity.ts')).connectivityTest(options);
    });
  connectivity
    .command('server', { hidden: true })
    .requiredOption('--name <name>')
    .requiredOption('--port <port>')
    .option('--address <ip>', '', collect)
    .action(async (options) => {
      await (await import('./commands/connectivity-pod.ts')).connectivityServer(options);
    });
  connectivity
    .command('client', { hidden: true })
    .option('--report <file>', '', '/dev/termination-log')
    .action(async (options) => {
      await (await import('./commands/connectivity-pod.ts')).connectivityClient(options);
    });
}

function migrateCommands(program: Command, { withSource, node, examples }: Parts): void {
  const migrate = program
    .command('migrate')
    .description('take nodes over from another network, one by one (docs/migration.md)')
    .addHelpText('after', examples('cubeplane migrate check'));
  withSource(
    migrate
      .command('check')
      .description('what of another network is on this node, and what it lacks for this one'),
  )
    .addOption(node())
    .option('--cni-conf-dir <dir>', 'where the runtime reads network configurations', '/etc/cni/net.d')
    .option('--vxlan-port <port>', 'UDP port of the overlay of the chain', '4789')
    .option('--offline', 'do not ask the API server for the pods of the node')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `
Runs on the node, as root, with or without an agent there; it changes nothing. Severities: Blocks (before the agent starts), Remove (of
another network, while the node is drained), Restart (pods that have their network from elsewhere), Note.

Exit codes: 0 nothing but notes, 1 something is to be done, 2 wrong usage, 3 there is no such Node.
${examples('cubeplane migrate check --kubeconfig /etc/kubernetes/admin.conf', 'cubeplane migrate check --offline -o json')}`,
    )
    .action(async (options) => {
      await (await import('./commands/migrate.ts')).migrateCheck(options);
    });
}
