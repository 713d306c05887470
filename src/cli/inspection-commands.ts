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
    .addOption(node())
    .addOption(stateDir())
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText(
      'after',
      `
The packet runs through the programs and tables of the node as they are now, with a mark that lets them change and send
nothing. PROTOCOL is tcp, udp, icmp or arp; IPv6 with a port as [fd00::1]:80. Words: SYN ACK FIN RST PSH URG (tcp; SYN without
any), echo or reply (icmp), size BYTES, ttl HOPS. A pick at random may fall otherwise for the next packet.
${examples(
  "cubeplane trace --dry-run --from default/client --packet 'tcp 10.244.1.5:4000 > 10.96.0.10:80'",
  "cubeplane trace --dry-run --from eth0 --packet 'udp [fd00::9]:53 > [fd00:244:1::5]:4000 size 100' -o json",
  'cubeplane trace --dry-run --from kubernetes.router.node-a/pods --pcap sample.pcap',
)}`,
    )
    .action(async (options) => {
      await (await import('./commands/trace.ts')).trace(options);
    });
}
