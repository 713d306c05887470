// SPDX-License-Identifier: Apache-2.0
import { askIperf } from '../../harness/iperf.ts';
import type { Namespace } from '../../harness/netns.ts';

/** What iperf3 says of one run. */
export interface IperfReport {
  /** Bytes that the receiving end counted. */
  readonly received: number;
  /** Datagrams that were sent and did not come; 0 for TCP. */
  readonly lost: number;
}

export interface IperfOptions {
  readonly udp?: boolean;
  /** True: the server sends. */
  readonly reverse?: boolean;
  readonly bytes: number;
}

/** Starts the server of iperf3, on its own port 5201; resolves when it listens. */
export async function startIperf(namespace: Namespace): Promise<void> {
  const server = await namespace.start('iperf3', ['iperf3', '--server', '--forceflush']);
  await server.waitForOutput(/Server listening/);
}

/** One run of so many bytes. */
export async function iperf(from: Namespace, address: string, options: IperfOptions): Promise<IperfReport> {
  const argv = ['iperf3', '--json', '--client', address, '--bytes', String(options.bytes)];
  if (options.udp) argv.push('--udp', '--bitrate', '400M', '--length', '1200');
  if (options.reverse) argv.push('--reverse');
  const end = await askIperf(
    async () => (await from.exec(argv, { anyStatus: true, timeoutMs: 60_000 })).stdout,
  );
  const sum = options.udp ? end.sum : end.sum_received;
  return { received: sum?.bytes ?? 0, lost: sum?.lost_packets ?? 0 };
}

/** Packets that the stack of a namespace threw away since it was made, by the kernel's names. */
export interface StackErrors {
  /** Wrong checksums, of every protocol and both families. */
  readonly checksum: number;
  /** Datagrams for which a socket had no room. */
  readonly noRoom: number;
}

/** Reads /proc/net/snmp and snmp6 of a namespace. */
export async function stackErrors(namespace: Namespace): Promise<StackErrors> {
  const { stdout } = await namespace.exec(['cat', '/proc/self/net/snmp', '/proc/self/net/snmp6']);
  const values = new Map<string, number>();
  const lines = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  for (const [i, words] of lines.entries()) {
    const [first = '', ...rest] = words;
    const next = lines[i + 1] ?? [];
    // IPv4: a line of names and one of values; IPv6: a name and its value a line
    if (first.endsWith(':') && next[0] === first && !/^-?\d/.test(rest[0] ?? ''))
      for (const [n, name] of rest.entries()) values.set(`${first}${name}`, Number(next[n + 1]));
    else if (rest.length === 1) values.set(first, Number(rest[0]));
  }
  const sum = (pattern: RegExp) =>
    [...values].reduce((total, [name, value]) => total + (pattern.test(name) ? value : 0), 0);
  return { checksum: sum(/InCsumErrors$/), noRoom: sum(/^Udp:RcvbufErrors$|^Udp6RcvbufErrors$/) };
}
