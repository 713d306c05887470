// SPDX-License-Identifier: Apache-2.0
/** Commands that look into the running agent of a node. */
import type { Command, Option } from 'commander';

interface Parts {
  readonly node: () => Option;
  readonly stateDir: () => Option;
  readonly examples: (...lines: readonly string[]) => string;
}

export function inspectionCommands(program: Command, { node, stateDir, examples }: Parts): void {
  program
    .command('trace')
    .description('where a packet goes: each cube, what it decided and why')
    .option('--dry-run', 'ask for a packet that is not sent; nothing changes')
    .option('--from <port>', 'where it comes in: NAMESPACE/POD, an interface, host, overlay, or CUBE/PORT')
    .option('--packet <text>', 'the packet: PROTOCOL SOURCE > DESTINATION [words]')
    .option('--pcap <file>', 'packets of a capture instead, at most 1000')
    .option('--host <prefix>', 'live: source or destination, an address or a prefix, as the packet comes in')
    .option('--port <number>', 'live: source or destination port, as the packet comes in')
    .option('--protocol <name>', 'live: tcp, udp, icmp, icmpv6 or sctp')
    .option('--interface <device>', 'live: where packets come in')
    .option('--cube <name>', 'live: only packets that pass this cube')
    .option('--dropped', 'live: only packets that are dropped or refused')
    .option('--rate <packets>', 'live: packets a second at most, of all that match', '100')
    .option('--count <packets>', 'live: end after so many')
    .addOption(node())
    .addOption(stateDir())
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `
Without --dry-run: real packets that match, as they come, until interrupted; one live trace a node at a time. A host or port
is the one that the packet has when it comes in: replies of a Service come in from the backend.

With --dry-run the packet runs through the programs and tables of the node as they are now, with a mark that lets them change and send
nothing. PROTOCOL is tcp, udp, icmp or arp; IPv6 with a port as [fd00::1]:80. Words: SYN ACK FIN RST PSH URG (tcp; SYN without
any), echo or reply (icmp), size BYTES, ttl HOPS. A pick at random may fall otherwise for the next packet.
${examples(
  "cubeplane trace --dry-run --from default/client --packet 'tcp 10.244.1.5:4000 > 10.96.0.10:80'",
  "cubeplane trace --dry-run --from eth0 --packet 'udp [fd00::9]:53 > [fd00:244:1::5]:4000 size 100' -o json",
  'cubeplane trace --dry-run --from kubernetes.router.node-a/pods --pcap sample.pcap',
  'cubeplane trace --host 10.244.1.5 --protocol tcp --port 80 --count 10',
  'cubeplane trace --dropped -o json',
)}`,
    )
    .action(async (options) => {
      await (await import('./commands/trace.ts')).trace(options);
    });
  program
    .command('tables')
    .description('what the tables of a cube hold in the kernel: sessions, routes, rules, backends')
    .argument('[cube]', 'NAMESPACE/CUBE or CUBE; node for the tables that all cubes share; all without it')
    .argument('[table]', 'its rows; the list of tables without it')
    .addOption(node())
    .addOption(stateDir())
    .option('--offset <rows>', 'rows to pass over', '0')
    .option('--limit <rows>', 'rows at most, 1 to 10000', '100')
    .option('--match <text>', 'rows in which a cell holds this text, as an address')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `
Rows come as the kernel has them, in no order; those that come or go meanwhile may be missing. Numbers of backends and rules
have the name of the object beside them.
${examples(
  'cubeplane tables',
  'cubeplane tables kubernetes.ilb.node-a established --match 10.244.1.5',
  'cubeplane tables kubernetes.router.node-a routes_hash -o json',
)}`,
    )
    .action(async (cube: string | undefined, table: string | undefined, options) => {
      await (await import('./commands/tables.ts')).tables(cube, table, options);
    });
  program
    .command('drops')
    .description('which packets were dropped, where, why, and what to do')
    .addOption(node())
    .addOption(stateDir())
    .option('--cube <name>', 'of one cube only; entry for what was refused before the first one')
    .option('-w, --watch', 'only new ones, a line each, until interrupted')
    .option('--packets', 'the packets themselves as they come, with pods and policies, until interrupted')
    .option('--count <packets>', 'with --packets: end after so many')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `\nCounts since the cube was made; they are kept over changes of its spec and restarts of the agent.\n${examples('cubeplane drops', 'cubeplane drops --packets', 'cubeplane drops --watch --cube kubernetes.router.node-a')}`,
    )
    .action(async (options) => {
      await (await import('./commands/drops.ts')).drops(options);
    });
  program
    .command('flows')
    .description('new connections and dropped packets as they come, with pods, Services and policies')
    .addOption(node())
    .addOption(stateDir())
    .option('--verdict <verdict>', 'only these: Forwarded, Dropped or Audit')
    .option('--namespace <name>', 'only from or to pods and Services of this namespace')
    .option('--pod <namespace/pod>', 'only from or to this pod, which runs on the node')
    .option('--address <address>', 'only from or to this address')
    .option('--cube <name>', 'only what this cube tells; entry for what is before the first one')
    .option('--count <flows>', 'end after so many')
    .option('-o, --output <format>', 'json (one object a line) or yaml')
    .addHelpText(
      'after',
      `
Until interrupted. A connection is told when its first packet passes: by each cube that keeps connections, so the LoadBalancer tells
the Service and its backend, the Firewall the policy. What comes faster than the agent's --flow-rate is counted, not told.
${examples(
  'cubeplane flows',
  'cubeplane flows --namespace shop --verdict Dropped',
  'cubeplane flows --pod default/client -o json',
)}`,
    )
    .action(async (options) => {
      await (await import('./commands/flows.ts')).flows(options);
    });
  program
    .command('top')
    .description('packets and bytes a second by cube and port')
    .addOption(node())
    .addOption(stateDir())
    .option('--once', 'one table, then end')
    .option('--interval <seconds>', 'time between two looks', '2')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', examples('cubeplane top', 'cubeplane top --once --interval 5 -o json'))
    .action(async (options) => {
      await (await import('./commands/top.ts')).top(options);
    });
}
