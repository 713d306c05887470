// SPDX-License-Identifier: Apache-2.0

/** Clients of a route, and what they saw. Both ends are on one core, but streams: what a wake-up of another core costs is noise. */
import { askIperf } from '../../harness/iperf.ts';
import { run } from '../../harness/process.ts';
import { floodRate, inside } from '../flood.ts';
import type { Metric, Sample } from './names.ts';
import { PORTS, type Route } from './site.ts';

export interface Amounts {
  /** Questions and answers of one connection. */
  readonly roundTrips: number;
  /** New connections, and new flows of one datagram. */
  readonly connections: number;
  /** Of a stream. */
  readonly bytes: string;
  readonly floodSeconds: number;
}

/** What all clients need to know. */
export interface Clients {
  readonly pingpong: string;
  readonly amounts: Amounts;
  say(line: string): void;
}

/** Of a hundred datagrams: more that have no answer are no matter of chance. */
const MOST_LOST = 1;

/** Starts all servers that routes to a pod need. */
export async function serve(route: Pick<Route, 'server' | 'backend'>, pingpong: string): Promise<void> {
  const { server, backend } = route;
  for (const kind of ['tcp', 'udp']) {
    const argv = ['taskset', '-c', '1', pingpong, 'server', kind, backend, String(PORTS.echo)];
    const running = await server.start(`pingpong-${kind}`, argv);
    await running.waitForOutput(/ready/);
  }
  const stream = [
    'taskset',
    '-c',
    '0',
    'iperf3',
    '-s',
    '-B',
    backend,
    '-p',
    String(PORTS.stream),
    '--forceflush',
  ];
  const running = await server.start('iperf3', stream);
  await running.waitForOutput(/listening/);
}

interface Times {
  readonly p50: number;
  readonly p99: number;
  /** All in µs. */
  readonly mean: number;
}

async function ask(route: Route, clients: Clients, kind: string, count: number): Promise<Times> {
  const { client, addresses, ports } = route;
  const { stdout } = await run(
    inside(client, [
      ...['taskset', '-c', '1', clients.pingpong, 'client', kind],
      ...[addresses.join(','), String(ports.echo), String(count)],
    ]),
    { timeoutMs: 60_000 },
  );
  const [p50 = 0, p99 = 0, mean = 0, lost = 0] = stdout.trim().split(' ').map(Number);
  if (lost > 0) {
    const what = `${lost} of ${count} datagrams from ${client.name} to ${addresses.join(', ')} had no answer (${kind})`;
    if (lost > (MOST_LOST * count) / 100) throw new Error(what);
    clients.say(what);
  }
  return { p50: p50 / 1000, p99: p99 / 1000, mean: mean / 1000 };
}

/** Short questions: of one connection, of one UDP flow, of new connections, of new flows. */
export async function shortQuestions(route: Route, clients: Clients): Promise<Sample> {
  const { roundTrips, connections } = clients.amounts;
  const tcp = await ask(route, clients, 'tcp', roundTrips);
  const udp = await ask(route, clients, 'udp', roundTrips);
  const connects = await ask(route, clients, 'connect', connections);
  const first = await ask(route, clients, 'first', connections);
  return {
    'tcp-p50': tcp.p50,
    'tcp-p99': tcp.p99,
    'udp-p50': udp.p50,
    'udp-p99': udp.p99,
    connects: 1e6 / connects.mean,
    'first-packet': first.p50,
  };
}

/** Much at once: streams, and a flood of small packets, of which the processor time counts. */
export async function muchAtOnce(route: Route, { pingpong, amounts }: Clients): Promise<Sample> {
  const [address = ''] = route.addresses;
  const { client, server, backend, ports } = route;
  const flood = { client, server, address, backend, port: ports.sink, sinkPort: PORTS.sink };
  const rate = await floodRate({ ...flood, seconds: amounts.floodSeconds }, pingpong);
  const sample: Partial<Record<Metric, number>> = { 'cpu-packet': 1e9 / rate };
  for (const flows of [1, 8] as const) sample[`stream-${flows}`] = await stream(route, flows, amounts.bytes);
  return sample;
}

/** Gbit/s that arrived. */
async function stream({ client, addresses, ports }: Route, flows: number, bytes: string): Promise<number> {
  const argv = inside(client, [
    ...['taskset', '-c', '1', 'iperf3', '-c', addresses[0] ?? '', '-p', String(ports.stream)],
    ...['-P', String(flows), '-n', bytes, '-J'],
  ]);
  const end = await askIperf(async () => (await run(argv, { timeoutMs: 60_000, anyStatus: true })).stdout);
  const rate = (end.sum_received?.bits_per_second ?? 0) / 1e9;
  if (!(rate > 0)) throw new Error(`${bytes} bytes in ${flows} streams are too few to tell a rate`);
  return rate;
}
