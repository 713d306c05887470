// SPDX-License-Identifier: Apache-2.0

/** How long after its EndpointSlice is written a Service answers a pod. */
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../harness/process.ts';
import { inside } from '../flood.ts';
import type { Sample } from './names.ts';
import { addUnready, type Unready } from './services.ts';
import { type Bed, PORTS, type Route, type Site } from './site.ts';

const TOOL = new URL('../tools/first-answer.ts', import.meta.url).pathname;
/**
 * Before a slice is written: kube-proxy lets a second pass between two writes of its rules (`--iptables-min-sync-period`,
 * `--nftables-min-sync-period`). What is measured is the change that comes after quiet.
 */
const QUIET_MS = 2_000;
/** The tool gives up then. */
const PATIENCE_MS = 60_000;

/** Milliseconds of CLOCK_MONOTONIC, the same in all processes. */
const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
let services = 0;

/** A Service of a site that has no backend yet. */
interface Starting extends Unready {
  readonly site: Site;
  readonly name: string;
}

/** Makes new Services, so many a site, all before the first of them gets its backend, which is on the other node. */
export async function prepareStarts(bed: Bed, site: Site, count: number): Promise<Starting[]> {
  const all: Starting[] = [];
  for (let n = 0; n < count; n++) {
    const name = `start-${site.name}-${++services}`;
    all.push({ ...(await addUnready(bed, name, site.far)), site, name });
  }
  return all;
}

/** Gives a Service its backend. A client asks it each millisecond. */
export async function serviceStart(service: Starting): Promise<Sample> {
  await sleep(QUIET_MS);
  const client = service.site.client.namespace;
  const argv = [process.execPath, TOOL, service.address, String(PORTS.echo)];
  const running = await client.start(`first-answer-${service.name}`, argv);
  await running.waitForOutput(/ready/);
  const began = now();
  await service.makeReady();
  const [, at = ''] = await running.waitForOutput(/answered ([\d.]+)/, PATIENCE_MS);
  await running.exited();
  return { 'service-start': Number(at) - began };
}

/** Waits until all addresses of a site answer. */
export async function untilAnswered(site: Site, pingpong: string, patienceMs: number): Promise<void> {
  for (const route of Object.values(site.routes)) await untilRouteAnswers(route, pingpong, patienceMs);
}

/** Waits until all addresses of a route answer. */
export async function untilRouteAnswers(
  { client, addresses, ports }: Pick<Route, 'client' | 'addresses' | 'ports'>,
  pingpong: string,
  patienceMs: number,
): Promise<void> {
  const list = addresses.join(',');
  const ask = ['client', 'first', list, String(ports.echo), String(addresses.length)];
  for (const deadline = Date.now() + patienceMs; ; await sleep(100)) {
    const { status, stdout, stderr } = await run(inside(client, [pingpong, ...ask]), { anyStatus: true });
    const lost = Number(stdout.trim().split(' ')[3]);
    if (status === 0 && lost === 0) return;
    if (Date.now() > deadline)
      throw new Error(`${client.name}: of ${list} one does not answer: ${stderr.trim() || `${lost} lost`}`);
  }
}
